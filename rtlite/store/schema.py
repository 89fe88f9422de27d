"""The tables, as numbered migrations: each runs once, in order, inside one transaction.

``PRAGMA user_version`` counts the migrations a file has had. A file with more than this
program knows was made by a newer one and is left alone.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rtlite.model import new_epoch

_UNSYNCED: Final = "unsynced_boot"
APPLICATION_ID: Final = 0x72746C74  # "rtlt": says whose SQLite file this is


def _first(connection: sqlite3.Connection) -> None:
    for statement in (
        """CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID""",
        # top: the newest offset; oldest: the first one still kept (top + 1 if none is);
        # bytes: of the data kept; trimmed: the highest sequence that retention deleted.
        """CREATE TABLE channels (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, epoch TEXT NOT NULL,
            top INTEGER NOT NULL, oldest INTEGER NOT NULL, oldest_timestamp INTEGER NOT NULL,
            newest_timestamp INTEGER NOT NULL, bytes INTEGER NOT NULL, trimmed INTEGER NOT NULL)""",
        """CREATE INDEX channels_by_age ON channels (kind, oldest_timestamp)""",
        """CREATE TABLE events (
            sequence INTEGER PRIMARY KEY, channel INTEGER NOT NULL REFERENCES channels, offset INTEGER NOT NULL,
            id TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, timestamp INTEGER NOT NULL)""",
        """CREATE UNIQUE INDEX events_by_offset ON events (channel, offset)""",
        """CREATE UNIQUE INDEX events_by_id ON events (channel, id)""",
        """CREATE INDEX events_by_time ON events (channel, timestamp)""",
        """CREATE TABLE keys (
            id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, kind TEXT NOT NULL,
            user TEXT NOT NULL, name TEXT NOT NULL, write INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER,
            last_used INTEGER, revoked INTEGER) WITHOUT ROWID""",
        """CREATE TABLE articles (
            id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, title TEXT NOT NULL, author TEXT NOT NULL,
            created INTEGER NOT NULL, views INTEGER NOT NULL DEFAULT 0, milestone INTEGER NOT NULL DEFAULT 0)""",
        """CREATE TABLE visits (
            hour INTEGER NOT NULL, article INTEGER NOT NULL REFERENCES articles, visitor BLOB NOT NULL,
            PRIMARY KEY (hour, article, visitor)) WITHOUT ROWID""",
        """CREATE TABLE visit_salts (hour INTEGER PRIMARY KEY, salt BLOB NOT NULL)""",
        """CREATE TABLE reactions (
            article INTEGER NOT NULL REFERENCES articles, reaction TEXT NOT NULL, reactor TEXT NOT NULL,
            created INTEGER NOT NULL, PRIMARY KEY (article, reaction, reactor)) WITHOUT ROWID""",
        """CREATE TABLE comments (
            id TEXT PRIMARY KEY, article INTEGER NOT NULL REFERENCES articles, author TEXT NOT NULL, body TEXT NOT NULL,
            created INTEGER NOT NULL) WITHOUT ROWID""",
        """CREATE INDEX comments_by_article ON comments (article, created)""",
        """CREATE TABLE subscribers (
            owner TEXT NOT NULL, email TEXT NOT NULL, created INTEGER NOT NULL,
            PRIMARY KEY (owner, email)) WITHOUT ROWID""",
    ):
        connection.execute(statement)


def _conversations(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE members (
            conversation TEXT NOT NULL, user TEXT NOT NULL, write INTEGER NOT NULL, added INTEGER NOT NULL,
            PRIMARY KEY (conversation, user)) WITHOUT ROWID"""
    )


