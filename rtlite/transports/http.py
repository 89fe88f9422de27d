"""HTTP by Hypercorn and Quart, one request at a time.

For each request the listener has read and checked the head; here Hypercorn's HTTP/1.1
protocol gets that head, and the connection comes back at the request boundary, unread
bytes included. So every head of a connection passes the same checks, HTTP/2 and
WebSockets cannot be reached through Hypercorn, and an error in one request stays in it.

What is relied on of Hypercorn 0.18, and tested: ``H11Protocol`` takes ``RawData`` and
``Closed``, and sends ``RawData``, ``Closed`` (no more requests) or ``Updated(idle=True)``
(the answer is complete) in return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from rtlite.errors import InvalidRequest, Overloaded, Refused, RequestTimeout, TooLarge, Unauthorized
from rtlite.log import get_logger
from rtlite.settings import Settings
from rtlite.transports.head import Head
from rtlite.transports.routes import Call, InternalError, Reply, Router, problem
from rtlite.transports.stream import ServerStream

if TYPE_CHECKING:
    from rtlite.transports.guest import Guest

log = get_logger(__name__)

_MAX_PIECES: Final = 1024
_WITHOUT_LENGTH: Final = frozenset({204, 304})  # RFC 9110, section 8.6: a cache would take it for that of the content
_SMALL: Final = 16  # bytes; a line of a log that is sent chunk by chunk has more


class Logger:
    """Hypercorn's log lines, to ours. Access lines are not kept: paths carry secrets."""

    def __init__(self, config: Config) -> None: ...

    async def access(self, *_: Any) -> None: ...

    async def exception(self, message: str, *_: Any, **__: Any) -> None:
        log.exception(message)

    async def log(self, _level: int, message: str, *_: Any, **__: Any) -> None:
        log.info(message)

    critical = error = warning = info = debug = exception


