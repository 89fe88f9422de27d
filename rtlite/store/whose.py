"""Whose file it is. Asked before the lock, the mode or anything else of it is touched: a stranger's stays as it was."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from contextlib import closing
from typing import Final

from rtlite.errors import StartError
from rtlite.store import failures, wal
from rtlite.store.connection import connect_at_rest
from rtlite.store.schema import APPLICATION_ID, MIGRATIONS

# Of a database's first page: user_version, application_id, and how many cells the schema's table has on it.
_FIRST_PAGE: Final = struct.Struct(">60x I 4x I 31x H")


def refuse_stranger(path: str) -> None:
    """:raises StartError: it is another program's, a newer rtlite's or no file; the text says which."""
    try:
        why = stranger(path)
    except (OSError, sqlite3.Error) as error:
        raise failures.start_error(path, error) from error
    if why is not None:
        raise StartError(f"{path} {why}")


def stranger(path: str) -> str | None:
    """What keeps this rtlite from a file, after its name; ``None`` if it is ours, empty or not there. Leaves no trace.

    SQLite reads it: by a file of our own, its closing would drop the locks that this process's
    other connections have on it.

    :raises OSError, sqlite3.Error: it cannot be read, or is no database.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        return "is not a file"
    if not os.access(path, os.R_OK):
        return "cannot be read"
    with closing(connect_at_rest(path)) as connection:
        # Or a file that a checkpoint was about to grow would pass for damaged.
        connection.execute("PRAGMA writable_schema = ON")
        if (why := stranger_by(connection)) is not None:
            return why
        if _number(connection.execute("PRAGMA application_id")) == APPLICATION_ID:
            return None
    if (page := wal.first_page(path)) is None:
        return None
    version, application, cells = _FIRST_PAGE.unpack_from(page)
    return _judge(application, version, empty=cells == 0)


def stranger_by(connection: sqlite3.Connection) -> str | None:
    """The same, by a connection, which sees the log too."""
    application = _number(connection.execute("PRAGMA application_id"))
    version = _number(connection.execute("PRAGMA user_version"))
    ours = application == APPLICATION_ID
    return _judge(
        application, version, empty=not ours and not _number(connection.execute("SELECT count(*) FROM sqlite_schema"))
    )


def _judge(application: int, version: int, *, empty: bool) -> str | None:
    if application != APPLICATION_ID and not empty:
        return "is an SQLite database, but not one of rtlite's"
    if version > len(MIGRATIONS):
        return f"was made by a newer rtlite (schema {version}; this one knows {len(MIGRATIONS)}); upgrade rtlite"
    return None


def _number(answer: sqlite3.Cursor) -> int:
    return int(answer.fetchone()[0])
