"""A web site on an origin of its own, for tests of what browsers do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from tests.servers import ungrouped


@attrs.define(eq=False)
class Site:
    """Serves what is put into it; everything else is 404."""

    url: str = ""
    headers: dict[str, str] = attrs.field(factory=dict)
    _pages: dict[str, str] = attrs.field(factory=dict)

    def put(self, path: str, html: str) -> str:
        """Serve ``html`` at ``path``; returns its URL."""
        self._pages[path] = html
        return self.url + path

    async def answer(self, stream: trio.SocketStream) -> None:
        head = b""
        async with stream:
            try:
                while b"\r\n\r\n" not in head:
                    data = await stream.receive_some()
                    if not data:
                        return
                    head += data
                page = self._pages.get(head.split(b" ")[1].decode())
                body = (page or "no such page").encode()
                headers = {"content-type": "text/html; charset=utf-8", "content-length": str(len(body)), **self.headers}
                lines = [f"HTTP/1.1 {'404 Not Found' if page is None else '200 OK'}", "connection: close"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            except trio.BrokenResourceError:
                pass


@asynccontextmanager
async def site(**headers: str) -> AsyncIterator[Site]:
    """A site on ``localhost`` and a free port: to a browser, another host than the servers under test.

    :param headers: sent with every page; ``content_security_policy="…"`` is the header of that name.
    """
    served = Site(headers={name.replace("_", "-"): value for name, value in headers.items()})
    async with ungrouped(trio.open_nursery()) as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, served.answer, 0, host="127.0.0.1"))
        served.url = f"http://localhost:{listeners[0].socket.getsockname()[1]}"
        try:
            yield served
        finally:
            nursery.cancel_scope.cancel()
