"""Events and channels in SQLite: appending in order, reading back, finding a place, letting go.

Every function runs on a database thread, inside :meth:`Database.write` or ``read``. An
event's ``sequence`` orders all stored events of the server; its ``offset`` those of one
channel, without holes. Retention deletes from the old end only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import attrs

from rtlite.model import Event, NewEvent, Position, Published, kind_of, new_event_ids, now_ms
from rtlite.store.schema import store_epoch

_END: Final = 2**62  # past every offset; a position that a client makes up may be past what SQLite can hold
COLUMNS: Final = "e.id, c.name, e.name, e.data, e.timestamp, e.offset, c.epoch, e.sequence"
_ROWS: Final = 64
_MOST_CHANNELS: Final = 10_000
INSERTS: Final = tuple(
    ", ".join(
        ["INSERT INTO events (sequence, channel, offset, id, name, data, timestamp) VALUES (?, ?, ?, ?, ?, ?, ?)"]
        + ["(?, ?, ?, ?, ?, ?, ?)"] * (rows - 1)
    )
    for rows in range(_ROWS + 1)
)
"""By the number of rows."""
# The first event of a channel that holds none is its oldest.
UPDATE: Final = (
    "UPDATE channels SET top = ?, bytes = bytes + ?, newest_timestamp = ?,"
    " oldest_timestamp = CASE WHEN oldest > top THEN ? ELSE oldest_timestamp END WHERE id = ?"
)


@attrs.define(slots=True)
class _Channel:
    id: int
    epoch: str
    top: int
    added: int = 0
    """Bytes of data since the last flush."""


class Appender:
    """Gives events their places, and writes their rows in bulk, at :meth:`flush`.

    The one appender of a server knows the channels it has met, so that most events get their
    places without the database. It is used by one at a time: by the event loop before a
    transaction, or within one by the database thread, which the loop then waits for. After
    a rollback, what it knows is not so: see :meth:`forget`.
    """

    def __init__(self, sequence: int) -> None:
        self._channels: dict[str, _Channel] = {}
        self._touched: dict[int, _Channel] = {}
        self._rows: list[tuple[int, int, int, str, str, bytes, int]] = []
        self._pending: dict[tuple[int, str], Event] = {}
        self.sequence = sequence

    def knows(self, events: Sequence[NewEvent]) -> bool:
        """Whether :meth:`place` can take them: their channels were met, and the ids are for us to give."""
        return all(event.id is None and event.channel in self._channels for event in events)

    def append(self, new: NewEvent, connection: sqlite3.Connection) -> Published:
        """Give the event its offset; an id that the channel has already gives back the first result."""
        channel = self._load(connection, new.channel)
        if new.id is not None:
            first = self._find(connection, channel, new.id)
            if first is not None:
                return Published(first, duplicate=True)
        published = self.place([new])[0]
        if new.id is not None:
            self._pending[channel.id, new.id] = published.event
        return published

    def place(self, events: Sequence[NewEvent]) -> list[Published]:
        """As :meth:`append`, for events that it :meth:`knows`: without the database."""
        placed = []
        at, sequence = now_ms(), self.sequence
        for new, id in zip(events, new_event_ids(len(events)), strict=True):
            id = new.id or id
            channel = self._channels[new.channel]
            sequence += 1
            channel.top += 1
            channel.added += len(new.data)
            self._touched[channel.id] = channel
            event = Event(id, new.channel, new.name, new.data, at, channel.top, channel.epoch, sequence)
            self._rows.append((sequence, channel.id, channel.top, id, new.name, new.data, at))
            placed.append(Published(event))
        self.sequence = sequence
        return placed

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write what was appended since the last flush.

        Many rows to a statement: after each, this thread queues for the interpreter's lock again.
        """
        rows = self._rows
        if not rows:
            return
        first, last = rows[0][-1], rows[-1][-1]
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            connection.execute(INSERTS[len(part)], tuple(chain.from_iterable(part)))
        for channel in self._touched.values():
            connection.execute(UPDATE, (channel.top, channel.added, last, first, channel.id))
            channel.added = 0
        self._touched.clear()
        self._rows.clear()
        self._pending.clear()
        if len(self._channels) > _MOST_CHANNELS:
            self._channels.clear()

    def forget(self, sequence: int) -> None:
        """After a rollback: what was counted no longer holds. The next sequence follows ``sequence``."""
        self.sequence = sequence
        self._touched.clear()
        self._rows.clear()
        self._pending.clear()
        self._channels.clear()

    def _find(self, connection: sqlite3.Connection, channel: _Channel, id: str) -> Event | None:
        if (pending := self._pending.get((channel.id, id))) is not None:
            return pending
        row = connection.execute(
            f"SELECT {COLUMNS} FROM events e JOIN channels c ON c.id = e.channel WHERE e.channel = ? AND e.id = ?",  # noqa: S608  # a constant
            (channel.id, id),
        ).fetchone()
        return Event(*row) if row else None

    def _load(self, connection: sqlite3.Connection, name: str) -> _Channel:
        if (known := self._channels.get(name)) is not None:
            return known
        query = "SELECT id, epoch, top FROM channels WHERE name = ?"
        row = connection.execute(query, (name,)).fetchone()
        if row is None:
            now = now_ms()
            connection.execute(
                "INSERT INTO channels"
                " (name, kind, epoch, top, oldest, oldest_timestamp, newest_timestamp, bytes, trimmed)"
                " VALUES (?, ?, ?, 0, 1, ?, ?, 0, 0)",
                (name, kind_of(name), store_epoch(connection), now, now),
            )
            row = connection.execute(query, (name,)).fetchone()
        channel = self._channels[name] = _Channel(*row)
        return channel


