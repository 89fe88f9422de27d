"""Letting old events go: by age, count and bytes, a little at a time.

Each step deletes at most ``STEP`` rows of one channel in one short write, so that a
publish never waits longer than that for the sweep.
"""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import Final

import attrs

from rtlite.store.policies import Policies

STEP: Final = 500


@attrs.frozen
class Candidate:
    """A channel that may hold too much."""

    id: int
    name: str


def candidates(
    connection: sqlite3.Connection, policies: Policies, now: int, after: int, limit: int = 200
) -> list[Candidate]:
    """Channels, by id after ``after``, that hold more than their retention allows at ``now`` (ms)."""
    found: list[Candidate] = []
    kinds = [row[0] for row in connection.execute("SELECT DISTINCT kind FROM channels").fetchall()]
    for kind in kinds:
        least = policies.strictest(kind)
        cursor = connection.execute(
            "SELECT id, name, oldest_timestamp, top - oldest, bytes FROM channels"
            " WHERE kind = ? AND id > ? AND oldest <= top"
            " AND (oldest_timestamp < ? OR top - oldest >= ? OR bytes > ?) ORDER BY id",
            (kind, after, now - int(least.retention_age * 1000), least.retention_count, least.retention_bytes),
        )
        found += islice(
            (Candidate(id, name) for id, name, *held in cursor if _too_much(policies, name, now, held)), limit
        )
        cursor.close()  # a half-read cursor would keep the WAL from being checkpointed
    return sorted(found, key=lambda candidate: candidate.id)[:limit]


def _too_much(policies: Policies, name: str, now: int, held: list[int]) -> bool:
    keep, (oldest, others, size) = policies.of(name), held
    return (
        oldest < now - int(keep.retention_age * 1000) or others >= keep.retention_count or size > keep.retention_bytes
    )


@attrs.frozen
class Needed:
    """Where connected slow readers stand: the next offset that one of the channel reads, the next sequence
    that one of the whole kind reads; ``None`` if there is no such reader."""

    offset: int | None = None
    sequence: int | None = None

    def holds(self, offset: int, sequence: int) -> bool:
        return (self.offset is not None and offset >= self.offset) or (
            self.sequence is not None and sequence >= self.sequence
        )


def trim(
    connection: sqlite3.Connection, policies: Policies, candidate: Candidate, now: int, needed: Needed | None = None
) -> int:
    """Delete up to ``STEP`` of a channel's oldest events that its retention lets go; returns how many.

    :param needed: what slow readers have yet to read stays, as long as the channel holds no more
        than the setting ``spill_limit`` has bytes.
    """
    row = connection.execute("SELECT top, oldest, bytes FROM channels WHERE id = ?", (candidate.id,)).fetchone()
    if row is None:
        return 0
    top, oldest, held = row
    keep = policies.of(candidate.name)
    cutoff = now - int(keep.retention_age * 1000)
    last, freed, sequence = oldest - 1, 0, 0
    rows = connection.execute(
        "SELECT offset, timestamp, length(data), sequence FROM events WHERE channel = ? ORDER BY offset LIMIT ?",
        (candidate.id, STEP),
    ).fetchall()
    for offset, timestamp, size, at in rows:
        if timestamp >= cutoff and top - offset < keep.retention_count and held - freed <= keep.retention_bytes:
            break
        if needed is not None and needed.holds(offset, at) and held - freed <= policies.settings.spill_limit:
            break
        last, freed, sequence = offset, freed + size, at
    if last < oldest:
        return 0
    connection.execute("DELETE FROM events WHERE channel = ? AND offset <= ?", (candidate.id, last))
    following = connection.execute(
        "SELECT timestamp FROM events WHERE channel = ? ORDER BY offset LIMIT 1", (candidate.id,)
    ).fetchone()
    connection.execute(
        "UPDATE channels SET oldest = ?, bytes = bytes - ?, trimmed = ?,"
        " oldest_timestamp = coalesce(?, oldest_timestamp) WHERE id = ?",
        (last + 1, freed, sequence, following[0] if following else None, candidate.id),
    )
    return int(last - oldest + 1)
