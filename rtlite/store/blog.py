"""The blog's tables. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Annotated, TypedDict

import attrs

from rtlite.model import rfc3339
from rtlite.rules import Count, Rule, Timestamp

Slug = Annotated[str, Rule(pattern="^[A-Za-z0-9][A-Za-z0-9._~-]{0,199}$", examples=["hello"])]
Counts = Annotated[dict[str, int], Rule(description="How many there are, by reaction.", examples=[{"like": 12}])]


class ArticleJson(TypedDict):
    """An article and its counters."""

    slug: Slug
    title: str
    author: str
    viewCount: Count
    reactions: Counts
    createdAt: Timestamp


class CommentJson(TypedDict):
    """A comment, as it is listed and as it is told."""

    id: str
    body: str
    author: str
    createdAt: Timestamp


class SubscriberJson(TypedDict):
    """A subscriber of a newsletter."""

    email: str
    subscribed_at: Timestamp


@attrs.frozen
class Article:
    """``milestone`` is the highest view count that was announced; ``created`` is in milliseconds."""

    id: int
    slug: str
    title: str
    author: str
    created: int
    views: int
    milestone: int

    def as_json(self, reactions: dict[str, int]) -> ArticleJson:
        return {
            "slug": self.slug,
            "title": self.title,
            "author": self.author,
            "viewCount": self.views,
            "reactions": reactions,
            "createdAt": rfc3339(self.created),
        }


def insert_article(connection: sqlite3.Connection, slug: str, title: str, author: str, created: int) -> bool:
    """Returns ``False`` if the slug is taken."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO articles (slug, title, author, created) VALUES (?, ?, ?, ?)",
        (slug, title, author, created),
    )
    return cursor.rowcount == 1


def find_article(connection: sqlite3.Connection, slug: str) -> Article | None:
    row = connection.execute(
        "SELECT id, slug, title, author, created, views, milestone FROM articles WHERE slug = ?", (slug,)
    ).fetchone()
    return Article(*row) if row else None


def list_articles(connection: sqlite3.Connection, after: str, limit: int) -> list[Article]:
    """By slug, after ``after``."""
    rows = connection.execute(
        "SELECT id, slug, title, author, created, views, milestone FROM articles WHERE slug > ? ORDER BY slug LIMIT ?",
        (after, limit),
    ).fetchall()
    return [Article(*row) for row in rows]


def visit_salt(connection: sqlite3.Connection, hour: int) -> bytes:
    """The salt of this hour's visitor hashes. Older ones are deleted: then no hash leads back to an address."""
    connection.execute("DELETE FROM visit_salts WHERE hour < ?", (hour,))
    connection.execute("INSERT OR IGNORE INTO visit_salts (hour, salt) VALUES (?, ?)", (hour, secrets.token_bytes(32)))
    return bytes(connection.execute("SELECT salt FROM visit_salts WHERE hour = ?", (hour,)).fetchone()[0])


def record_visit(connection: sqlite3.Connection, hour: int, article: int, visitor: bytes) -> bool:
    """Returns ``False`` if this visitor was here this hour. Forgets some of the visits of earlier hours."""
    connection.execute(
        "DELETE FROM visits WHERE (hour, article, visitor) IN"
        " (SELECT hour, article, visitor FROM visits WHERE hour < ? LIMIT 100)",
        (hour,),
    )
    cursor = connection.execute(
        "INSERT OR IGNORE INTO visits (hour, article, visitor) VALUES (?, ?, ?)", (hour, article, visitor)
    )
    return cursor.rowcount == 1


def set_views(connection: sqlite3.Connection, article: int, views: int, milestone: int) -> None:
    connection.execute("UPDATE articles SET views = ?, milestone = ? WHERE id = ?", (views, milestone, article))


def add_reaction(connection: sqlite3.Connection, article: int, reaction: str, reactor: str, created: int) -> bool:
    """Returns ``False`` if this reactor gave this reaction before."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO reactions (article, reaction, reactor, created) VALUES (?, ?, ?, ?)",
        (article, reaction, reactor, created),
    )
    return cursor.rowcount == 1


def remove_reaction(connection: sqlite3.Connection, article: int, reaction: str, reactor: str) -> bool:
    """Returns ``False`` if there was none."""
    cursor = connection.execute(
        "DELETE FROM reactions WHERE article = ? AND reaction = ? AND reactor = ?", (article, reaction, reactor)
    )
    return cursor.rowcount == 1


def count_reactions(connection: sqlite3.Connection, article: int) -> dict[str, int]:
    rows = connection.execute(
        "SELECT reaction, count(*) FROM reactions WHERE article = ? GROUP BY reaction ORDER BY reaction", (article,)
    ).fetchall()
    return {str(reaction): int(count) for reaction, count in rows}


def insert_comment(connection: sqlite3.Connection, id: str, article: int, author: str, body: str, created: int) -> None:
    connection.execute(
        "INSERT INTO comments (id, article, author, body, created) VALUES (?, ?, ?, ?, ?)",
        (id, article, author, body, created),
    )


def list_comments(connection: sqlite3.Connection, article: int, after: str, limit: int) -> list[CommentJson]:
    """Oldest first; ids are UUIDv7, so they sort by time. ``after`` is the last id seen."""
    rows = connection.execute(
        "SELECT id, author, body, created FROM comments WHERE article = ? AND id > ? ORDER BY id LIMIT ?",
        (article, after, limit),
    ).fetchall()
    return [
        {"id": id, "author": author, "body": body, "createdAt": rfc3339(created)} for id, author, body, created in rows
    ]


def insert_subscriber(connection: sqlite3.Connection, owner: str, email: str, created: int) -> bool:
    """Returns ``False`` if this address is subscribed already."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO subscribers (owner, email, created) VALUES (?, ?, ?)", (owner, email, created)
    )
    return cursor.rowcount == 1


def list_subscribers(connection: sqlite3.Connection, owner: str, after: str, limit: int) -> list[SubscriberJson]:
    rows = connection.execute(
        "SELECT email, created FROM subscribers WHERE owner = ? AND email > ? ORDER BY email LIMIT ?",
        (owner, after, limit),
    ).fetchall()
    return [{"email": email, "subscribed_at": rfc3339(created)} for email, created in rows]
