"""Streams over HTTP: made, changed and deleted; written to, by line or by message; polled."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import Annotated, Any, Final, TypedDict

import attrs
import orjson
import trio

from rtlite.auth.grants import is_operator
from rtlite.domain import access as rights
from rtlite.domain.streams import MESSAGE, Change, Streams
from rtlite.endpoints import history
from rtlite.endpoints.history import History, HistoryPage
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import AFTER, Page
from rtlite.errors import Forbidden, InvalidRequest, NotFound, Overloaded, Refused
from rtlite.hub.hub import Hub
from rtlite.hub.slices import Pace
from rtlite.model import (
    Event,
    Identity,
    Kind,
    NewEvent,
    Published,
    check_channel,
    check_event_id,
    check_event_name,
    check_stream,
    rfc3339,
    stream_channel,
)
from rtlite.protocols import jsonframes, lines
from rtlite.rules import Count, Duration, EventId, EventName, Id, Offset, Rule, Timestamp, User, of
from rtlite.settings import Settings, duration
from rtlite.store.streams import Stream, StreamJson
from rtlite.transports.contract import JSON, NDJSON, TEXT, UNKNOWN, Answer, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

_PAUSE: Final = 0.05  # seconds
_GROUP: Final = 1000
"""Lines that are committed together, if so many have come."""


@attrs.frozen
class NewRetention:
    """Bounds; 0 gives back what the settings say."""

    age: Duration | None = None
    count: Annotated[int, Rule(minimum=0, maximum=of("stream_count"))] | None = None
    bytes: Annotated[int, Rule(minimum=0, maximum=of("stream_bytes"))] | None = None


@attrs.frozen
class StreamChange:
    storeHistory: bool | None = None  # as it is called outside
    retention: NewRetention | None = None
    owner: User | None = None

    def as_change(self) -> Change:
        """:raises InvalidRequest: a bound cannot be one."""
        keep = self.retention or NewRetention()
        for name, bound in (("count", keep.count), ("bytes", keep.bytes)):
            if bound is not None and not 0 <= bound < 2**62:
                raise InvalidRequest(f"retention.{name}: a whole number from 0 is wanted")
        try:
            age = None if keep.age is None else duration(keep.age)
        except ValueError as error:
            raise InvalidRequest(f"retention.age: {error}") from error
        return Change(self.storeHistory, age, keep.count, keep.bytes)


class StreamMessage(TypedDict):
    """A message of a stream; `channel` is the stream's own name for it, empty for its standard output."""

    id: EventId
    stream: Id
    channel: str
    event: EventName
    data: Any
    timestamp: Timestamp
    offset: Offset
    epoch: jsonframes.Epoch


class Appended(TypedDict):
    """How many lines were published, and what is known of the last."""

    accepted: Count
    last: jsonframes.Receipt | None


STREAM: Final = Asked("id", Id, "The stream")
CHANNEL: Final = Asked(
    "channel",
    Annotated[str, Rule(pattern="^[!-~]*$")],
    "One of the stream's channels, such as `errors`; its standard output without it",
)