def make_app(router: Router) -> QuartTrio:
    """The Quart-Trio application: it answers by the router's table, before a table of its own comes into play."""
    app = QuartTrio("rtlite", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # each route has its own, see _body
    app.config["BODY_TIMEOUT"] = None  # the driver below has the deadline
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.before_request
    async def answer() -> Response:
        state = request.scope["state"]
        head: Head = state["head"]
        call = Call(head.method, {}, head.query, head.headers, b"", state["address"], state["scheme"], state["trusted"])
        call.values = head.values
        refusal: Refused | None = None
        try:
            call.body = await _body(router, head, state["trusted"])
        except (TooLarge, Unauthorized, Overloaded) as error:
            refusal = error
        return _response(await router.answer(call, head.path, refusal=refusal))

    @app.errorhandler(HTTPException)
    async def failed(error: HTTPException) -> Response:
        return _response(problem(InternalError("the server made a mistake")))  # it is in Quart, and in the log

    return app


async def _body(router: Router, head: Head, trusted: bool) -> bytes:
    """The request's body. Quart's own limit comes too late: it looks once the body is whole.

    :raises TooLarge: it is. :raises Unauthorized, Overloaded: it is not waited for.
    """
    if not (head.content_length or head.chunked):
        return b""
    try:
        route = router.find(head.method, head.path)[0]
    except Refused:  # there is no such route: it is not read, and the router says why
        return b""
    limit = router.body_limit(route)
    size = limit if head.content_length is None else head.content_length
    if size > limit:
        raise TooLarge(f"the body may have {limit} bytes")
    router.refuse_strangers(route, head, trusted)
    body = bytearray()
    with router.bodies.room(size):
        async for data in request.body:
            body += data
            if len(body) > limit:
                raise TooLarge(f"the body may have {limit} bytes")
    return bytes(body)


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    response.headers.update(reply.headers)
    if reply.status in _WITHOUT_LENGTH:
        del response.headers["Content-Length"]
    return response


class HttpServer:
    """Answers requests through Hypercorn and the application."""

    def __init__(self, app: QuartTrio, settings: Settings, guest: Guest | None = None) -> None:
        self._app = ASGIWrapper(app)
        self.guest = guest
        self._settings = settings
        self.context = WorkerContext(None)
        self.config = Config()
        self.config.include_server_header = False
        self.config.logger_class = Logger  # type: ignore[assignment]
        self.config.h11_max_incomplete_size = settings.max_head + 1024
        self.config.keep_alive_max_requests = 10**9

    async def answer(self, stream: ServerStream, head: Head, address: str, scheme: str) -> bool:
        """Answer one request; returns whether the connection can take another."""
        state = {"head": head, "address": address, "scheme": scheme, "trusted": stream.trusted, "stream": stream}
        app = self._app
        if self.guest is not None and not stream.trusted and self.guest.takes(head):
            app = self.guest.app
        return await _Exchange(app, self.config, self.context, stream, self._settings, state).run(head)


class _Connection(h11.Connection):
    """h11's side of one request. A piece of the body costs some 75 µs on its way to the application,
    so a megabyte of one-byte chunks would keep us busy for a minute: it is no body that we can read."""

    def __init__(self, config: Config) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=config.h11_max_incomplete_size)
        self._pieces = self._size = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._pieces += 1
            self._size += len(event.data)
            if self._pieces > max(_MAX_PIECES, self._size // _SMALL):
                raise h11.RemoteProtocolError("a body in very many small pieces")
        return event


class _Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1; a body that h11 cannot read is refused like everything else, as a problem."""

    refusal: Refused | None = None

    def __init__(self, app: Any, config: Config, *others: Any) -> None:
        super().__init__(app, config, *others)
        self.connection = _Connection(config)

    async def _send_error_response(self, status_code: int) -> None:
        self.refusal = InvalidRequest("the body is malformed", code="bad_request")


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        app: Any,
        config: Config,
        context: WorkerContext,
        stream: ServerStream,
        settings: Settings,
        state: dict[str, Any],
    ) -> None:
        self._arguments = (app, config, context)
        self._stream = stream
        self._settings = settings
        self._state = state
        self._reading = trio.CancelScope()
        self._over = False
        self._again = False

    async def run(self, head: Head) -> bool:
        """:raises Refused: the body is malformed or late, and nothing was answered yet."""
        app, config, context = self._arguments
        async with TaskGroup() as group:
            self._protocol = _Protocol(
                app,
                config,
                context,
                group,
                ConnectionState(self._state),
                self._stream.secure,
                (self._state["address"], 0),
                None,
                self._send,
            )
            with self._reading:
                await self._protocol.handle(RawData(head.raw))
                await self._read()
            # The peer is gone, too slow or wrong: the application is told, and ends. If it is done, this does nothing.
            self._over = True
            await self._protocol.handle(Closed())
        if self._protocol.refusal is not None:
            raise self._protocol.refusal
        return self._again

    async def _read(self) -> None:
        """Feed the body, under a deadline; after it, wait for the end of the peer or of the answer."""
        connection = self._protocol.connection
        deadline = trio.current_time() + self._settings.body_timeout
        while True:
            body_open = connection.their_state is h11.SEND_BODY
            try:
                with trio.fail_at(deadline if body_open else float("inf")):
                    data = await self._stream.receive_some()
            except trio.TooSlowError:
                if connection.our_state is h11.SEND_RESPONSE:
                    self._protocol.refusal = RequestTimeout("the body did not arrive in time")
                return
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if self._over:  # the answer was completed in this very moment: these bytes are the next request's
                self._stream.unread(data)
                return
            await self._protocol.handle(RawData(data))
            if not data:
                return

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            if self._protocol.refusal is not None:
                return
            try:
                await self._stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._reading.cancel()  # the reader ends the exchange; the application is told there
        elif isinstance(event, Closed):
            self._finish(again=False)
        elif isinstance(event, Updated):
            if event.idle:
                self._stream.unread(self._protocol.connection.trailing_data[0])
                self._finish(again=True)
            elif self._over:
                # A pipelined request: it was put back, and its head is for the listener to read.
                await trio.sleep_forever()

    def _finish(self, again: bool) -> None:
        if not self._over:
            self._over = True
            self._again = again
            self._reading.cancel()
