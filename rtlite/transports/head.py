"""The request head, read strictly before anyone acts on it.

Everything behind the listener (trio-websocket, Hypercorn, the lean lane) sees only heads
that passed here, so two parsers can never disagree about where a request ends, and no
byte reaches wsproto that would raise out of its reader task.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote

import attrs
import httptools

from rtlite.errors import Refused, TooLarge

_ALLOWED: Final = re.compile(rb"[\t\r\n\x20-\x7e]*")
_LOOSE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]")
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
# A name whose labels DNS could hold, or an address in brackets: Quart raises on names that IDNA cannot read.
_HOST: Final = re.compile(
    r"(?=.{1,261}$)(\[[0-9A-Za-z:.%_-]{2,60}\]|([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?)(:[0-9]{0,5})?"
)
_ONCE: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "origin", "upgrade", "sec-websocket-key"}
)

_LINES: Final = frozenset({"application/x-ndjson", "text/plain"})
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_MAX_PARAMETERS: Final = 500  # a stream of many channels names each; more is refused before it costs a millisecond


class BadHead(Refused):
    """The head breaks RFC 9112, or a rule of ours that closes a door it leaves open."""

    title = "Bad request"
    code = "bad_request"


class HeadTooLarge(TooLarge):
    status = 431
    title = "Request header fields too large"
    code = "head_too_large"


class UpgradeRequired(Refused):
    status = 426
    title = "Upgrade required"
    code = "upgrade_required"

    def __init__(self, detail: str) -> None:
        # RFC 9110, section 7.8, and RFC 6455, section 4.4.
        wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        super().__init__(detail, headers=wanted)


@attrs.frozen(slots=True)
class Head:
    """A request's head. Header names are lower case; ``path`` is still percent-encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    version: str
    headers: Mapping[str, str]
    raw: bytes
    content_length: int | None
    chunked: bool
    keep_alive: bool

    @property
    def wants_websocket(self) -> bool:
        """Whether this is a WebSocket handshake (RFC 6455, section 4.2.1)."""
        return (
            "upgrade" in self.headers
            and "websocket" in _tokens(self.headers["upgrade"])
            and "upgrade" in _tokens(self.headers.get("connection", ""))
        )

    @property
    def has_lines(self) -> bool:
        """Whether the body says that it is lines: of JSON, or of text."""
        return self.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() in _LINES

    def shed(self) -> None:
        """Let go of the fields, once a connection is set up that may last for days: a browser's take 5 KiB.

        The credential is among them, and need not stay in memory either.
        """
        for name, empty in (("headers", _NOTHING), ("query", _NOTHING), ("raw", b"")):
            object.__setattr__(self, name, empty)

    def values(self, name: str) -> list[str]:
        """Every value of a query parameter, in order; ``query`` has only the last."""
        _, _, query = self.raw.split(b" ", 2)[1].partition(b"?")
        return [value for key, value in _pairs(query.decode()) if key == name]


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}


class _Fields:
    """httptools calls these while it parses."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_head(raw: bytes, max_headers: int) -> Head:
    """Parse a head that ends with an empty line.

    :raises BadHead: malformed, ambiguous in its length, or not plain ASCII.
    :raises HeadTooLarge: more than ``max_headers`` fields.
    """
    if not _ALLOWED.fullmatch(raw):
        raise BadHead("the request head holds bytes that are not ASCII text")
    if _LOOSE_LINE_END.search(raw):
        raise BadHead("the request head has bare line ends or folded lines")
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the head is complete; what follows belongs to the new protocol
    except httptools.HttpParserError as error:
        raise BadHead("the request head is malformed") from error
    if not fields.complete:
        raise BadHead("the request head is malformed")
    if len(fields.headers) > max_headers:
        raise HeadTooLarge(f"more than {max_headers} header fields")
    return _checked(raw, parser, fields)


def _checked(raw: bytes, parser: httptools.HttpRequestParser, fields: _Fields) -> Head:
    method, version, target = parser.get_method().decode(), parser.get_http_version(), fields.url.decode()
    if version not in {"1.0", "1.1"}:
        raise BadHead("HTTP/1.1 is spoken here")
    if (
        not _METHOD.fullmatch(method)
        or method == "CONNECT"
        or not raw.startswith(f"{method} {target} HTTP/".encode())  # llhttp takes more spaces than one
        or not (_TARGET.fullmatch(target) or (method, target) == ("OPTIONS", "*"))
    ):
        raise BadHead("the request line is malformed")
    headers = _headers(fields)
    host = headers.get("host", "")
    if version == "1.1" and not host:
        raise BadHead("Host is missing")
    if host and not _HOST.fullmatch(host):
        raise BadHead("Host is malformed")
    length, chunked = _length(headers, version)
    upgrade = _tokens(headers.get("upgrade", ""))
    if "h2c" in upgrade or "http2-settings" in headers:
        raise BadHead("HTTP/2 is not spoken on a clear connection")
    path, _, query = target.partition("?")
    keep_alive = "close" not in _tokens(headers.get("connection", "")) and (
        version == "1.1" or "keep-alive" in _tokens(headers.get("connection", ""))
    )
    return Head(method, path, _query(query), version, headers, raw, length, chunked, keep_alive)


def _headers(fields: _Fields) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields.headers:
        name, value = raw_name.decode().lower(), raw_value.decode().strip(" \t")
        if name in headers:
            if name in _ONCE:
                raise BadHead(f"{name} is given twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _length(headers: Mapping[str, str], version: str) -> tuple[int | None, bool]:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None and (length is not None or coding.lower() != "chunked" or version == "1.0"):
        raise BadHead("the length of the body is ambiguous")
    if length is not None and not re.fullmatch("[0-9]{1,15}", length):
        raise BadHead("Content-Length is malformed")
    return (int(length) if length is not None else None), coding is not None


def _query(query: str) -> dict[str, str]:
    """The last value of each parameter, as browsers send them."""
    if not query:
        return {}
    try:
        return dict(_pairs(query))
    except ValueError as error:
        raise BadHead("the query is malformed") from error


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)


def decode_segment(segment: str) -> str:
    """A path segment, percent-decoded. :raises BadHead: it is not UTF-8."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise BadHead("the path is not UTF-8") from error


def check_websocket(head: Head) -> None:
    """Refuse a handshake that RFC 6455, section 4.2.1, does not allow.

    :raises BadHead, UpgradeRequired: as the section asks.
    """
    if head.method != "GET" or head.version != "1.1" or head.chunked or head.content_length:
        raise BadHead("a WebSocket handshake is a GET of HTTP/1.1 without a body")
    if head.headers.get("sec-websocket-version") != "13":
        raise UpgradeRequired("WebSocket version 13 is spoken here")
    try:
        nonce = base64.b64decode(head.headers.get("sec-websocket-key", ""), validate=True)
    except binascii.Error as error:
        raise BadHead("Sec-WebSocket-Key is malformed") from error
    if len(nonce) != 16:
        raise BadHead("Sec-WebSocket-Key is malformed")
