"""Users' notifications. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, TypedDict

import attrs

from rtlite.model import rfc3339
from rtlite.rules import EventId, EventName, Timestamp, UserInChannel

STEP: Final = 500
"""The most notifications that one short write deletes."""

_UNREAD: Final = "read = 0 AND "
_COLUMNS: Final = "id, user, type, title, message, action_url, read, created, number"


class NotificationJson(TypedDict):
    """A notification in a user's inbox."""

    id: EventId
    type: EventName
    title: str
    message: str | None
    actionUrl: str | None
    userId: UserInChannel
    read: bool
    createdAt: Timestamp


@attrs.frozen
class Notification:
    """``created`` is in milliseconds since 1970.

    ``number`` counts notifications in the order in which they came; pages go by it.
    """

    id: str
    user: str
    type: str
    title: str
    message: str | None = None
    action_url: str | None = None
    read: bool = False
    created: int = 0
    number: int = attrs.field(default=0, eq=False)

    def as_json(self) -> NotificationJson:
        return {
            "id": self.id,
            "type": self.type,
            "title": self.title,
            "message": self.message,
            "actionUrl": self.action_url,
            "userId": self.user,
            "read": self.read,
            "createdAt": rfc3339(self.created),
        }


def insert(connection: sqlite3.Connection, notification: Notification) -> None:
    """Add a notification; its number is given here."""
    connection.execute(
        "INSERT INTO notifications (id, user, type, title, message, action_url, read, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        attrs.astuple(notification)[:-1],
    )


def trim(connection: sqlite3.Connection, user: str, most: int) -> None:
    """Delete, up to ``STEP``, what ``user`` has past ``most``: the oldest of those that are read, then the oldest."""
    row = connection.execute("SELECT count(*) FROM notifications WHERE user = ?", (user,)).fetchone()
    surplus = min(STEP, row[0] - most)
    if surplus <= 0:
        return
    surplus -= connection.execute(
        "DELETE FROM notifications WHERE number IN"
        " (SELECT number FROM notifications WHERE user = ? AND read = 1 ORDER BY number LIMIT ?)",
        (user, surplus),
    ).rowcount
    if surplus:
        connection.execute(
            "DELETE FROM notifications WHERE number IN"
            " (SELECT number FROM notifications WHERE user = ? ORDER BY number LIMIT ?)",
            (user, surplus),
        )


def find(connection: sqlite3.Connection, id: str) -> Notification | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM notifications WHERE id = ?", (id,)).fetchone()  # noqa: S608  # a constant
    return _notification(row) if row else None


def page(connection: sqlite3.Connection, user: str, unread: bool, before: int, limit: int) -> list[Notification]:
    """The newest first, those with a number below ``before``."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM notifications WHERE user = ? AND {_UNREAD if unread else ''}number < ?"  # noqa: S608  # constants
        " ORDER BY number DESC LIMIT ?",
        (user, before, limit),
    ).fetchall()
    return [_notification(row) for row in rows]


def count_unread(connection: sqlite3.Connection, user: str) -> int:
    row = connection.execute("SELECT count(*) FROM notifications WHERE user = ? AND read = 0", (user,)).fetchone()
    return int(row[0])


def mark_read(connection: sqlite3.Connection, id: str) -> None:
    connection.execute("UPDATE notifications SET read = 1 WHERE id = ?", (id,))


def mark_all_read(connection: sqlite3.Connection, user: str) -> int:
    """Returns how many were not."""
    return connection.execute("UPDATE notifications SET read = 1 WHERE user = ? AND read = 0", (user,)).rowcount


def forget(connection: sqlite3.Connection, cutoff: int) -> int:
    """Delete up to ``STEP`` of those that came before ``cutoff`` (ms); returns how many."""
    return connection.execute(
        "DELETE FROM notifications WHERE created < ? AND number IN"
        " (SELECT number FROM notifications ORDER BY number LIMIT ?)",
        (cutoff, STEP),
    ).rowcount


def _notification(row: tuple[Any, ...]) -> Notification:
    id, user, type, title, message, action_url, read, created, number = row
    return Notification(id, user, type, title, message, action_url, bool(read), created, number)