def _presence(connection: sqlite3.Connection) -> None:
    # last_seen: milliseconds since 1970; NULL while the user is present.
    connection.execute(
        """CREATE TABLE presence (
            channel TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, last_seen INTEGER,
            PRIMARY KEY (channel, user)) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX presence_by_age ON presence (kind, last_seen)")


def _streams(connection: sqlite3.Connection) -> None:
    # age (seconds), count and bytes are NULL where the kind's retention holds.
    connection.execute(
        """CREATE TABLE streams (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, store_history INTEGER NOT NULL, age REAL, count INTEGER,
            bytes INTEGER, created INTEGER NOT NULL) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX streams_by_owner ON streams (owner)")


def _webhooks(connection: sqlite3.Connection) -> None:
    for statement in (
        # cursor: the sequence of the last event in the history that the endpoint took.
        """CREATE TABLE webhooks (
            id TEXT PRIMARY KEY, url TEXT NOT NULL, channels TEXT NOT NULL, description TEXT NOT NULL,
            secret TEXT NOT NULL, old_secret TEXT, old_secret_until INTEGER, created INTEGER NOT NULL,
            cursor INTEGER NOT NULL, disabled TEXT, attempts INTEGER NOT NULL, next_attempt INTEGER,
            failing INTEGER NOT NULL, failing_since INTEGER, lost INTEGER NOT NULL) WITHOUT ROWID""",
        # AUTOINCREMENT: a number names a message to its receiver, and must not be given out twice.
        """CREATE TABLE webhook_queue (
            id INTEGER PRIMARY KEY AUTOINCREMENT, webhook TEXT NOT NULL, body BLOB NOT NULL)""",
        """CREATE INDEX webhook_queue_by_webhook ON webhook_queue (webhook, id)""",
        """CREATE TABLE webhook_attempts (
            id INTEGER PRIMARY KEY, webhook TEXT NOT NULL, message TEXT NOT NULL, type TEXT NOT NULL, channel TEXT,
            attempt INTEGER NOT NULL, at INTEGER NOT NULL, duration INTEGER NOT NULL, status INTEGER, error TEXT)""",
        """CREATE INDEX webhook_attempts_by_webhook ON webhook_attempts (webhook, id)""",
    ):
        connection.execute(statement)


def _jobs(connection: sqlite3.Connection) -> None:
    for statement in (
        # number: in the order of creation. progress is whole where it can be. ended: NULL until the job is over.
        """CREATE TABLE jobs (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, status TEXT NOT NULL,
            progress NUMERIC, user TEXT, result BLOB, error TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL,
            ended INTEGER)""",
        # Each index ends with the number, as all of SQLite's do.
        """CREATE INDEX jobs_by_status ON jobs (status)""",
        """CREATE INDEX jobs_by_user ON jobs (user) WHERE user IS NOT NULL""",
        """CREATE INDEX jobs_by_user_and_status ON jobs (user, status) WHERE user IS NOT NULL""",
        """CREATE INDEX jobs_by_age ON jobs (updated)""",
        """CREATE INDEX jobs_by_end ON jobs (ended) WHERE ended IS NOT NULL""",
        """CREATE TABLE notifications (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, type TEXT NOT NULL,
            title TEXT NOT NULL, message TEXT, action_url TEXT, read INTEGER NOT NULL, created INTEGER NOT NULL)""",
        """CREATE INDEX notifications_by_user ON notifications (user)""",
        """CREATE INDEX notifications_by_read ON notifications (user, read)""",
    ):
        connection.execute(statement)


def _records(connection: sqlite3.Connection) -> None:
    for statement in (
        # indexes: fields of the data, a JSON list; ready: those of them that hold every record by now.
        """CREATE TABLE models (
            number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, schema TEXT, private INTEGER NOT NULL,
            indexes TEXT NOT NULL, ready TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL)""",
        # AUTOINCREMENT: a page may begin after a record that is gone. natural_key: '' where there is none.
        """CREATE TABLE records (
            number INTEGER PRIMARY KEY AUTOINCREMENT, model INTEGER NOT NULL REFERENCES models, id TEXT NOT NULL UNIQUE,
            natural_key TEXT NOT NULL, data TEXT NOT NULL, version INTEGER NOT NULL, published_version INTEGER,
            created INTEGER NOT NULL, updated INTEGER NOT NULL)""",
        """CREATE INDEX records_by_model ON records (model)""",
        """CREATE INDEX records_by_update ON records (model, updated)""",
        """CREATE INDEX records_by_natural_key ON records (model, natural_key)""",
        """CREATE UNIQUE INDEX records_natural_key ON records (model, natural_key) WHERE natural_key <> ''""",
        """CREATE INDEX records_published ON records (model) WHERE published_version IS NOT NULL""",
        """CREATE TABLE record_versions (
            record INTEGER NOT NULL REFERENCES records, version INTEGER NOT NULL, data TEXT NOT NULL,
            created INTEGER NOT NULL)""",
        """CREATE UNIQUE INDEX record_versions_by_number ON record_versions (record, version)""",
        # published: 1 of the published data, 0 of the data as it stands. kind, value: rtlite.store.filters.index_key.
        """CREATE TABLE record_fields (
            model INTEGER NOT NULL, published INTEGER NOT NULL, path TEXT NOT NULL, kind INTEGER NOT NULL,
            value NOT NULL, number INTEGER NOT NULL,
            PRIMARY KEY (model, published, path, kind, value, number)) WITHOUT ROWID""",
    ):
        connection.execute(statement)


def _documents(connection: sqlite3.Connection) -> None:
    for statement in (
        # top, bytes: of the updates; squashed: bytes when they were last replaced by fewer. AUTOINCREMENT: no room
        # gets the updates of one that was deleted while a write was under way.
        """CREATE TABLE documents (
            id INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL UNIQUE, top INTEGER NOT NULL,
            bytes INTEGER NOT NULL, squashed INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
            announced INTEGER NOT NULL)""",
        """CREATE INDEX documents_unannounced ON documents (id) WHERE announced < updated""",
        # waits: it was stored before what it builds on. checksum: see documents.checksum.
        """CREATE TABLE document_updates (
            document INTEGER NOT NULL, number INTEGER NOT NULL, waits INTEGER NOT NULL, checksum INTEGER NOT NULL,
            data BLOB NOT NULL, PRIMARY KEY (document, number)) WITHOUT ROWID""",
        """CREATE TABLE document_snapshots (
            id TEXT PRIMARY KEY, document INTEGER NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
            user TEXT NOT NULL, data BLOB NOT NULL)""",
        """CREATE INDEX document_snapshots_by_document ON document_snapshots (document, created)""",
    ):
        connection.execute(statement)


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _first,
    _conversations,
    _presence,
    _streams,
    _webhooks,
    _jobs,
    _records,
    _documents,
)


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has had; 0 if it is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this program's version, and give a restored copy its new epochs."""
    for number in range(version(connection), len(MIGRATIONS)):
        with _transaction(connection):
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('epoch', ?)", (new_epoch(),))
    if get_meta(connection, "is_copy"):
        _renew_epochs(connection)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _renew_epochs(connection: sqlite3.Connection) -> None:
    """A restored copy lacks what came after it, so no old position holds in it."""
    epoch = new_epoch()
    with _transaction(connection):
        connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        connection.execute("UPDATE channels SET epoch = ?", (epoch,))
        connection.execute("DELETE FROM meta WHERE name = 'is_copy'")


