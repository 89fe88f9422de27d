"""One server alone has the file, as long as it lives."""

from __future__ import annotations

import fcntl
import os
import sys

import pytest
import trio
import trio.testing

from rtlite.errors import StartError
from rtlite.store.database import open_database
from rtlite.store.lock import lock_file
from tests.store.files import WRITER, no_trace, put, refusal, start


async def test_second_server_on_the_same_file_is_refused(tmp_path):
    async with open_database(str(tmp_path / "r.db")):
        with pytest.raises(StartError, match="is in use by another rtlite"):
            async with open_database(str(tmp_path / "r.db")):
                pytest.fail("it was opened")


async def test_file_of_a_running_server_is_refused_to_a_second_process(tmp_path):
    async with open_database(str(tmp_path / "r.db")) as database:
        script = tmp_path / "writer.py"
        script.write_text(WRITER)
        command = [sys.executable, str(script), str(tmp_path / "r.db")]
        second = await trio.run_process(command, capture_stderr=True, check=False)
        await put(database, "still here")

    assert second.returncode == 1
    assert b"is in use by another rtlite" in second.stderr


async def test_lock_dies_with_its_holder(tmp_path):
    holder = start(LOCKER, tmp_path / "r.db")
    assert "is in use by another rtlite" in await refusal(tmp_path / "r.db")
    holder.kill()
    holder.communicate()
    with no_trace():
        async with open_database(str(tmp_path / "r.db")):
            pass


async def test_directory_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "no" / "r.db"

    assert await refusal(path) == f"cannot open {path}.lock: No such file or directory"


def test_lock_is_let_go_at_the_end_of_the_block(tmp_path):
    path = str(tmp_path / "r.db")
    for _ in range(2):
        with lock_file(path), pytest.raises(BlockingIOError):
            descriptor = os.open(f"{path}.lock", os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)


LOCKER = """
import sys
from rtlite.store.lock import lock_file
with lock_file(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.readline()
"""