@attrs.frozen
class ChannelInfo:
    """What the store knows of one channel. ``oldest`` is ``top + 1`` when it holds no event."""

    name: str
    epoch: str
    top: int
    oldest: int
    bytes: int
    newest_timestamp: int

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.top)


def channel_info(connection: sqlite3.Connection, name: str) -> ChannelInfo | None:
    row = connection.execute(
        "SELECT name, epoch, top, oldest, bytes, newest_timestamp FROM channels WHERE name = ?", (name,)
    ).fetchone()
    return ChannelInfo(*row) if row else None


def list_channels(connection: sqlite3.Connection, after: str, limit: int, prefix: str = "") -> list[ChannelInfo]:
    """Channels by name, after ``after``, that start with ``prefix``."""
    rows = connection.execute(
        "SELECT name, epoch, top, oldest, bytes, newest_timestamp FROM channels"
        " WHERE name > ? AND name >= ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
        (after, prefix, len(prefix), prefix, limit),
    ).fetchall()
    return [ChannelInfo(*row) for row in rows]


def last_sequence(connection: sqlite3.Connection) -> int:
    events = connection.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()[0]
    trimmed = connection.execute("SELECT coalesce(max(trimmed), 0) FROM channels").fetchone()[0]
    return max(int(events), int(trimmed))


def read_channel(
    connection: sqlite3.Connection, name: str, after: int, limit: int, max_bytes: int, up_to: int | None = None
) -> list[Event]:
    """Events of one channel with offsets in (``after``, ``up_to``], oldest first.

    At most ``limit`` of them, and no more once their data exceed ``max_bytes``.
    """
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM channels c JOIN events e ON e.channel = c.id"  # noqa: S608  # a constant
        " WHERE c.name = ? AND e.offset > ? AND e.offset <= ? ORDER BY e.offset LIMIT ?",
        (name, min(after, _END), _END if up_to is None else up_to, limit),
    )
    return list(_until(cursor, max_bytes))


def read_channel_backwards(
    connection: sqlite3.Connection, name: str, before: int, limit: int, max_bytes: int
) -> list[Event]:
    """Events of one channel with offsets below ``before``, newest first."""
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM channels c JOIN events e ON e.channel = c.id"  # noqa: S608  # a constant
        " WHERE c.name = ? AND e.offset < ? ORDER BY e.offset DESC LIMIT ?",
        (name, min(before, _END), limit),
    )
    return list(_until(cursor, max_bytes))


def _until(cursor: sqlite3.Cursor, max_bytes: int) -> Iterator[Event]:
    total = 0
    try:
        for row in cursor:
            yield Event(*row)
            total += len(row[3])
            if total >= max_bytes:
                break
    finally:
        cursor.close()  # a half-read cursor would keep the WAL from being checkpointed


def offset_at(connection: sqlite3.Connection, name: str, timestamp: int) -> int | None:
    """The offset of the first event of a channel at or after ``timestamp`` (ms); ``None`` if there is none.

    First in the channel's order, which a clock that was set back does not share.
    """
    row = connection.execute(
        "SELECT offset FROM events WHERE sequence = (SELECT min(e.sequence) FROM channels c"
        " JOIN events e ON e.channel = c.id WHERE c.name = ? AND e.timestamp >= ?)",
        (name, timestamp),
    ).fetchone()
    return int(row[0]) if row else None


def offset_of(connection: sqlite3.Connection, name: str, event_id: str) -> int | None:
    """The offset of the event with this id; ``None`` if the channel does not hold it."""
    row = connection.execute(
        "SELECT e.offset FROM channels c JOIN events e ON e.channel = c.id WHERE c.name = ? AND e.id = ?",
        (name, event_id),
    ).fetchone()
    return int(row[0]) if row else None
