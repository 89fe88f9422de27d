"""The SQLite file: opening it safely, one writing connection, a pool of reading ones.

aiosqlite owns every connection and its thread. It speaks asyncio, so it runs inside a
trio-asyncio loop that this module opens and that nothing outside it sees.

One connection alone writes and checkpoints: SQLite before 3.51.3 can corrupt a WAL when
two connections do. Readers are opened ``mode=ro`` and hold no transaction longer than one
call, so that a long replay neither blocks publishing nor lets the WAL grow.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import outcome
import trio
import trio_asyncio

from rtlite.errors import Refused, StartError, StorageFailed, StorageFull
from rtlite.log import get_logger
from rtlite.store import schema, wal
from rtlite.store.reserve import Reserve

log = get_logger(__name__)

T = TypeVar("T")

READERS: Final = 2
WAL_LIMIT: Final = 64 * 1024 * 1024
_BUSY_MS: Final = 5000
_FIRST_SAFE_SQLITE: Final = (3, 51, 3)
# Errors in what rtlite asked, not in the file or its disk: no reason to refuse anyone else's write.
_OUR_MISTAKES: Final = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}
# After one of these, what the connection believes may not be what the disk holds.
_UNTRUSTED_AFTER: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}


class _Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole function on its thread, in one hop.

    One task at a time may do so.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(connector, iter_chunk_size)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the connection's thread. A Trio function; it cannot be cancelled.

        aiosqlite's queue also takes functions without a future, and the answer comes straight back
        to the waiting task. Through the asyncio loop it would take half a dozen turns of Trio's, and
        through its queue of other threads three.
        """
        connection, bell = self._conn, self._bell
        results: list[outcome.Outcome[T]] = []

        def job() -> None:
            results.append(outcome.capture(work, connection))
            os.eventfd_write(bell, 1)

        self._tx.put_nowait((None, job))
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(bell)
        os.eventfd_read(bell)
        return results[0].unwrap()

    def forget_bell(self) -> None:
        """Once its thread has ended."""
        os.close(self._bell)


