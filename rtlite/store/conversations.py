"""Who is in which conversation. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import TypedDict

import attrs

from rtlite.model import rfc3339
from rtlite.rules import Timestamp, User


class ConversationMember(TypedDict):
    """A member of a conversation; `write` is the right to post."""

    user: User
    write: bool
    added: Timestamp


@attrs.frozen
class Member:
    """``write`` is the right to post; ``added`` is in milliseconds since 1970."""

    user: str
    write: bool
    added: int

    def as_json(self) -> ConversationMember:
        return {"user": self.user, "write": self.write, "added": rfc3339(self.added)}


def put_member(connection: sqlite3.Connection, conversation: str, member: Member) -> None:
    """Add a member, or give one the right to post or take it away."""
    connection.execute(
        "INSERT INTO members (conversation, user, write, added) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (conversation, user) DO UPDATE SET write = excluded.write",
        (conversation, member.user, member.write, member.added),
    )


def delete_member(connection: sqlite3.Connection, conversation: str, user: str) -> None:
    connection.execute("DELETE FROM members WHERE conversation = ? AND user = ?", (conversation, user))


def find_member(connection: sqlite3.Connection, conversation: str, user: str) -> Member | None:
    row = connection.execute(
        "SELECT user, write, added FROM members WHERE conversation = ? AND user = ?", (conversation, user)
    ).fetchone()
    return _member(row) if row else None


def list_members(connection: sqlite3.Connection, conversation: str, after: str, limit: int) -> list[Member]:
    """By user, after ``after``."""
    rows = connection.execute(
        "SELECT user, write, added FROM members WHERE conversation = ? AND user > ? ORDER BY user LIMIT ?",
        (conversation, after, limit),
    ).fetchall()
    return [_member(row) for row in rows]


def count_members(connection: sqlite3.Connection, conversation: str) -> int:
    row = connection.execute("SELECT count(*) FROM members WHERE conversation = ?", (conversation,)).fetchone()
    return int(row[0])


def _member(row: tuple[str, int, int]) -> Member:
    user, write, added = row
    return Member(user, bool(write), added)
