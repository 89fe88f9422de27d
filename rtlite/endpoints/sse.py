"""Server-Sent Events: ``GET /sse/{channel}``, and ``GET /sse?channel=a&channel=b`` for several as one stream.

Source: the event channels' reference (``connected`` first, then ``{channel, event, data}``,
heartbeats as comments). Each event's ``id:`` is where to resume, and so is the id of
``connected``: a client that was cut off before its first event misses none either. What no
retry mends is a status; whatever may pass is a 200 that says why it ends and when to come
back, since an EventSource gives up for good at any other status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from rtlite.auth.gate import presented
from rtlite.endpoints import messages
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import InvalidRequest, Reason
from rtlite.hub.presence import Presence
from rtlite.hub.since import Since, parse_since
from rtlite.hub.topics import Encoder
from rtlite.model import Identity, Position, is_pattern, now_ms
from rtlite.protocols import jsonframes, sse
from rtlite.protocols.jsonschema import Shape, fields_of
from rtlite.rules import Subscribable
from rtlite.settings import Settings
from rtlite.transports.contract import Answer, Asked, Message
from rtlite.transports.eventstream import STREAM_HEADERS, EventStream, EventStreamRoute
from rtlite.transports.routes import Access, Call, Reply, Route

_ENCODERS: Final[Mapping[tuple[bool, bool, bool], Encoder]] = {  # by: of many channels, chunked, with metadata
    (False, True, False): sse.of_channel,
    (False, False, False): sse.of_channel_plain,
    (True, True, False): sse.of_many,
    (True, False, False): sse.of_many_plain,
    (False, True, True): sse.of_channel_whole,
    (False, False, True): sse.of_channel_whole_plain,
    (True, True, True): sse.of_many_whole,
    (True, False, True): sse.of_many_whole_plain,
}
_NO: Final = frozenset({None, "", "0", "false"})  # in a query

MORE: Final = Asked("channel", list[Subscribable], "A channel or pattern; more than one by naming it again")
ASKED: Final = (
    Asked("Last-Event-ID", str, "Where the client left off; wins over the query's `lastEventId`", place="header"),
    Asked("lastEventId", str, "The same, for clients that cannot set headers; also `last_event_id` and `since`"),
    Asked("presence", str, "`1`, or a JSON object that says something of the user: it is seen on the channels"),
    Asked("includeMetadata", str, "`1`: each event's id, offset and time in its data"),
)
GIVEN: Final = {
    200: Answer(
        str,
        "Events: `connected` first; what they hold is in `/asyncapi.json`",
        ["text/event-stream"],
        dict.fromkeys(STREAM_HEADERS, ""),
    ),
    204: Answer(None, "An operator ended this stream: do not come back"),
}
REFUSED: Final = {400: "invalid_channel", 404: "no_presence"}
MESSAGES: Final = (
    Message("connected", str(sse.Connected.__doc__), sse.Connected),
    Message("closed", str(sse.Closed.__doc__), sse.Closed),
    *messages.events(
        "changes jobs article",
        lambda name, data: Shape({**fields_of(sse.Told), "event": name, "data": data}),
        sse.data_of,
    ),
)


class ServerSentEvents:
    def __init__(self, sessions: Sessions, presence: Presence, settings: Settings) -> None:
        self._sessions = sessions
        self._presence = presence
        self._settings = settings

    def event_streams(self) -> list[EventStreamRoute]:
        return [
            EventStreamRoute("/sse", self.stream, sse, asks=[MORE, *ASKED], messages=MESSAGES),
            EventStreamRoute("/sse/{channel}", self.stream, sse, asks=ASKED, messages=MESSAGES),
        ]

    def routes(self) -> list[Route]:
        """The same paths for the router, which answers HEAD and OPTIONS, and refuses other methods."""
        access = Access.CREDENTIAL
        return [
            Route(
                "GET",
                "/sse",
                self.head,
                "Events of several channels, as they come (Server-Sent Events)",
                access,
                asks=[attrs.evolve(MORE, required=True), *ASKED],
                gives=GIVEN,
                refuses=REFUSED,
            ),
            Route(
                "GET",
                "/sse/{channel}",
                self.head,
                "Events of a channel, as they come (Server-Sent Events)",
                access,
                asks=[Asked("channel", Subscribable), *ASKED],
                gives=GIVEN,
                refuses=REFUSED,
            ),
        ]

    async def stream(self, stream: EventStream) -> None:
        """One stream, from the credential to the end of the connection."""
        if await self._open(stream):  # of which nothing stays, however long the stream lasts
            await stream.watch()

    async def _open(self, stream: EventStream) -> bool:
        """Answer and subscribe; returns whether there is a stream now."""
        head = stream.head
        identity = self._sessions.identify(stream, presented(head.headers, head.query))
        self._sessions.take_on(stream, identity)
        names = self._names(stream.params, head.values("channel"))
        await self._sessions.check(identity, names)
        joining, said = self._presence_wanted(names, head.query.get("presence"))
        given = sse.last_event_id(head.headers, head.query)
        if given == sse.STOP_ID:
            stream.turn_away()
            return False
        since = _parsed(given)
        stream.open()

        def greet(position: Position | None, recovered: bool) -> bytes:
            lost = given is not None and since is None
            return stream.frame(self._connected(names, identity, position, recovered=recovered and not lost))

        whole = head.query.get("includeMetadata") not in _NO
        encode = _ENCODERS[len(names) > 1 or is_pattern(names[0]), stream.chunked, whole]
        await self._sessions.listen(stream, identity, names, encode, since=since, greet=greet)
        if joining:
            self._join(stream, identity.user, names, said)
        return True

    def _connected(
        self, names: Sequence[str], identity: Identity, position: Position | None, *, recovered: bool
    ) -> bytes:
        """The first message: who listens to what, from where, and whether all that was asked for is there."""
        shown = None if position is None else str(position)
        channels: dict[str, Any] = {"channel": names[0]} if len(names) == 1 else {"channels": names}
        return sse.news(
            "connected",
            {"userId": identity.user, "position": shown, "recovered": recovered},
            channels,
            id=shown or "",
            retry=round(self._settings.sse_retry * 1000),
        )

    def _names(self, params: Mapping[str, str], given: list[str]) -> tuple[str, ...]:
        """What is listened to, each once. :raises InvalidRequest: nothing, or more than a connection may."""
        names = tuple(dict.fromkeys([*params.values(), *given]))
        if not names:
            raise InvalidRequest("channel: name one in the path, or several as ?channel=…&channel=…")
        if len(names) > self._settings.max_channels:
            raise InvalidRequest(f"channel: a stream has {self._settings.max_channels} at most")
        return names

    def _presence_wanted(self, names: Sequence[str], text: str | None) -> tuple[bool, Any]:
        """Whether the user is to be seen on the channels, and what it says of itself.

        :raises InvalidRequest: not so. :raises NotFound: a channel's kind has no presence.
        """
        if text in _NO:
            return False, None
        try:
            said = None if text in {"1", "true"} else jsonframes.decode(str(text), dict)
        except InvalidRequest as error:
            raise InvalidRequest("presence: 1, or a JSON object that says something of the user") from error
        for name in names:
            self._presence.check(name)
        return True, said

    def _join(self, stream: EventStream, user: str, names: Sequence[str], said: Any) -> None:
        """The user is on the channels as long as this stream lasts, and for a moment after: it may come back."""

        def leave() -> None:
            clean = stream.reason is Reason.FORBIDDEN  # who is removed from a conversation does not come back
            for name in names:
                self._presence.leave(name, user, id(stream), clean=clean)

        stream.on_end(leave)  # first: one of the channels may be full
        for name in names:
            self._presence.join(name, user, said, id(stream))

    async def head(self, call: Call) -> Reply:
        """``connected`` comes first, then what was missed, then what happens; comments keep the connection.

        HEAD: what a GET would be answered with, as far as that can be told.
        """
        names = self._names(call.params, call.values("channel"))
        await self._sessions.check(call.identity, names)
        return Reply(200, content_type=sse.CONTENT_TYPE, headers=STREAM_HEADERS)


def _parsed(given: str | None) -> Since | None:
    """Where to resume; ``None`` also if that cannot be read. ``connected`` says so, and the client is not lost."""
    if not given:
        return None
    try:
        return parse_since(given, now_ms())
    except InvalidRequest:
        return None
