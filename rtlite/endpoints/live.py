"""``GET /api/live``: what the operator sees live, as server-sent events; and which connections ended of late.

``past`` comes first (the numbers for the charts), then every second a ``snapshot``, and, to who asks for
them, ``events``. Nothing waits for a page that reads too slowly: it misses events, and is told how many.
"""

from __future__ import annotations

from typing import Any, Final, NotRequired

import orjson
import trio

from rtlite.auth import origins
from rtlite.auth.gate import Gate, presented
from rtlite.auth.grants import is_operator
from rtlite.domain.monitor import Monitor, Tail, Wanted
from rtlite.endpoints.pages import Page
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import Forbidden, Reason
from rtlite.model import Event, rfc3339
from rtlite.protocols import sse
from rtlite.protocols.jsonschema import Listed, Shape
from rtlite.rules import Channel, Count, EventId, EventName, Offset, PositionText, Timestamp
from rtlite.settings import KIB, Settings
from rtlite.transports.connections import Connections, EndedConnection
from rtlite.transports.contract import Answer, Asked, Message
from rtlite.transports.eventstream import STREAM_HEADERS, EventStream, EventStreamRoute
from rtlite.transports.routes import Call, Reply, Route, json_reply

_PATH: Final = "/api/live"
_TURN: Final = 0.25  # seconds between two looks for events
_UNREAD: Final = 256 * KIB  # bytes that may wait for a page; beyond it is shown less
_DATA: Final = 8 * KIB  # bytes of an event's data that are shown; more is in the history
_TAIL: Final = 512 * KIB  # bytes of data that may wait for one turn

ASKED: Final = (
    Asked("events", str, "`1`: events as well"),
    Asked("channel", str, "Only those of this channel, or of those that begin so, as in `article:*`"),
    Asked("event", str, "Only those of this name"),
    Asked("text", str, "Only those with this in their name or their data"),
)
_NUMBERS: Final = Shape(
    {
        "time": Timestamp,
        "published": float | None,
        "delivered": float | None,
        "p50": float | None,
        "p99": float | None,
        "connections": Count,
        "memory": Count,
    }
)
_EVENT: Final = Shape(
    {
        "id": EventId,
        "channel": Channel,
        "event": EventName,
        "offset": Offset,
        "position": PositionText,
        "timestamp": Timestamp,
        "data": NotRequired[Any],
        "beginning": NotRequired[str],
        "size": NotRequired[Count],
    }
)
_SNAPSHOT: Final = Shape(
    {
        **_NUMBERS.fields,
        "protocols": dict[str, int],
        "waiting": Count,
        "channels": list[Any],
        "activeChannels": Count,
        "slow": list[Any],
        "disconnects": list[EndedConnection],
    }
)
MESSAGES: Final = (
    Message("past", "First: the numbers of the last minutes, for charts.", Shape({"items": Listed(_NUMBERS)})),
    Message("snapshot", "Every second: how the server does.", _SNAPSHOT),
    Message(
        "events",
        "Events since the last message; `dropped` were too many.",
        Shape({"items": Listed(_EVENT), "dropped": Count}),
    ),
    Message("closed", str(sse.Closed.__doc__), sse.Closed),
)


