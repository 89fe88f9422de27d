"""Models: the kinds of records; which are private, what their data must look like, what it is found by.

A model that was never set exists by its first record, and is open to all who may read changes.
Which models are private is known in memory, so that a right needs no database.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Final

import attrs
import trio

from rtlite.auth.grants import may_subscribe, reads_private
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import Identity, matches, now_ms
from rtlite.settings import Settings
from rtlite.store import events, records
from rtlite.store import models as tables
from rtlite.store.database import Database
from rtlite.store.filters import parse_path
from rtlite.store.models import Model
from rtlite.transports.connections import Connections

PAGE: Final = 100
_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,63}")
_CHANGES: Final = "changes:"
_STEP: Final = 500  # records that are indexed in one transaction, a few milliseconds
_STEP_BYTES: Final = 1024 * 1024


class _Unchanged:
    """Leaves the schema as it is; ``None`` takes it away."""


UNCHANGED: Final = _Unchanged()


def check_model(key: str) -> str:
    """Return a model's key, which stands in paths and in channels' names as it is.

    :raises InvalidRequest: unless it is 1 to 64 ASCII letters, digits and ``-_.~``, the last two not first.
    """
    if not _KEY.fullmatch(key):
        raise InvalidRequest("modelKey: 1 to 64 letters, digits and any of -_.~ (the last two not first)")
    return key


def channel_of(model: str) -> str:
    """The channel on which changes of the model's records are told."""
    return _CHANGES + model


