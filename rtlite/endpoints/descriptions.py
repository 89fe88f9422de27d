"""``/openapi.json`` and ``/asyncapi.json``: what this server takes and gives, for programs.

Each is made once, when it is first asked for, on another thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
import trio

from rtlite.endpoints.staticfiles import ASKED, HEADERS, StaticFile, static_file
from rtlite.transports.contract import Answer
from rtlite.transports.routes import Access, Call, Reply, Route

Make = Callable[[], dict[str, Any]]

GIVEN: Final = {
    200: Answer(dict, "The document", headers=HEADERS),
    304: Answer(None, "What the client has is still this one", headers=HEADERS),
}


class Descriptions:
    def __init__(self, openapi: Make, asyncapi: Make) -> None:
        self._openapi = openapi
        self._asyncapi = asyncapi
        self._files: dict[str, StaticFile] = {}

    def routes(self) -> list[Route]:
        return [
            self._route("/openapi.json", self.openapi, "The HTTP API, described by OpenAPI 3.1"),
            self._route("/asyncapi.json", self.asyncapi, "The WebSockets and event streams, described by AsyncAPI 3.0"),
        ]

    @staticmethod
    def _route(path: str, handler: Callable[[Call], Awaitable[Reply]], summary: str) -> Route:
        return Route("GET", path, handler, summary, Access.PUBLIC, open_to_pages=True, asks=ASKED, gives=GIVEN)

    async def openapi(self, call: Call) -> Reply:
        return await self._show("openapi.json", self._openapi, call)

    async def asyncapi(self, call: Call) -> Reply:
        return await self._show("asyncapi.json", self._asyncapi, call)

    async def _show(self, name: str, make: Make, call: Call) -> Reply:
        if name not in self._files:
            self._files[name] = await trio.to_thread.run_sync(_file, name, make)
        return self._files[name].reply(call)


def _file(name: str, make: Make) -> StaticFile:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return static_file(name, orjson.dumps(make()), headers)
