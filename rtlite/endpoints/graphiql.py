"""GraphiQL, with ``--dev``: the page and its scripts, from the package and from nowhere else."""

from __future__ import annotations

from importlib import resources
from typing import Final

from rtlite.errors import NotFound
from rtlite.transports.routes import Access, Call, Reply, Route

_FOLDER: Final = resources.files("rtlite.console").joinpath("graphiql")
_TYPES: Final = {
    "page.js": "text/javascript; charset=utf-8",
    "react.js": "text/javascript; charset=utf-8",
    "react-dom.js": "text/javascript; charset=utf-8",
    "graphql-ws.js": "text/javascript; charset=utf-8",
    "graphiql.js": "text/javascript; charset=utf-8",
    "graphiql.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "LICENSES.txt": "text/plain; charset=utf-8",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Its editor writes styles into elements; nothing else is allowed that is not in a file of ours."""
_HEADERS: Final = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}


class GraphiQL:
    def routes(self) -> list[Route]:
        return [Route("GET", "/graphql/graphiql/{file}", self.file, "GraphiQL's own files", Access.PUBLIC)]

    def page(self) -> Reply:
        page = _FOLDER.joinpath("index.html").read_bytes()
        return Reply(200, page, "text/html; charset=utf-8", {**_HEADERS, "Vary": "Accept"})

    async def file(self, call: Call) -> Reply:
        name = call.params["file"]
        if name not in _TYPES:
            raise NotFound("no such path")
        return Reply(200, _FOLDER.joinpath(name).read_bytes(), _TYPES[name], _HEADERS)
