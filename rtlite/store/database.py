"""The SQLite file: opening it safely, one writing connection, a pool of reading ones.

aiosqlite owns every connection and its thread. It speaks asyncio, so it runs inside a
trio-asyncio loop that this module opens and that nothing outside it sees.

One connection alone writes and checkpoints: SQLite before 3.51.3 can corrupt a WAL when
two connections do. Readers are opened ``mode=ro`` and hold no transaction longer than one
call, so that a long replay neither blocks publishing nor lets the WAL grow.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import trio
import trio_asyncio

from rtlite.errors import StartError, StorageFailed, StorageFull
from rtlite.log import get_logger
from rtlite.store import schema

log = get_logger(__name__)

T = TypeVar("T")

READERS: Final = 2
_WAL_LIMIT: Final = 64 * 1024 * 1024
_FIRST_SAFE_SQLITE: Final = (3, 51, 3)


class _Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole function on its thread, in one hop.

    A batch takes one hop instead of one per statement: 0.33 ms against 1.1 ms for a
    transaction of one row.
    """

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._execute(work, self._conn)  # type: ignore[no-untyped-call, no-any-return]


class Database:
    """One open file. Made by :func:`open_database`, which also closes it."""

    def __init__(self, path: str, loop: Any, writer: _Connection, readers: list[_Connection]) -> None:
        self.path = path
        self._loop = loop
        self._writer = writer
        self._readers = readers
        self._free = trio.Semaphore(max(1, len(readers)))
        self._writing = trio.Lock()
        self.closed = False

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one transaction; returns when it is committed.

        :raises StorageFull: the disk is full. :raises StorageFailed: any other failure of the
            database. Either way nothing of it was stored. What ``work`` itself raises rolls back too.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT (disk full, I/O error) may have rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        # Once begun, a write is finished: a cancelled caller must not leave the thread writing alone.
        async with self._writing:
            return await self._run(self._writer, transaction)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on a reading connection. It exhausts its cursors before it returns.

        :raises StorageFailed: the database could not be read.
        """
        if not self._readers:  # :memory: is one connection
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
            with trio.CancelScope(shield=True):
                result = await trio_asyncio.aio_as_trio(connection.run, loop=self._loop)(work)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise  # our own mistake
            raise _refusal(error) from error
        return result

    async def checkpoint(self) -> None:
        """Move the WAL into the file and cut it to nothing, as far as readers let it."""

        def truncate(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        async with self._writing:
            await self._run(self._writer, truncate)

    async def backup(self, target: str | os.PathLike[str]) -> None:
        """Write a consistent copy to ``target`` (mode 0600) while the server goes on.

        The copy is marked, so that a server started on it gives every channel a new epoch:
        clients may have seen events that the copy does not hold. All pages are copied in
        one step; in smaller ones, each write in between would start it over.

        :raises StartError: if ``target`` exists or cannot be written.
        """
        path = Path(target)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StartError(f"cannot write {path}: {error.strerror}") from error

        def copy(connection: sqlite3.Connection) -> None:
            with sqlite3.connect(path, isolation_level=None) as destination:
                connection.backup(destination, pages=-1)
                schema.mark_as_copy(destination)
            destination.close()

        await self.read(copy)


def _refusal(error: sqlite3.DatabaseError) -> StorageFull | StorageFailed:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull("the disk is full; nothing was stored")
    return StorageFailed("the database refused; nothing was stored")


@asynccontextmanager
async def open_database(path: str, durability: str = "full") -> AsyncIterator[Database]:
    """Open (or create, mode 0600) the file, migrate it, and close it at the end.

    :param path: a file, or ``:memory:``.
    :param durability: ``full`` syncs the WAL at every commit, ``normal`` at checkpoints.
    :raises StartError: no database, a newer version's, locked by another server, damaged,
        or on a full disk; the text says which.
    """
    with lock_file(path):
        async with trio_asyncio.open_loop() as loop:
            writer = _connection(path, durability)
            try:
                await trio_asyncio.aio_as_trio(_opened, loop=loop)(writer)
                database = Database(path, loop, writer, [])
                await database._run(writer, lambda connection: _prepare(connection, path))
                for _ in range(0 if path == ":memory:" else READERS):
                    reader = _connection(path, durability, reading=True)
                    await trio_asyncio.aio_as_trio(_opened, loop=loop)(reader)
                    database._readers.append(reader)
                database._free = trio.Semaphore(max(1, len(database._readers)))
            except (sqlite3.DatabaseError, StorageFull, StorageFailed) as error:
                with trio.CancelScope(shield=True):
                    await trio_asyncio.aio_as_trio(writer.close, loop=loop)()
                cause = error.__cause__ if isinstance(error, StorageFull | StorageFailed) else error
                raise _start_error(path, cause) from error
            except StartError:
                with trio.CancelScope(shield=True):
                    await trio_asyncio.aio_as_trio(writer.close, loop=loop)()
                raise
            try:
                yield database
            finally:
                with trio.CancelScope(shield=True):
                    database.closed = True
                    for connection in [*database._readers, writer]:  # the writer last: its close checkpoints
                        await trio_asyncio.aio_as_trio(connection.close, loop=loop)()


async def _opened(connection: _Connection) -> None:
    await connection


def _connection(path: str, durability: str, reading: bool = False) -> _Connection:
    def connect() -> sqlite3.Connection:
        if path == ":memory:":
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        elif reading:
            uri = Path(path).absolute().as_uri() + "?mode=ro"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
        else:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA foreign_keys = ON")
        if not reading:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        return connection

    return _Connection(connect, iter_chunk_size=64)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    if sqlite3.sqlite_version_info < _FIRST_SAFE_SQLITE:
        log.debug(
            "sqlite before 3.51.3: only one connection may write, and only one does", version=sqlite3.sqlite_version
        )
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StartError(f"{path} is damaged ({found}); restore a backup: copy it to {path}")
    schema.migrate(connection, path)


def _start_error(path: str, error: BaseException | None) -> StartError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    known = {
        sqlite3.SQLITE_NOTADB: f"{path} is not an SQLite database",
        sqlite3.SQLITE_CORRUPT: f"{path} is damaged; restore a backup: copy it to {path}",
        sqlite3.SQLITE_FULL: f"{path} cannot be opened: the disk is full",
        sqlite3.SQLITE_READONLY: f"{path} cannot be written",
        sqlite3.SQLITE_BUSY: f"{path} is locked by another program",
        sqlite3.SQLITE_IOERR: f"{path} cannot be opened: disk I/O error (a full disk gives this too)",
    }
    return StartError(known.get(code) or f"{path} cannot be opened: {error}")


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
