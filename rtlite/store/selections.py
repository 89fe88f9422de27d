"""Several channels read as one, in the order of commits: the channels of whole kinds, and single ones.

A place is a sequence. Like everything of the store, it runs on a database thread.
"""

from __future__ import annotations

import heapq
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import islice
from operator import itemgetter
from typing import Final

import attrs
import orjson

from rtlite.model import Event, is_pattern, kind_of
from rtlite.store.events import COLUMNS

# CROSS JOIN: SQLite would rather collect and sort all events of a kind than walk along the sequences.
_OF_KINDS: Final = (
    "FROM events e CROSS JOIN channels c ON c.id = e.channel WHERE c.kind IN (SELECT value FROM json_each(?))"
)
_OF_CHANNEL: Final = "FROM events e JOIN channels c ON c.id = e.channel WHERE e.channel = ?"
_READ_KINDS: Final = f"SELECT {COLUMNS} {_OF_KINDS} AND e.sequence > ? AND e.sequence <= ? ORDER BY e.sequence LIMIT ?"
_NEWEST_OF_KINDS: Final = f"SELECT e.sequence {_OF_KINDS} AND e.sequence > ? ORDER BY e.sequence DESC LIMIT ?"
_NEWEST_OF_CHANNEL: Final = "SELECT sequence FROM events WHERE channel = ? AND offset >= ? ORDER BY offset DESC LIMIT ?"
_READ_CHANNEL: Final = f"SELECT {COLUMNS} {_OF_CHANNEL} AND e.offset >= ? AND e.sequence <= ? ORDER BY e.offset LIMIT ?"


@attrs.frozen
class Held:
    """What the store knows of a selection; zeros if it holds nothing.

    ``trimmed`` is the highest sequence that retention deleted from any of its channels.
    """

    trimmed: int
    newest_timestamp: int


class Selection:
    """The channels that ``names``, channels and patterns, stand for."""

    def __init__(self, names: Sequence[str]) -> None:
        kinds = {kind_of(name) for name in names if is_pattern(name)}
        self._kinds = orjson.dumps(sorted(kinds)).decode() if kinds else ""
        self._channels = orjson.dumps([name for name in names if kind_of(name) not in kinds]).decode()

    def held(self, connection: sqlite3.Connection) -> Held:
        row = connection.execute(
            "SELECT coalesce(max(trimmed), 0), coalesce(max(newest_timestamp), 0) FROM channels"
            " WHERE kind IN (SELECT value FROM json_each(?)) OR name IN (SELECT value FROM json_each(?))",
            (self._kinds or "[]", self._channels),
        ).fetchone()
        return Held(*row)

    def read(self, connection: sqlite3.Connection, after: int, limit: int, max_bytes: int, up_to: int) -> list[Event]:
        """Events with sequences in (``after``, ``up_to``], oldest first.

        At most ``limit`` of them, and no more once their data exceed ``max_bytes``.
        """
        with ExitStack() as stack:
            rows = [
                _rows(stack, connection, _READ_CHANNEL, channel, first, up_to, limit)
                for channel, first, _ in self._past(connection, after)
            ]
            if self._kinds:
                rows.append(_rows(stack, connection, _READ_KINDS, self._kinds, after, up_to, limit))
            events, size = [], 0
            for row in islice(heapq.merge(*rows, key=itemgetter(-1)), limit):
                events.append(Event(*row))
                size += len(events[-1].data)
                if size >= max_bytes:
                    break
        return events

    def sequence_at(self, connection: sqlite3.Connection, timestamp: int) -> int | None:
        """The sequence of the first event at or after ``timestamp`` (ms)."""
        rows = [
            connection.execute(
                "SELECT min(e.sequence) FROM channels c JOIN events e ON e.channel = c.id"
                " WHERE e.timestamp >= ? AND c.kind IN (SELECT value FROM json_each(?))",
                (timestamp, self._kinds or "[]"),
            ).fetchone(),
            connection.execute(
                "SELECT min(e.sequence) FROM channels c JOIN events e ON e.channel = c.id"
                " WHERE e.timestamp >= ? AND c.name IN (SELECT value FROM json_each(?))",
                (timestamp, self._channels),
            ).fetchone(),
        ]
        return min((int(row[0]) for row in rows if row[0] is not None), default=None)

    def sequence_of(self, connection: sqlite3.Connection, event_id: str) -> int | None:
        """The sequence of the newest event with this id."""
        row = connection.execute(
            "SELECT max(e.sequence) FROM channels c JOIN events e ON e.channel = c.id WHERE e.id = ? AND"
            " (c.kind IN (SELECT value FROM json_each(?)) OR c.name IN (SELECT value FROM json_each(?)))",
            (event_id, self._kinds or "[]", self._channels),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def newest_but(self, connection: sqlite3.Connection, skip: int, after: int) -> int | None:
        """The sequence of the newest event but ``skip``, if it is past ``after``."""
        ranges = self._past(connection, after)
        if not self._kinds and sum(top - first + 1 for _, first, top in ranges) <= skip:
            return None
        with ExitStack() as stack:
            rows = [
                _rows(stack, connection, _NEWEST_OF_CHANNEL, channel, first, skip + 1) for channel, first, _ in ranges
            ]
            if self._kinds:
                rows.append(_rows(stack, connection, _NEWEST_OF_KINDS, self._kinds, after, skip + 1))
            newest = next(islice(heapq.merge(*rows, reverse=True), skip, None), None)
        return None if newest is None else int(newest[0])

    def _past(self, connection: sqlite3.Connection, after: int) -> list[tuple[int, int, int]]:
        """For each single channel with events past ``after``: its row, the first such offset, and its newest."""
        channels = connection.execute(
            "SELECT id, oldest, top FROM channels WHERE name IN (SELECT value FROM json_each(?))", (self._channels,)
        ).fetchall()

        def first(channel: int, oldest: int, top: int) -> int:
            # Offsets are without holes, and grow as sequences do: no index by channel and sequence is needed.
            def sequence(offset: int) -> int:
                return int(
                    connection.execute(
                        "SELECT sequence FROM events WHERE channel = ? AND offset = ?", (channel, offset)
                    ).fetchone()[0]
                )

            return oldest + bisect_right(range(oldest, top + 1), after, key=sequence)

        found = [(channel, first(channel, oldest, top), top) for channel, oldest, top in channels]
        return [item for item in found if item[1] <= item[2]]


def _rows(stack: ExitStack, connection: sqlite3.Connection, query: str, *values: object) -> sqlite3.Cursor:
    """The rows of a query, read as they are wanted; a half-read cursor would keep the WAL from being checkpointed."""
    return stack.enter_context(closing(connection.execute(query, values)))
