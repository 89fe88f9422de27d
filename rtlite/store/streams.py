"""Streams: whose they are and what they keep. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, TypedDict

import attrs

from rtlite.model import new_epoch, rfc3339, stream_channel
from rtlite.rules import Count, Duration, Id, Timestamp, User
from rtlite.settings import KindSettings, duration_text

_COLUMNS: Final = "id, owner, store_history, age, count, bytes, created"
# The channels of a stream: its standard output, and those whose names go on with a colon (";" is what follows it).
_ITS_CHANNELS: Final = "(name = ? OR (name > ? AND name < ?))"


class RetentionJson(TypedDict):
    """What a stream keeps, of each of its channels."""

    age: Duration
    count: Count
    bytes: Count


class StreamJson(TypedDict):
    """A stream: its owner, and what it keeps."""

    id: Id
    owner: User
    storeHistory: bool
    retention: RetentionJson
    created: Timestamp


@attrs.frozen
class Stream:
    """``age`` is in seconds, ``created`` in milliseconds since 1970; a bound that is ``None`` is the kind's."""

    id: str
    owner: str
    store_history: bool
    age: float | None = None
    count: int | None = None
    bytes: int | None = None
    created: int = 0

    def policy(self, kind: KindSettings) -> KindSettings:
        """What its channels keep, where ``kind`` is what streams keep by the settings."""
        return attrs.evolve(
            kind,
            history=self.store_history,
            retention_age=kind.retention_age if self.age is None else self.age,
            retention_count=kind.retention_count if self.count is None else self.count,
            retention_bytes=kind.retention_bytes if self.bytes is None else self.bytes,
        )

    def as_json(self, kind: KindSettings) -> StreamJson:
        keep = self.policy(kind)
        return {
            "id": self.id,
            "owner": self.owner,
            "storeHistory": self.store_history,
            "retention": {
                "age": duration_text(keep.retention_age),
                "count": keep.retention_count,
                "bytes": keep.retention_bytes,
            },
            "created": rfc3339(self.created),
        }


def load(connection: sqlite3.Connection) -> list[Stream]:
    """All of them, by id."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM streams ORDER BY id").fetchall()  # noqa: S608  # a constant
    return [_stream(row) for row in rows]


def find(connection: sqlite3.Connection, id: str) -> Stream | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM streams WHERE id = ?", (id,)).fetchone()  # noqa: S608  # a constant
    return _stream(row) if row else None


def count(connection: sqlite3.Connection, owner: str) -> int:
    """How many an owner has."""
    return int(connection.execute("SELECT count(*) FROM streams WHERE owner = ?", (owner,)).fetchone()[0])


def put(connection: sqlite3.Connection, stream: Stream) -> None:
    """Add a stream, or replace the one with its id."""
    connection.execute(
        f"INSERT OR REPLACE INTO streams ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # a constant
        attrs.astuple(stream),
    )


def delete(connection: sqlite3.Connection, id: str) -> None:
    connection.execute("DELETE FROM streams WHERE id = ?", (id,))
    connection.execute("DELETE FROM presence WHERE channel = ? OR (channel > ? AND channel < ?)", _range(id))


def renew_epochs(connection: sqlite3.Connection, id: str) -> None:
    """From here on no old position in its channels holds: what comes next is not kept, or was not."""
    connection.execute(f"UPDATE channels SET epoch = ? WHERE {_ITS_CHANNELS}", (new_epoch(), *_range(id)))  # noqa: S608  # a constant


def channels(connection: sqlite3.Connection, id: str) -> list[tuple[int, str]]:
    """Its channels that hold events: their ids and names."""
    return connection.execute(
        f"SELECT id, name FROM channels WHERE {_ITS_CHANNELS} AND oldest <= top",  # noqa: S608  # a constant
        _range(id),
    ).fetchall()


def _range(id: str) -> tuple[str, str, str]:
    name = stream_channel(id)
    return name, f"{name}:", f"{name};"


def _stream(row: tuple[Any, ...]) -> Stream:
    id, owner, store_history, age, count, size, created = row
    return Stream(id, owner, bool(store_history), age, count, size, created)
