"""What the writing connection does to a file before anyone relies on it: is it ours and whole, how is it synced.

Every function runs on its thread, outside a transaction.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from rtlite.errors import StartError
from rtlite.log import get_logger
from rtlite.store import schema, wal, whose
from rtlite.store.wal import LIMIT

log = get_logger(__name__)

_FIRST_SAFE_SQLITE: Final = (3, 51, 3)


def prepare(connection: sqlite3.Connection, path: str, durability: str) -> None:
    """Once at each start: look the file over, migrate it, note whether this run's commits are synced.

    :raises StartError: it is not ours, a newer version's, damaged, or in use; the text says which.
    """
    if sqlite3.sqlite_version_info < _FIRST_SAFE_SQLITE:
        log.debug(
            "sqlite before 3.51.3: only one connection may write, and only one does", version=sqlite3.sqlite_version
        )
    if (why := whose.stranger_by(connection)) is not None:
        raise StartError(f"{path} {why}")
    configure(connection, path, durability)
    if (found := damage(connection)) is not None:
        raise StartError(f"{path} is damaged ({found}); restore a backup: copy it to {path}")
    before, newest = schema.version(connection), len(schema.MIGRATIONS)
    if 0 < before < newest:
        # A warning, which commands show too: there is no way back but a backup.
        told = "the database is brought to this version's schema; an older rtlite opens a backup, no longer this"
        log.warning(told, path=path, schema=f"{before} to {newest}")
    schema.migrate(connection)
    if path != ":memory:":
        with suppress(sqlite3.Error):  # a full disk, a reader: it is emptied later
            wal.truncate(connection)
        if wal.is_copy(path):  # or the next start would take this log for that of the file before
            raise StartError(f"{path} is being read by another program; a restored backup starts once it is not")
    # Also when this run syncs every commit: the last one may not have.
    connection.execute("PRAGMA synchronous = FULL")
    schema.begin_unsynced(connection, _boot_id())
    if durability == "full":
        schema.end_unsynced(connection)
    else:
        connection.execute("PRAGMA synchronous = NORMAL")


def configure(connection: sqlite3.Connection, path: str, durability: str) -> None:
    """What only the writing connection decides. It changes the file's header, so the file is known to be ours."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal" and path != ":memory:":
        raise StartError(f"{path} cannot have a write-ahead log; put it on a local file system")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    connection.execute(f"PRAGMA journal_size_limit = {LIMIT}")


def damage(connection: sqlite3.Connection) -> str | None:
    """What ``quick_check`` finds wrong first, in one line."""
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else " ".join(found.split())


def _boot_id() -> str:
    """What names this boot of the machine; where the system has no such thing, every start counts as one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid.uuid4().hex
