"""One connection to the file, and its thread: aiosqlite's, with a face for Trio.

aiosqlite owns every connection and its thread. It speaks asyncio, so it is opened and closed in
a trio-asyncio loop, which the store opens and nothing outside it sees.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import outcome
import trio
import trio_asyncio

from rtlite.errors import StartError, StorageFailed
from rtlite.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")

BUSY_MS: Final = 5000


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole function on its thread, in one hop.

    One task at a time may do so.

    :param loop: trio-asyncio's. :param reading: it cannot write.
    """

    def __init__(self, path: str, loop: Any, *, reading: bool = False) -> None:
        super().__init__(partial(connect, path, reading), iter_chunk_size=64)
        self._path = path
        self._loop = loop
        self._ended = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    async def begin(self) -> None:
        """Open it. If that fails, or is cancelled, nothing is left of it."""
        with trio.CancelScope(shield=True):
            try:
                await trio_asyncio.aio_as_trio(_opened, loop=self._loop)(self)
            except BaseException:
                # Its thread has yet to answer to the loop: see it end before the loop does.
                thread: Any = getattr(self, "_thread", self)
                await trio.to_thread.run_sync(thread.join)
                os.close(self._bell)
                raise

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the connection's thread. A Trio function; it cannot be cancelled.

        aiosqlite's queue also takes functions without a future, and the answer comes straight back
        to the waiting task. Through the asyncio loop it would take half a dozen turns of Trio's, and
        through its queue of other threads three.

        :raises StorageFailed: it is closed, or about to be.
        """
        if self._ended:
            raise StorageFailed("the database is closed")
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

    async def end(self) -> None:
        """Close it once what it runs is done, and see its thread end."""
        self._ended = True
        try:
            await trio_asyncio.aio_as_trio(self.close, loop=self._loop)()
        except sqlite3.Error:
            log.exception("a database connection did not close well", path=self._path)
        os.close(self._bell)


async def _opened(connection: Connection) -> None:
    await connection


def connect(path: str, reading: bool) -> sqlite3.Connection:
    """On the connection's thread. One that writes makes the file if there is none (mode 0600)."""
    if path == ":memory:":
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    elif reading:
        uri = Path(path).absolute().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        # It opens the log at its first read: not at a time when file descriptors have run out.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    else:
        with suppress(FileExistsError):  # to close one that is there would drop the locks of connections that it has
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        _close_to_the_world(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def connect_at_rest(path: str) -> sqlite3.Connection:
    """To what the file itself says, without its log. Nothing is written, locked or left beside it."""
    return sqlite3.connect(Path(path).absolute().as_uri() + "?mode=ro&immutable=1", uri=True, isolation_level=None)


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
