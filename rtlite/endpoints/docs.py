"""``/docs``: the built-in docs as pages, and as the Markdown that they are made of."""

from __future__ import annotations

from typing import Final

from rtlite.endpoints import docpages
from rtlite.endpoints.staticfiles import (
    ASKED,
    GIVEN,
    LEADS,
    StaticFile,
    StaticFiles,
    page_headers,
    static_file,
    without_slash,
)
from rtlite.errors import NotFound
from rtlite.transports.contract import UNKNOWN
from rtlite.transports.routes import Access, Call, Reply, Route

_SERVED: Final = (".md", ".css", ".js")


class Docs:
    def __init__(self) -> None:
        self._files = StaticFiles("docs")
        self._entries = docpages.contents()
        self._pages: dict[str, StaticFile] = {}

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET", "/docs", self.page, "The docs: their table of contents", Access.PUBLIC, asks=ASKED, gives=GIVEN
            ),
            Route("GET", "/docs/", self.slash, "The docs, with a slash too many", Access.PUBLIC, gives=LEADS),
            Route(
                "GET",
                "/docs/{name}",
                self.page,
                "A page of the docs, or NAME.md, its Markdown",
                Access.PUBLIC,
                asks=ASKED,
                gives=GIVEN,
                refuses=UNKNOWN,
            ),
        ]

    async def slash(self, call: Call) -> Reply:
        return without_slash("/docs")

    async def page(self, call: Call) -> Reply:
        name = call.params.get("name", docpages.INDEX)
        if name.endswith(_SERVED):
            return self._files.reply(name, call)
        if name not in self._pages:  # made when it is asked for, once: a page takes some ten milliseconds
            if all(entry.name != name for entry in self._entries):
                raise NotFound("no such page; /docs lists them")
            html = docpages.page(name, self._entries)
            self._pages[name] = static_file(f"{name}.html", html.encode(), page_headers())
        return self._pages[name].reply(call)