class Live:
    def __init__(
        self, monitor: Monitor, connections: Connections, sessions: Sessions, gate: Gate, settings: Settings
    ) -> None:
        self._monitor = monitor
        self._connections = connections
        self._sessions = sessions
        self._gate = gate
        self._settings = settings

    def event_streams(self) -> list[EventStreamRoute]:
        return [EventStreamRoute(_PATH, self.stream, sse, "console", ASKED, MESSAGES)]

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                _PATH,
                self.head,
                "What the console shows, as it happens (Server-Sent Events)",
                asks=ASKED,
                gives={
                    200: Answer(
                        str,
                        "`past`, then `snapshot` again and again; what they hold is in `/asyncapi.json`",
                        ["text/event-stream"],
                        dict.fromkeys(STREAM_HEADERS, ""),
                    ),
                    204: Answer(None, "An operator ended this stream: do not come back"),
                },
                refuses={403: "origin_not_allowed"},
            ),
            Route(
                "GET",
                "/api/disconnects",
                self.disconnects,
                "List the connections that ended last, and why",
                gives={200: Page[EndedConnection]},
            ),
        ]

    async def head(self, call: Call) -> Reply:
        """HEAD: what a GET would be answered with."""
        return Reply(200, content_type=sse.CONTENT_TYPE, headers=STREAM_HEADERS)

    async def disconnects(self, call: Call) -> Reply:
        return json_reply({"items": [ended.as_json() for ended in self._connections.recent()], "next": None})

    async def stream(self, stream: EventStream) -> None:
        """``?events=1&channel=&event=&text=`` asks for events as well: those of a channel or a whole kind, of
        a name, with a text in their data."""
        self._admit(stream)
        asked = stream.head.query
        wanted = Wanted(asked.get("channel", ""), asked.get("event", ""), asked.get("text", ""))
        most = max(1, round(self._settings.console_events * _TURN))
        tail = Tail(wanted, most, _TAIL) if asked.get("events") == "1" else None
        if sse.last_event_id(stream.head.headers, asked) == sse.STOP_ID:
            stream.turn_away()
            return
        stream.open()
        stream.spawn(self._tell, stream, tail)
        await stream.watch()

    def _admit(self, stream: EventStream) -> None:
        """:raises Unauthorized, Forbidden, TooMany: not an operator, or another page uses the browser's login."""
        head = stream.head
        secret = presented(head.headers, head.query)
        login = None if secret is not None else self._gate.logins.find(head.headers)
        if login is None:
            identity = self._sessions.identify(stream, secret)
        else:
            # What lasts is held open for pages of ours alone: no image or link elsewhere asks for events.
            ours = any(origins.from_our_page(head.headers, scheme, self._settings) for scheme in ("http", "https"))
            if not ours or "text/event-stream" not in head.headers.get("accept", ""):
                raise Forbidden("a login to the console is for the console's own page", code="origin_not_allowed")
            identity = login.identity

            def log_out() -> None:
                stream.end(Reason.REVOKED)

            login.on_end.append(log_out)
            stream.on_end(lambda: login.on_end.remove(log_out))
            if stream.listed is not None:
                stream.listed.passing = True
        if not is_operator(identity):
            raise Forbidden("an admin key is needed")
        self._sessions.take_on(stream, identity)

    async def _tell(self, stream: EventStream, tail: Tail | None) -> None:
        missed = 0
        past, snapshot = list(self._monitor.past), self._monitor.latest
        stream.send(sse.json_message({"items": past}, event="past", retry=round(self._settings.sse_retry * 1000)))
        with self._monitor.watched(tail):
            while True:
                await trio.sleep(_TURN)
                reading = stream.outbox.queued < _UNREAD
                if self._monitor.latest is not snapshot and reading:
                    snapshot = self._monitor.latest
                    stream.send(sse.json_message(snapshot, event="snapshot"))
                if tail is None:
                    continue
                events, dropped = tail.take()
                missed += dropped
                if not reading:
                    missed += len(events)
                elif events or missed:
                    items = [shown(event) for event in events]
                    if stream.send(sse.json_message({"items": items, "dropped": missed}, event="events")):
                        missed = 0
                    else:
                        missed += len(events)


def shown(event: Event) -> dict[str, Any]:
    """An event for the stream of all: of large data, as its text, only the beginning."""
    if len(event.data) <= _DATA:
        data: dict[str, Any] = {"data": orjson.Fragment(event.data)}
    else:
        data = {"beginning": event.data[:_DATA].decode(errors="ignore"), "size": len(event.data)}
    return {
        "id": event.id,
        "channel": event.channel,
        "event": event.name,
        "offset": event.offset,
        "position": str(event.position),
        "timestamp": rfc3339(event.timestamp),
        **data,
    }
