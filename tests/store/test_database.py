"""The file, while it is open: written by one, read beside that, and trusted only while it deserves it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from rtlite.errors import StorageFailed, StorageFull
from rtlite.store import database as database_module
from rtlite.store import wal as log
from rtlite.store.check import check
from rtlite.store.database import open_database
from tests.store.files import WRITER, Faults, crashed, names, no_trace, put, remount, size_of, sqlite_error


class TestWriting:
    async def test_what_is_written_can_be_read_and_is_there_after_reopening(self, tmp_path):
        with no_trace():
            async with open_database(str(tmp_path / "r.db")) as database:
                await put(database, "a")
                assert await names(database) == ["a"]
            async with open_database(str(tmp_path / "r.db"), "normal") as database:
                assert await names(database) == ["a"]

    @pytest.mark.parametrize("path", ["r.db", ":memory:"])
    async def test_write_that_raises_is_rolled_back(self, tmp_path, path):
        def work(connection):
            connection.execute("INSERT INTO meta VALUES ('a', 'x')")
            raise ZeroDivisionError

        async with open_database(path if path == ":memory:" else str(tmp_path / path)) as database:
            with pytest.raises(ZeroDivisionError):
                await database.write(work)
            await put(database, "b")

            assert await names(database) == ["b"]

    async def test_in_memory_readers_and_writers_take_turns(self):
        async with open_database(":memory:") as database:
            seen = []

            async def look():
                seen.append(await names(database))

            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(put, database, f"n{number}")
                    nursery.start_soon(look)
            assert len(seen) == 10 and len(await names(database)) == 10

    async def test_cancelled_writer_is_finished_before_the_next(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            started = threading.Event()
            go_on = threading.Event()

            def work(connection):
                started.set()
                go_on.wait(5)
                connection.execute("INSERT INTO meta VALUES ('a', 'x')")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.write, work)
                await trio.to_thread.run_sync(started.wait)
                nursery.cancel_scope.cancel()
                go_on.set()
            await put(database, "b")

            assert await names(database) == ["a", "b"]

    async def test_reader_cannot_write(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            with pytest.raises((StorageFailed, sqlite3.OperationalError)):
                await database.read(lambda connection: connection.execute("DELETE FROM meta").rowcount)

            assert (await database.read(lambda connection: connection.execute("PRAGMA query_only").fetchone()[0])) == 1

    async def test_one_connection_alone_can_write_and_checkpoint(self, tmp_path):
        """SQLite before 3.51.3 can corrupt a log that two connections write and checkpoint at once."""
        path = tmp_path / "r.db"
        async with open_database(str(path)) as database:
            await put(database, "a", "x" * 10_000)
            before = (tmp_path / "r.db-wal").stat().st_size
            assert before > 10_000
            for statement in ("INSERT INTO meta VALUES ('b', 'c')", "PRAGMA wal_checkpoint(TRUNCATE)"):
                with suppress(StorageFailed, sqlite3.Error):
                    await database.read(
                        lambda connection, statement=statement: connection.execute(statement).fetchall()
                    )
            assert (tmp_path / "r.db-wal").stat().st_size == before
            assert await names(database) == ["a"]
            writing = 0
            for number in os.listdir("/proc/self/fd"):
                with suppress(OSError):
                    if os.readlink(f"/proc/self/fd/{number}") == str(path):
                        flags = Path(f"/proc/self/fdinfo/{number}").read_text().partition("flags:")[2].split()[0]
                        writing += int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
        assert writing == 1

    async def test_a_write_does_not_wait_for_reads_however_many_there_are(self, tmp_path):
        """When each reader was busy, the next read went to the connection that writes."""
        may_end = threading.Event()
        async with open_database(str(tmp_path / "r.db")) as database, trio.open_nursery() as nursery:
            for _ in range(database_module.READERS + 1):
                nursery.start_soon(database.read, lambda _: may_end.wait(3))
                await trio.testing.wait_all_tasks_blocked()
            started = trio.current_time()
            await database.write(lambda connection: None)
            taken = trio.current_time() - started
            may_end.set()
            assert taken < 2

    async def test_reads_do_not_wait_for_a_write(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            started, go_on = threading.Event(), threading.Event()

            def work(connection):
                connection.execute("INSERT INTO meta VALUES ('a', 'x')")
                started.set()
                go_on.wait(5)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.write, work)
                await trio.to_thread.run_sync(started.wait)
                seen = await names(database)
                go_on.set()

            assert seen == []
            assert await names(database) == ["a"]

    async def test_what_is_under_way_when_it_closes_is_finished_and_what_comes_later_is_refused(self, tmp_path):
        """By tasks of the program around it, which may outlive the block."""
        outcomes, may_end = [], threading.Event()

        async def attempt(call):
            try:
                outcomes.append(await call(lambda _: may_end.wait(5)))
            except StorageFailed as error:
                outcomes.append(error.detail)

        async def end():
            await trio.testing.wait_all_tasks_blocked()
            may_end.set()

        with no_trace():
            async with trio.open_nursery() as program, open_database(str(tmp_path / "r.db")) as database:
                for call in [database.write] * 2 + [database.read] * (database_module.READERS + 1):
                    program.start_soon(attempt, call)
                    await trio.testing.wait_all_tasks_blocked()
                program.start_soon(end)
            assert outcomes == [True] * (3 + database_module.READERS)
            for call in (database.write, database.read):
                await attempt(call)
            assert outcomes[-2:] == ["the database is closed"] * 2

    async def test_closing_in_a_cancelled_scope_closes_all(self, tmp_path):
        with no_trace(), trio.CancelScope() as scope:
            async with open_database(str(tmp_path / "r.db")) as database:
                await put(database, "a")
                scope.cancel()
                await trio.sleep_forever()
        with no_trace():
            async with open_database(str(tmp_path / "r.db")) as database:
                assert await names(database) == ["a"]

    @pytest.mark.parametrize(("durability", "expected"), [("full", 2), ("normal", 1)])
    async def test_durability_decides_when_the_log_is_synced(self, tmp_path, durability, expected):
        async with open_database(str(tmp_path / "r.db"), durability) as database:
            pragmas = await database.write(
                lambda connection: [
                    connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
                ]
            )

        assert pragmas == [expected, "wal"]


class TestErrors:
    async def test_io_error_at_commit_is_not_acknowledged_and_the_connection_is_replaced(self, tmp_path, monkeypatch):
        faults = Faults(monkeypatch)
        async with open_database(str(tmp_path / "r.db")) as database:
            await put(database, "a")
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR | 4 << 8)
            with pytest.raises(StorageFailed):
                await put(database, "b")
            assert faults.opened == 2
            assert size_of(tmp_path / "r.db-wal") == 0  # nothing is left there that a crash could revive
            faults.failing.clear()
            await put(database, "c")

            assert await names(database) == ["a", "c"]
            assert faults.opened == 2

    async def test_writes_are_refused_until_the_file_is_found_whole_again(self, tmp_path, monkeypatch):
        faults = Faults(monkeypatch)
        with no_trace():
            async with open_database(str(tmp_path / "r.db")) as database:
                faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR)
                faults.failing["PRAGMA quick_check"] = sqlite_error(sqlite3.SQLITE_CORRUPT)
                for _ in range(3):
                    with pytest.raises(StorageFailed):
                        await put(database, "a")
                assert await names(database) == []  # reading goes on
                del faults.failing["PRAGMA quick_check"]
                faults.failing["connect"] = PermissionError(13, "no more")
                faults.failing.pop("COMMIT")
                with pytest.raises(StorageFailed):
                    await put(database, "a")
                await database.checkpoint()  # does nothing on a connection that is not trusted
                faults.failing.clear()
                await put(database, "b")

                assert await names(database) == ["b"]

    async def test_rollback_that_fails_costs_the_connection_and_not_the_next_write(self, tmp_path, monkeypatch):
        faults = Faults(monkeypatch)
        async with open_database(str(tmp_path / "r.db")) as database:
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_BUSY)
            faults.failing["ROLLBACK"] = sqlite_error(sqlite3.SQLITE_NOMEM)
            with pytest.raises(StorageFailed):
                await put(database, "a")
            faults.failing.clear()
            await put(database, "b")

            assert await names(database) == ["b"]
            assert faults.opened == 2

    async def test_full_disk_and_locked_file_need_no_new_connection(self, tmp_path, monkeypatch):
        faults = Faults(monkeypatch)
        async with open_database(str(tmp_path / "r.db")) as database:
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_FULL)
            with pytest.raises(StorageFull):
                await put(database, "a")
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_BUSY)
            with pytest.raises(StorageFailed):
                await put(database, "a")
            faults.failing.clear()
            await put(database, "b")

            assert await names(database) == ["b"]
            assert faults.opened == 1

    @pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
    async def test_real_fsync_error_is_not_acknowledged(self, tmp_path):
        """A failing disk under a real server process: ``strace`` makes the sync of one commit fail."""
        script = tmp_path / "writer.py"
        script.write_text(WRITER)
        strace = "strace -f -qq -o /dev/null -e trace=fdatasync,fsync -e inject=fdatasync,fsync:error=EIO:when=25..26"
        with trio.fail_after(60):
            done = await trio.run_process(
                [*strace.split(), sys.executable, str(script), str(tmp_path / "r.db")],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        if b"Operation not permitted" in done.stderr:
            print("SKIPPED: no right to trace")
            pytest.skip("no right to trace")
        lines = done.stdout.decode().split()
        acknowledged = [line for line in lines if line.startswith("ok")]
        refused = [line for line in lines if line.startswith("no")]

        assert done.returncode == 0, done.stderr
        assert refused
        assert len(acknowledged) + len(refused) == 60
        assert lines[-1].startswith("ok")
        async with open_database(str(tmp_path / "r.db")) as database:
            assert await names(database) == sorted(line.removeprefix("ok-") for line in acknowledged)

    async def test_full_disk_refuses_writes_until_there_is_room_again(self, small_disk):
        async with open_database(str(small_disk / "r.db")) as database:
            stored, refused = [], 0
            for number in range(400):
                try:
                    await put(database, f"{number:05}", "x" * 20_000)
                    stored.append(f"{number:05}")
                except StorageFull:
                    refused += 1
                    if refused > 5:
                        break
            assert refused > 5
            assert await names(database) == stored
            remount(small_disk, "size=16m")
            await put(database, "z")

            assert await names(database) == [*stored, "z"]
        assert check(str(small_disk / "r.db")).problems == []

    async def test_what_found_no_room_in_the_logs_index_is_not_there_after_a_crash(self, small_disk, tmp_path):
        """SQLite writes and syncs a commit before it lists it in the index: refused then, it stands in the log."""
        remount(small_disk, "size=24m")
        path, wal = small_disk / "r.db", small_disk / "r.db-wal"
        async with open_database(str(path)) as database:
            with closing(sqlite3.connect(path, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM meta").fetchall()  # from here on the log only grows
                while (pages := size_of(wal) // 4120) < 4056:  # the index holds 4062, and grows by 32 KiB
                    await put(database, f"{pages}", "x" * (100_000 if pages < 4000 else 1))
                stored = await names(database)
                room = os.statvfs(small_disk)
                with (small_disk / "ballast").open("wb") as ballast:
                    os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize - 60 * 1024)
                with pytest.raises(StorageFull) as raised:
                    await put(database, "refused", "x" * 32_000)
                assert raised.value.__cause__.sqlite_errorcode == sqlite3.SQLITE_IOERR_SHMSIZE
                crashed(path, tmp_path / "r.db")
            (small_disk / "ballast").unlink()
            await put(database, "zebra")
            assert await names(database) == [*stored, "zebra"]
        async with open_database(str(tmp_path / "r.db")) as database:
            assert await names(database) == stored

    async def test_commit_whose_sync_failed_on_a_full_disk_is_not_there_after_a_crash(self, tmp_path, monkeypatch):
        """There, too, what was refused may stand in the log; that the disk is full is no reason for trust."""
        faults = Faults(monkeypatch)
        async with open_database(str(tmp_path / "r.db")) as database:
            await put(database, "a")
            monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096))
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
            with pytest.raises(StorageFailed):
                await put(database, "b")
            assert faults.opened == 2
            assert size_of(tmp_path / "r.db-wal") == 0

    async def test_an_error_on_a_full_disk_does_not_keep_the_reserve_from_what_makes_room(
        self, small_disk, monkeypatch
    ):
        remount(small_disk, "size=16m")
        faults = Faults(monkeypatch)
        async with open_database(str(small_disk / "r.db"), reserve=4 * 1024 * 1024) as database:
            for size in (20_000, 1):
                with pytest.raises(StorageFull):
                    for number in range(2_000):
                        await put(database, f"{size}-{number}", "x" * size)
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
            with pytest.raises(StorageFailed):
                await put(database, "b")
            faults.failing.clear()
            delete = "DELETE FROM meta WHERE name GLOB '20000-*0'"
            await database.write(lambda connection: connection.execute(delete).rowcount, vital=True)
            await put(database, "z")

            assert "z" in await names(database)

    async def test_after_an_error_the_one_that_writes_is_still_closed_last_and_leaves_no_log(
        self, tmp_path, monkeypatch
    ):
        faults = Faults(monkeypatch)
        async with open_database(str(tmp_path / "r.db")) as database:
            faults.failing["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR)
            with pytest.raises(StorageFailed):
                await put(database, "a")
            faults.failing.clear()
            await put(database, "b")
            assert faults.opened == 2
        assert not (tmp_path / "r.db-wal").exists()

    async def test_a_small_write_may_find_the_room_in_the_log_that_a_refused_large_one_left(self, small_disk):
        async with open_database(str(small_disk / "r.db")) as database:
            stored = []
            for size in (100_000, 10):
                with pytest.raises(StorageFull):
                    for number in range(1_000):
                        await put(database, f"{size:06}-{number:04}", "x" * size)
                        stored.append(f"{size:06}-{number:04}")
            assert 1 < sum(name.startswith("000010-") for name in stored) < 100
            assert await names(database) == sorted(stored)


class TestLog:
    async def test_log_is_cut_when_it_outgrew_its_limit_behind_a_long_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(log, "LIMIT", 1_000_000)
        wal = tmp_path / "r.db-wal"
        async with open_database(str(tmp_path / "r.db"), "normal") as database:
            with closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as long_read:
                long_read.execute("BEGIN")
                long_read.execute("SELECT * FROM meta").fetchall()
                for number in range(60):
                    await put(database, f"a{number}", "x" * 100_000)
                grown = size_of(wal)
                with trio.fail_after(4):  # must not wait for the reader, as it would hold up every write
                    await database.keep_house()
                assert size_of(wal) == grown > 5_000_000
            await database.keep_house()

            assert size_of(wal) == 0

    async def test_closing_leaves_the_file_alone_without_a_log(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            await put(database, "a")

        assert not (tmp_path / "r.db-wal").exists()
