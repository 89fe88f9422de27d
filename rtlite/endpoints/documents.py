"""Documents over HTTP: which there are, who has one open, what is in it, and its snapshots.

Who may connect to a room may read it here; who may edit it there may write it here. The list of
rooms, and whatever deletes, is for those who may edit all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, NotRequired, TypedDict

import attrs
import orjson

from rtlite.auth.grants import may_edit, may_edit_all, may_view
from rtlite.domain.apart import apart
from rtlite.domain.contents import read, written
from rtlite.domain.documents import Documents, room_channel
from rtlite.domain.snapshots import MAX_NAME, Snapshots
from rtlite.domain.visitors import Visitor
from rtlite.endpoints.pages import ASKED, Page, page_reply, page_size
from rtlite.errors import Forbidden, InvalidRequest, NotAcceptable, NotFound, UnsupportedMediaType
from rtlite.model import rfc3339
from rtlite.protocols import jsonframes, yjs
from rtlite.rules import Count, Rule, Timestamp
from rtlite.settings import Settings
from rtlite.store.documents import Document
from rtlite.store.snapshots import SnapshotJson
from rtlite.transports.contract import UNKNOWN, Answer, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

UPDATE: Final = "application/octet-stream"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
_MEDIA: Final = {"json": JSON, "update": UPDATE, "text": TEXT, "xml": "application/xml"}
# What is in a document is others' words: no browser is to run it, whatever it looks like.
_INERT: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


@attrs.frozen
class NewSnapshot:
    name: Annotated[str, Rule(maxLength=MAX_NAME)] = ""


class AwarenessJson(TypedDict):
    """What a Yjs client says of itself: its cursor, say."""

    client: Count
    state: Any


class VisitorJson(TypedDict):
    """Who has a document open."""

    user: str
    write: bool
    openedAt: Timestamp
    awareness: list[AwarenessJson]


class DocumentJson(TypedDict):
    """A document's size, and who has it open; without times if nothing of it is stored yet."""

    room: str
    bytes: Count
    createdAt: NotRequired[Timestamp]
    updatedAt: NotRequired[Timestamp]
    connections: list[VisitorJson]


class ListedDocument(TypedDict):
    """A document's size, and how many have it open."""

    room: str
    bytes: Count
    createdAt: Timestamp
    updatedAt: Timestamp
    connections: Count


ROOM: Final = Asked("room", Annotated[str, Rule(minLength=1, maxLength=248, pattern="^(?!info$)(?!\\*$)[!-~]+$")])
NAME: Final = Asked("name", str, "Of the root type that is meant")
FORMAT: Final = Asked("format", Annotated[str, Rule(enum=list(_MEDIA))], "In place of `Accept`")
CONTENTS: Final = Answer(Any, "In the format that was asked for", list(_MEDIA.values()), dict.fromkeys(_INERT, ""))
READING: Final = {**UNKNOWN, 406: "not_acceptable", 409: "another_type"}


@attrs.frozen
class _Listed:
    """A document in the list, and how many have it open."""

    document: Document
    connections: int

    def as_json(self) -> dict[str, Any]:
        return {**_stored(self.document), "connections": self.connections}