class Database:
    """One open file. Made by :func:`open_database`, which also closes it."""

    def __init__(self, path: str, loop: Any, durability: str, reserve: int = 0) -> None:
        self.path = path
        self._reserve = Reserve(path, reserve)
        self._loop = loop
        self._durability = durability
        self._writer: _Connection
        self._trusted = True
        self.full: Callable[[], bool] | None = None
        """Whether the disk is to count as full for the next write; while a fault says so."""
        self._prepared = False
        self._writing = trio.Lock()
        self._readers: list[_Connection] = []  # those that are idle
        self._free = trio.Semaphore(READERS)
        self._open: list[_Connection] = []

    async def write(self, work: Callable[[sqlite3.Connection], T], *, vital: bool = False) -> T:
        """Run ``work`` in one transaction; returns when it is committed.

        :param vital: it makes room, or takes a right away: on a full disk it is tried once more,
            from the start, with the reserve that is held for that.
        :raises StorageFull: the disk is full. :raises StorageFailed: any other failure of the
            database. Either way nothing of it was stored. What ``work`` itself raises rolls back too.
        """

        full = self.full is not None and not vital and self.full()

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                if full:
                    raise _disk_full()
                connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT (disk full, I/O error) may have rolled back already.
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                self._trusted &= not connection.in_transaction
                raise
            return result

        # Once begun, a write is finished: a cancelled caller must not leave the thread writing alone.
        try:  # as `async with` would, but for a turn of the scheduler
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            if not self._trusted:
                await self._reopen()
            try:
                return await self._transact(transaction, vital)
            except StorageFailed as error:
                if _code(error.__cause__) in _UNTRUSTED_AFTER:
                    self._trusted = False
                    # At once, since a commit whose sync failed may stand in the WAL, where a crash would revive it.
                    with suppress(Refused):
                        await self._reopen()
                raise
        finally:
            self._writing.release()

    async def _transact(self, transaction: Callable[[sqlite3.Connection], T], vital: bool) -> T:
        try:
            return await self._run(self._writer, transaction)
        except StorageFull:
            if vital:
                self._reserve.release()
            if not self._reserve.used:
                raise
            await self._run(self._writer, _stop_growing)
            if not vital:
                raise  # the next one may succeed
            return await self._run(self._writer, transaction)

    async def _reopen(self) -> None:
        """A writing connection that can be trusted again: a new one, on a file found whole, with its WAL emptied.

        :raises StorageFailed: not yet; the next write tries again.
        """
        if self.path == ":memory:":  # has no disk to fail, and no second life
            self._trusted = True
            return

        def prove(connection: sqlite3.Connection) -> None:
            _configure(connection, self.path, self._durability)
            if self._reserve.used:
                _stop_growing(connection)
            if (found := _damage(connection)) is not None:
                raise sqlite3.DatabaseError(f"the file is damaged: {found}")

        log.warning("the database is opened anew after an error", path=self.path)
        with trio.CancelScope(shield=True):
            try:
                writer = await self._connect()
                try:
                    await self._run(writer, prove)
                except BaseException:
                    await self._close(writer)
                    raise
                # The old one goes only now. If it were ever the last, the next would recover the WAL
                # from the disk, with the commit in it that was refused because its sync failed.
                before, self._writer = self._writer, writer
                await self._close(before)
                await self._run(writer, _truncate_wal)
            except (OSError, sqlite3.Error, StartError) as error:
                raise StorageFailed("the database could not be opened anew; nothing was stored") from error
        self._trusted = True

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on a reading connection. It exhausts its cursors before it returns.

        :raises StorageFailed: the database could not be read.
        """
        if self.path == ":memory:":  # it is one connection
            async with self._writing:
                return await self._run(self._writer, work)
        async with self._free:
            connection = self._readers.pop()
            try:
                return await self._run(connection, work)
            finally:
                self._readers.append(connection)

    async def _run(self, connection: _Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T
        try:
            result = await connection.run(work)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.ProgrammingError) or _code(error) in _OUR_MISTAKES:
                raise
            raise _refusal(error, self.path) from error
        return result

    async def checkpoint(self) -> None:
        """Move the WAL into the file and cut it to nothing, as far as readers let it."""
        async with self._writing:
            if self._trusted:
                await self._run(self._writer, _truncate_wal)

    async def keep_house(self) -> None:
        """Cut the WAL if a long read let it grow past its limit, and hold the reserve again; called now and then."""
        if not self._reserve.held:
            async with self._writing:
                await self._run(self._writer, self._hold_reserve)
        if self.path != ":memory:" and _size(f"{self.path}-wal") > WAL_LIMIT:
            await self.checkpoint()

    def _hold_reserve(self, connection: sqlite3.Connection) -> None:
        if self._reserve.hold():
            connection.execute("PRAGMA max_page_count = 1073741822")  # SQLite's own limit

    async def backup(self, target: str | os.PathLike[str]) -> None:
        """Write a consistent copy to ``target`` (mode 0600) while the server goes on.

        The copy is marked, so that a server started on it gives every channel a new epoch:
        clients may have seen events that the copy does not hold. All pages are copied in
        one step; in smaller ones, each write in between would start it over. Until the copy is
        whole it has another name: half of one, after a crash, would pass for an empty database.

        :raises StartError: if ``target`` exists or cannot be written.
        """
        path = Path(target)
        if os.path.lexists(path):  # noqa: ASYNC240  # one lstat
            raise StartError(f"cannot write {path}: {os.strerror(errno.EEXIST)}")
        try:
            descriptor, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
        except OSError as error:
            raise StartError(f"cannot write {path}: {error.strerror}") from error
        os.close(descriptor)

        def copy(connection: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(part, isolation_level=None)) as destination:
                connection.backup(destination, pages=-1)
                schema.mark_as_copy(destination)
            _rename(part, path)

        try:
            await self.read(copy)
        except (Refused, OSError, sqlite3.Error) as error:
            for name in (part, f"{part}-wal", f"{part}-shm", f"{part}-journal"):
                with suppress(OSError):
                    os.unlink(name)
            raise StartError(f"cannot write {path}: {error.__cause__ or error}") from error

    async def _connect(self, reading: bool = False) -> _Connection:
        connection = _Connection(partial(_connect, self.path, reading), iter_chunk_size=64)
        with trio.CancelScope(shield=True):
            try:
                await trio_asyncio.aio_as_trio(_opened, loop=self._loop)(connection)
            except BaseException:
                # Its thread has yet to answer to the loop: see it end before the loop does.
                thread: Any = getattr(connection, "_thread", connection)
                await trio.to_thread.run_sync(thread.join)
                connection.forget_bell()
                raise
        self._open.append(connection)
        return connection

    async def _close(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            try:
                await trio_asyncio.aio_as_trio(connection.close, loop=self._loop)()
            except sqlite3.Error:
                log.exception("a database connection did not close well", path=self.path)
            connection.forget_bell()

    async def _start(self) -> None:
        try:
            if self.path != ":memory:":
                await trio.to_thread.run_sync(wal.look_over, self.path)
            self._writer = await self._connect()
            await self._run(self._writer, lambda connection: _prepare(connection, self.path, self._durability))
            self._prepared = True
            await self._run(self._writer, self._hold_reserve)
            if self.path != ":memory:":
                for _ in range(READERS):
                    self._readers.append(await self._connect(reading=True))
        except (OSError, sqlite3.Error) as error:
            raise _start_error(self.path, error) from error
        except (StorageFull, StorageFailed) as error:
            raise _start_error(self.path, error.__cause__) from error

    async def _stop(self) -> None:
        with trio.CancelScope(shield=True):
            if self._prepared and self._trusted:
                with suppress(Refused):  # then the next start is careful
                    await self._run(self._writer, _truncate_wal)  # synced, so nothing is at risk any more
                    await self._run(self._writer, schema.end_unsynced)
            for connection in reversed(self._open[:]):  # the writer last: its close checkpoints
                await self._close(connection)


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _rename(source: str, target: Path) -> None:
    """Give a file its name, so that it has it after a power cut, too."""
    os.rename(source, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _disk_full() -> sqlite3.OperationalError:
    """What SQLite raises where it finds no room."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def _refusal(error: sqlite3.DatabaseError, path: str) -> StorageFull | StorageFailed:
    if _code(error) == sqlite3.SQLITE_FULL or (_code(error) == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return StorageFull("the disk is full; nothing was stored")
    return StorageFailed("the database refused; nothing was stored")


def _disk_is_full(path: str) -> bool:
    """SQLite reports a full disk as an I/O error where it grows the WAL's index."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024


@asynccontextmanager
async def open_database(path: str, durability: str = "full", reserve: int = 0) -> AsyncIterator[Database]:
    """Open (or create, mode 0600) the file, migrate it, and close it at the end.

    :param path: a file, or ``:memory:``.
    :param durability: ``full`` syncs the WAL at every commit, ``normal`` at checkpoints.
    :param reserve: bytes of the disk to hold for vital writes when it is full.
    :raises StartError: no database, a newer version's, locked by another server, damaged,
        or on a full disk; the text says which.
    """
    failure: Exception | None = None
    with lock_file(path):
        async with trio_asyncio.open_loop() as loop:
            database = Database(path, loop, durability, reserve)
            try:
                await database._start()
                yield database
            except Exception as error:  # noqa: BLE001  # raised below, out of reach of the loop's nurseries
                failure = error
            finally:
                await database._stop()
    if failure is not None:  # as it is: the nurseries would wrap it in two exception groups
        raise failure


async def _opened(connection: _Connection) -> None:
    await connection


def _connect(path: str, reading: bool) -> sqlite3.Connection:
    if path == ":memory:":
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    elif reading:
        uri = Path(path).absolute().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        # It opens the log at its first read: not at a time when file descriptors have run out.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    else:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        _close_to_the_world(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _close_to_the_world(path: str) -> None:
    """The file holds what signs tokens; a copy put in its place may be for everyone to read.

    :raises StartError: it is, and belongs to someone else.
    """
    for part in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            if (mode := stat.S_IMODE(os.stat(part).st_mode)) & 0o007:
                try:
                    os.chmod(part, mode & ~0o007)
                except PermissionError as error:
                    raise StartError(f"{part} can be read by everyone; chmod o= {part}") from error
                log.warning("the file was open to everyone; it is not any more", path=part)


def _configure(connection: sqlite3.Connection, path: str, durability: str) -> None:
    """What only the writing connection decides. It changes the file's header, so the file is known to be ours."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal" and path != ":memory:":
        raise StartError(f"{path} cannot have a write-ahead log; put it on a local file system")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")


def _prepare(connection: sqlite3.Connection, path: str, durability: str) -> None:
    if sqlite3.sqlite_version_info < _FIRST_SAFE_SQLITE:
        log.debug(
            "sqlite before 3.51.3: only one connection may write, and only one does", version=sqlite3.sqlite_version
        )
    schema.check_ours(connection, path)
    _configure(connection, path, durability)
    if (found := _damage(connection)) is not None:
        raise StartError(f"{path} is damaged ({found}); restore a backup: copy it to {path}")
    schema.migrate(connection)
    if path != ":memory:":
        with suppress(sqlite3.Error):  # a full disk, a reader: it is emptied later
            _truncate_wal(connection)
        if wal.is_copy(path):  # or the next start would take this log for that of the file before
            raise StartError(f"{path} is being read by another program; a restored backup starts once it is not")
    # Also when this run syncs every commit: the last one may not have.
    connection.execute("PRAGMA synchronous = FULL")
    schema.begin_unsynced(connection, _boot_id())
    if durability == "full":
        schema.end_unsynced(connection)
    else:
        connection.execute("PRAGMA synchronous = NORMAL")


def _boot_id() -> str:
    """What names this boot of the machine; where the system has no such thing, every start counts as one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid.uuid4().hex


def _damage(connection: sqlite3.Connection) -> str | None:
    """What ``quick_check`` finds wrong first, in one line."""
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else " ".join(found.split())


def _truncate_wal(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 0")  # a reader in the way, such as a backup, must not hold up publishers
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")


def _stop_growing(connection: sqlite3.Connection) -> None:
    """Once the reserve is given up, let the file have no page more than it has.

    Then what the WAL holds can always be moved into it, the WAL has the reserve's room, and deleting
    always goes; new events take the place of those that were deleted.
    """
    _truncate_wal(connection)
    connection.execute("PRAGMA max_page_count = 1")  # as far as that is possible: the present size


def _start_error(path: str, error: BaseException | None) -> StartError:
    known = {
        sqlite3.SQLITE_NOTADB: f"{path} is not an SQLite database",
        sqlite3.SQLITE_CORRUPT: f"{path} is damaged; restore a backup: copy it to {path}",
        sqlite3.SQLITE_FULL: f"{path} cannot be opened: the disk is full",
        sqlite3.SQLITE_READONLY: f"{path} cannot be written",
        sqlite3.SQLITE_BUSY: f"{path} is locked by another program",
        sqlite3.SQLITE_IOERR: f"{path} cannot be opened: disk I/O error (a full disk gives this too)",
    }
    reason = error.strerror if isinstance(error, OSError) else error
    return StartError(known.get(_code(error)) or f"{path} cannot be opened: {reason}")


class lock_file:  # used as a function: with lock_file(path)
    """Hold the lock beside the file, so that one server alone has it. Freed by the kernel if we die.

    :raises StartError: another process holds it, or its directory cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        if self._path == ":memory:":
            return
        name = f"{self._path}.lock"
        try:
            self._descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.__exit__()
            raise StartError(f"{self._path} is in use by another rtlite") from error
        except OSError as error:
            self.__exit__()
            raise StartError(f"cannot open {name}: {error.strerror}") from error

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
