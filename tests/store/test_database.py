"""The file: opened safely or refused in one clear line, written by one, and trusted only while it deserves it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from rtlite.errors import StartError, StorageFailed, StorageFull
from rtlite.store import database as database_module
from rtlite.store import schema
from rtlite.store.check import check
from rtlite.store.database import lock_file, open_database


async def put(database, name, value="x"):
    insert = "INSERT INTO meta VALUES (?, ?)"
    await database.write(lambda connection: connection.execute(insert, (name, value)).rowcount)


async def names(database):
    query = "SELECT name FROM meta WHERE name NOT IN ('epoch', 'unsynced_boot') ORDER BY name"
    return await database.read(lambda connection: [row[0] for row in connection.execute(query).fetchall()])


def size_of(path):
    return os.stat(path).st_size


@contextmanager
def no_trace():
    """No database thread and no descriptor of its own is left behind."""
    before = open_files()
    yield
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(5)
            assert not thread.is_alive()
    assert open_files() == before


def open_files():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "r.db" in target:
            found.append(target)
    return sorted(found)


async def refusal(path):
    """The one line with which the file is refused; checks that nothing is left behind."""
    with no_trace(), pytest.raises(StartError) as raised:
        async with open_database(str(path)):
            pytest.fail("it was opened")
    text = str(raised.value)
    assert "\n" not in text
    return text


class Faults:
    """Statements of the writing connection fail as the test says; the rest goes to SQLite."""

    def __init__(self, monkeypatch):
        self.opened = 0
        self.failing = {}
        connect = database_module._connect

        def faulty_connect(path, reading):
            if reading:
                return connect(path, reading)
            self.opened += 1
            if (error := self.failing.get("connect")) is not None:
                raise error
            connect(path, reading).close()  # makes the file with its mode
            faults = self

            class Connection(sqlite3.Connection):
                def execute(self, statement, *parameters):
                    for beginning, error in faults.failing.items():
                        if statement.startswith(beginning):
                            raise error
                    return super().execute(statement, *parameters)

            return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)

        monkeypatch.setattr(database_module, "_connect", faulty_connect)


def sqlite_error(code, text="injected"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class TestWriting:
    async def test_what_is_written_can_be_read_and_is_there_after_reopening(self, tmp_path):
        with no_trace():
            async with open_database(str(tmp_path / "r.db")) as database:
                await put(database, "a")
                assert await names(database) == ["a"]
            async with open_database(str(tmp_path / "r.db"), "normal") as database:
                assert await names(database) == ["a"]

    async def test_new_file_is_for_its_owner_only(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            await put(database, "a")
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}

        assert set(modes) == {"r.db", "r.db-wal", "r.db-shm", "r.db.lock"}
        assert set(modes.values()) == {0o600}

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

    async def test_work_that_raises_stop_iteration_does_not_hang(self):
        async with open_database(":memory:") as database:
            with trio.fail_after(5), pytest.raises(RuntimeError):
                await database.write(lambda connection: next(iter(())))

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

    async def test_readers_have_all_their_files_open_from_the_start(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            before = len(os.listdir("/proc/self/fd"))
            both = threading.Barrier(database_module.READERS)

            async def read():
                await database.read(lambda c: (both.wait(5), c.execute("SELECT * FROM meta").fetchall()))

            async with trio.open_nursery() as nursery:
                for _ in range(database_module.READERS):
                    nursery.start_soon(read)
            assert len(os.listdir("/proc/self/fd")) == before

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

    async def test_closing_in_a_cancelled_scope_closes_all(self, tmp_path):
        with no_trace(), trio.CancelScope() as scope:
            async with open_database(str(tmp_path / "r.db")) as database:
                await put(database, "a")
                scope.cancel()
                await trio.sleep_forever()
        with no_trace():
            async with open_database(str(tmp_path / "r.db")) as database:
                assert await names(database) == ["a"]

    async def test_cancelled_opening_leaves_nothing(self, tmp_path):
        with no_trace(), trio.CancelScope() as scope:
            scope.cancel()
            async with open_database(str(tmp_path / "r.db")):
                await trio.sleep_forever()

        assert scope.cancelled_caught

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


WRITER = """
import sys
import trio
from rtlite.errors import StorageFailed
from rtlite.store.database import open_database

async def main():
    async with open_database(sys.argv[1]) as database:
        for number in range(60):
            name = f"{number:05}"
            try:
                await database.write(lambda c: c.execute("INSERT INTO meta VALUES (?, 'x')", (name,)).rowcount)
                print("ok-" + name)
            except StorageFailed:
                print("no-" + name)

