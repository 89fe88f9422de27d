"""Snapshots: what documents were. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Final, TypedDict

import attrs

from rtlite.model import rfc3339
from rtlite.rules import Count, EventId, Timestamp

_COLUMNS: Final = "id, name, user, created, length(data)"


class SnapshotJson(TypedDict):
    """A snapshot of a document: who made it, and its size."""

    id: EventId
    name: str
    user: str
    bytes: Count
    createdAt: Timestamp


@attrs.frozen
class Snapshot:
    """``user`` made it, at ``created`` (milliseconds since 1970); it is ``bytes`` long."""

    id: str
    name: str
    user: str
    created: int
    bytes: int

    def as_json(self) -> SnapshotJson:
        return {
            "id": self.id,
            "name": self.name,
            "user": self.user,
            "bytes": self.bytes,
            "createdAt": rfc3339(self.created),
        }


def add(connection: sqlite3.Connection, document: int, snapshot: Snapshot, data: bytes) -> None:
    connection.execute(
        "INSERT INTO document_snapshots (id, document, name, created, user, data) VALUES (?, ?, ?, ?, ?, ?)",
        (snapshot.id, document, snapshot.name, snapshot.created, snapshot.user, data),
    )


def page(connection: sqlite3.Connection, document: int, after: str, limit: int) -> list[Snapshot]:
    """The oldest first, past the one with the id ``after``."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM document_snapshots WHERE document = ? AND id > ? ORDER BY id LIMIT ?",  # noqa: S608  # a constant
        (document, after, limit),
    ).fetchall()
    return [Snapshot(*row) for row in rows]


def find(connection: sqlite3.Connection, document: int, id: str) -> tuple[Snapshot, bytes] | None:
    row = connection.execute(
        f"SELECT {_COLUMNS}, data FROM document_snapshots WHERE document = ? AND id = ?",  # noqa: S608  # a constant
        (document, id),
    ).fetchone()
    return (Snapshot(*row[:-1]), row[-1]) if row else None


def delete(connection: sqlite3.Connection, document: int, id: str) -> bool:
    """Returns whether there was one."""
    cursor = connection.execute("DELETE FROM document_snapshots WHERE document = ? AND id = ?", (document, id))
    return cursor.rowcount > 0


def size(connection: sqlite3.Connection, document: int) -> tuple[int, int]:
    """How many a document has, and their bytes."""
    count, total = connection.execute(
        "SELECT count(*), total(length(data)) FROM document_snapshots WHERE document = ?", (document,)
    ).fetchone()
    return int(count), int(total)
