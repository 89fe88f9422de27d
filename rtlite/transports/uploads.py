"""Bodies that are taken as they come: a program may stream lines into one request for days.

For routes marked ``streamed``, where the body is lines (NDJSON or plain text). h11 reads the
framing; the endpoint gets the pieces, and nothing more is read until it asks for the next.
So a sender that is faster than the disk is slowed by TCP, and no body is ever held whole.
"""

from __future__ import annotations

import math
import time
from typing import Final

import h11
import trio

from rtlite.errors import InvalidRequest, Overloaded, Reason, Refused, RequestTimeout, Unauthorized
from rtlite.model import Identity, Kind
from rtlite.settings import Settings
from rtlite.transports.connections import Connection, Connections
from rtlite.transports.head import Head
from rtlite.transports.lean import LeanLane
from rtlite.transports.routes import Call, Route, Router
from rtlite.transports.stream import ServerStream

_READ: Final = 256 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Uploads:
    """Requests with such bodies."""

    def __init__(self, router: Router, lean: LeanLane, settings: Settings, connections: Connections) -> None:
        self._router = router
        self._lean = lean
        self._settings = settings
        self._connections = connections

    def find(self, head: Head) -> tuple[Route, dict[str, str]] | None:
        """The route and its parameters, if the body is to be taken as it comes."""
        if head.method != "POST" or not head.has_lines:
            return None
        try:
            found = self._router.find(head.method, head.path)
        except Refused:
            return None
        return found if found[0].streamed else None

    async def serve(
        self, stream: ServerStream, head: Head, found: tuple[Route, dict[str, str]], address: str, scheme: str
    ) -> bool:
        """Answer one request, once its body is over; returns whether the connection can take another."""
        call = Call(head.method, found[1], head.query, head.headers, b"", address, scheme, stream.trusted)
        call.pieces = body = _Body(stream, head, call, self._settings)
        with self._connections.entered("append", address, stream.outbox, body.end) as body.listed:
            if len(self._connections) > self._connections.limit:
                body.end(Reason.OVER_CAPACITY)
            reply = await self._router.answer(call, head.path, "append", found)
        again = body.over and head.keep_alive
        await self._lean.write(stream, reply, keep_alive=again)
        if not body.over:  # what is still sent would reset the connection, and take the answer with it
            await stream.linger()
        return again


class _Body:
    """The pieces of one request's body, for ``async for``."""

    def __init__(self, stream: ServerStream, head: Head, call: Call, settings: Settings) -> None:
        self._stream = stream
        self._call = call
        self._settings = settings
        self._reason: Reason | None = None
        self._waiting = trio.CancelScope()
        self._framing = h11.Connection(h11.SERVER, max_incomplete_event_size=settings.max_head + 1024)
        self._framing.receive_data(head.raw)
        self._framing.next_event()
        self.listed: Connection | None = None
        self.over = False
        self._expiry: float | None = None

    def end(self, reason: Reason) -> None:
        """Take no more of it: what came is answered, with the reason."""
        self._reason = self._reason or reason
        self._waiting.cancel()

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        """:raises Refused: it is malformed, silent for too long, or not welcome any more."""
        if self._expiry is None:  # by the time one asks for it, it is known whose it is
            self._expiry = self._admit(self._call.identity)
        while True:
            self._check()
            try:
                event = self._framing.next_event()
                if event is h11.NEED_DATA:
                    self._framing.receive_data(await self._receive())
            except h11.RemoteProtocolError as error:
                raise InvalidRequest("the body is malformed, or has no end", code="bad_request") from error
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self._stream.unread(self._framing.trailing_data[0])
                self.over = True
                raise StopAsyncIteration

    async def _receive(self) -> bytes:
        if self._framing.they_are_waiting_for_100_continue:
            await self._stream.send_all(_CONTINUE)
            self._framing.send(h11.InformationalResponse(status_code=100, headers=[]))
            self._check()
        until = trio.current_time() + self._settings.append_timeout
        with trio.CancelScope(deadline=min(until, self._expiry or until)) as self._waiting:
            return await self._stream.receive_some(_READ)
        self._check()
        raise RequestTimeout("nothing came for too long")

    def _admit(self, identity: Identity) -> float:
        """Whose it is; returns when that ends, on Trio's clock (see :meth:`Link.admit`)."""
        if self.listed is not None:
            self.listed.identity = identity
        if identity.expires is None:
            return math.inf
        leeway = self._settings.jwt_leeway if identity.kind is Kind.JWT else 0.0
        return trio.current_time() + max(0.0, identity.expires + leeway - time.time())

    def _check(self) -> None:
        """:raises Refused: why no more is taken."""
        if self._reason is Reason.REVOKED or trio.current_time() >= (self._expiry or math.inf):
            raise Unauthorized("the credential was revoked or has expired")
        if self._reason is Reason.STOPPING:
            raise Overloaded("the server is stopping", code="stopping")
        if self._reason is not None:
            raise Overloaded(self._reason.value.text)
