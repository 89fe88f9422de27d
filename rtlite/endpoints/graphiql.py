"""GraphiQL, with ``--dev``: the page and its scripts, from the package and from nowhere else."""

from __future__ import annotations

from typing import Final

import attrs

from rtlite.endpoints.staticfiles import ASKED, GIVEN, StaticFiles
from rtlite.errors import NotFound
from rtlite.transports.contract import UNKNOWN
from rtlite.transports.routes import Access, Call, Reply, Route

_PAGE: Final = "index.html"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Its editor writes styles into elements; nothing else is allowed that is not in a file of ours."""


class GraphiQL:
    def __init__(self) -> None:
        self._files = StaticFiles("graphiql", POLICY)

    def routes(self) -> list[Route]:
        path = "/graphql/graphiql/{file}"
        what = "GraphiQL's own files"
        return [Route("GET", path, self.file, what, Access.PUBLIC, asks=ASKED, gives=GIVEN, refuses=UNKNOWN)]

    def page(self, call: Call) -> Reply:
        page = self._files.reply(_PAGE, call)
        return attrs.evolve(page, headers={**page.headers, "Vary": "Accept"})

    async def file(self, call: Call) -> Reply:
        if call.params["file"] == _PAGE:  # it is served at /graphql alone
            raise NotFound("no such path")
        return self._files.reply(call.params["file"], call)