trio.run(main)
"""


@pytest.fixture
def small_disk(tmp_path):
    """Four megabytes, mounted for one test."""
    target = tmp_path / "small"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        print(f"SKIPPED: no right to mount a small disk: {done.stderr.decode().strip()}")
        pytest.skip("mounting needs root")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def remount(target, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(target)], check=True)


def start(program, path):
    """A second process that runs ``program`` and has come to where it says ``locked``."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    return process


class TestOpening:
    async def test_file_that_is_no_database_is_refused(self, tmp_path):
        (tmp_path / "r.db").write_text("Dear diary, " * 100)

        assert await refusal(tmp_path / "r.db") == f"{tmp_path}/r.db is not an SQLite database"
        assert (tmp_path / "r.db").read_text() == "Dear diary, " * 100

    async def test_database_of_another_program_is_refused_and_left_as_it_was(self, tmp_path):
        with closing(sqlite3.connect(tmp_path / "r.db")) as connection:
            connection.execute("CREATE TABLE recipes (name)")
        before = (tmp_path / "r.db").read_bytes()

        assert "not one of rtlite's" in await refusal(tmp_path / "r.db")
        assert (tmp_path / "r.db").read_bytes() == before

    async def test_file_of_a_newer_rtlite_is_refused_and_left_as_it_was(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")):
            pass
        with closing(sqlite3.connect(tmp_path / "r.db")) as connection:
            connection.execute("PRAGMA user_version = 99")
        before = (tmp_path / "r.db").read_bytes()

        assert "newer rtlite (schema 99" in await refusal(tmp_path / "r.db")
        assert (tmp_path / "r.db").read_bytes() == before

    async def test_second_server_on_the_same_file_is_refused(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")):
            with pytest.raises(StartError, match="is in use by another rtlite"):
                async with open_database(str(tmp_path / "r.db")):
                    pytest.fail("it was opened")

    async def test_file_of_a_running_server_is_refused_to_a_second_process(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            script = tmp_path / "writer.py"
            script.write_text(WRITER)
            command = [sys.executable, str(script), str(tmp_path / "r.db")]
            second = await trio.run_process(command, capture_stderr=True, check=False)
            await put(database, "still here")

        assert second.returncode == 1
        assert b"is in use by another rtlite" in second.stderr

    async def test_file_locked_by_another_program_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(database_module, "_BUSY_MS", 50)
        async with open_database(str(tmp_path / "r.db")):
            pass
        holder = start(HOLDER, tmp_path / "r.db")
        try:
            with pytest.raises(StartError, match="is locked by another program"):
                async with open_database(str(tmp_path / "r.db")):
                    pytest.fail("it was opened")
        finally:
            holder.communicate(b"\n")
        async with open_database(str(tmp_path / "r.db")):
            pass

    async def test_lock_dies_with_its_holder(self, tmp_path):
        holder = start(LOCKER, tmp_path / "r.db")
        assert "is in use by another rtlite" in await refusal(tmp_path / "r.db")
        holder.kill()
        holder.communicate()
        with no_trace():
            async with open_database(str(tmp_path / "r.db")):
                pass

    async def test_directory_that_is_not_there_is_named(self, tmp_path):
        path = tmp_path / "no" / "r.db"

        assert await refusal(path) == f"cannot open {path}.lock: No such file or directory"

    async def test_directory_in_place_of_the_file_is_refused(self, tmp_path):
        (tmp_path / "r.db").mkdir()

        assert await refusal(tmp_path / "r.db") == f"{tmp_path}/r.db cannot be opened: Is a directory"

    async def test_file_that_may_not_be_written_is_refused(self, small_disk):
        async with open_database(str(small_disk / "r.db")):
            pass
        remount(small_disk, "ro")
        try:
            assert "Read-only file system" in await refusal(small_disk / "r.db")
        finally:
            remount(small_disk, "rw")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the test above mounts read-only instead")
    async def test_directory_that_only_others_may_write_is_refused(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")):
            pass
        tmp_path.chmod(0o500)
        try:
            assert "Permission denied" in await refusal(tmp_path / "r.db")
        finally:
            tmp_path.chmod(0o700)

    async def test_full_disk_is_named(self, small_disk):
        with (small_disk / "ballast").open("wb") as ballast, pytest.raises(OSError, match="No space"):
            ballast.write(b"x" * 8_000_000)
        text = await refusal(small_disk / "r.db")

        assert "full disk" in text or "disk is full" in text or "No space left" in text

    @pytest.mark.parametrize("damage", ["truncated", "overwritten", "header"])
    async def test_damaged_file_is_refused_and_never_silently_empty(self, tmp_path, damage):
        async with open_database(str(tmp_path / "r.db")) as database:
            for number in range(200):
                await put(database, f"{number}", "x" * 1000)
        content = bytearray((tmp_path / "r.db").read_bytes())
        if damage == "truncated":
            del content[len(content) // 2 :]
        elif damage == "overwritten":
            content[4096 * 20 : 4096 * 24] = b"\xff" * 4096 * 4
        else:
            content[100:200] = bytes(100)
        (tmp_path / "r.db").write_bytes(content)
        text = await refusal(tmp_path / "r.db")

        assert "damaged" in text
        assert "restore a backup" in text
        assert check(str(tmp_path / "r.db")).problems

    async def test_torn_end_of_the_log_is_normal_after_a_crash(self, tmp_path):
        script = tmp_path / "writer.py"
        script.write_text(WRITER.replace("trio.run(main)", "").replace("print(", "PRINT(") + CRASH)
        crashed = await trio.run_process([sys.executable, str(script), str(tmp_path / "r.db")], check=False)
        assert crashed.returncode == 9
        wal = tmp_path / "r.db-wal"
        content = wal.read_bytes()
        assert len(content) > 10_000
        wal.write_bytes(content[:-2000])
        async with open_database(str(tmp_path / "r.db")) as database:
            found = await names(database)

        assert found == [f"{number:05}" for number in range(len(found))]
        assert 50 < len(found) < 60


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""
LOCKER = """
import sys
from rtlite.store.database import lock_file
with lock_file(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.readline()
"""
CRASH = """
import os
seen = []
def PRINT(text):
    seen.append(text)
    if len(seen) == 60:
        os._exit(9)
trio.run(main)
"""


class TestLog:
    async def test_log_is_cut_when_it_outgrew_its_limit_behind_a_long_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(database_module, "WAL_LIMIT", 1_000_000)
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


class TestBackup:
    async def test_backup_is_for_its_owner_only_and_never_overwrites(self, tmp_path):
        async with open_database(str(tmp_path / "r.db")) as database:
            await put(database, "a")
            await database.backup(tmp_path / "copy.db")
            with pytest.raises(StartError, match="File exists"):
                await database.backup(tmp_path / "copy.db")

        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
        assert check(str(tmp_path / "copy.db")).problems == []

    async def test_backup_of_a_database_in_memory_holds_it(self, tmp_path):
        async with open_database(":memory:") as database:
            await put(database, "a")
            await database.backup(tmp_path / "copy.db")
        async with open_database(str(tmp_path / "copy.db")) as database:
            assert await names(database) == ["a"]

    async def test_backup_onto_a_full_disk_is_refused_and_leaves_no_half(self, tmp_path, small_disk):
        async with open_database(str(tmp_path / "r.db"), "normal") as database:
            for number in range(60):
                await put(database, f"{number}", "x" * 100_000)
            with no_trace_of_backup(small_disk), pytest.raises(StartError, match="full"):
                await database.backup(small_disk / "copy.db")

            await put(database, "goes on")


@contextmanager
def no_trace_of_backup(directory):
    yield
    assert list(directory.iterdir()) == []


def test_lock_is_let_go_at_the_end_of_the_block(tmp_path):
    path = str(tmp_path / "r.db")
    for _ in range(2):
        with lock_file(path), pytest.raises(BlockingIOError):
            descriptor = os.open(f"{path}.lock", os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)


async def test_commits_without_fsync_that_a_reboot_may_have_cost_give_every_channel_a_new_epoch(tmp_path, monkeypatch):
    path = str(tmp_path / "normal.db")

    async def epoch_after_a_start(boot, durability, *, orderly):
        monkeypatch.setattr(database_module, "_boot_id", lambda: boot)
        if not orderly:  # the file as a killed process leaves it
            monkeypatch.setattr(schema, "end_unsynced", lambda _: None)
        async with open_database(path, durability) as database:
            epoch = await database.read(schema.store_epoch)
        monkeypatch.undo()
        return epoch

    first = await epoch_after_a_start("boot-1", "normal", orderly=True)
    assert await epoch_after_a_start("boot-2", "normal", orderly=False) == first, "the last end was an orderly one"
    assert await epoch_after_a_start("boot-2", "normal", orderly=False) == first, "killed, but not rebooted"
    second = await epoch_after_a_start("boot-3", "full", orderly=True)
    assert second != first, "rebooted after commits without fsync"
    assert await epoch_after_a_start("boot-4", "full", orderly=True) == second
