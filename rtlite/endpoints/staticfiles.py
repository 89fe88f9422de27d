"""Files of the package, served as they are: the console's, GraphiQL's, the docs'.

A folder is read once, when a process first starts a server. What a request names is looked up among what was
found then, so no path leads anywhere else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import attrs

from rtlite.errors import NotFound
from rtlite.transports.contract import Answer, Asked
from rtlite.transports.routes import Call, Reply

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "py": "text/x-python; charset=utf-8",
    "sh": "text/x-shellscript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
ASKED: Final = (Asked("If-None-Match", str, "The ETag of what the client has already", place="header"),)
HEADERS: Final = {"ETag": "Of this content", "Cache-Control": "`no-cache`: keep it, and ask whether it is still this"}
GIVEN: Final = {
    200: Answer(str, "The file", sorted({media.partition(";")[0] for media in TYPES.values()}), HEADERS),
    304: Answer(None, "What the client has is still this one", headers=HEADERS),
}
"""Of a route that answers with files."""
LEADS: Final = {308: Answer(None, "The page is there, without the slash", headers={"Location": "Where"})}
"""Of :func:`without_slash`."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of our own pages: nothing but files of this server, no script or style inside a page, and nobody frames it."""


def page_headers(policy: str = POLICY) -> dict[str, str]:
    """What goes with every file. ``no-cache`` means: keep it, and ask whether it is still this one (the ETag)."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


@attrs.frozen
class StaticFile:
    """One file, ready to be sent."""

    content: bytes
    content_type: str
    headers: Mapping[str, str]

    def reply(self, call: Call) -> Reply:
        """The file, or 304 to who has it already (RFC 9110, section 13.1.2)."""
        known = {tag.strip().removeprefix("W/") for tag in call.headers.get("if-none-match", "").split(",")}
        if known & {self.headers["ETag"], "*"}:
            return Reply(304, content_type=self.content_type, headers=self.headers)
        return Reply(200, self.content, self.content_type, self.headers)


def static_file(name: str, content: bytes, headers: Mapping[str, str]) -> StaticFile:
    """``content`` as a file whose name says its type."""
    return StaticFile(content, TYPES[name.rpartition(".")[2]], {**headers, "ETag": _tag(content)})


@functools.cache
def _tag(content: bytes) -> str:
    return f'"{base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:12]).decode()}"'


def without_slash(path: str) -> Reply:
    """What leads from ``path/`` to ``path``, also below a prefix that a proxy takes away."""
    return Reply(308, content_type=TYPES["txt"], headers={"Location": f"..{path}"})


class StaticFiles:
    """The files below a folder of :mod:`rtlite.console`, by their paths in it."""

    def __init__(self, folder: str, policy: str = POLICY, headers: Mapping[str, str] | None = None) -> None:
        sent = {**page_headers(policy), **(headers or {})}
        self.names = {name: static_file(name, content, sent) for name, content in _contents(folder).items()}

    def reply(self, name: str, call: Call) -> Reply:
        """:raises NotFound: there is no such file."""
        file = self.names.get(name)
        if file is None:
            raise NotFound("no such path")
        return file.reply(call)


@functools.cache
def _contents(folder: str) -> Mapping[str, bytes]:
    """The package stays as it is; a program with many servers has its files once."""
    found = _files(resources.files("rtlite.console").joinpath(folder))
    return {name: item.read_bytes() for name, item in found}


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """What can be served: files of a type that we know."""
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item, f"{prefix}{item.name}/")
        elif item.name.rpartition(".")[2] in TYPES:
            yield prefix + item.name, item
