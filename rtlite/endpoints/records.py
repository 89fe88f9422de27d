"""Records over HTTP: written by the backend, read by whoever may read the changes of their model.

A record's version is its ``ETag``. A change may say which version it is meant for, in ``If-Match``
(else 412) or as ``version`` (else 409).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

import attrs
import orjson

from rtlite.auth.grants import check_backend
from rtlite.domain import access as rights
from rtlite.domain.models import channel_of
from rtlite.domain.records import Records, check_version
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import ASKED, BY_NUMBER, PUBLISHED, Page, flag, page_reply, page_size
from rtlite.errors import Conflict, Forbidden, InvalidRequest, NotFound, PreconditionFailed
from rtlite.protocols import jsonframes
from rtlite.rules import Id, Rule, User
from rtlite.settings import Settings
from rtlite.store.records import Data, Record, RecordJson, VersionJson
from rtlite.transports.contract import JSON, UNKNOWN, Answer, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

_FILTER: Final = re.compile(r"filter\[([^\[\]]+)\](?:\[([^\[\]]+)\])?")
_VERSION: Final = re.compile(r'"([0-9]{1,15})"')
_ETAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110, 8.8.3


@attrs.frozen
class NewRecord:
    data: Data
    naturalKey: User | None = None
    id: Id | None = None


@attrs.frozen
class NewData:
    data: Data
    version: int | None = None


@attrs.frozen
class Meant:
    version: int | None = None


MODEL: Final = Asked("modelKey", Id)
VERSION: Final = Annotated[str, Rule(pattern="^[0-9]{1,15}$")]
IF_MATCH: Final = Asked(
    "If-Match",
    Annotated[str, Rule(pattern=r'^(\*|(W/)?"[\x21\x23-\x7e\x80-\xff]*")$', examples=["*"])],
    "The ETag of the version that is meant, or `*`",
    place="header",
)
FILTERS: Final = (
    Asked("filter", str, 'As JSON: `{"price": {"gt": 10}}`. Also `filter[price][gt]=10`, `filter[name]=mug`'),
    Asked("orderBy", str, "A field; with `-` before it, the largest first"),
    Asked("naturalKey", str, "Only the record with this natural key"),
)
RECORD: Final = {name: example("CREATED")["record"][name] for name in ("naturalKey", "data")}
ONE: Final = Answer(RecordJson, headers={"ETag": "The record's version"})
CHANGES: Final = {**UNKNOWN, 409: "version_conflict", 412: "version_conflict"}
NEW_DATA: Final = {400: "invalid_record", **CHANGES}


class RecordsEndpoint:
    def __init__(self, records: Records, access: rights.Access, settings: Settings) -> None:
        self._records = records
        self._access = access
        self._settings = settings

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        all, one = "/records/{modelKey}", "/records/{modelKey}/{id}"
        reading = partial(Route, access=key, asks=[MODEL], refuses=UNKNOWN)
        change = partial(Route, access=key, publishing=True, asks=[MODEL, IF_MATCH], gives={200: ONE}, refuses=CHANGES)
        return [
            Route(
                "POST",
                all,
                self.create,
                "Create a record",
                key,
                lean=True,
                publishing=True,
                asks=[MODEL],
                takes=Body({JSON: NewRecord}, example=RECORD),
                gives={201: attrs.evolve(ONE, headers={**ONE.headers, "Location": "Its path"})},
                refuses={400: "invalid_record", 409: "exists natural_key_taken too_many_models"},
            ),
            Route(
                "GET",
                all,
                self.list,
                "Records of a model, filtered and in order",
                key,
                asks=[MODEL, *FILTERS, PUBLISHED, *ASKED],
                gives={200: Page[RecordJson]},
                refuses={400: "invalid_filter invalid_field index_needed too_costly invalid_cursor"},
            ),
            reading("GET", one, self.show, "A record", asks=[MODEL, PUBLISHED], gives={200: ONE}),
            change("PATCH", one, self.merge, "Merge a patch into a record", lean=True, takes=NewData, refuses=NEW_DATA),
            change("PUT", one, self.replace, "Replace a record's data", takes=NewData, refuses=NEW_DATA),
            change(
                "DELETE",
                one,
                self.delete,
                "Delete a record",
                asks=[MODEL, IF_MATCH, Asked("version", VERSION, "The version that is meant")],
                gives={204: None},
            ),
            change("POST", f"{one}/publish", self.publish, "Publish a record", lean=True, takes=Meant),
            change("POST", f"{one}/unpublish", self.unpublish, "Unpublish a record", lean=True, takes=Meant),
            reading(
                "GET",
                f"{one}/versions",
                self.list_versions,
                "What a record was, the newest first",
                asks=[MODEL, *BY_NUMBER],
                gives={200: Page[VersionJson]},
            ),
            reading(
                "GET",
                f"{one}/versions/{{version}}",
                self.show_version,
                "A version of a record",
                asks=[MODEL, Asked("version", VERSION)],
                gives={200: VersionJson},
            ),
        ]

    # --- writing

    async def create(self, call: Call) -> Reply:
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, NewRecord)
        record = await self._records.create(call.params["modelKey"], wanted.data, wanted.naturalKey, wanted.id)
        reply = _reply(record, 201)
        place = {"Location": f"/records/{record.model_key}/{record.id}"}
        return attrs.evolve(reply, headers={**reply.headers, **place})

    async def merge(self, call: Call) -> Reply:
        return await self._change(call, merge=True)

    async def replace(self, call: Call) -> Reply:
        return await self._change(call, merge=False)

    async def _change(self, call: Call, *, merge: bool) -> Reply:
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, NewData)
        return await self._if_matching(
            call,
            wanted.version,
            lambda model, id, version: self._records.change(model, id, wanted.data, merge=merge, version=version),
        )

    async def delete(self, call: Call) -> Reply:
        """``?version=`` names the version that is meant."""
        check_backend(call.identity)
        text = call.query.get("version")
        version = None if text is None else check_version(text, "version")
        await self._if_matching(
            call, version, lambda model, id, version: self._records.delete(model, id, version=version)
        )
        return Reply(204)

    async def publish(self, call: Call) -> Reply:
        check_backend(call.identity)
        meant = jsonframes.decode(call.body, Meant).version
        return await self._if_matching(
            call, meant, lambda model, id, version: self._records.publish(model, id, version=version)
        )

    async def unpublish(self, call: Call) -> Reply:
        check_backend(call.identity)
        meant = jsonframes.decode(call.body, Meant).version
        return await self._if_matching(
            call, meant, lambda model, id, version: self._records.unpublish(model, id, version=version)
        )

    async def _if_matching(self, call: Call, version: int | None, change: Any) -> Reply:
        """:raises PreconditionFailed: ``If-Match`` names another version than the present one (RFC 9110, 13.1.1)."""
        expected = _if_match(call.headers.get("if-match"))
        if expected is not None and version not in {None, expected}:
            raise InvalidRequest("version, If-Match: they name two versions")
        try:
            record: Record = await change(
                call.params["modelKey"], call.params["id"], version if expected is None else expected
            )
        except Conflict as error:
            if expected is not None and error.code == "version_conflict":
                raise PreconditionFailed(error.detail) from error
            raise
        return _reply(record)

    # --- reading

    async def list(self, call: Call) -> Reply:
        """``?filter[price][gt]=10&orderBy=-price&limit=&after=&published=true``, or ``?naturalKey=``."""
        model = await self._readable(call)
        published = flag(call, "published")
        if (key := call.query.get("naturalKey")) is not None:
            try:
                return page_reply([await self._records.find_by_natural_key(model, key, published=published)], None)
            except NotFound:
                return page_reply([], None)
        found, following = await self._records.page(
            model,
            filters=_filter(call.query),
            order=call.query.get("orderBy"),
            after=call.query.get("after"),
            limit=page_size(call, self._settings.max_page),
            published=published,
        )
        return page_reply(found, following)

    async def show(self, call: Call) -> Reply:
        """``?published=true`` is the record as it is published."""
        model = await self._readable(call)
        return _reply(await self._records.find(model, call.params["id"], published=flag(call, "published")))

    async def list_versions(self, call: Call) -> Reply:
        """``?limit=&after=``"""
        model = await self._readable(call)
        limit = page_size(call, self._settings.max_page)
        return page_reply(*await self._records.versions(model, call.params["id"], call.query.get("after"), limit))

    async def show_version(self, call: Call) -> Reply:
        model = await self._readable(call)
        number = check_version(call.params["version"], "version")
        return json_reply((await self._records.version(model, call.params["id"], number)).as_json())

    async def _readable(self, call: Call) -> str:
        """:raises Forbidden: the model is private, or the credential is for something else."""
        model = call.params["modelKey"]
        if not await self._access.may_read(call.identity, channel_of(model)):
            raise Forbidden("this credential may not read those records")
        return model


def _reply(record: Record, status: int = 200) -> Reply:
    return json_reply(record.as_json(), status, {"ETag": f'"{record.version}"'})


def _if_match(header: str | None) -> int | None:
    """The version that a change is meant for; ``*`` is any.

    :raises PreconditionFailed: an ETag that no version has; a weak one never matches (RFC 9110, 13.1.1).
    :raises InvalidRequest: it is not one ETag.
    """
    if header is None or (text := header.strip()) == "*":
        return None
    if (match := _VERSION.fullmatch(text)) is not None:
        return int(match[1])
    if _ETAG.fullmatch(text) is not None:
        raise PreconditionFailed("If-Match: no version has this ETag; a weak one (W/) never matches")
    raise InvalidRequest('If-Match: the ETag of one version is wanted, as in "3"')


def _filter(query: Mapping[str, str]) -> dict[str, Any] | None:
    """``filter={"price": {"gt": 10}}``, or ``filter[price][gt]=10``. :raises InvalidRequest: it is malformed."""
    found: dict[str, Any] = {}
    for name, text in query.items():
        if name == "filter":
            whole = _json(text)
            if not isinstance(whole, dict):
                raise InvalidRequest("filter: a JSON object is wanted", code="invalid_filter")
            for field, wanted in whole.items():
                found.setdefault(field, {}).update(wanted if isinstance(wanted, dict) else {"eq": wanted})
        elif match := _FILTER.fullmatch(name):
            operator = match[2] or "eq"
            found.setdefault(match[1], {})[operator] = _listed(text) if operator == "in" else _value(text)
        elif name.startswith("filter"):
            raise InvalidRequest(
                f"{name[:80]}: filter[field]=value or filter[field][operator]=value", code="invalid_filter"
            )
    return found or None


def _listed(text: str) -> Any:
    """``mug,cup``, or a JSON list."""
    return _json(text) if text.startswith("[") else [_value(item) for item in text.split(",")]


def _value(text: str) -> Any:
    """A number, ``true``, ``false``, ``null`` or a quoted text, as in JSON; anything else is a text as it is."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def _json(text: str) -> Any:
    try:
        return jsonframes.parse(text)
    except InvalidRequest as error:
        raise InvalidRequest("filter: this is not JSON", code="invalid_filter") from error
