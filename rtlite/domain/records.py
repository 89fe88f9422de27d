"""Records: JSON objects of a model, with their versions, one of which may be published.

Each change is an event on ``changes:{modelKey}``, and both are stored or neither is: ``CREATED``,
``UPDATED``, ``DELETED``, ``PUBLISHED``, ``UNPUBLISHED``, with ``{"type": …, "record": …}``.
Who may do what is decided before, by whoever calls.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import attrs
import orjson

from rtlite.domain.models import Models, channel_of, check_model
from rtlite.errors import Conflict, InvalidRequest, NotFound, TooLarge
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import check_user, now_ms
from rtlite.protocols.jsonframes import MAX_CONTAINERS
from rtlite.settings import Settings
from rtlite.store import models as model_tables
from rtlite.store import recordpages
from rtlite.store import records as tables
from rtlite.store.database import Database
from rtlite.store.filters import Filter, parse_filter
from rtlite.store.models import Model
from rtlite.store.recordplans import Question, parse_order
from rtlite.store.records import Record, RecordJson, Version

if TYPE_CHECKING:
    from rtlite.domain.schemas import Schema

PAGE: Final = 100
_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,63}")
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NEWEST: Final = 2**62
_SCHEMAS: Final = 256  # that are held ready for use


Type = Literal["CREATED", "UPDATED", "DELETED", "PUBLISHED", "UNPUBLISHED"]


class RecordChange(TypedDict):
    """What became of a record, and how it is now; a deleted one as it was last."""

    type: Type
    record: RecordJson


class Records:
    """The records of one server.

    ``version=`` in a change is the version that it is meant for: if the record has another one by now,
    it is refused with :class:`Conflict`, code ``version_conflict``.
    """

    def __init__(self, hub: Hub, database: Database, models: Models, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._models = models
        self._settings = settings
        # Used on the database's writing thread alone.
        self._schema = lru_cache(maxsize=_SCHEMAS)(partial(_schema, steps=settings.model_schema_steps))

    # --- changes

    async def create(self, model: str, data: object, natural_key: str | None = None, id: str | None = None) -> Record:
        """Make a record, and its model if there is none.

        :param id: the client's own, so that it can ask again; unique over all models.
        :raises InvalidRequest: a field breaks its rule, or the data does not fit the model's schema.
        :raises Conflict: the id is taken (``exists``), or the natural key within the model (``natural_key_taken``).
        """
        check_model(model)
        if id is not None and not _ID.fullmatch(id):
            raise InvalidRequest("id: 1 to 64 letters, digits and any of -_.~ (the last two not first)")
        if natural_key is not None:
            _check_natural_key(natural_key)
        text = self._text(data)

        def work(transaction: Transaction) -> Record:
            connection = transaction.connection
            kind = model_tables.find(connection, model) or self._models.added(connection, model)
            if id is not None and tables.is_taken(connection, id):
                raise Conflict("a record has this id already", code="exists")
            if natural_key is not None and tables.find_by_natural_key(connection, kind, natural_key) is not None:
                raise Conflict("a record of the model has this natural key already", code="natural_key_taken")
            self._check_schema(kind, text)
            now = now_ms()
            record = Record(id or f"rec_{secrets.token_hex(8)}", model, natural_key, text, 1, None, now, now)
            record = tables.insert(connection, kind, record)
            _tell(transaction, "CREATED", record)
            return record

        return await self._hub.transact(work, len(text))

    async def change(self, model: str, id: str, data: object, *, merge: bool, version: int | None = None) -> Record:
        """Give a record new data, as a new version.

        :param merge: the data is a merge patch (RFC 7396) on what there is; else it takes its place.
        :raises NotFound, Conflict, InvalidRequest, TooLarge: nothing was changed.
        """
        patch = _object(data)
        size = len(self._text(patch))  # it is no larger and no deeper than data may be

        def work(transaction: Transaction) -> Record:
            kind, before = self._present(transaction, model, id, version)
            text = self._text(merged(orjson.loads(before.data), patch) if merge else patch)
            self._check_schema(kind, text)
            after = attrs.evolve(before, data=text, version=before.version + 1, updated=_later(before))
            tables.update(transaction.connection, kind, before, after, max(1, self._settings.record_versions))
            _tell(transaction, "UPDATED", after)
            return after

        return await self._hub.transact(work, size)

    async def delete(self, model: str, id: str, *, version: int | None = None) -> Record:
        """Delete a record and all its versions; returns it as it was last. :raises NotFound, Conflict: as above."""

        def work(transaction: Transaction) -> Record:
            kind, record = self._present(transaction, model, id, version)
            tables.delete(transaction.connection, kind, record)
            _tell(transaction, "DELETED", record)
            return record

        return await self._hub.transact(work)

    async def publish(self, model: str, id: str, *, version: int | None = None) -> Record:
        """Publish the record as it stands. If it is published so already, nothing happens.

        :raises NotFound, Conflict: as above.
        """
        return await self._set_published(model, id, version, published=True)

    async def unpublish(self, model: str, id: str, *, version: int | None = None) -> Record:
        """Publish it no more. If it is not published, nothing happens. :raises NotFound, Conflict: as above."""
        return await self._set_published(model, id, version, published=False)

    async def _set_published(self, model: str, id: str, version: int | None, *, published: bool) -> Record:
        def work(transaction: Transaction) -> Record:
            kind, before = self._present(transaction, model, id, version)
            wanted = before.version if published else None
            if before.published_version == wanted:
                return before
            after = attrs.evolve(before, published_version=wanted, updated=_later(before))
            tables.set_published(transaction.connection, kind, before, wanted, after.updated)
            _tell(transaction, "PUBLISHED" if published else "UNPUBLISHED", after)
            return after

        return await self._hub.transact(work)

    # --- reading

    async def find(self, model: str, id: str, *, published: bool = False) -> Record:
        """:param published: as it is published. :raises NotFound: there is none, or it is not published."""
        return await self._found(model, lambda connection, kind: tables.find(connection, kind, id, published=published))

    async def find_by_natural_key(self, model: str, key: str, *, published: bool = False) -> Record:
        """:raises NotFound: there is none, or it is not published. :raises InvalidRequest: that can be no model."""
        check_model(model)
        if not key:  # which is how the store has those that have none
            raise _no_record()
        return await self._found(
            model, lambda connection, kind: tables.find_by_natural_key(connection, kind, key, published=published)
        )

    async def _found(self, model: str, look: Any) -> Record:
        def work(connection: Any) -> Record | None:
            kind = model_tables.find(connection, model)
            return None if kind is None else look(connection, kind)

        record: Record | None = await self._database.read(work)
        if record is None:
            raise _no_record()
        return record

    def filter(self, value: object) -> Filter:
        """A filter from JSON, within the limits, for :func:`rtlite.store.filters.passes`.

        :raises InvalidRequest: it is none.
        """
        return parse_filter(value, self._settings.record_conditions)

    async def page(
        self,
        model: str,
        *,
        filters: object = None,
        order: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        published: bool = False,
    ) -> tuple[list[Record], str | None]:
        """A page of a model's records, and what the next one begins ``after``; ``None`` at the end.

        :param filters: as :mod:`rtlite.store.filters` reads them; :param order: as :func:`parse_order` does.
        :param published: those that are published, as they are published.
        :raises InvalidRequest: one of them cannot be read, or no index serves and there is too much to look through.
        """
        check_model(model)
        conditions, wanted = self.filter(filters), parse_order(order)
        settings = self._settings
        limit = min(PAGE, settings.max_page) if limit is None else limit
        if not 1 <= limit <= settings.max_page:
            raise InvalidRequest(f"limit: 1 to {settings.max_page}")

        def work(connection: Any) -> tuple[list[Record], str | None]:
            kind = model_tables.find(connection, model)
            if kind is None:
                return [], None
            return recordpages.page(
                connection,
                Question(
                    kind,
                    conditions,
                    wanted,
                    published,
                    after,
                    limit,
                    settings.record_scan,
                    settings.record_page_bytes,
                    settings.record_query_time,
                ),
            )

        return await self._database.read(work)

    async def versions(
        self, model: str, id: str, after: str | None = None, limit: int | None = None
    ) -> tuple[list[Version], str | None]:
        """What the record was, the newest first, and what the next page begins ``after``.

        :raises NotFound: there is no record. :raises InvalidRequest: ``after`` is no version.
        """
        limit = min(PAGE, self._settings.max_page) if limit is None else limit
        if not 1 <= limit <= self._settings.max_page:
            raise InvalidRequest(f"limit: 1 to {self._settings.max_page}")
        before = _NEWEST if after is None else check_version(after, "after")
        size = self._settings.record_page_bytes

        def work(connection: Any) -> tuple[list[Version], bool] | None:
            kind = model_tables.find(connection, model)
            record = None if kind is None else tables.find(connection, kind, id)
            return None if record is None else tables.list_versions(connection, record, before, limit, size)

        found = await self._database.read(work)
        if found is None:
            raise _no_record()
        page, more = found
        return page, str(page[-1].version) if more else None

    async def version(self, model: str, id: str, number: int) -> Version:
        """:raises NotFound: there is no such record, or it does not keep this version."""

        def work(connection: Any) -> Version | None:
            kind = model_tables.find(connection, model)
            record = None if kind is None else tables.find(connection, kind, id)
            return None if record is None else tables.find_version(connection, record, number)

        found = await self._database.read(work)
        if found is None:
            raise NotFound("no such version")
        return found

    # --- rules

    def _present(self, transaction: Transaction, model: str, id: str, version: int | None) -> tuple[Model, Record]:
        kind = model_tables.find(transaction.connection, model)
        record = None if kind is None else tables.find(transaction.connection, kind, id)
        if kind is None or record is None:
            raise _no_record()
        if version is not None and version != record.version:
            raise Conflict(f"the record has version {record.version} by now", code="version_conflict")
        return kind, record

    def _check_schema(self, model: Model, text: bytes) -> None:
        if model.schema is not None:
            self._schema(model.schema).check(orjson.loads(text))

    def _text(self, data: object) -> bytes:
        """:raises InvalidRequest, TooLarge: this cannot be the data of a record."""
        try:
            text = orjson.dumps(_object(data))
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise InvalidRequest("data: this cannot be said in JSON") from error
        if len(text) > self._settings.record_bytes:
            raise TooLarge(f"data: {self._settings.record_bytes} bytes at most")
        if len(text) > MAX_CONTAINERS and text.count(b"{") + text.count(b"[") > MAX_CONTAINERS:
            raise InvalidRequest(f"data: more than {MAX_CONTAINERS} lists and objects")
        if b"\\u0000" in text and _NUL.search(text):  # where SQLite reads a text, it would end here
            raise InvalidRequest("data: a text or a name has a NUL character in it")
        return text


def merged(data: Any, patch: Any) -> Any:
    """What a JSON merge patch makes of a value (RFC 7396, section 2)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(data) if isinstance(data, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def check_version(text: str, field: str) -> int:
    """A version from text. :raises InvalidRequest: this is none."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise InvalidRequest(f"{field}: a version, a number from 1, is wanted")
    return int(text)


def _object(data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidRequest("data: an object is wanted")
    return data


def _check_natural_key(key: str) -> None:
    try:
        check_user(key)
    except InvalidRequest as error:
        raise InvalidRequest("naturalKey: 1 to 255 characters without control characters are allowed") from error


def _later(before: Record) -> int:
    """Now; never before the last change, whatever the clock was set to."""
    return max(now_ms(), before.updated)


def _tell(transaction: Transaction, type: Type, record: Record) -> None:
    change: RecordChange = {"type": type, "record": record.as_json()}
    transaction.publish(channel_of(record.model_key), type, change)


def _no_record() -> NotFound:
    return NotFound("no such record")


def _schema(text: bytes, steps: int) -> Schema:
    from rtlite.domain.schemas import Schema  # most servers have none, and are ready 50 ms sooner

    return Schema(text, steps)