class StreamsEndpoint:
    def __init__(self, streams: Streams, hub: Hub, history: History, access: rights.Access, settings: Settings) -> None:
        self._streams = streams
        self._hub = hub
        self._history = history
        self._access = access
        self._settings = settings
        self._kind = settings.for_kind("stream")

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        one, messages = "/streams/{id}", "/streams/{id}/messages"
        of_stream = partial(Route, access=key, refuses=UNKNOWN)
        return [
            Route(
                "GET", "/streams", self.list_streams, "List streams", key, asks=[AFTER], gives={200: Page[StreamJson]}
            ),
            of_stream("GET", one, self.get, "A stream: its owner, and what it keeps", gives={200: StreamJson}),
            of_stream(
                "PUT",
                one,
                self.put,
                "Make a stream, or change what it keeps",
                asks=[STREAM],
                takes=StreamChange,
                gives={201: StreamJson, 200: StreamJson},
                refuses={**UNKNOWN, 409: "stream_taken too_many_streams"},
            ),
            of_stream("DELETE", one, self.delete, "Delete a stream and all that it holds", gives={204: None}),
            of_stream(
                "GET",
                messages,
                self.read,
                "A stream's messages, page by page or as they come",
                asks=[STREAM, CHANNEL, *history.ASKED],
                gives={200: HistoryPage[StreamMessage]},
                refuses={400: "invalid_channel", 404: "not_found no_history"},
            ),
            of_stream(
                "POST",
                messages,
                self.append,
                "Append to a stream: a message, or lines as they come",
                lean=True,
                publishing=True,
                streamed=True,
                asks=[
                    STREAM,
                    CHANNEL,
                    Asked("event", Annotated[EventName, Rule(default=MESSAGE)], "The name of the events"),
                    Asked("id", EventId, "The event's id; of lines, what their ids begin with", place="query"),
                ],
                takes=Body({JSON: Any, NDJSON: str, TEXT: str}, example=example("message")),
                gives={
                    201: Answer(jsonframes.Receipt | Appended, "Published"),
                    200: Answer(jsonframes.Receipt | Appended, "There already; or there was no line"),
                },
                refuses={400: "invalid_channel invalid_json bad_request", **UNKNOWN, 409: "too_many_streams"},
            ),
        ]

    async def list_streams(self, call: Call) -> Reply:
        """One's own; the operator's list has everybody's."""
        page, following = self._streams.page(_owner(call.identity), call.query.get("after", ""))
        return json_reply({"items": [self._shown(stream) for stream in page], "next": following})

    async def get(self, call: Call) -> Reply:
        return json_reply(self._shown(self._visible(call)))

    async def put(self, call: Call) -> Reply:
        """The operator may say whose a new stream is; a stream key's are its user's."""
        id, owner = check_stream(call.params["id"]), _owner(call.identity)
        wanted = jsonframes.decode(call.body, StreamChange)
        if self._streams.find(id) is not None:
            its = self._visible(call).owner
        else:
            its = (wanted.owner if owner is None else None) or call.identity.user
        if wanted.owner not in {None, its}:
            raise Forbidden("owner: the operator says whose a stream is, when it is made")
        stream, new = await self._streams.put(id, its, wanted.as_change())
        return json_reply(self._shown(stream), 201 if new else 200)

    async def delete(self, call: Call) -> Reply:
        await self._streams.delete(self._visible(call).id)
        return Reply(204)

    async def read(self, call: Call) -> Reply:
        """As a channel's history; the items are messages of this stream."""
        id, channel = _named(call)
        if not await self._access.may_read(call.identity, channel):
            raise _denied(call.identity)

        def show(event: Event) -> dict[str, Any]:
            return {
                "id": event.id,
                "stream": id,
                "channel": call.query.get("channel", ""),
                "event": event.name,
                "data": orjson.Fragment(event.data),
                "timestamp": rfc3339(event.timestamp),
                "offset": event.offset,
                "epoch": event.epoch,
            }

        return await self._history.page(call, channel, show)

    async def append(self, call: Call) -> Reply:
        """A body of lines is published as it comes, in order; any other is one message, in JSON.

        With ``?id=`` the message has this id, or its n-th line has ``ID-n``: to send it again
        publishes nothing twice.
        """
        _, channel = _named(call)
        name = check_event_name(call.query.get("event", MESSAGE))
        id = call.query.get("id")
        if not await self._access.may_write(call.identity, channel, name, None):
            raise _denied(call.identity)
        if call.pieces is not None:
            decode = lines.ndjson if "json" in call.headers["content-type"].lower() else lines.text
            return await self._append_lines(call.pieces, _Source(channel, name, id, decode))
        event = NewEvent(channel, name, lines.value(call.body), None if id is None else check_event_id(id))
        published = await self._hub.publish(event)
        return json_reply(jsonframes.receipt(published.event), 200 if published.duplicate else 201)

    async def _append_lines(self, pieces: AsyncIterable[bytes], source: _Source) -> Reply:
        cut, pace = lines.Lines(self._settings.max_message), Pace()
        accepted, last = 0, None
        waiting: list[NewEvent] = []

        async def publish() -> None:
            nonlocal accepted, last, waiting
            if waiting:
                events, waiting = waiting, []
                last = (await self._publish(events))[-1].event
                accepted += len(events)

        try:
            async for piece in pieces:
                for line in cut.feed(piece):
                    waiting += source.event(line)
                    if len(waiting) == _GROUP:
                        await publish()
                    await pace.pause()
                await publish()
                await pace.pause()
            for line in cut.feed_eof():
                waiting += source.event(line)
            await publish()
        except Refused as error:
            await publish()  # what was in order before the line that is not
            error.detail += f" (accepted before: {accepted})"
            raise
        return json_reply({"accepted": accepted, "last": last and jsonframes.receipt(last)}, 201 if accepted else 200)

    async def _publish(self, events: list[NewEvent]) -> list[Published]:
        """Where too much waits to be stored, the sender is held up rather than refused, for a while."""
        until = trio.current_time() + self._settings.body_timeout
        while True:
            try:
                return await self._hub.publish_all(events)
            except Overloaded:
                if trio.current_time() >= until:
                    raise
                await trio.sleep(_PAUSE)

    def _visible(self, call: Call) -> Stream:
        """The stream that the path names. :raises NotFound: there is none, as far as this credential may know."""
        owner = _owner(call.identity)
        stream = self._streams.find(call.params["id"])
        if stream is None or owner not in {None, stream.owner}:
            raise NotFound("no such stream")
        return stream

    def _shown(self, stream: Stream) -> StreamJson:
        return stream.as_json(self._kind)


@attrs.define
class _Source:
    """Makes events of lines."""

    channel: str
    name: str
    id: str | None
    decode: Callable[[bytes], bytes | None]
    number: int = 0

    def event(self, line: bytes) -> list[NewEvent]:
        """One, or none of a blank line. :raises InvalidRequest: the line is not what was announced."""
        self.number += 1
        try:
            if (data := self.decode(line)) is None:
                return []
            id = None if self.id is None else check_event_id(f"{self.id}-{self.number}")
        except InvalidRequest as error:
            raise InvalidRequest(f"line {self.number}: {error.detail}", code=error.code) from error
        return [NewEvent(self.channel, self.name, data, id)]


def _owner(identity: Identity) -> str | None:
    """Whose streams these are to manage; ``None`` for everybody's. :raises Forbidden: nobody's."""
    if is_operator(identity):
        return None
    if identity.kind is Kind.STREAM and identity.only is None:
        return identity.user
    raise Forbidden("a stream key or an admin key is needed")


def _named(call: Call) -> tuple[str, str]:
    """The stream that the path names, and the channel of it. :raises InvalidRequest: these cannot be such names."""
    id = check_stream(call.params["id"])
    return id, check_channel(stream_channel(id, call.query.get("channel", "")))


def _denied(identity: Identity) -> Refused:
    """To other owners a stream is not there at all."""
    if identity.kind is Kind.STREAM:
        return NotFound("no such stream")
    return Forbidden("this credential may not do that with that stream")
