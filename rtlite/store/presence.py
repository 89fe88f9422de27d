"""When users were last seen on a channel. Every function runs on a database thread, in the caller's transaction.

A user who is present has no time yet. Instead the server notes now and then that it is
alive: if it is killed, that is when those who were present were last seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from rtlite.model import kind_of
from rtlite.settings import Settings
from rtlite.store.schema import get_meta

STEP: Final = 500
_ALIVE: Final = "presence_alive"

Seen = tuple[str, str, int | None]
"""Channel, user, and when it was last seen (ms); ``None`` while it is present."""


def save(connection: sqlite3.Connection, rows: Iterable[Seen], alive: int) -> None:
    """Store who came and who left, and that the server is alive at ``alive`` (ms)."""
    connection.executemany(
        "INSERT OR REPLACE INTO presence (channel, user, kind, last_seen) VALUES (?, ?, ?, ?)",
        [(channel, user, kind_of(channel), seen) for channel, user, seen in rows],
    )
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (_ALIVE, str(alive)))


def settle(connection: sqlite3.Connection, at: int | None = None) -> None:
    """Whoever is noted as present was last seen at ``at`` (ms), or when the server was last alive."""
    at = int(get_meta(connection, _ALIVE) or 0) if at is None else at
    connection.execute("UPDATE presence SET last_seen = ? WHERE last_seen IS NULL", (at,))


def absent(connection: sqlite3.Connection, channel: str, after: str, limit: int) -> list[tuple[str, int | None]]:
    """Users who were on a channel, in their order, those past ``after``; ``None`` for one noted as present."""
    rows = connection.execute(
        "SELECT user, last_seen FROM presence WHERE channel = ? AND user > ? ORDER BY user LIMIT ?",
        (channel, after, limit),
    ).fetchall()
    return [(user, seen) for user, seen in rows]


def forget(connection: sqlite3.Connection, settings: Settings, now: int) -> int:
    """Delete up to ``STEP`` of those who were last seen longer ago than their kind keeps events; returns how many."""
    deleted, kind = 0, ""
    while deleted < STEP:
        row = connection.execute("SELECT min(kind) FROM presence WHERE kind > ?", (kind,)).fetchone()
        if row[0] is None:
            break
        kind = str(row[0])
        deleted += connection.execute(
            "DELETE FROM presence WHERE (channel, user) IN"
            " (SELECT channel, user FROM presence WHERE kind = ? AND last_seen < ? LIMIT ?)",
            (kind, now - int(settings.for_kind(kind).retention_age * 1000), STEP - deleted),
        ).rowcount
    return deleted
