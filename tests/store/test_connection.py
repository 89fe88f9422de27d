"""One connection: its files, its thread, and nothing left of either."""

from __future__ import annotations

import os
import stat
import threading

import pytest
import trio
import trio.testing

from rtlite.store import database as database_module
from rtlite.store.database import open_database
from tests.store.files import no_trace, put


async def test_new_file_is_for_its_owner_only(tmp_path):
    async with open_database(str(tmp_path / "r.db")) as database:
        await put(database, "a")
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}

    assert set(modes) == {"r.db", "r.db-wal", "r.db-shm", "r.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_work_that_raises_stop_iteration_does_not_hang():
    async with open_database(":memory:") as database:
        with trio.fail_after(5), pytest.raises(RuntimeError):
            await database.write(lambda connection: next(iter(())))


async def test_readers_have_all_their_files_open_from_the_start(tmp_path):
    async with open_database(str(tmp_path / "r.db")) as database:
        before = len(os.listdir("/proc/self/fd"))
        both = threading.Barrier(database_module.READERS)

        async def read():
            await database.read(lambda c: (both.wait(5), c.execute("SELECT * FROM meta").fetchall()))

        async with trio.open_nursery() as nursery:
            for _ in range(database_module.READERS):
                nursery.start_soon(read)
        assert len(os.listdir("/proc/self/fd")) == before


async def test_cancelled_opening_leaves_nothing(tmp_path):
    with no_trace(), trio.CancelScope() as scope:
        scope.cancel()
        async with open_database(str(tmp_path / "r.db")):
            await trio.sleep_forever()

    assert scope.cancelled_caught