def begin_unsynced(connection: sqlite3.Connection, boot: str) -> None:
    """Before the first commit without fsync: note under which boot of the machine they begin.

    If the last run had such commits, did not end in order, and the machine was booted since,
    acknowledged events may be gone, and their offsets free to be given out again. Then no old
    position holds. A killed process alone loses nothing, and the epochs stay.
    """
    if get_meta(connection, _UNSYNCED) not in {None, boot}:
        _renew_epochs(connection)
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (_UNSYNCED, boot))


def end_unsynced(connection: sqlite3.Connection) -> None:
    """After an orderly end, or with fsync at every commit: nothing can be missing."""
    connection.execute("DELETE FROM meta WHERE name = ?", (_UNSYNCED,))


def commits_unsynced(connection: sqlite3.Connection) -> bool:
    """Whether the last run had commits without fsync, and did not end in order."""
    return get_meta(connection, _UNSYNCED) is not None


def mark_as_copy(connection: sqlite3.Connection) -> None:
    """Say in a backup that it is one."""
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('is_copy', '1')")


def get_meta(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def store_epoch(connection: sqlite3.Connection) -> str:
    """The epoch that new channels begin with, so that a position before the first event holds too."""
    return str(get_meta(connection, "epoch"))


def secret(connection: sqlite3.Connection, name: str) -> str:
    """A random secret of the server's own, made when first asked for: 64 URL-safe characters."""
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", (name, secrets.token_urlsafe(48)))
    return str(get_meta(connection, name))
