"""API keys at rest: a SHA-256 digest and what to show of each; never the key itself.

Every function takes the connection that :meth:`Database.write` or ``read`` hands it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final, TypedDict

import attrs

from rtlite.model import Kind, rfc3339
from rtlite.rules import Timestamp, User


class KeyJson(TypedDict):
    """A key, without its secret: `prefix` is how that begins. `write` is false for a project key that may only read."""

    id: str
    prefix: str
    kind: str
    user: User
    name: str
    write: bool
    created: Timestamp
    expires: Timestamp | None
    last_used: Timestamp | None
    revoked: Timestamp | None


@attrs.frozen(slots=True)
class Key:
    """What is known of one API key. All times are in milliseconds since 1970, or ``None``.

    ``id`` is ``key_`` and 12 hexadecimal characters; ``prefix`` is the beginning of the
    secret, enough to recognise it and too little to use it; ``write`` is a project key's
    scope.
    """

    id: str
    prefix: str
    kind: Kind
    user: str
    name: str
    write: bool
    created: int
    expires: int | None = None
    last_used: int | None = None
    revoked: int | None = None

    def in_force(self, at: int) -> bool:
        """Whether the key holds at ``at`` (milliseconds since 1970): neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or at < self.expires)

    def as_json(self) -> KeyJson:
        """The key for lists and answers: times as RFC 3339, and neither secret nor digest."""
        return {
            "id": self.id,
            "prefix": self.prefix,
            "kind": self.kind.value,
            "user": self.user,
            "name": self.name,
            "write": self.write or self.kind is not Kind.PROJECT,
            "created": rfc3339(self.created),
            "expires": _time(self.expires),
            "last_used": _time(self.last_used),
            "revoked": _time(self.revoked),
        }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


_COLUMNS: Final = "id, prefix, kind, user, name, write, created, expires, last_used, revoked"


def insert(connection: sqlite3.Connection, key: Key, digest: bytes) -> None:
    """Store a new key under the SHA-256 digest of its secret.

    :raises sqlite3.IntegrityError: the id or the digest is there already.
    """
    connection.execute(
        f"INSERT INTO keys (hash, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # constant names
        (
            digest, key.id, key.prefix, key.kind.value, key.user, key.name, key.write,
            key.created, key.expires, key.last_used, key.revoked,
        ),
    )  # fmt: skip


def all(connection: sqlite3.Connection) -> list[tuple[bytes, Key]]:
    """Every key, revoked ones too, each with its digest; the oldest first."""
    rows = connection.execute(f"SELECT hash, {_COLUMNS} FROM keys ORDER BY created, id").fetchall()  # noqa: S608  # the same
    return [
        (
            bytes(digest),
            Key(id, prefix, Kind(kind), user, name, bool(write), created, expires, last_used, revoked),
        )
        for digest, id, prefix, kind, user, name, write, created, expires, last_used, revoked in rows
    ]


def revoke(connection: sqlite3.Connection, key_id: str, at: int) -> bool:
    """Revoke a key at ``at``; ``False`` if there is none or it was revoked before, whose time stays."""
    cursor = connection.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (at, key_id))
    return cursor.rowcount == 1


def touch(connection: sqlite3.Connection, times: Mapping[str, int]) -> None:
    """Note when keys were last used, by id. A time never goes back; unknown ids are left out."""
    connection.executemany(
        "UPDATE keys SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?",
        [(at, key_id) for key_id, at in times.items()],
    )
