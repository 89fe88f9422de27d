"""Documents: each a log of updates, now and then replaced by what they come to.

Every function runs on a database thread, in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import attrs

_COLUMNS: Final = "id, room, top, bytes, squashed, created, updated, announced"


@attrs.frozen
class Document:
    """What is known of a document without reading it. Times are in milliseconds since 1970.

    ``top`` is the number of its newest update. ``bytes`` are those of all updates that are kept,
    ``squashed`` those that were left when the log was last replaced. ``announced`` is the ``updated``
    that readers of changes were last told.
    """

    id: int
    room: str
    top: int
    bytes: int
    squashed: int
    created: int
    updated: int
    announced: int


@attrs.frozen
class Log:
    """A document's updates.

    :ivar updates: each builds on those before it. :ivar waiting: these came before what they build on. It
        may have come since, and then they are among ``updates`` as well.
    """

    updates: Sequence[bytes]
    waiting: Sequence[bytes] = ()

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.updates)) + sum(map(len, self.waiting))

    def __len__(self) -> int:
        return len(self.updates) + len(self.waiting)


class Damaged(Exception):
    """What is stored of a document is not what was stored."""


def find(connection: sqlite3.Connection, room: str) -> Document | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE room = ?",  # noqa: S608  # a constant
        (room,),
    ).fetchone()
    return Document(*row) if row else None


def page(connection: sqlite3.Connection, after: str, limit: int) -> list[Document]:
    """By room, those past ``after``."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE room > ? ORDER BY room LIMIT ?",  # noqa: S608  # a constant
        (after, limit),
    ).fetchall()
    return [Document(*row) for row in rows]


def load(connection: sqlite3.Connection, room: str) -> tuple[Document | None, Log]:
    """A document and its updates, in order. :raises Damaged: some of them are gone, or are not what was stored."""
    document = find(connection, room)
    if document is None:
        return None, Log([])
    found = read(connection, document.id, document.top)
    if found.size != document.bytes:
        raise Damaged(f"the updates of {room} are not those that were stored")
    return document, found


def read(connection: sqlite3.Connection, document: int, top: int) -> Log:
    """The updates up to the one with the number ``top``. :raises Damaged: one is not what was stored."""
    kept: tuple[list[bytes], list[bytes]] = [], []
    for number, waits, stored, data in connection.execute(
        "SELECT number, waits, checksum, data FROM document_updates WHERE document = ? AND number <= ? ORDER BY number",
        (document, top),
    ):
        if not isinstance(data, bytes) or checksum(number, data) != stored:
            raise Damaged("an update of a document is not the one that was stored")
        kept[waits != 0].append(data)
    return Log(*kept)


def checksum(number: int, data: bytes) -> int:
    """Of an update, and of its place."""
    return crc32(data, number & 0xFFFFFFFF)


def append(connection: sqlite3.Connection, room: str, top: int, log: Log, now: int) -> int:
    """Add updates behind the one with the number ``top``; returns the document's id. The first makes the document."""
    (id,) = connection.execute(
        """INSERT INTO documents (room, top, bytes, squashed, created, updated, announced) VALUES (?, ?, ?, 0, ?, ?, 0)
        ON CONFLICT (room) DO UPDATE SET top = excluded.top, bytes = bytes + excluded.bytes,
            updated = max(excluded.updated, updated + 1)
        RETURNING id""",
        (room, top + len(log), log.size, now, now),
    ).fetchone()
    _insert(connection, id, top, log)
    return int(id)


def replace(connection: sqlite3.Connection, document: int, top: int, log: Log) -> int:
    """Put ``log`` in place of all up to the number ``top``; returns its bytes, or 0 if it was deleted."""
    if connection.execute("SELECT 1 FROM documents WHERE id = ?", (document,)).fetchone() is None:
        return 0
    (before,) = connection.execute(
        "SELECT total(length(data)) FROM document_updates WHERE document = ? AND number <= ?", (document, top)
    ).fetchone()
    connection.execute("DELETE FROM document_updates WHERE document = ? AND number <= ?", (document, top))
    _insert(connection, document, top - len(log), log)
    connection.execute(
        "UPDATE documents SET bytes = bytes - ? + ?, squashed = ? WHERE id = ?",
        (int(before), log.size, log.size, document),
    )
    return log.size


def _insert(connection: sqlite3.Connection, document: int, top: int, log: Log) -> None:
    """The numbers follow ``top``: first what builds on what is before it, then what waits."""
    built = len(log.updates)
    connection.executemany(
        "INSERT INTO document_updates (document, number, waits, checksum, data) VALUES (?, ?, ?, ?, ?)",
        [
            (document, top + place, place > built, checksum(top + place, update), update)
            for place, update in enumerate([*log.updates, *log.waiting], 1)
        ],
    )


def delete(connection: sqlite3.Connection, room: str) -> bool:
    """Delete a document and all that it holds; returns whether there was one."""
    document = find(connection, room)
    if document is None:
        return False
    connection.execute("DELETE FROM document_updates WHERE document = ?", (document.id,))
    connection.execute("DELETE FROM document_snapshots WHERE document = ?", (document.id,))
    connection.execute("DELETE FROM documents WHERE id = ?", (document.id,))
    return True


def set_announced(connection: sqlite3.Connection, document: int) -> None:
    """Readers of changes are told of all that is stored by now."""
    connection.execute("UPDATE documents SET announced = updated WHERE id = ?", (document,))


def unannounced(connection: sqlite3.Connection, limit: int) -> list[Document]:
    """Those that readers of changes were not told of."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE announced < updated LIMIT ?",  # noqa: S608  # a constant
        (limit,),
    ).fetchall()
    return [Document(*row) for row in rows]
