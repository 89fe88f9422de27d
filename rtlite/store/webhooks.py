"""Webhooks at rest: where they stand, what waits for them, what was tried.

Of events that the history keeps there is no second copy: a webhook has a ``cursor`` there, the
sequence of the last event that its endpoint took. Only events of channels without history
wait in a table of their own. Every function runs on a database thread, in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, TypedDict

import attrs
import orjson

from rtlite.log import redact
from rtlite.model import rfc3339
from rtlite.rules import Channel, Count, EventName, Offset, Subscribable, Timestamp


class WebhookJson(TypedDict):
    """A webhook. `disabled` says why nothing is sent; `lost` counts events that were gone before they were taken."""

    id: str
    url: str
    channels: list[Subscribable]
    description: str
    enabled: bool
    disabled: str | None
    created: Timestamp
    attempts: Count
    nextAttempt: Timestamp | None
    failingSince: Timestamp | None
    lost: Count


class AttemptJson(TypedDict):
    """An attempt to deliver; `duration` is in milliseconds, `status` the answer's."""

    message: str
    type: EventName
    channel: Channel | None
    attempt: Offset
    at: Timestamp
    duration: Count
    status: int | None
    error: str | None
    delivered: bool


@attrs.define(eq=False)
class Webhook:
    """One webhook. Times are in milliseconds since 1970, or ``None``.

    ``secret`` and, for a while after a rotation, ``old_secret`` sign what is sent: they must be known in
    clear. ``disabled`` says why nothing is sent: ``operator``, ``gone``, ``failing``, or ``refused`` by the
    settings. ``attempts`` counts those of the event at hand that failed; ``failing`` is for how long (ms),
    by a clock that does not jump. ``lost`` counts events that were gone before they were taken.
    """

    id: str
    url: str
    channels: tuple[str, ...]
    description: str
    secret: str
    created: int
    cursor: int
    old_secret: str | None = None
    old_secret_until: int | None = None
    disabled: str | None = None
    attempts: int = 0
    next_attempt: int | None = None
    failing: int = 0
    failing_since: int | None = None
    lost: int = 0

    @property
    def shown_url(self) -> str:
        """Its URL, with the secrets of its query left out: ``?token=***``."""
        return redact(self.url)

    def as_json(self) -> WebhookJson:
        """The webhook for lists and answers, without its secrets."""
        return {
            "id": self.id,
            "url": self.shown_url,
            "channels": list(self.channels),
            "description": self.description,
            "enabled": self.disabled is None,
            "disabled": self.disabled,
            "created": rfc3339(self.created),
            "attempts": self.attempts,
            "nextAttempt": _time(self.next_attempt),
            "failingSince": _time(self.failing_since),
            "lost": self.lost,
        }


@attrs.frozen
class Attempt:
    """One attempt to deliver. ``at`` is in milliseconds since 1970, ``duration`` in milliseconds.

    ``status`` is the answer's, ``None`` without one; ``error`` says in a few words what failed.
    """

    webhook: str
    message: str
    type: str
    channel: str | None
    attempt: int
    at: int
    duration: int
    status: int | None
    error: str | None

    def as_json(self) -> AttemptJson:
        return {
            "message": self.message,
            "type": self.type,
            "channel": self.channel,
            "attempt": self.attempt,
            "at": rfc3339(self.at),
            "duration": self.duration,
            "status": self.status,
            "error": self.error,
            "delivered": self.error is None,
        }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


_FIELDS: Final = tuple(field.name for field in attrs.fields(Webhook))
_COLUMNS: Final = ", ".join(_FIELDS)
_INSERT: Final = f"INSERT INTO webhooks ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"  # noqa: S608  # constant names
_UPDATE: Final = f"UPDATE webhooks SET ({_COLUMNS}) = ({', '.join('?' * len(_FIELDS))}) WHERE id = ?"  # noqa: S608  # the same
_ATTEMPT: Final = "webhook, message, type, channel, attempt, at, duration, status, error"


def row_of(webhook: Webhook) -> tuple[Any, ...]:
    """What :func:`insert` and :func:`update` store, taken before the event loop goes on to change it."""
    row = attrs.astuple(webhook, recurse=False)
    return (*row[:2], orjson.dumps(webhook.channels).decode(), *row[3:])


def insert(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    connection.execute(_INSERT, row)


def update(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Store how webhooks stand. One that was deleted meanwhile stays so."""
    connection.executemany(_UPDATE, [(*row, row[0]) for row in rows])


def ids(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT id FROM webhooks").fetchall()}


def all(connection: sqlite3.Connection) -> list[Webhook]:
    """Every webhook, the oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM webhooks ORDER BY created, id").fetchall()  # noqa: S608  # the same
    return [Webhook(id, url, tuple(orjson.loads(channels)), *rest) for id, url, channels, *rest in rows]


def delete(connection: sqlite3.Connection, webhook: str) -> None:
    """Take a webhook out, with what waits for it and what was tried."""
    connection.execute("DELETE FROM webhook_queue WHERE webhook = ?", (webhook,))
    connection.execute("DELETE FROM webhook_attempts WHERE webhook = ?", (webhook,))
    connection.execute("DELETE FROM webhooks WHERE id = ?", (webhook,))


def enqueue(connection: sqlite3.Connection, rows: Iterable[tuple[str, bytes]]) -> None:
    """Let bodies wait, each for the webhook beside it."""
    connection.executemany("INSERT INTO webhook_queue (webhook, body) VALUES (?, ?)", rows)


def waiting(connection: sqlite3.Connection, webhook: str) -> tuple[int, int]:
    """How many bodies wait for a webhook, and their bytes."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM webhook_queue WHERE webhook = ?", (webhook,)
    ).fetchone()
    return int(row[0]), int(row[1])


def read_queue(connection: sqlite3.Connection, webhook: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """The bodies that wait for a webhook, past the one numbered ``after``, with their numbers."""
    return connection.execute(
        "SELECT id, body FROM webhook_queue WHERE webhook = ? AND id > ? ORDER BY id LIMIT ?", (webhook, after, limit)
    ).fetchall()


def dequeue(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    connection.executemany("DELETE FROM webhook_queue WHERE id = ?", [(number,) for number in numbers])


def clear_queue(connection: sqlite3.Connection, webhook: str) -> None:
    connection.execute("DELETE FROM webhook_queue WHERE webhook = ?", (webhook,))


def log(connection: sqlite3.Connection, attempts: Iterable[Attempt], keep: int) -> None:
    """Note attempts, and forget those of the same webhooks that are older than the last ``keep``."""
    rows = [attrs.astuple(attempt) for attempt in attempts]
    connection.executemany(f"INSERT INTO webhook_attempts ({_ATTEMPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608  # constant names
    for webhook in {row[0] for row in rows}:
        connection.execute(
            "DELETE FROM webhook_attempts WHERE webhook = ? AND id <="
            " (SELECT id FROM webhook_attempts WHERE webhook = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (webhook, webhook, keep),
        )


def attempts(connection: sqlite3.Connection, webhook: str, before: int, limit: int) -> list[tuple[int, Attempt]]:
    """Attempts, the newest first, of those numbered below ``before``, with their numbers."""
    rows = connection.execute(
        f"SELECT id, {_ATTEMPT} FROM webhook_attempts WHERE webhook = ? AND id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608  # constant names
        (webhook, before, limit),
    ).fetchall()
    return [(number, Attempt(*row)) for number, *row in rows]
