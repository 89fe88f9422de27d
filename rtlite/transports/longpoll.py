"""HTTP requests whose answers may take long: a poll waits until there is something to say.

They are served by the listener, as event streams are: the wait must end at once when the
peer leaves, and what waits for polls (:class:`PollOutbox`) is the same bytes that would go
to a WebSocket, so that one can take over from the other without a word lost or said twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator

import attrs
import trio

from rtlite.auth import origins
from rtlite.errors import RequestTimeout
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.transports.head import Head
from rtlite.transports.lean import LeanLane
from rtlite.transports.mailbox import Signal
from rtlite.transports.outbox import NOTHING, Outbox
from rtlite.transports.routes import PathTable, Reply
from rtlite.transports.stream import ServerStream


@attrs.frozen
class Poll:
    """One request, as its endpoint gets it.

    ``body`` reads the body, and raises RequestTimeout if it does not come in time.
    """

    head: Head
    address: str
    scheme: str
    body: Callable[[], Awaitable[bytes]]


@attrs.frozen
class LongPollRoute:
    """A path whose requests may wait for their answers.

    :param answer: is cancelled when the peer leaves while it waits.
    :param protocol: the name in lists and metrics.
    :param continues: whether a request belongs to a connection that there is.
    """

    pattern: str
    answer: Callable[[Poll], Awaitable[Reply]]
    protocol: str = "http"
    continues: Callable[[Head], bool] = lambda head: False


class LongPolls:
    """Serves requests for the paths of long polling."""

    def __init__(self, routes: list[LongPollRoute], lean: LeanLane, settings: Settings, metrics: Metrics) -> None:
        self._paths = PathTable([(route.pattern, route) for route in routes])
        self._lean = lean
        self._settings = settings
        self._metrics = metrics

    def find(self, head: Head) -> LongPollRoute | None:
        """The route of a request. Preflights of browsers, and HEAD, are for the router. :raises BadHead:"""
        if head.method in {"OPTIONS", "HEAD"}:
            return None
        found = self._paths.find(head.path)
        return found[0][0] if found else None

    async def serve(self, stream: ServerStream, head: Head, route: LongPollRoute, address: str, scheme: str) -> bool:
        """Answer one request; returns whether another may follow.

        :raises RequestTimeout: the body did not arrive in time.
        """
        left = 0 if head.content_length is None else head.content_length

        async def body() -> bytes:
            nonlocal left
            with trio.move_on_after(self._settings.body_timeout):
                while stream.buffered < left:
                    if not await stream.read_ahead():
                        raise trio.BrokenResourceError("the peer left")
                data, left = stream.take(left), 0
                return data
            raise RequestTimeout("the body did not arrive in time")

        reply: Reply | None = None
        if left:
            reply = await route.answer(Poll(head, address, scheme, body))
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, stream, nursery.cancel_scope)
                reply = await route.answer(Poll(head, address, scheme, body))
                nursery.cancel_scope.cancel()
        if reply is None:
            return False
        cors = origins.cors_headers(head.headers.get("origin"), self._settings)
        reply = attrs.evolve(reply, headers={**reply.headers, **cors, "Cache-Control": "no-store"})
        again = head.keep_alive and not left and not head.chunked  # a body that was not read is no request
        self._metrics.requests.labels("poll", str(reply.status)).inc()
        await self._lean.write(stream, reply, keep_alive=again)
        if left or head.chunked:
            await stream.linger()
        return again

    @staticmethod
    async def _watch(stream: ServerStream, scope: trio.CancelScope) -> None:
        """Notice that the peer leaves while it waits. Once it sends its next request, there is no more to notice."""
        try:
            while not stream.buffered:
                if not await stream.read_ahead():
                    break
            else:
                return
        except trio.BrokenResourceError:
            pass
        scope.cancel()


class PollOutbox(Outbox):
    """A bounded queue of frames that polls take, until a WebSocket takes over.

    :param limit: bytes that may wait.
    """

    __slots__ = ("_carrier", "_filled")

    def __init__(self, limit: int) -> None:
        super().__init__(None, None, limit, 0.0, None, None)  # type: ignore[arg-type]  # it has no writer
        self._carrier: Outbox | None = None
        self._filled = Signal()

    @property
    def queued(self) -> int:
        return self._queued if self._carrier is None else self._carrier.queued

    @property
    def emptied(self) -> float:
        return self._emptied if self._carrier is None else self._carrier.emptied

    def offer(self, data: bytes) -> bool:
        return super().offer(data) if self._carrier is None else self._carrier.offer(data)

    async def room(self, size: int) -> None:
        if self._carrier is None:
            await super().room(size)
        if self._carrier is not None:
            await self._carrier.room(size)

    async def drained(self) -> None:
        if self._carrier is None:
            await super().drained()
        if self._carrier is not None:
            await self._carrier.drained()

    def discard_queued(self) -> None:
        if self._carrier is None:
            super().discard_queued()
        else:
            self._carrier.discard_queued()

    def close(self) -> None:
        super().close()
        self._filled.set()

    def _start(self, data: bytes | memoryview) -> None:
        self._queue = deque()
        self._enqueue(data)
        self._filled.set()

    @property
    def carried(self) -> bool:
        """Whether a WebSocket has taken over."""
        return self._carrier is not None

    async def filled(self) -> None:
        """Wait until there is something to take, or a reason to wait no more."""
        await self._filled.wait()

    def release(self) -> None:
        """Whoever waits in :meth:`filled` waits no more, though there may be nothing to take."""
        self._filled.set()

    def take(self) -> bytes:
        """All that waits, for one answer."""
        data = b"".join(self._queue)
        self._queue = NOTHING
        self.sent += len(data)
        self._queued = 0
        if not self.closed:
            self._filled = Signal()
        self._wake()
        return data

    def hand_over(self, carrier: Outbox) -> None:
        """From now on everything goes out there, what waits first."""
        carrier.offer(self.take())  # nothing waits there yet, so it takes this whatever its size
        self._carrier = carrier
        self._filled.set()
        self._wake()


def frames(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """The messages of frames that we made ourselves (whole and unmasked), and whether each is binary."""
    at = 0
    while at < len(data):
        binary, length = data[at] & 0x0F == 2, data[at + 1]
        at += 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield data[at : at + length], binary
        at += length
