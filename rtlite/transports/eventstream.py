"""The life of an event stream: the answer's head, heartbeats, a last word, one way out.

It is served by the listener and not through Hypercorn: an idle stream costs a third of the
memory, and what is fanned out goes to the socket as the same bytes for every reader.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Final, Protocol

import attrs
import trio

from rtlite.auth import origins
from rtlite.errors import InvalidRequest, Reason, Refused, TooMany, Unauthorized
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.contract import Asked, Message
from rtlite.transports.head import Head
from rtlite.transports.lean import LeanLane
from rtlite.transports.link import Life, Link
from rtlite.transports.pulse import Beat, Pulse
from rtlite.transports.routes import PathTable, Reply, problem
from rtlite.transports.stream import ServerStream

STREAM_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}
_STOPPING_RETRY: Final = (1.0, 5.0)  # seconds; drawn for each, so that they do not all come back at once
_BUSY: Final = frozenset({Reason.OVER_CAPACITY, Reason.RATE_LIMITED, Reason.INTERNAL_ERROR})


class Wording(Protocol):
    """How a stream says things; the module ``protocols.sse``."""

    @property
    def CONTENT_TYPE(self) -> str: ...  # a module's constant
    @property
    def HEARTBEAT(self) -> bytes: ...
    @property
    def LAST_CHUNK(self) -> bytes: ...
    def chunked(self, payload: bytes) -> bytes: ...
    def plain(self, payload: bytes) -> bytes: ...
    def closed(self, code: str, text: str, retry: float | None, *, stop: bool) -> bytes: ...


@attrs.frozen(eq=False)
class EventStreamRoute:
    """A path whose GET is answered by a stream of events.

    :param pattern: with ``{name}`` for a path segment.
    :param endpoint: runs the stream; what it refuses before :meth:`EventStream.open` is the answer's status.
    :param asks: the parameters; :param messages: what comes. Both are for the descriptions.
    """

    pattern: str
    endpoint: Callable[[EventStream], Awaitable[None]]
    wording: Wording
    protocol: str = "sse"
    asks: Sequence[Asked] = ()
    messages: Sequence[Message] = ()


class EventStream(Link):
    """One request for events and the answer to it, as the endpoint sees it."""

    def __init__(
        self,
        stream: ServerStream,
        pulse: Pulse,
        metrics: Metrics,
        route: EventStreamRoute,
        params: Mapping[str, str],
        head: Head,
        lean: LeanLane,
        settings: Settings,
    ) -> None:
        super().__init__(route.protocol, stream.outbox, stream.spawn, params, head, settings)
        self._pulse = pulse
        self._metrics = metrics
        self._stream = stream
        self._lean = lean
        self._route = route
        self._opened = False
        self._reply: Reply | None = None
        self._retry: float | None = None

    @property
    def chunked(self) -> bool:
        """Whether what is sent is framed as chunks; to HTTP/1.0 it is not."""
        return self.head.version != "1.0"

    @property
    def trusted(self) -> bool:
        return self._stream.trusted

    @property
    def status(self) -> int:
        return 200 if self._reply is None else self._reply.status

    @property
    def again(self) -> bool:
        """Whether another request may follow: there was no stream."""
        return self._reply is not None and self.head.keep_alive

    def frame(self, payload: bytes) -> bytes:
        return self._route.wording.chunked(payload) if self.chunked else self._route.wording.plain(payload)

    def send(self, payload: bytes) -> bool:
        return self.outbox.offer(self.frame(payload))

    def open(self) -> None:
        """Answer 200: from here on only events tell the client anything."""
        if self._reply is not None:  # it was refused, and ends at its next step
            return
        self._opened = True
        headers = {
            "Content-Type": self._route.wording.CONTENT_TYPE,
            **STREAM_HEADERS,
            **origins.cors_headers(self.head.headers.get("origin"), self._settings),
            "Date": formatdate(usegmt=True),
            "Connection": "close",
        }
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.outbox.offer(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1"))

    @property
    def stream(self) -> ServerStream:
        return self._stream

    def refuse_with(self, refusal: Refused) -> None:
        if not self._opened and self._reason is None:
            self._reply = problem(refusal)
        super().refuse_with(refusal)

    def turn_away(self) -> None:
        """Answer 204, after which no EventSource comes back by itself."""
        self._reply = Reply(204)
        self.end(Reason.CLOSED_BY_OPERATOR)

    async def watch(self) -> None:
        """Wait until the peer has gone. What it sends meanwhile is dropped, and more than a head's worth is abuse."""
        left = self._settings.max_head
        self.head.shed()
        while data := await self._stream.receive_some():
            left -= len(data)
            if left < 0:
                self.end(Reason.ABUSE)

    def _begin(self) -> Beat | None:
        return self._pulse.add(self)

    def ping(self) -> bool:
        """A comment every so often: proxies see life, and the kernel finds out if nobody is there any more."""
        return self._opened and not self.busy and self.send(self._route.wording.HEARTBEAT)

    def _converse(self) -> Awaitable[None]:
        return self._route.endpoint(self)

    def _judge(self, error: Exception) -> Reason:
        """What a retry cannot mend is a status, and an EventSource stops. All else is a stream that ends."""
        if isinstance(error, TooMany):
            self._retry = error.retry_after
            return Reason.RATE_LIMITED
        if not isinstance(error, Refused) or error.status >= 500:
            return super()._judge(error)
        if not self._opened:
            self._reply = problem(error)
        return Reason.UNAUTHORIZED if isinstance(error, Unauthorized) else super()._judge(error)

    async def _close(self, reason: Reason) -> None:
        """End the answer, and say why before. It ends: when all is sent, the peer is gone, or at the deadline."""
        self._metrics.requests.labels("sse", str(self.status)).inc()
        try:
            with trio.move_on_after(self._patience()):
                if self._reply is not None:
                    await self._answer(self._reply)
                    return
                if not self._opened:
                    self.open()
                last = b"" if reason is Reason.NORMAL else self._last_word(reason)
                await self.outbox.send(last + (self._route.wording.LAST_CHUNK if self.chunked else b""))
                await self.outbox.drained()
        except self.gone:
            pass  # there is nobody left to tell

    async def _answer(self, reply: Reply) -> None:
        cors = origins.cors_headers(self.head.headers.get("origin"), self._settings)
        reply = attrs.evolve(reply, headers={**reply.headers, **cors, "Cache-Control": "no-store"})
        await self._lean.write(self._stream, reply, keep_alive=self.head.keep_alive)

    def _last_word(self, reason: Reason) -> bytes:
        retry: float | None = None
        if reason is Reason.STOPPING:
            retry = random.uniform(*_STOPPING_RETRY)  # noqa: S311  # no secret
        elif reason in _BUSY:
            retry = self._settings.sse_retry_busy * random.uniform(1, 2)  # noqa: S311  # no secret
            retry = max(retry, self._retry or 0.0)
        stop = reason is Reason.CLOSED_BY_OPERATOR
        text = self.farewell[1] if self.farewell else reason.value.text
        return self.frame(self._route.wording.closed(reason.name.lower(), text, retry, stop=stop))


class EventStreams:
    """Serves requests for the paths of event streams."""

    def __init__(
        self,
        routes: list[EventStreamRoute],
        lean: LeanLane,
        settings: Settings,
        connections: Connections,
        metrics: Metrics,
    ) -> None:
        self._paths = PathTable([(route.pattern, route) for route in routes])
        self._lean = lean
        self._settings = settings
        self._connections = connections
        self._metrics = metrics
        self.pulse = Pulse(settings.ping_interval, None)

    def find(self, head: Head) -> tuple[EventStreamRoute, dict[str, str]] | None:
        """The route of a request for a stream. Other methods of its path are for the router. :raises BadHead:"""
        if head.method != "GET":
            return None
        return next(iter(self._paths.find(head.path)), None)

    def open(
        self, stream: ServerStream, head: Head, found: tuple[EventStreamRoute, dict[str, str]], address: str
    ) -> Life:
        """The life of one stream. :raises InvalidRequest: the request has a body."""
        if head.chunked or head.content_length:
            raise InvalidRequest("a request for events has no body")
        events = EventStream(stream, self.pulse, self._metrics, *found, head, self._lean, self._settings)
        return events.serve(self._connections, self._metrics, address)
