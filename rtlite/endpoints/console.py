"""The console: static files of the package. What they show, they ask of ``/api``."""

from __future__ import annotations

from typing import Final

from rtlite.endpoints.staticfiles import ASKED, GIVEN, LEADS, StaticFiles, without_slash
from rtlite.transports.contract import UNKNOWN
from rtlite.transports.routes import Access, Call, Reply, Route

_PAGE: Final = "index.html"


class Console:
    """:param root: whether the page is at ``/`` too; else that path is for an application beside ours."""

    def __init__(self, *, root: bool) -> None:
        self._root = root
        self._files = StaticFiles("static")

    def routes(self) -> list[Route]:
        def route(pattern: str, summary: str) -> Route:
            unknown = UNKNOWN if "{" in pattern else {}
            return Route("GET", pattern, self.file, summary, Access.PUBLIC, asks=ASKED, gives=GIVEN, refuses=unknown)

        return [
            *([route("/", "The console")] if self._root else []),
            route("/console", "The console"),
            Route("GET", "/console/", self.slash, "The console, with a slash too many", Access.PUBLIC, gives=LEADS),
            route("/console/{file}", "The console's files"),
            route("/console/{folder}/{file}", "The console's files"),
        ]

    async def slash(self, call: Call) -> Reply:
        return without_slash("/console")

    async def file(self, call: Call) -> Reply:
        return self._files.reply("/".join(call.params.values()) or _PAGE, call)
