"""The lean lane: hot writes, parsed and answered in the listener.

Quart on Hypercorn answers about 1,200 small requests a second here; this lane some ten
times that. It serves the routes marked ``lean`` whose body has a stated length, and calls
the same :meth:`Router.answer`.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

import trio

from rtlite.errors import Refused, RequestTimeout, TooLarge
from rtlite.settings import Settings
from rtlite.transports.head import Head
from rtlite.transports.routes import Call, Reply, Route, Router
from rtlite.transports.stream import ServerStream

_WRITES = {"POST", "PATCH"}
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_MOST_HEADS = 256


class LeanLane:
    def __init__(self, router: Router, settings: Settings) -> None:
        self._router = router
        self._settings = settings
        self._second, self._date = 0, ""
        self._heads: dict[tuple[int, str, int, bool], bytes] = {}
        """Of the answers without headers of their own, in this second."""

    def takes(self, head: Head) -> tuple[Route, dict[str, str]] | None:
        """The route and its parameters, if this lane answers the request. Anything unusual is for the other one."""
        if head.method not in _WRITES or head.chunked or head.content_length is None or "expect" in head.headers:
            return None
        try:
            found = self._router.find(head.method, head.path)
        except Refused:
            return None
        return found if found[0].lean and not (found[0].streamed and head.has_lines) else None

    async def answer(
        self, stream: ServerStream, head: Head, found: tuple[Route, dict[str, str]], address: str, scheme: str
    ) -> bool:
        """Answer one request; returns whether the connection can take another.

        :raises TooLarge: the body is. :raises RequestTimeout: it did not arrive in time.
        :raises Unauthorized, Overloaded: it is not waited for.
        """
        length = head.content_length or 0
        limit = self._router.body_limit(found[0])
        if length > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        if stream.buffered < length:
            self._router.refuse_strangers(found[0], head, stream.trusted)
            with self._router.bodies.room(length):
                if not await self._read_body(stream, length):
                    return False
        call = Call(
            head.method, found[1], head.query, head.headers, stream.take(length), address, scheme, stream.trusted
        )
        reply = await self._router.answer(call, head.path, "lean", found)
        await self.write(stream, reply, keep_alive=head.keep_alive)
        return head.keep_alive

    async def _read_body(self, stream: ServerStream, length: int) -> bool:
        with trio.move_on_after(self._settings.body_timeout):
            while stream.buffered < length:
                if not await stream.read_ahead():
                    return False
            return True
        raise RequestTimeout("the body did not arrive in time")

    async def write(self, stream: ServerStream, reply: Reply, *, keep_alive: bool) -> None:
        """Send a whole answer. :raises trio.BrokenResourceError: the peer is gone."""
        answer = self.whole(reply, keep_alive=keep_alive)
        if not stream.outbox.offer(answer):
            await stream.send_all(answer)

    def whole(self, reply: Reply, *, keep_alive: bool) -> bytes:
        """An answer as it is sent: head and body."""
        second = int(time.time())
        if self._second != second or len(self._heads) >= _MOST_HEADS:
            self._second, self._date = second, formatdate(second, usegmt=True)
            self._heads.clear()
        if reply.headers:
            return self._head(reply, keep_alive) + reply.body
        kind = (reply.status, reply.content_type, len(reply.body), keep_alive)
        head = self._heads.get(kind)
        if head is None:
            head = self._heads[kind] = self._head(reply, keep_alive)
        return head + reply.body

    def _head(self, reply: Reply, keep_alive: bool) -> bytes:
        head = f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, '')}\r\n"
        if reply.status != 204:  # which has no length either (RFC 9110, section 8.6)
            head += f"content-type: {reply.content_type}\r\ncontent-length: {len(reply.body)}\r\n"
        head += f"date: {self._date}\r\n"
        for name, value in reply.headers.items():
            head += f"{name}: {value}\r\n"
        head += "\r\n" if keep_alive else "connection: close\r\n\r\n"
        return head.encode("latin-1")
