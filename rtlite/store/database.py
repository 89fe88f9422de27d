"""The database: one writing connection, a pool of reading ones.

One connection alone writes and checkpoints: SQLite before 3.51.3 can corrupt a WAL when
two connections do. Readers are opened ``mode=ro`` and hold no transaction longer than one
call, so that a long replay neither blocks publishing nor lets the WAL grow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import trio
import trio_asyncio

from rtlite.errors import Refused, StartError, StorageFailed, StorageFull
from rtlite.log import get_logger
from rtlite.store import failures, opening, schema, wal, whose
from rtlite.store.connection import Connection
from rtlite.store.lock import lock_file
from rtlite.store.reserve import Reserve, may_grow, stop_growing

log = get_logger(__name__)

T = TypeVar("T")

READERS: Final = 2


class Database:
    """One open file. Made by :func:`open_database`, which also closes it."""

    def __init__(self, path: str, loop: Any, durability: str, reserve: int = 0) -> None:
        self.path = path
        self._reserve = Reserve(path, reserve)
        self._loop = loop
        self._durability = durability
        self._writer: Connection
        self._trusted = True
        self.full: Callable[[], bool] | None = None
        """Whether the disk is to count as full for the next write; while a fault says so."""
        self._prepared = False
        self._writing = trio.Lock()
        self._readers: list[Connection] = []  # those that are idle
        self._free = trio.Semaphore(READERS)
        self._open: list[Connection] = []

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
                    raise failures.disk_full()
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
                try:
                    await self._reopen()
                except StorageFull:
                    if not vital:
                        raise
                    self._reserve.release()
                    await self._reopen()
            try:
                return await self._transact(transaction, vital)
            except (StorageFull, StorageFailed) as error:
                if failures.leaves_doubt(error.__cause__):
                    # At once, since what was refused may stand in the WAL, where a crash would revive it.
                    with suppress(Refused):
                        if isinstance(error, StorageFull):
                            await self._run(self._writer, wal.bury)
                        else:
                            self._trusted = False
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
            await self._run(self._writer, stop_growing)
            if not vital:
                raise  # the next one may succeed
            return await self._run(self._writer, transaction)

    async def _reopen(self) -> None:
        """A writing connection that can be trusted again: a new one, on a file found whole, with its WAL emptied.

        :raises StorageFull, StorageFailed: not yet; the next write tries again.
        """
        if self.path == ":memory:":  # has no disk to fail, and no second life
            self._trusted = True
            return

        def prove(connection: sqlite3.Connection) -> None:
            opening.configure(connection, self.path, self._durability)
            if self._reserve.used:
                stop_growing(connection)
            if (found := opening.damage(connection)) is not None:
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
                await self._run(writer, wal.bury)
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

    async def _run(self, connection: Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T
        try:
            result = await connection.run(work)
        except sqlite3.DatabaseError as error:
            if failures.is_ours(error):
                raise
            raise failures.refusal(error, self.path) from error
        return result

    async def checkpoint(self) -> None:
        """Move the WAL into the file and cut it to nothing, as far as readers let it."""
        async with self._writing:
            if self._trusted:
                await self._run(self._writer, wal.truncate)

    async def keep_house(self) -> None:
        """Cut the WAL if a long read let it grow past its limit, and hold the reserve again; called now and then."""
        if not self._reserve.held:
            async with self._writing:
                await self._run(self._writer, self._hold_reserve)
        if self.path != ":memory:" and wal.size(self.path) > wal.LIMIT:
            await self.checkpoint()

    def _hold_reserve(self, connection: sqlite3.Connection) -> None:
        if self._reserve.hold():
            may_grow(connection)

    async def _connect(self, *, reading: bool = False) -> Connection:
        connection = Connection(self.path, self._loop, reading=reading)
        await connection.begin()
        self._open.insert(1 if reading else 0, connection)  # the writer is closed last, also one that came later
        return connection

    async def _close(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            await connection.end()

    async def _start(self) -> None:
        try:
            if self.path != ":memory:":
                await trio.to_thread.run_sync(wal.look_over, self.path)
            self._writer = await self._connect()
            await self._run(self._writer, lambda connection: opening.prepare(connection, self.path, self._durability))
            self._prepared = True
            await self._run(self._writer, self._hold_reserve)
            if self.path != ":memory:":
                for _ in range(READERS):
                    self._readers.append(await self._connect(reading=True))
        except (OSError, sqlite3.Error) as error:
            raise failures.start_error(self.path, error) from error
        except (StorageFull, StorageFailed) as error:
            raise failures.start_error(self.path, error.__cause__) from error

    async def _stop(self) -> None:
        with trio.CancelScope(shield=True):
            async with self._writing:  # tasks of the program around this one may still write
                if self._prepared and self._trusted:
                    with suppress(Refused):  # then the next start is careful
                        await self._run(self._writer, wal.truncate)  # synced, so nothing is at risk any more
                        await self._run(self._writer, schema.end_unsynced)
                for connection in reversed(self._open[:]):  # the writer last: its close removes the WAL
                    await self._close(connection)


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
    if path != ":memory:":
        await trio.to_thread.run_sync(whose.refuse_stranger, path)
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