class Models:
    """The models of one server. :meth:`load` comes before all else."""

    def __init__(self, hub: Hub, database: Database, connections: Connections, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._connections = connections
        self._settings = settings
        self._private: set[str] = set()
        self._changing = trio.Lock()

    async def load(self) -> None:
        """Read which are private, and make the indexes that a killed server did not make to the end."""
        self._private = set(await self._database.read(tables.private))
        for key in await self._database.read(tables.unready):
            await self._build(key)

    # --- rights

    def is_open(self, identity: Identity, channel: str) -> bool:
        """Whether no private model stands between ``identity`` and ``channel``, a name or a pattern."""
        if not self._private or not channel.startswith(_CHANGES):
            return True
        return all(
            reads_private(identity, channel_of(key), self._settings)
            for key in self._private
            if matches(channel, channel_of(key))
        )

    # --- managing them

    async def find(self, key: str) -> Model:
        """:raises NotFound: there is none."""
        found = await self._database.read(lambda connection: tables.find(connection, key))
        if found is None:
            raise NotFound("no such model")
        return found

    async def list(self, after: str = "", limit: int = PAGE) -> tuple[list[Model], str | None]:
        """A page by key, and where the next begins."""
        found = await self._database.read(lambda connection: tables.page(connection, after, limit + 1))
        return found[:limit], found[limit - 1].key if len(found) > limit else None

    async def put(
        self,
        key: str,
        schema: object = UNCHANGED,
        private: bool | None = None,
        indexes: Sequence[str] | None = None,
    ) -> tuple[Model, bool]:
        """Make a model or change it; what is not given stays. Returns it, and whether it is new.

        When this returns, nothing of a model that became private reaches whom it is not for, and new
        indexes serve. A schema is for what is written from now on.

        :param schema: a JSON Schema, or ``None`` for none. :param indexes: fields of the data.
        :raises InvalidRequest: one of them breaks its rule. :raises Conflict: there are too many models.
        """
        check_model(key)
        keeps = schema is UNCHANGED
        text = None
        if not keeps and schema is not None:
            text = await trio.to_thread.run_sync(_parsed, schema, self._settings.model_schema)
        fields = None if indexes is None else self._fields(indexes)

        def work(transaction: Transaction) -> tuple[Model, Model | None]:
            connection = transaction.connection
            known = tables.find(connection, key)
            before = known or self.added(connection, key)
            model = attrs.evolve(before, updated=now_ms())
            if not keeps:
                model = attrs.evolve(model, schema=text)
            if private is not None:
                model = attrs.evolve(model, private=private)
            if fields is not None:
                ready = tuple(field for field in fields if field in before.ready)
                model = attrs.evolve(model, indexes=fields, ready=ready)
            return tables.put(connection, model), known

        async with self._changing:
            # In order with what is published, and even if who asked for it is gone when it is stored.
            model, before = await self._hub.reconfigure(work, lambda done: self._set_private(key, done[0].private))
            for field in set(before.indexes if before else ()) - set(model.indexes):
                await self._forget(model, field)
            if model.ready != model.indexes:
                model = await self._build(key) or model
        return model, before is None

    async def delete(self, key: str) -> None:
        """Forget what was set.

        :raises NotFound: there is none. :raises Conflict: it has records; or it is private, and its channel keeps
            what they were, which would be open then.
        """
        channel = channel_of(key)

        def work(transaction: Transaction) -> None:
            model = tables.find(transaction.connection, key)
            if model is None:
                raise NotFound("no such model")
            if tables.has_records(transaction.connection, model):
                raise Conflict("the model has records; delete them first", code="model_in_use")
            kept = events.channel_info(transaction.connection, channel)
            if model.private and kept is not None and kept.oldest <= kept.top:
                complaint = f"the model is private, and {channel} keeps events; open it first, or wait"
                raise Conflict(complaint, code="model_in_use")
            tables.delete(transaction.connection, model)

        async with self._changing:
            await self._hub.reconfigure(work, lambda _: self._set_private(key, False))

    def added(self, connection: sqlite3.Connection, key: str) -> Model:
        """A new model, stored, on the database thread. :raises Conflict: there are too many."""
        if tables.count(connection) >= self._settings.max_models:
            raise Conflict(f"there are {self._settings.max_models} models at most", code="too_many_models")
        now = now_ms()
        return tables.put(connection, Model(key, created=now, updated=now))

    # --- what a change brings with it

    def _set_private(self, key: str, private: bool) -> None:
        if not private:
            self._private.discard(key)
            return
        self._private.add(key)
        for channel in (channel_of(key), channel_of("*")):
            # Whoever may not read it for another reason is not here.
            self._connections.drop(channel, lambda identity, channel=channel: self._has_lost(identity, channel))  # type: ignore[misc]

    def _has_lost(self, identity: Identity, channel: str) -> bool:
        return may_subscribe(identity, channel, self._settings) and not self.is_open(identity, channel)

    def _fields(self, indexes: Sequence[str]) -> tuple[str, ...]:
        if len(indexes) > self._settings.model_indexes:
            raise InvalidRequest(f"indexes: {self._settings.model_indexes} at most")
        return tuple(dict.fromkeys(".".join(parse_path(index)) for index in indexes))

    async def _build(self, key: str) -> Model | None:
        """Put every record into the model's new indexes, step by step, so that others write meanwhile.

        What is written meanwhile is indexed as it is written. Returns the model as it is then.
        """
        model = await self._database.read(lambda connection: tables.find(connection, key))
        if model is None:
            return None
        new = [field for field in model.indexes if field not in model.ready]
        for field in new:  # what is left of an index of this name, which nobody kept
            await self._forget(model, field)
        paths = [parse_path(field) for field in new]
        after: int | None = 0
        while after is not None:

            def step(connection: sqlite3.Connection, after: int = after) -> int | None:
                return records.index_step(connection, model, paths, after, _STEP, _STEP_BYTES)

            after = await self._database.write(step)

        def finish(connection: sqlite3.Connection) -> Model:
            return tables.put(connection, attrs.evolve(model, ready=model.indexes))

        return await self._database.write(finish)

    async def _forget(self, model: Model, field: str) -> None:
        def step(connection: sqlite3.Connection) -> bool:
            return records.drop_index_step(connection, model, field, _STEP)

        while await self._database.write(step, vital=True):
            pass


def _parsed(schema: object, most: int) -> bytes:
    """See :func:`rtlite.domain.schemas.parse_schema`, which is imported here, in a thread: 50 ms less at each start."""
    from rtlite.domain.schemas import parse_schema

    return parse_schema(schema, most)
