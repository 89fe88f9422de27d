"""A copy of the file, made while the server goes on."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from rtlite.errors import Refused, StartError
from rtlite.store import schema
from rtlite.store.database import Database


async def write(database: Database, target: str | os.PathLike[str]) -> None:
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
        await database.read(copy)
    except (Refused, OSError, sqlite3.Error) as error:
        raise StartError(f"cannot write {path}: {error.__cause__ or error}") from error
    finally:
        for name in (part, f"{part}-wal", f"{part}-shm", f"{part}-journal"):
            with suppress(OSError):  # it has its own name by now, or was never made; what stays says what it is
                os.unlink(name)


def _rename(source: str, target: Path) -> None:
    """Give a file its name, so that it has it after a power cut, too."""
    os.rename(source, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
