"""Models: what kinds of records there are. Every function runs on a database thread, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, TypedDict

import attrs
import orjson

from rtlite.model import rfc3339
from rtlite.rules import Id, Timestamp
from rtlite.store.filters import Path, parse_path


class ModelJson(TypedDict):
    """A kind of records; `schema` is the JSON Schema that their data must fit."""

    key: Id
    schema: Any
    private: bool
    indexes: list[str]
    createdAt: Timestamp
    updatedAt: Timestamp


@attrs.frozen
class Model:
    """A kind of records.

    ``schema`` is a JSON Schema as text, which their data must fit; ``indexes`` are the fields of their
    data that can be filtered and ordered by however many records there are, and ``ready`` those of
    them that hold every record by now. ``created`` and ``updated`` are in milliseconds since 1970.
    """

    key: str
    schema: bytes | None = None
    private: bool = False
    indexes: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    created: int = 0
    updated: int = 0
    number: int = 0

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(parse_path(index) for index in self.indexes)

    def as_json(self) -> ModelJson:
        return {
            "key": self.key,
            "schema": None if self.schema is None else orjson.loads(self.schema),
            "private": self.private,
            "indexes": list(self.indexes),
            "createdAt": rfc3339(self.created),
            "updatedAt": rfc3339(self.updated),
        }


_COLUMNS: Final = "key, schema, private, indexes, ready, created, updated, number"


def find(connection: sqlite3.Connection, key: str) -> Model | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM models WHERE key = ?", (key,)).fetchone()  # noqa: S608  # a constant
    return _model(row) if row else None


def put(connection: sqlite3.Connection, model: Model) -> Model:
    """Add a model, or change the one of this key; returns it with its number."""
    connection.execute(
        "INSERT INTO models (key, schema, private, indexes, ready, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET schema = excluded.schema, private = excluded.private,"
        " indexes = excluded.indexes, ready = excluded.ready, updated = excluded.updated",
        (
            model.key,
            None if model.schema is None else model.schema.decode(),
            model.private,
            orjson.dumps(model.indexes).decode(),
            orjson.dumps(model.ready).decode(),
            model.created,
            model.updated,
        ),
    )
    number = connection.execute("SELECT number FROM models WHERE key = ?", (model.key,)).fetchone()[0]
    return attrs.evolve(model, number=number)


def delete(connection: sqlite3.Connection, model: Model) -> None:
    """Delete a model that has no records."""
    connection.execute("DELETE FROM record_fields WHERE model = ?", (model.number,))
    connection.execute("DELETE FROM models WHERE number = ?", (model.number,))


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM models").fetchone()[0])


def has_records(connection: sqlite3.Connection, model: Model) -> bool:
    return connection.execute("SELECT 1 FROM records WHERE model = ? LIMIT 1", (model.number,)).fetchone() is not None


def page(connection: sqlite3.Connection, after: str, limit: int) -> list[Model]:
    """By key, after ``after``."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM models WHERE key > ? ORDER BY key LIMIT ?",  # noqa: S608  # a constant
        (after, limit),
    ).fetchall()
    return [_model(row) for row in rows]


def private(connection: sqlite3.Connection) -> list[str]:
    """The keys of those that are not for everyone."""
    return [key for (key,) in connection.execute("SELECT key FROM models WHERE private").fetchall()]


def unready(connection: sqlite3.Connection) -> list[str]:
    """The keys of those whose indexes were not made to the end."""
    return [key for (key,) in connection.execute("SELECT key FROM models WHERE ready <> indexes").fetchall()]


def _model(row: tuple[Any, ...]) -> Model:
    key, schema, private, indexes, ready, created, updated, number = row
    return Model(
        key,
        None if schema is None else schema.encode(),
        bool(private),
        tuple(orjson.loads(indexes)),
        tuple(orjson.loads(ready)),
        created,
        updated,
        number,
    )
