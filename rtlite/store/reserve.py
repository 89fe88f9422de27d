"""Room on the disk that is held for when there is no other.

SQLite writes before it deletes: on a disk that is full, what retention wants to let go
cannot go, and the disk stays full. So a file beside the database takes up some room, and is
removed when a write that must succeed finds none. From then on, until it is held again, the
database must not grow: the room is for the log, through which everything goes that is deleted.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from rtlite.log import get_logger
from rtlite.store import wal

log = get_logger(__name__)


class Reserve:
    """The file ``PATH.reserve``.

    :param path: the database; :param size: bytes to hold, 0 for none.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = f"{path}.reserve"
        self._size = 0 if path == ":memory:" else size
        self.held = self._size == 0
        self.used = False

    def hold(self) -> bool:
        """Take up the room, if as much again is left for everyone else; returns whether it is held from now on.

        A disk that has none is no error.
        """
        if self.held:
            return False
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                disk = os.fstatvfs(descriptor)
                if os.fstat(descriptor).st_size < self._size and disk.f_bavail * disk.f_frsize >= 2 * self._size:
                    os.posix_fallocate(descriptor, 0, self._size)
                self.held = os.fstat(descriptor).st_size >= self._size
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("no room on the disk could be held in reserve", path=self._path, reason=error.strerror)
        if self.held:
            self.used = False
        else:
            self._remove()
        return self.held

    def release(self) -> None:
        """Give the room up, if it is held."""
        if self.held and self._size:
            self.held, self.used = False, True
            self._remove()
            log.warning("the disk is full: its reserve is used until there is room again", path=self._path)

    def _remove(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)


def stop_growing(connection: sqlite3.Connection) -> None:
    """Once the reserve is given up, let the file have no page more than it has.

    Then what the WAL holds can always be moved into it, the WAL has the reserve's room, and deleting
    always goes; new events take the place of those that were deleted.
    """
    wal.truncate(connection)
    connection.execute("PRAGMA max_page_count = 1")  # as far as that is possible: the present size


def may_grow(connection: sqlite3.Connection) -> None:
    """Once it is held again."""
    connection.execute("PRAGMA max_page_count = 1073741822")  # SQLite's own limit
