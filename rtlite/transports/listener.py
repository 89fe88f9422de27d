"""The accept loop, and finding out what a connection is.

Every connection runs behind its own firewall: Trio cancels the siblings of a task that
raises, so an exception that left a connection would end the server. Here it ends the
connection, with a traceback in the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import trio

from rtlite.auth import origins
from rtlite.auth.hosts import Hosts
from rtlite.errors import Forbidden, NotFound, Refused, RequestTimeout
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.transports.eventstream import EventStreams
from rtlite.transports.head import Head, HeadTooLarge, check_websocket, parse_head
from rtlite.transports.hotlane import HotLane
from rtlite.transports.http import HttpServer
from rtlite.transports.lean import LeanLane
from rtlite.transports.link import Life
from rtlite.transports.longpoll import LongPolls
from rtlite.transports.proxies import TrustedProxies
from rtlite.transports.routes import PathTable, Reply, problem
from rtlite.transports.sockets import tls_context
from rtlite.transports.stream import ServerStream
from rtlite.transports.uploads import Uploads
from rtlite.transports.websocket import WebSocketRoute, WebSockets

log = get_logger(__name__)


class Listener:
    """Serves connections: reads each request's head and hands it to whoever speaks it."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        http: HttpServer,
        lean: LeanLane,
        uploads: Uploads,
        hot: HotLane,
        websockets: WebSockets,
        websocket_routes: Sequence[WebSocketRoute],
        event_streams: EventStreams,
        long_polls: LongPolls,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._http = http
        self._lean = lean
        self._uploads = uploads
        self._hot = hot
        self._websockets = websockets
        self._websocket_paths = PathTable([(route.pattern, route) for route in websocket_routes])
        self._hosts = Hosts(settings)
        self._event_streams = event_streams
        self._long_polls = long_polls
        self._proxies = TrustedProxies(settings.trusted_proxy)
        self._tls = tls_context(settings)
        self._idle: set[trio.CancelScope] = set()
        self.impair: Callable[[str, Mapping[str, str]], None] | None = None
        """Called with the protocol and path of each attempt to connect while faults may be for it."""
        self.stopping = False

    @property
    def scheme(self) -> str:
        return "https" if self._tls else "http"

    def stop(self) -> None:
        """Let requests under way finish; end the connections that wait for the next one."""
        self.stopping = True
        for scope in self._idle:
            scope.cancel()

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        connections: trio.Nursery,
        *,
        trusted: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept until cancelled. Connections live in ``connections`` and outlive this task.

        When file descriptors run out, Trio's accept loop logs it and tries again; the backlog waits.
        """

        await trio.serve_listeners(
            partial(self.serve_stream, trusted=trusted),
            list(listeners),
            handler_nursery=connections,
            task_status=_started(task_status),
        )

    async def run(self) -> None:
        """Keep the connections' heartbeats, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._websockets.pulse.run)
            nursery.start_soon(self._event_streams.pulse.run)

    async def serve_stream(self, transport: trio.abc.Stream, *, trusted: bool = False) -> None:
        """The life of one connection, on one screen; returns when it is over and raises nothing but cancellation."""
        try:
            async with trio.open_nursery() as nursery:
                secure = self._tls is not None and not trusted
                if secure:
                    transport = trio.SSLStream(transport, self._tls, server_side=True, https_compatible=True)  # type: ignore[arg-type]
                    with trio.fail_after(self._settings.handshake_timeout):
                        await transport.do_handshake()
                stream = ServerStream(transport, self._settings, nursery.start_soon, secure=secure, trusted=trusted)
                try:
                    life = await self._serve_requests(stream)
                    while life is not None and await life:
                        life = await self._serve_requests(stream, again=True)
                finally:
                    await stream.aclose()
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # the peer is gone, or did not finish a handshake in time; there is nobody left to tell
        except* Exception:
            self._metrics.faults.inc()
            log.exception("a connection failed; it was closed")

    async def _serve_requests(self, stream: ServerStream, *, again: bool = False) -> Life | None:
        """Serve one request after another until the connection is over, or is one that lasts: returns its life.

        :param again: whether there was a request before.

        One cancel scope serves all the waiting for heads; only its deadline moves (a scope of
        its own for each wait would be a tenth of a small request's cost).
        """
        head: Head | None = None
        try:
            with trio.CancelScope() as patience:
                while not self.stopping:
                    head = await self._read_head(stream, head, patience, again=again)
                    if head is None:
                        return None
                    served = await self._serve_request(stream, head, patience)
                    if not isinstance(served, bool):
                        return served
                    if not served:
                        return None
                    again = True
            if stream.buffered and not self.stopping:
                raise RequestTimeout("the request head did not arrive in time")
        except Refused as error:
            await self._refuse(stream, problem(error))
        return None

    async def _serve_request(self, stream: ServerStream, head: Head, patience: trio.CancelScope) -> Life | bool:
        """Serve one request; returns whether another may follow, or what is to last."""
        address, scheme = self._proxies.resolve(stream.peer, head.headers, "https" if stream.secure else "http")
        patience.deadline = math.inf  # from here on others hold the deadlines
        if (lean := self._lean.takes(head)) is not None:
            return await self._lean.answer(stream, head, lean, address, scheme)
        if (upload := self._uploads.find(head)) is not None:
            return await self._uploads.serve(stream, head, upload, address, scheme)
        if head.wants_websocket:
            route, params = self._websocket_route(head, scheme)
            self._impair(route.protocol, params, stream)
            if route.refuse is not None and (refusal := route.refuse(head)) is not None:
                await self._refuse(stream, refusal)
                return False
            return await self._websockets.open(stream, head, route, params, address)
        if (found := self._event_streams.find(head)) is not None:
            self._impair(found[0].protocol, found[1], stream)
            return self._event_streams.open(stream, head, found, address)
        if (poll := self._long_polls.find(head)) is not None:
            if not poll.continues(head):
                self._impair(poll.protocol, {}, stream)
            return await self._long_polls.serve(stream, head, poll, address, scheme)
        return await self._http.answer(stream, head, address, scheme)

    def _impair(self, protocol: str, params: Mapping[str, str], stream: ServerStream) -> None:
        """:raises FaultInjected: it is not let in."""
        if self.impair is not None and not stream.trusted:
            self.impair(protocol, params)

    async def _read_head(
        self, stream: ServerStream, last: Head | None, patience: trio.CancelScope, *, again: bool
    ) -> Head | None:
        """The next head; ``None`` when the connection is over.

        :param last: the head before it on this connection: a client that sends the same bytes again
            (most do) gets the same head, unparsed.
        :raises Refused: it is not one, is too large, or is for another server.
        """
        raw = self._take_head(stream)
        if raw is None:
            idle = again and not stream.buffered
            patience.deadline = trio.current_time() + (
                self._settings.keep_alive_timeout if idle else self._settings.handshake_timeout
            )
            while raw is None:
                if not stream.buffered:
                    self._idle.add(patience)
                elif idle:  # the first bytes came: the rest has the time of a handshake
                    idle, patience.deadline = False, trio.current_time() + self._settings.handshake_timeout
                try:
                    if not await self._read_ahead(stream, last if idle else None, patience):
                        return None
                finally:
                    self._idle.discard(patience)
                raw = self._take_head(stream)
        else:
            await trio.lowlevel.checkpoint()  # a pipelined request: others have their turn first
        if last is not None and raw == last.raw:
            return last
        head = parse_head(raw.lstrip(b"\r\n"), self._settings.max_headers)
        self._hosts.check(head.headers.get("host", ""), stream.peer)
        return head

    async def _read_ahead(self, stream: ServerStream, last: Head | None, patience: trio.CancelScope) -> bool:
        """Wait for more bytes; ``False`` at the end. Repeats of some requests are answered meanwhile."""
        if last is None or (route := self._hot.takes(stream, last)) is None:
            return await stream.read_ahead()
        address, scheme = self._proxies.resolve(stream.peer, last.headers, "https" if stream.secure else "http")
        return await self._hot.read_ahead(stream, last, route, address, scheme, patience)

    def _take_head(self, stream: ServerStream) -> bytes | None:
        try:
            return stream.take_until(b"\r\n\r\n", self._settings.max_head)
        except ValueError as error:
            raise HeadTooLarge(f"the request head may have {self._settings.max_head} bytes") from error

    def _websocket_route(self, head: Head, scheme: str) -> tuple[WebSocketRoute, dict[str, str]]:
        """Where a handshake goes. :raises Refused: nowhere, and why; all before the handshake is answered."""
        found = self._websocket_paths.find(head.path)
        if not found:
            raise NotFound("no WebSocket is served at this path")
        check_websocket(head)
        origin = head.headers.get("origin")
        # A ticket was read by a page that CORS let read it, or is for public data: it is proof enough.
        ticket = head.query.get("token", "").startswith("tkt_")
        if not ticket and not origins.allowed(origin, head.headers.get("host"), scheme, self._settings):
            raise Forbidden("this origin may not connect (allowed_origins)", code="origin_not_allowed")
        return found[0]

    async def _refuse(self, stream: ServerStream, reply: Reply) -> None:
        """Answer, and close so that the answer arrives even if the peer still sends."""
        self._metrics.requests.labels("listener", str(reply.status)).inc()
        await self._lean.write(stream, reply, keep_alive=False)
        await stream.linger()


def _started(task_status: trio.TaskStatus[None]) -> Any:
    class Status:
        def started(self, _listeners: object = None) -> None:
            task_status.started()

    return Status()
