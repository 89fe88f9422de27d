"""A copy is whole, private and never in place of another file, or it is not there."""

from __future__ import annotations

import stat
import threading
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from rtlite.errors import StartError
from rtlite.store import backup
from rtlite.store.check import check
from rtlite.store.database import READERS, open_database
from tests.store.files import names, put


async def test_backup_is_for_its_owner_only_and_never_overwrites(tmp_path):
    async with open_database(str(tmp_path / "r.db")) as database:
        await put(database, "a")
        await backup.write(database, tmp_path / "copy.db")
        with pytest.raises(StartError, match="File exists"):
            await backup.write(database, tmp_path / "copy.db")

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert check(str(tmp_path / "copy.db")).problems == []


async def test_backup_of_a_database_in_memory_holds_it(tmp_path):
    async with open_database(":memory:") as database:
        await put(database, "a")
        await backup.write(database, tmp_path / "copy.db")
    async with open_database(str(tmp_path / "copy.db")) as database:
        assert await names(database) == ["a"]


async def test_backup_onto_a_full_disk_is_refused_and_leaves_no_half(tmp_path, small_disk):
    async with open_database(str(tmp_path / "r.db"), "normal") as database:
        for number in range(60):
            await put(database, f"{number}", "x" * 100_000)
        with no_trace_of_backup(small_disk), pytest.raises(StartError, match="full"):
            await backup.write(database, small_disk / "copy.db")

        await put(database, "goes on")


async def test_backup_that_is_cancelled_before_it_begins_leaves_nothing(tmp_path):
    (tmp_path / "copies").mkdir()
    may_end = threading.Event()
    async with open_database(str(tmp_path / "r.db")) as database, trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(database.read, lambda _: may_end.wait(5))
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await backup.write(database, tmp_path / "copies" / "copy.db")
        may_end.set()

    assert scope.cancelled_caught
    assert list((tmp_path / "copies").iterdir()) == []


@contextmanager
def no_trace_of_backup(directory):
    yield
    assert list(directory.iterdir()) == []
