"""The write-ahead log: cutting it, and looking at it before SQLite does, at the start.

SQLite takes a log for what it seems to be: it reads up to the first frame whose checksum is
wrong, and forgets the rest without a word. That is right for the end of a log that a crash
tore off, and wrong for one whose middle is damaged, or that belongs to a file which a backup
has replaced. The format is https://sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from rtlite.errors import StartError
from rtlite.log import get_logger
from rtlite.store import schema
from rtlite.store.connection import BUSY_MS, connect_at_rest
from rtlite.store.schema import APPLICATION_ID

log = get_logger(__name__)

LIMIT: Final = 64 * 1024 * 1024
_HEADER: Final = 32
_FRAME: Final = 24
_MAGIC: Final = (0x377F0682, 0x377F0683)


def size(path: str) -> int:
    """Bytes of a database's log; 0 if there is none."""
    return _size(f"{path}-wal")


def truncate(connection: sqlite3.Connection) -> bool:
    """Move the log into the file and cut it to nothing, as far as readers let it; returns whether they did."""
    connection.execute("PRAGMA busy_timeout = 0")  # a reader in the way, such as a backup, must not hold up publishers
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return not busy


def bury(connection: sqlite3.Connection) -> None:
    """See to it that a commit which was refused does not come back.

    SQLite writes and syncs it before it lists it in the log's index. Whichever step failed, it may stand
    in the log, whole, and whoever reads that after a crash would take it for one that was acknowledged.
    It goes with the log; where that cannot be cut, since a reader holds it or the disk is full, a commit
    that changes nothing takes its place, and what is left of it has the wrong checksums.
    """
    with suppress(sqlite3.Error):  # then the other way
        if truncate(connection):
            return
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # what it is already; this writes it nonetheless


def look_over(path: str) -> None:
    """Set aside a log that is another file's, and refuse one whose damage would lose commits.

    :raises StartError: commits that were acknowledged stand behind a damaged place of the log.
    """
    if not size(path) or not _size(path):
        return
    if is_copy(path):
        # Whoever restored the backup removed the file that this log was of. A start that found the
        # copy and crashed leaves one too: of new epochs only, which the next start gives again.
        os.replace(f"{path}-wal", f"{path}-wal.old")
        with suppress(FileNotFoundError):
            os.unlink(f"{path}-shm")
        log.warning("the file is a restored backup: the log of the file before it is set aside", path=f"{path}-wal.old")
        return
    if lost := lost_commits(path):
        raise StartError(
            f"{path}-wal is damaged, {lost} or more commits in it cannot be read; restore a backup: copy it to {path}"
        )


def is_copy(path: str) -> bool:
    """What the file itself says, without its log."""
    try:
        with closing(connect_at_rest(path)) as connection:
            return schema.get_meta(connection, "is_copy") is not None
    except sqlite3.Error:  # no database of ours, or damaged: whoever opens it in earnest will say so
        return False


def lost_commits(path: str) -> int:
    """How many commits SQLite would forget; 0 if that may be one that was never synced, and so never acknowledged.

    A commit is synced before the next begins, so that a crash can tear off one at most; and what it tore
    off does not stay, since each start empties the log.
    """
    try:
        commits = _commits(Path(f"{path}-wal"))
        if commits is None:
            return 1
        if len(commits) < 2:
            return 0
        with closing(sqlite3.connect(Path(path).absolute().as_uri() + "?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            if schema.commits_unsynced(connection):  # then several may be torn off, and epochs change for that
                return 0
            with open(f"{path}-shm", "rb") as index:
                (recovered,) = struct.unpack_from("=I", index.read(_HEADER), 16)
    except (OSError, struct.error, sqlite3.Error):
        return 0
    lost = sum(frame > recovered for frame in commits)
    return lost if lost > 1 else 0


def first_page(path: str) -> bytes | None:
    """The database's first page, the newest that the log has."""
    newest: bytes | None = None
    with suppress(FileNotFoundError, _Damaged), open(f"{path}-wal", "rb") as file:
        for _, frame, size in _frames(file):
            if frame[:4] == b"\0\0\0\1" and len(page := file.read(size)) == size:
                newest = page
    return newest


class _Damaged(Exception):
    """The header of a log is."""


def _commits(path: Path) -> list[int] | None:
    """The numbers, from 1, of the frames that end a commit; ``None`` if the header is damaged."""
    with path.open("rb") as file:
        try:
            return [number for number, frame, _ in _frames(file) if frame[4:8] != bytes(4)]
        except _Damaged:
            return None


def _frames(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """The log's frames, numbered from 1: the header of each, at the end of which the file stands; the size of a page.

    :raises _Damaged:
    """
    header = file.read(_HEADER)
    if not any(header):  # its first sync never came, and so none after it
        return
    magic, _, page, _ = struct.unpack_from(">IIII", header)
    order = ">" if magic & 1 else "<"
    if magic not in _MAGIC or _checksum(order, header[:24]) != struct.unpack_from(">II", header, 24):
        raise _Damaged
    for number in count(1):
        file.seek(_HEADER + (number - 1) * (_FRAME + page))
        frame = file.read(_FRAME)
        if len(frame) < _FRAME:
            return
        if frame[8:16] == header[16:24]:
            yield number, frame, page


def _checksum(order: str, data: bytes) -> tuple[int, int]:
    first = second = 0
    for x, y in struct.iter_unpack(f"{order}II", data):
        first = (first + x + second) & 0xFFFFFFFF
        second = (second + y + first) & 0xFFFFFFFF
    return first, second


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
