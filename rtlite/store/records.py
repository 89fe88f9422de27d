"""Records, their versions, and the values of those fields that their model has indexed.

Every function runs on a database thread, in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypedDict

import attrs
import orjson

from rtlite.model import rfc3339
from rtlite.rules import Id, Offset, Rule, Timestamp, User
from rtlite.store.filters import Path, index_key, look_up
from rtlite.store.models import Model

Data = Annotated[Any, Rule(type="object", examples=[{"name": "Blue mug", "price": 12.5}])]


class RecordJson(TypedDict):
    """A record as it stands, or as it is published."""

    id: Id
    modelKey: Id
    naturalKey: User | None
    data: Data
    version: Offset
    publishedVersion: Offset | None
    createdAt: Timestamp
    updatedAt: Timestamp


class VersionJson(TypedDict):
    """What a record was."""

    version: Offset
    data: Data
    createdAt: Timestamp
    published: bool


@attrs.frozen
class Record:
    """A record as it stands, or as it is published.

    ``data`` is a JSON object as text; ``version`` counts from 1; ``created`` and ``updated`` are in
    milliseconds since 1970; ``number`` is its place in the order in which all records were made.
    """

    id: str
    model_key: str
    natural_key: str | None
    data: bytes
    version: int
    published_version: int | None
    created: int
    updated: int
    number: int = 0

    def as_json(self) -> RecordJson:
        """Ready for orjson, which takes the data as it is: to read a megabyte of lists takes half a second."""
        return {
            "id": self.id,
            "modelKey": self.model_key,
            "naturalKey": self.natural_key,
            "data": orjson.Fragment(self.data),
            "version": self.version,
            "publishedVersion": self.published_version,
            "createdAt": rfc3339(self.created),
            "updatedAt": rfc3339(self.updated),
        }


@attrs.frozen
class Version:
    """What a record was; ``created`` is in milliseconds since 1970."""

    version: int
    data: bytes
    created: int
    published: bool

    def as_json(self) -> VersionJson:
        return {
            "version": self.version,
            "data": orjson.Fragment(self.data),
            "createdAt": rfc3339(self.created),
            "published": self.published,
        }


# What a record is read from, and the columns that make it: as it stands, and as it is published.
DRAFT: Final = "records r"
DRAFT_COLUMNS: Final = (
    "r.id, r.natural_key, r.data, r.version, r.published_version, r.created, r.updated, r.number"  # of _record()
)
PUBLISHED: Final = "records r JOIN record_versions v ON v.record = r.number AND v.version = r.published_version"
_FIELDS_KEY: Final = "model, published, path, kind, value, number"
PUBLISHED_COLUMNS: Final = "r.id, r.natural_key, v.data, v.version, r.published_version, r.created, v.created, r.number"


def find(connection: sqlite3.Connection, model: Model, id: str, *, published: bool = False) -> Record | None:
    """:param published: as it is published; a record that is not is not found."""
    return _find(connection, model, id, published=published)


def find_by_natural_key(
    connection: sqlite3.Connection, model: Model, key: str, *, published: bool = False
) -> Record | None:
    return _find(connection, model, key, published=published, by_natural_key=True)


def _find(
    connection: sqlite3.Connection, model: Model, value: str, *, published: bool, by_natural_key: bool = False
) -> Record | None:
    row = connection.execute(
        f"SELECT {PUBLISHED_COLUMNS if published else DRAFT_COLUMNS}"  # noqa: S608  # constants of this module
        f" FROM {PUBLISHED if published else DRAFT}"
        f" WHERE r.model = ? AND {'r.natural_key' if by_natural_key else 'r.id'} = ?",
        (model.number, value),
    ).fetchone()
    return record_of(model.key, row) if row else None


def is_taken(connection: sqlite3.Connection, id: str) -> bool:
    """Whether a record of any model has this id."""
    return connection.execute("SELECT 1 FROM records WHERE id = ?", (id,)).fetchone() is not None


def insert(connection: sqlite3.Connection, model: Model, record: Record) -> Record:
    """Add a record, and its first version; returns it with its number."""
    data = record.data.decode()
    row = (model.number, record.id, record.natural_key or "", data, record.version, record.created, record.updated)
    cursor = connection.execute(
        "INSERT INTO records (model, id, natural_key, data, version, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    number = cursor.lastrowid or 0
    _add_version(connection, number, record.version, data, record.created)
    _index(connection, model, number, None, record.data, published=False)
    return attrs.evolve(record, number=number)


def update(connection: sqlite3.Connection, model: Model, before: Record, after: Record, keep: int) -> None:
    """Store new data as a new version, and forget the oldest of more than ``keep``; never the published one."""
    data = after.data.decode()
    connection.execute(
        "UPDATE records SET data = ?, version = ?, updated = ? WHERE number = ?",
        (data, after.version, after.updated, after.number),
    )
    _add_version(connection, after.number, after.version, data, after.updated)
    connection.execute(
        "DELETE FROM record_versions WHERE record = ? AND version <= ? AND version IS NOT ?",
        (after.number, after.version - keep, after.published_version),
    )
    _index(connection, model, after.number, before.data, after.data, published=False)


def set_published(
    connection: sqlite3.Connection, model: Model, before: Record, version: int | None, updated: int
) -> None:
    """Make a version the published one, or none."""
    was = version_data(connection, before.number, before.published_version)
    now = version_data(connection, before.number, version)
    connection.execute(
        "UPDATE records SET published_version = ?, updated = ? WHERE number = ?", (version, updated, before.number)
    )
    _index(connection, model, before.number, was, now, published=True)


def delete(connection: sqlite3.Connection, model: Model, record: Record) -> None:
    """Delete a record, and all that it was."""
    _index(connection, model, record.number, record.data, None, published=False)
    was = version_data(connection, record.number, record.published_version)
    _index(connection, model, record.number, was, None, published=True)
    connection.execute("DELETE FROM record_versions WHERE record = ?", (record.number,))
    connection.execute("DELETE FROM records WHERE number = ?", (record.number,))


def version_data(connection: sqlite3.Connection, number: int, version: int | None) -> bytes | None:
    row = connection.execute(
        "SELECT data FROM record_versions WHERE record = ? AND version = ?", (number, version)
    ).fetchone()
    return row[0].encode() if row else None


def find_version(connection: sqlite3.Connection, record: Record, version: int) -> Version | None:
    found = list_versions(connection, record, version + 1, 1, 0)[0]
    return found[0] if found and found[0].version == version else None


def list_versions(
    connection: sqlite3.Connection, record: Record, before: int, limit: int, size: int
) -> tuple[list[Version], bool]:
    """The newest first, those before the version ``before``; and whether there are more.

    :param size: bytes of data, after which it is enough.
    """
    cursor = connection.execute(
        "SELECT version, data, created FROM record_versions WHERE record = ? AND version < ?"
        " ORDER BY version DESC LIMIT ?",
        (record.number, before, limit + 1),
    )
    found: list[Version] = []
    bytes = 0
    for version, data, created in cursor:
        if len(found) == limit or (found and bytes >= size):
            cursor.close()
            return found, True
        found.append(Version(version, data.encode(), created, version == record.published_version))
        bytes += len(found[-1].data)
    return found, False


def index_step(
    connection: sqlite3.Connection, model: Model, paths: Iterable[Path], after: int, limit: int, size: int
) -> int | None:
    """Index up to ``limit`` records after the number ``after``; returns the last one's, ``None`` at the end.

    :param size: bytes of data, after which it is enough.
    """
    paths = tuple(paths)
    cursor = connection.execute(
        "SELECT r.number, r.data, v.data FROM records r"
        " LEFT JOIN record_versions v ON v.record = r.number AND v.version = r.published_version"
        " WHERE r.model = ? AND r.number > ? ORDER BY r.number LIMIT ?",
        (model.number, after, limit),
    )
    last: int | None = None
    for last, data, published in cursor:
        _write_index(connection, model, last, paths, orjson.loads(data), published=False)
        if published is not None:
            _write_index(connection, model, last, paths, orjson.loads(published), published=True)
        size -= len(data)
        if size <= 0:
            break
    cursor.close()
    return last


def drop_index_step(connection: sqlite3.Connection, model: Model, path: str, limit: int) -> bool:
    """Forget up to ``limit`` values of a field that is not indexed any more; returns whether there were some."""
    gone = connection.execute(
        f"DELETE FROM record_fields WHERE ({_FIELDS_KEY}) IN (SELECT {_FIELDS_KEY} FROM record_fields"  # noqa: S608  # a constant
        " WHERE model = ? AND published IN (0, 1) AND path = ? LIMIT ?)",
        (model.number, path, limit),
    )
    return gone.rowcount > 0


def record_of(model: str, row: tuple[Any, ...]) -> Record:
    """A record from the columns named above."""
    id, natural_key, data, *rest = row
    return Record(id, model, natural_key or None, data.encode(), *rest)


def _add_version(connection: sqlite3.Connection, number: int, version: int, data: str, created: int) -> None:
    connection.execute(
        "INSERT INTO record_versions (record, version, data, created) VALUES (?, ?, ?, ?)",
        (number, version, data, created),
    )


def _index(
    connection: sqlite3.Connection,
    model: Model,
    number: int,
    before: bytes | None,
    after: bytes | None,
    *,
    published: bool,
) -> None:
    """Bring the indexed fields from what the data was to what it is; ``None`` is no data."""
    if not model.indexes or before == after:
        return
    was = orjson.loads(before) if before is not None else None
    now = orjson.loads(after) if after is not None else None
    for path in model.paths:
        old = None if was is None else index_key(look_up(was, path))
        new = None if now is None else index_key(look_up(now, path))
        if old is not None and old != new:
            connection.execute(
                "DELETE FROM record_fields"
                " WHERE model = ? AND published = ? AND path = ? AND kind = ? AND value = ? AND number = ?",
                (model.number, published, ".".join(path), *old, number),
            )
    if now is not None:
        _write_index(connection, model, number, model.paths, now, published=published)


def _write_index(
    connection: sqlite3.Connection, model: Model, number: int, paths: Iterable[Path], data: Any, *, published: bool
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO record_fields (model, published, path, kind, value, number) VALUES (?, ?, ?, ?, ?, ?)",
        [(model.number, published, ".".join(path), *index_key(look_up(data, path)), number) for path in paths],
    )