class DocumentsEndpoint:
    def __init__(self, documents: Documents, snapshots: Snapshots, settings: Settings) -> None:
        self._documents = documents
        self._snapshots = snapshots
        self._settings = settings

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        one, all = "/collab/{room}", "/collab/{room}/snapshots"
        past = f"{all}/{{id}}"
        of_room = partial(Route, access=key, asks=[ROOM], refuses=UNKNOWN)
        contents = partial(Route, access=key, asks=[ROOM, FORMAT, NAME], gives={200: CONTENTS}, refuses=READING)
        return [
            Route(
                "GET", "/collab", self.list, "Documents, by room", key, asks=ASKED, gives={200: Page[ListedDocument]}
            ),
            of_room("GET", one, self.show, "A document's size, and who has it open", gives={200: DocumentJson}),
            of_room("DELETE", one, self.delete, "Delete a document and its snapshots", gives={204: None}),
            contents("GET", f"{one}/document", self.read, "What is in a document"),
            of_room(
                "PUT",
                f"{one}/document",
                self.write,
                "Change a document, or make one",
                limit=self._settings.collab_document,
                publishing=True,
                asks=[ROOM, NAME],
                takes=Body({JSON: Any, TEXT: str, UPDATE: bytes}),
                gives={204: None},
                refuses={409: "another_type", 415: "unsupported_media_type"},
            ),
            of_room(
                "GET",
                all,
                self.list_snapshots,
                "Snapshots of a document, the oldest first",
                asks=[ROOM, *ASKED],
                gives={200: Page[SnapshotJson]},
            ),
            of_room(
                "POST",
                all,
                self.take_snapshot,
                "Keep what a document is now",
                publishing=True,
                takes=NewSnapshot,
                gives={201: SnapshotJson},
                refuses={**UNKNOWN, 409: "too_many_snapshots"},
            ),
            of_room("GET", past, self.show_snapshot, "A snapshot", gives={200: SnapshotJson}),
            of_room("DELETE", past, self.delete_snapshot, "Delete a snapshot", gives={204: None}),
            contents("GET", f"{past}/document", self.read_snapshot, "What is in a snapshot"),
            of_room(
                "POST",
                f"{past}/restore",
                self.restore,
                "Make a document what it was",
                publishing=True,
                gives={204: None},
            ),
        ]

    # --- rooms

    async def list(self, call: Call) -> Reply:
        """``?limit=&after=``"""
        self._check_all(call)
        limit = page_size(call, self._settings.max_page)
        found, following = await self._documents.page(call.query.get("after", ""), limit)
        rooms = {document.room: self._documents.room(document.room) for document in found}
        return page_reply(
            [_Listed(document, len(room.visitors) if (room := rooms[document.room]) else 0) for document in found],
            following,
        )

    async def show(self, call: Call) -> Reply:
        name = self._readable(call)
        document = await self._documents.find(name)
        room = self._documents.room(name)
        here = [(visitor, room.states(visitor)) for visitor in room.visitors] if room else []
        if document is None and not here:
            raise NotFound("no such document")
        stored = {"room": name, "bytes": 0} if document is None else _stored(document)
        return json_reply({**stored, "connections": [_connection(visitor, states) for visitor, states in here]})

    async def delete(self, call: Call) -> Reply:
        """Who has it open is closed with 4404."""
        self._check_all(call)
        await self._documents.delete(call.params["room"])
        return Reply(204)

    # --- what is in them

    async def read(self, call: Call) -> Reply:
        """``?format=`` json, update, text or xml, or as ``Accept`` says; ``?name=`` of one text, or one root of XML."""
        format = _format(call)
        return await self._contents(call, await self._documents.export(self._readable(call)), format)

    async def _contents(self, call: Call, update: bytes, format: str) -> Reply:
        if format == "update":
            return Reply(200, update, UPDATE, _INERT)
        body = await apart(self._settings.collab_work, read, update, format, call.query.get("name"))
        media = _MEDIA[format]
        return Reply(200, body, media if format == "json" else f"{media}; charset=utf-8", _INERT)

    async def write(self, call: Call) -> Reply:
        """An update; or text of the root type ``?name=``; or JSON, an object with what each root type is to be."""
        name = self._writable(call)
        media = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == UPDATE:
            await self._documents.edit(name, call.body)
            return Reply(204)
        if media not in {JSON, TEXT}:
            raise UnsupportedMediaType(f"the body is {UPDATE} (an update), {TEXT} or {JSON}")
        values = _values(call, media)
        present = await self._present(name)
        edit = await apart(self._settings.collab_work, written, present, values)
        if edit != yjs.NOTHING:
            await self._documents.edit(name, edit)
        return Reply(204)

    async def _present(self, name: str) -> bytes:
        try:
            return await self._documents.export(name)
        except NotFound:
            return yjs.NOTHING

    # --- snapshots

    async def list_snapshots(self, call: Call) -> Reply:
        """``?limit=&after=``"""
        name = self._readable(call)
        limit = page_size(call, self._settings.max_page)
        return page_reply(*await self._snapshots.page(name, call.query.get("after", ""), limit))

    async def take_snapshot(self, call: Call) -> Reply:
        """``{"name"?}``"""
        room = self._writable(call)
        wanted = jsonframes.decode(call.body, NewSnapshot)
        return json_reply((await self._snapshots.create(room, wanted.name, call.identity.user)).as_json(), 201)

    async def show_snapshot(self, call: Call) -> Reply:
        snapshot, _ = await self._snapshots.find(self._readable(call), call.params["id"])
        return json_reply(snapshot.as_json())

    async def read_snapshot(self, call: Call) -> Reply:
        """As :meth:`read`."""
        format = _format(call)
        _, data = await self._snapshots.find(self._readable(call), call.params["id"])
        return await self._contents(call, data, format)

    async def delete_snapshot(self, call: Call) -> Reply:
        self._check_all(call)
        await self._snapshots.delete(call.params["room"], call.params["id"])
        return Reply(204)

    async def restore(self, call: Call) -> Reply:
        """By an edit: whoever has the document open sees it change, and its history goes on."""
        await self._snapshots.restore(self._writable(call), call.params["id"])
        return Reply(204)

    # --- rights

    def _readable(self, call: Call) -> str:
        return self._allowed(call, may_view)

    def _writable(self, call: Call) -> str:
        return self._allowed(call, may_edit)

    def _allowed(self, call: Call, may: Callable[..., bool]) -> str:
        """The room's name. :raises Forbidden: it is not for this credential. :raises InvalidRequest: it is no name."""
        name = call.params["room"]
        if not may(call.identity, room_channel(name), self._settings):
            raise Forbidden("this credential may not do that with this document")
        return name

    def _check_all(self, call: Call) -> None:
        if not may_edit_all(call.identity, self._settings):
            raise Forbidden("this is for those who may edit every document")


