"""What SQLite's errors mean: whose mistake one is, what whoever wrote is told, what stops a start."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from rtlite.errors import StartError, StorageFailed, StorageFull

_OUR_MISTAKES: Final = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}
_DOUBTFUL_AFTER: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}
_FAILED_SYNCS: Final = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}


def is_ours(error: sqlite3.DatabaseError) -> bool:
    """It is in what rtlite asked, not in the file or its disk: no reason to refuse anyone else's write."""
    return isinstance(error, sqlite3.ProgrammingError) or _code(error) in _OUR_MISTAKES


def leaves_doubt(error: BaseException | None) -> bool:
    """After it, what the connection believes may not be what the disk holds."""
    return _code(error) in _DOUBTFUL_AFTER


def refusal(error: sqlite3.DatabaseError, path: str) -> StorageFull | StorageFailed:
    """What whoever wrote or read is told."""
    if _code(error) == sqlite3.SQLITE_FULL or (_may_be_a_full_disk(error) and _disk_is_full(path)):
        return StorageFull("the disk is full; nothing was stored")
    return StorageFailed("the database refused; nothing was stored")


def start_error(path: str, error: BaseException | None) -> StartError:
    """What the operator reads, in one line."""
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


def disk_full() -> sqlite3.OperationalError:
    """What SQLite raises where it finds no room."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _may_be_a_full_disk(error: sqlite3.DatabaseError) -> bool:
    """SQLite reports one as an I/O error where it grows the WAL's index. A sync that failed is another matter."""
    return _code(error) == sqlite3.SQLITE_IOERR and error.sqlite_errorcode not in _FAILED_SYNCS


def _disk_is_full(path: str) -> bool:
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024