def _stored(document: Document) -> dict[str, Any]:
    return {
        "room": document.room,
        "bytes": document.bytes,
        "createdAt": rfc3339(document.created),
        "updatedAt": rfc3339(document.updated),
    }


def _connection(visitor: Visitor, states: list[yjs.State]) -> VisitorJson:
    return {
        "user": visitor.identity.user,
        "write": visitor.write,
        "openedAt": rfc3339(visitor.opened),
        "awareness": [{"client": state.client, "state": orjson.Fragment(state.state or b"null")} for state in states],
    }


def _format(call: Call) -> str:
    """:raises InvalidRequest, NotAcceptable: there is no such format."""
    if (format := call.query.get("format")) is not None:
        if format not in _MEDIA:
            raise InvalidRequest(f"format: one of {', '.join(_MEDIA)} is wanted")
        return format
    accept = call.headers.get("accept", "").strip() or "*/*"
    for item in accept.split(","):
        media = item.partition(";")[0].strip().lower()
        if media in {"*/*", "application/*"}:
            return "json"
        for format, offered in _MEDIA.items():
            if media in {offered, f"{offered.partition('/')[0]}/*"}:
                return format
    raise NotAcceptable(f"a document is {', '.join(_MEDIA.values())}")


def _values(call: Call, media: str) -> dict[str, Any]:
    """By root type, what it is to be. :raises InvalidRequest: the body is not that."""
    name = call.query.get("name")
    if media == TEXT:
        if not name:
            raise InvalidRequest("name: missing")
        try:
            return {name: call.body.decode()}
        except UnicodeDecodeError as error:
            raise InvalidRequest("the body is not UTF-8") from error
    value = jsonframes.parse(call.body)
    if name:
        return {name: value}
    if not isinstance(value, dict):
        raise InvalidRequest("an object with the root types by name is wanted, or ?name= of one")
    return value
