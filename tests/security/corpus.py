"""Hostile handshakes and requests, as bytes, and what each is answered with.

``$KEY`` in a case's bytes stands for an admin key of the server under attack. Checklist lines
1–4, 8–10, 13, 15–17 of ``reliability.md`` (section 4), and findings F1, F2, F4, F10.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

import attrs

from tests.transports.doors import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame

CONTINUATION: Final = 0


class Leaves(Enum):
    """What the attacker does once its bytes are sent, where no answer is due."""

    IN_SILENCE = "closes the connection"
    WITH_A_RESET = "resets the connection (SO_LINGER 0)"


@attrs.frozen
class Case:
    """One attack.

    :param status: what it is answered with: one of these HTTP statuses; empty if no answer is due.
    :param close: the code of the close frame that follows a 101; -1: the connection stays in use.
    :param subprotocol: the one that a 101 chooses.
    """

    name: str
    send: bytes
    status: tuple[int, ...] = (400,)
    close: int | None = None
    leaves: Leaves = Leaves.IN_SILENCE
    subprotocol: str | None = None


def lines(*given: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in given) + b"\r\n"


HANDSHAKE: Final = {
    b"Host": b"localhost",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"AAECAwQFBgcICQoLDA0ODw==",
    b"Sec-WebSocket-Protocol": b"chat",
    b"Sec-WebSocket-Extensions": b"permessage-deflate",
    b"Origin": b"http://localhost",
    b"Authorization": b"Bearer $KEY",
}
SOCKET: Final = b"GET /blog/ws/articles/a HTTP/1.1"


def handshake(changes: dict[bytes, bytes | None] | None = None, start: bytes = SOCKET, more: bytes = b"") -> bytes:
    """A good handshake, with fields changed, added, or (``None``) left out."""
    fields = {**HANDSHAKE, **(changes or {})}
    head = b"".join(name + b": " + value + b"\r\n" for name, value in fields.items() if value is not None)
    return start + b"\r\n" + head + b"\r\n" + more


def get(path: bytes = b"/healthz", *fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return lines(b"GET " + path + b" " + version, b"Host: localhost", *fields)


def post(*fields: bytes, body: bytes = b"", path: bytes = b"/api/publish") -> bytes:
    return lines(b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"X-Api-Key: $KEY", *fields) + body


def frames(*sent: bytes, close: int = 1002, name: str) -> Case:
    """Frames on an open connection, in the handshake's own segment."""
    return Case(f"frames: {name}", handshake(more=b"".join(sent)), (101,), close)


def raw(first: int, second: int, rest: bytes = b"") -> bytes:
    return bytes([first, second]) + rest


def _non_ascii() -> list[Case]:
    names = [*HANDSHAKE, b"Cookie", b"User-Agent", b"X-Api-Key", b"X-Forwarded-For", b"Accept", b"Referer", b"X-\xe9"]
    found = [
        Case(f"handshake: non-ASCII in {name.decode('latin-1')}", handshake({name: HANDSHAKE.get(name, b"x") + junk}))
        for name in names
        for junk in (b"\xff",)
    ]
    found += [
        Case(f"request: non-ASCII in {name.decode()}", get(b"/healthz", name + b": \xc3\xa9"))
        for name in (b"Authorization", b"Origin", b"Cookie", b"Content-Type", b"Connection", b"Upgrade")
    ]
    found.append(Case("request: non-ASCII in Host", lines(b"GET /healthz HTTP/1.1", b"Host: \xe9\xff")))
    found.append(Case("request: non-ASCII in the path", get(b"/\xc3\xa9")))
    found.append(Case("request: non-ASCII in the method", lines(b"G\xc9T / HTTP/1.1", b"Host: localhost")))
    return found


def _hosts() -> list[Case]:
    bad = [b"", b"a b", b"a@b", b"a/b", b"a\\b", b"a,b", b"a\tb", b"<a>", b'"a"', b"http://a", b"a?b", b"a#b"]
    found = [Case(f"host: {host.decode()!r} in a handshake", handshake({b"Host": host})) for host in bad]
    found += [Case(f"host: {host.decode()!r}", lines(b"GET /healthz HTTP/1.1", b"Host: " + host)) for host in bad]
    found.append(Case("host: missing", lines(b"GET /healthz HTTP/1.1")))
    found.append(Case("host: twice", get(b"/healthz", b"Host: other")))
    found.append(
        Case("host: twice in a handshake", handshake(more=b"").replace(b"Upgrade:", b"Host: b\r\nUpgrade:", 1))
    )
    # Characters of a host, but no host: before they were refused, some made Quart answer 500.
    odd = [b"[", b"[::1", b"]:[", b"%%%", b"a:b:c", b":", b":80", b"a:99999999999", b"..", b"a..b", b".", b"a" * 8000]
    odd += [b"a." * 200, b"a" * 64 + b".example", b"[]", b"[::1]x", b"::1"]
    for host in odd:
        name = f"{host[:20].decode()} ({len(host)})"
        found.append(Case(f"host: {name!r} as a name", lines(b"GET /healthz HTTP/1.1", b"Host: " + host)))
        found.append(Case(f"host: {name!r} as a name in a handshake", handshake({b"Host": host})))
    for host in (
        b"-",
        b"a_b",
        b"xn--",
        b"xn--a.xn--b",
        b"[::1%25eth0]:1",
        b"[:::::::]",
        b"1.2.3.4.5",
        b"a:",
        b"a" * 63,
    ):
        found.append(
            Case(f"host: {host.decode()!r} as a name", lines(b"GET /healthz HTTP/1.1", b"Host: " + host), (200,))
        )
    return found


def _upgrades() -> list[Case]:
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c")
    return [
        Case("h2c: with settings", get(b"/healthz", *h2c, b"HTTP2-Settings: AAMAAABkAAQAAP__")),
        Case("h2c: with HTTP2-Settings AAAA", get(b"/healthz", *h2c, b"HTTP2-Settings: AAAA")),
        Case("h2c: with empty settings", get(b"/healthz", *h2c, b"HTTP2-Settings:")),
        Case("h2c: without settings", get(b"/healthz", *h2c)),
        Case("h2c: on a lean route", post(*h2c, b"HTTP2-Settings: AAAA", b"Content-Length: 2", body=b"{}")),
        Case("h2c: beside websocket", handshake({b"Upgrade": b"h2c, websocket", b"HTTP2-Settings": b"AAAA"})),
        Case("h2c: in capitals", get(b"/healthz", b"Connection: upgrade", b"Upgrade: H2C")),
        Case("preface: HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Case("preface: HTTP/2 with a frame", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)),
        Case("preface: TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n"),
        Case("preface: SSH", b"SSH-2.0-x\r\n\r\n"),
        Case("preface: SOCKS", b"\x05\x01\x00\r\n\r\n"),
        Case("preface: PROXY", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get()),
        Case("preface: a status line", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Case("handshake: of a path that is none", handshake(start=b"GET /nowhere HTTP/1.1"), (404,)),
        Case("handshake: of HTTP/1.0", handshake(start=b"GET /blog/ws/articles/a HTTP/1.0")),
        Case("handshake: by POST", handshake(start=b"POST /blog/ws/articles/a HTTP/1.1")),
        Case("handshake: with a body", handshake({b"Content-Length": b"5"}, more=b"hello")),
        Case("handshake: chunked", handshake({b"Transfer-Encoding": b"chunked"}, more=b"0\r\n\r\n")),
        Case("handshake: no key", handshake({b"Sec-WebSocket-Key": None})),
        Case("handshake: key zz", handshake({b"Sec-WebSocket-Key": b"zz"})),
        Case("handshake: key of 15 bytes", handshake({b"Sec-WebSocket-Key": b"AAECAwQFBgcICQoLDA0O"})),
        Case("handshake: key of junk", handshake({b"Sec-WebSocket-Key": b"!" * 24})),
        Case("handshake: key of 8 KB", handshake({b"Sec-WebSocket-Key": b"A" * 8000})),
        Case("handshake: two keys", handshake().replace(b"Origin", b"Sec-WebSocket-Key: AAAA\r\nOrigin", 1)),
        Case("handshake: version 8", handshake({b"Sec-WebSocket-Version": b"8"}), (426,)),
        Case("handshake: version 13, 13", handshake({b"Sec-WebSocket-Version": b"13, 13"}), (426,)),
        Case("handshake: no version", handshake({b"Sec-WebSocket-Version": None}), (426,)),
        Case("handshake: no Connection", handshake({b"Connection": None}), (426,)),
        Case("handshake: Connection close", handshake({b"Connection": b"close"}), (426,)),
        Case("handshake: a foreign origin", handshake({b"Origin": b"https://evil.example"}), (403,)),
        Case("handshake: an origin of junk", handshake({b"Origin": b"[" * 4000}), (403,)),
        Case("handshake: no credential", handshake({b"Authorization": None}), (101,), 4401),
        Case("handshake: a credential of 8 KB", handshake({b"Authorization": b"Bearer " + b"a" * 8000}), (101,), 4401),
        Case("handshake: 8 KB of spaces in the subprotocol", handshake({b"Sec-WebSocket-Protocol": b"a" + b" " * 8000 + b"b"}), (101, 400), -1),
        Case("handshake: 8 KB of commas in the subprotocol", handshake({b"Sec-WebSocket-Protocol": b"," * 8000}), (101, 400), -1),
        Case("handshake: 8 KB of semicolons in the extensions", handshake({b"Sec-WebSocket-Extensions": b";" * 8000}), (101, 400), -1),
        Case("handshake: quotes in the extensions", handshake({b"Sec-WebSocket-Extensions": b'permessage-deflate; server_max_window_bits="'}), (101, 400), -1),
        Case("handshake: window bits of junk", handshake({b"Sec-WebSocket-Extensions": b"permessage-deflate; client_max_window_bits=x"}), (101, 400), -1),
        Case("handshake: empty subprotocol", handshake({b"Sec-WebSocket-Protocol": b""}), (101, 400), -1),
        Case("handshake: an event to resume after that is none", handshake(start=SOCKET.replace(b" HTTP", b"?since=%00 HTTP")), (101,), 1008),
        Case("handshake: a channel that is none", handshake(start=b"GET /blog/ws/articles/%00 HTTP/1.1"), (101,), 4403),
        Case("handshake: a channel of a pattern", handshake(start=b"GET /blog/ws/articles/* HTTP/1.1"), (101,), 4403),
        Case("handshake: a path that is not UTF-8", handshake(start=b"GET /blog/ws/articles/%ff HTTP/1.1")),
    ]  # fmt: skip


def _lengths() -> list[Case]:
    publish = b'{"channel":"attack:x","event":"e"}'
    good = b"Content-Length: %d" % len(publish)
    return [
        Case("length: huge", post(b"Content-Length: 99999999999999999999"), (400,)),
        Case("length: a terabyte", post(b"Content-Length: 1099511627776"), (413,)),
        Case("length: a terabyte for the other lane", post(b"Content-Length: 1099511627776", path=b"/api/keys"), (413,)),
        Case("length: zero", post(b"Content-Length: 0"), (400,)),
        Case("length: none", post(), (400,)),
        Case("length: negative", post(b"Content-Length: -1")),
        Case("length: +5", post(b"Content-Length: +5", body=b"hello")),
        Case("length: superscript", post("Content-Length: ²".encode(), body=b"hello")),
        Case("length: hexadecimal", post(b"Content-Length: 0x22", body=publish)),
        Case("length: 1_0", post(b"Content-Length: 1_0", body=b"hello")),
        Case("length: a list", post(b"Content-Length: 5, 5", body=b"hello")),
        Case("length: a float", post(b"Content-Length: 5.0", body=b"hello")),
        Case("length: empty", post(b"Content-Length:", body=b"hello")),
        Case("length: spaces between digits", post(b"Content-Length: 1 2", body=b"hello")),
        Case("length: two that differ", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello")),
        Case("length: two that agree", post(good, good, body=publish)),
        Case("smuggling: CL.TE", post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG")),
        Case("smuggling: TE.CL", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\nGPOST")),
        Case("smuggling: TE.TE x", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=b"0\r\n\r\n")),
        Case("smuggling: TE xchunked", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE with a space before the colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE after a tab", post(b"Transfer-Encoding:\tchunked\t,", body=b"0\r\n\r\n")),
        Case("smuggling: TE with vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE folded", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE hidden by a bare CR", post(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE hidden by a bare LF", post(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE identity", post(b"Transfer-Encoding: identity", good, body=publish)),
        Case("smuggling: TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
        Case("smuggling: TE with HTTP/1.0", lines(b"POST /api/publish HTTP/1.0", b"Transfer-Encoding: chunked")),
        Case("smuggling: a body of GET", get(b"/healthz", b"Content-Length: 38") + b"GET /api/keys HTTP/1.1\r\nHost: localhost\r\n\r\n", (200,)),
        Case("chunks: a negative size", post(b"Transfer-Encoding: chunked", body=b"-1\r\nx\r\n")),
        Case("chunks: a huge size", post(b"Transfer-Encoding: chunked", body=b"FFFFFFFFFFFFFFFFFFFFFFFF\r\nx\r\n")),
        Case("chunks: 0x5", post(b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n")),
        Case("chunks: no size", post(b"Transfer-Encoding: chunked", body=b"\r\nhello\r\n0\r\n\r\n")),
        Case("chunks: bare LF", post(b"Transfer-Encoding: chunked", body=b"5\nhello\n0\n\n\r\n\r\n")),
        Case("chunks: junk behind the data", post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n")),
        Case("chunks: an extension of NUL", post(b"Transfer-Encoding: chunked", body=b"5;\0\r\nhello\r\n0\r\n\r\n")),
        Case("chunks: an extension of 64 KB", post(b"Transfer-Encoding: chunked", body=b"5;" + b"x" * 65536 + b"\r\nhello\r\n0\r\n\r\n")),
        Case("chunks: an extension that ends in a bare LF", post(b"Transfer-Encoding: chunked", body=b"5;x\nhello\r\n0\r\n\r\n")),
        Case("chunks: 20,000 of one byte past the limit", post(b"Transfer-Encoding: chunked", body=b"41\r\n" + b"x" * 65 + b"\r\n", path=b"/api/keys") + b"40\r\n" .join([b"x" * 64 + b"\r\n"] * 20_000), (400, 413)),
        Case(
            "chunks: 20,000 of one byte",
            post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 20_000, path=b"/api/keys"),
        ),
        Case("chunks: a trailer of junk", post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\xff: \xff\r\n\r\n")),
        Case("chunks: 2,000 trailers", post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 3000 + b"\r\n")),
        Case("body: gzip", post(b"Content-Encoding: gzip", b"Content-Length: 20", body=b"\x1f\x8b\x08" + bytes(17))),
        Case("body: no JSON", post(b"Content-Length: 5", body=b"\xff\xfe\xfd\xfc\xfb")),
        Case("body: 50,000 deep", post(b"Content-Length: 100000", body=b"[" * 50_000 + b"]" * 50_000)),
        Case("body: 50,000 deep by the other lane", post(b"Content-Length: 100000", body=b"[" * 50_000 + b"]" * 50_000, path=b"/api/keys")),
        Case("expect: something", post(b"Expect: something", good, body=publish), (201, 400, 417)),
    ]  # fmt: skip


def _heads() -> list[Case]:
    many = [b"X-%d: y" % number for number in range(1500)]
    return [
        Case("head: nothing but line ends", b"\r\n" * 8),
        Case("head: 32 KB of line ends", b"\r\n" * 16384, (400, 431)),
        Case("head: bare LF", b"GET /healthz HTTP/1.1\nHost: localhost\n\n" + b"\r\n\r\n"),
        Case("head: one bare LF", lines(b"GET /healthz HTTP/1.1\nHost: localhost")),
        Case("head: bare CR", lines(b"GET /healthz HTTP/1.1", b"Host: localhost", b"X: a\rb")),
        Case("head: obs-fold", get(b"/healthz", b"X: a", b" b")),
        Case("head: obs-fold in the first field", lines(b"GET /healthz HTTP/1.1", b" Host: localhost")),
        Case("head: obs-fold in a handshake", handshake({b"X": b"a\r\n b"})),
        Case("head: NUL in a value", get(b"/healthz", b"X: a\0b")),
        Case("head: NUL in a name", get(b"/healthz", b"X\0Y: a")),
        Case("head: NUL in a handshake", handshake({b"Sec-WebSocket-Protocol": b"a\0b"})),
        Case("head: ESC", get(b"/healthz", b"User-Agent: \x1b[2J")),
        Case("head: DEL", get(b"/healthz", b"User-Agent: \x7f")),
        Case("head: no colon", get(b"/healthz", b"nonsense")),
        Case("head: no name", get(b"/healthz", b": value")),
        Case("head: a space in a name", get(b"/healthz", b"X Y: z")),
        Case("head: two Authorization", get(b"/api/keys", b"Authorization: Bearer $KEY", b"Authorization: Bearer x")),
        Case("head: two Origins", get(b"/healthz", b"Origin: http://localhost", b"Origin: https://evil.example")),
        Case("head: 1,500 fields", get(b"/healthz", *many), (431,)),
        Case("head: 101 fields in a handshake", handshake({b"X-%d" % n: b"y" for n in range(101)}), (431,)),
        Case("head: 1,500 fields of no name", get(b"/healthz", *[b":"] * 1500), (400, 431)),
        Case("head: 64 KB in one field", get(b"/healthz", b"X: " + b"y" * 65536), (431,)),
        Case("head: 64 KB of path", get(b"/" + b"a" * 65536), (431,)),
        Case("head: 15 KB of path", get(b"/" + b"a" * 15000), (404,)),
        Case("head: 15 KB of segments", get(b"/a" * 7500), (404,)),
        Case("head: 15 KB of query", get(b"/healthz?a=" + b"b" * 15000), (200,)),
        Case("head: 5,000 parameters", get(b"/healthz?" + b"a&" * 5000)),
        Case("head: 64 KB without an end", b"GET /" + b"a" * 65536, (431,)),
        Case("target: absolute form", get(b"http://localhost/healthz")),
        Case("target: absolute form of elsewhere", get(b"http://169.254.169.254/latest")),
        Case("target: asterisk with GET", get(b"*")),
        Case("target: asterisk with OPTIONS", lines(b"OPTIONS * HTTP/1.1", b"Host: localhost"), (404,)),
        Case("target: CONNECT", lines(b"CONNECT evil.example:443 HTTP/1.1", b"Host: localhost")),
        Case("target: CONNECT with a path", lines(b"CONNECT /healthz HTTP/1.1", b"Host: localhost")),
        Case("target: none", lines(b"GET  HTTP/1.1", b"Host: localhost")),
        Case("target: no slash", get(b"healthz")),
        Case("target: a fragment", get(b"/healthz#x"), (400, 404)),
        Case("target: two slashes", get(b"//evil.example/"), (404,)),
        Case("target: backslashes", get(b"/..\\..\\etc\\passwd"), (404,)),
        Case("target: dots", get(b"/../../../../etc/passwd"), (404,)),
        Case("target: encoded dots", get(b"/%2e%2e/%2e%2e/etc/passwd"), (404,)),
        Case("target: percent and nothing", get(b"/blog/v1/articles/%"), (404,)),
        Case("target: percent and junk", get(b"/blog/v1/articles/%zz%1"), (404,)),
        Case("target: bytes that are not UTF-8", get(b"/blog/v1/articles/%ff%fe")),
        Case("target: an overlong slash", get(b"/blog/v1/articles/%c0%af")),
        Case("target: an encoded surrogate", get(b"/blog/v1/articles/%ed%a0%80")),
        Case("target: an encoded NUL", get(b"/blog/v1/articles/%00"), (404,)),
        Case("target: an encoded line end", get(b"/blog/v1/articles/%0d%0aX:y"), (404,)),
        Case("target: a query that is not UTF-8", get(b"/healthz?token=%ff")),
        Case("target: a query of junk", get(b"/healthz?%zz=%&&&==;;%00"), (200,)),
        Case("version: missing (HTTP/0.9)", b"GET /healthz\r\n\r\n"),
        Case("version: HTTP/0.9", lines(b"GET /healthz HTTP/0.9", b"Host: localhost")),
        Case("version: HTTP/1.0", lines(b"GET /healthz HTTP/1.0"), (200,)),
        Case("version: HTTP/2.0", get(version=b"HTTP/2.0")),
        Case("version: HTTP/1.2", get(version=b"HTTP/1.2")),
        Case("version: HTTP/11", get(version=b"HTTP/11")),
        Case("version: http/1.1", get(version=b"http/1.1")),
        Case("version: HTTPS/1.1", get(version=b"HTTPS/1.1")),
        Case("version: two", get(version=b"HTTP/1.1 HTTP/1.1")),
        Case("method: lower case", lines(b"get /healthz HTTP/1.1", b"Host: localhost")),
        Case("method: unknown", lines(b"BREW /healthz HTTP/1.1", b"Host: localhost"), (400, 405)),
        Case("method: TRACE", lines(b"TRACE /healthz HTTP/1.1", b"Host: localhost", b"Cookie: secret"), (400, 405)),
        Case("method: 16 KB", lines(b"A" * 16000 + b" / HTTP/1.1", b"Host: localhost"), (400,)),
        Case("method: of the override kind", post(b"X-HTTP-Method-Override: DELETE", b"Content-Length: 2", body=b"{}"), (400,)),
    ]  # fmt: skip


def _leavers() -> list[Case]:
    reset = {"status": (), "leaves": Leaves.WITH_A_RESET}
    silent = {"status": (), "leaves": Leaves.IN_SILENCE}
    body = post(b"Content-Length: 1000", body=b"{")
    return [
        Case("leaver: a reset before the first byte", b"", **reset),
        Case("leaver: a reset in mid-head", b"GET /healthz HT", **reset),
        Case("leaver: a reset before the answer", get(), **reset),
        Case("leaver: a reset before the answer of the lean lane", post(b"Content-Length: 2", body=b"{}"), **reset),
        Case("leaver: a reset in mid-body", body, **reset),
        Case("leaver: a reset in mid-body of the other lane", body.replace(b"/api/publish", b"/api/keys"), **reset),
        Case("leaver: a reset between handshake and 101", handshake(), **reset),
        Case("leaver: a reset in mid-frame", handshake(more=frame(b"x" * 1000)[:500]), **reset),
        Case("leaver: a reset behind 1,000 pings", handshake(more=frame(b"x", PING) * 1000), **reset),
        Case("leaver: a close before the first byte", b"", **silent),
        Case("leaver: a close in mid-head", b"GET /healthz HT", **silent),
        Case("leaver: a close in mid-body", body, **silent),
        Case("leaver: a close before the answer", get(), **silent),
        Case("leaver: a close behind 50 pipelined requests", get() * 50, **silent),
        Case("leaver: a close between handshake and 101", handshake(), **silent),
        Case("leaver: a close in mid-frame", handshake(more=frame(b"x" * 1000)[:500]), **silent),
    ]  # type: ignore[arg-type]


def _socketio() -> list[Case]:
    def said(name: str, *messages: bytes, close: int = 1008) -> Case:
        start = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"
        return Case(f"socket.io: {name}", handshake(start=start, more=b"".join(messages)), (101,), close)

    return [
        said("no packet at all", frame("hello")),
        said("an empty message", frame("")),
        said("a client's ping", frame("2") * 1000),
        said("an upgrade of nothing", frame("5")),
        said("an event before it is connected", frame('42["message"]')),
        said("an attachment before it is connected", frame(b"x" * 1000, 2)),
        said("the promise of an attachment before it is connected", frame('451-["x",{"_placeholder":true,"num":0}]')),
        said("the promise of 99,999 attachments", frame('4599999-["x"]')),
        said("a binary event without attachments", frame('450-["x"]')),
        said("a namespace that does not end", frame("40/" + "x" * 100_000)),
        said("an id of 100,000 digits", frame("42" + "1" * 100_000 + '["x"]')),
        said("100,000 lists in one another", frame('42["x",' + "[" * 100_000 + "]" * 100_000 + "]")),
        said("a type past the last", frame("47[]")),
        said("a message of more than a payload", frame("4" + "x" * 1_000_000), close=1009),
    ]


def _graphql() -> list[Case]:
    start = b"GET /graphql/ws HTTP/1.1"
    init = frame('{"type":"connection_init"}')
    subscribe = '{"type":"subscribe","id":"%s","payload":{"query":"subscription { event(channel: \\"a:b\\") { id } }"}}'

    def said(name: str, *messages: bytes, close: int = 4400, known: bool = False) -> Case:
        fields: dict[bytes, bytes | None] = {b"Sec-WebSocket-Protocol": b"chat, graphql-transport-ws"}
        if not known:
            fields[b"Authorization"] = None
        sent = handshake(fields, start=start, more=b"".join(messages))
        return Case(f"graphql: {name}", sent, (101,), close, subprotocol="graphql-transport-ws")

    def offered(name: str, offer: bytes | None, chosen: str | None) -> Case:
        fields = {b"Authorization": None, b"Sec-WebSocket-Protocol": offer}
        return Case(f"graphql: {name}", handshake(fields, start=start, more=init), (101,), 4406, subprotocol=chosen)

    return [
        offered("no subprotocol", None, None),
        offered("another subprotocol", b"chat", None),
        offered("the older protocol", b"graphql-ws", "graphql-ws"),
        said("no JSON", frame("hello")),
        said("no object", frame('["connection_init"]')),
        said("an empty message", frame("")),
        said("bytes", frame(b'{"type":"ping"}', BINARY)),
        said("a type that there is not", frame('{"type":"start"}')),
        said("a type of the server", frame('{"type":"next","id":"1","payload":{}}')),
        said("no type", frame('{"payload":{}}')),
        said("a type that is no text", frame('{"type":["ping"]}')),
        said("a payload that is no object", frame('{"type":"connection_init","payload":[]}')),
        said("7,000 lists in one another", frame('{"type":"ping","payload":' + "[" * 7_000 + "]" * 7_000 + "}")),
        said("an id of 10,000 characters", frame(subscribe % ("x" * 10_000))),
        said("an empty id", frame(subscribe % "")),
        said("a lone surrogate", frame(subscribe % "\\ud800")),
        said("an operation before it is connected", frame(subscribe % "1"), close=4401),
        said("an operation in the same breath", init, frame(subscribe % "1"), close=-1, known=True),
        said("an id that is taken", init, frame(subscribe % "1") * 2, close=4409, known=True),
        said("a second init", init, init, close=4429, known=True),
        said("no credential", init, close=4403),
        said("a wrong key", frame('{"type":"connection_init","payload":{"apiKey":"rtk_wrong"}}'), close=4403),
        said("a key that is no text", frame('{"type":"connection_init","payload":{"apiKey":{"a":1}}}'), close=4403),
        said("a stranger's message of 20,000 characters", frame('{"type":"ping","payload":{"a":"' + "x" * 20_000 + '"}}'), close=1009),
        said("a message of 2 MiB", init, frame('{"type":"ping","payload":{"a":"' + "x" * 2**21 + '"}}'), close=1009, known=True),
        said("a thousand pings of a stranger", frame('{"type":"ping"}') * 1000, close=4408),
    ]  # fmt: skip


def _frames() -> list[Case]:
    mask = bytes(4)
    found = [
        Case("frames: one in the handshake's own segment", handshake(more=frame(b"hello")), (101,), -1),
        Case("frames: a ping in the handshake's own segment", handshake(more=frame(b"hello", PING)), (101,), -1),
        Case("frames: an empty text", handshake(more=frame()), (101,), -1),
        Case("frames: an empty binary", handshake(more=frame(b"", BINARY)), (101,), -1),
        Case("frames: an unsolicited pong", handshake(more=frame(b"x", PONG)), (101,), -1),
        frames(frame(masked=False), name="unmasked"),
        frames(frame(b"x", PING, masked=False), name="an unmasked ping"),
        frames(close_frame()[:1] + b"\x02" + close_frame()[6:], name="an unmasked close"),
        frames(raw(0x81, 0xFE, struct.pack("!H", 5) + mask + b"hello"), name="a length that is too long for what it says"),
        frames(raw(0x81, 0xFF, struct.pack("!Q", 2**63) + mask), name="length 2^63"),
        frames(raw(0x81, 0xFF, struct.pack("!Q", 2**64 - 1) + mask), name="length 2^64-1"),
        frames(raw(0x80, 0x80, mask), name="a continuation of nothing"),
        frames(frame(b"a", fin=False), frame(b"b"), name="a text within a text"),
        frames(frame(b"a", fin=False), frame(b"b", BINARY), name="a binary within a text"),
        frames(frame(b"", PING, fin=False), name="a ping in fragments"),
        frames(frame(b"", CLOSE, fin=False), name="a close in fragments"),
        frames(raw(0x89, 0xFE, struct.pack("!H", 126) + mask + bytes(126)), name="a ping of 126 bytes"),
        frames(raw(0x88, 0xFE, struct.pack("!H", 126) + mask + b"\x03\xe8" + bytes(124)), name="a close of 126 bytes"),
        frames(raw(0x88, 0x81, mask + b"\x03"), name="a close of one byte"),
        frames(frame(b"\xff\xfe\xfd"), close=1007, name="text that is not UTF-8"),
        frames(frame(b"\xed\xa0\x80"), close=1007, name="text with a surrogate"),
        frames(frame(b"\xf4\x90\x80\x80"), close=1007, name="text past Unicode"),
        frames(frame(b"\xc3", fin=False), frame(b"\x28", CONTINUATION), close=1007, name="text broken between fragments"),
        frames(frame(struct.pack("!H", 1000) + b"\xff", CLOSE), close=1007, name="a reason that is not UTF-8"),
        frames(*[frame(b"", CONTINUATION if n else TEXT, fin=False) for n in range(2000)], close=1008, name="2,000 empty fragments"),
        frames(frame(b"", fin=False), frame(b"", CONTINUATION, fin=False) * 50_000, close=1008, name="50,000 empty fragments"),
        frames(frame(b"ab", fin=False), frame(b"ab", CONTINUATION, fin=False) * 524_288, close=1008, name="1 MiB in fragments of two bytes"),
        frames(frame(b"x" * 2**20, fin=False), frame(b"x" * 2**20, CONTINUATION), close=1009, name="2 MiB in two fragments"),
        frames(frame(b"x" * (2**20 + 1)), close=1009, name="one byte more than 1 MiB"),
        Case("frames: 2^62 bytes to come", handshake(more=raw(0x81, 0xFF, struct.pack("!Q", 2**62) + mask + b"x" * 1000)), (101,), None),
        frames(frame(b"x") * 5000, close=1008, name="a flood of tiny messages"),
        frames(close_frame() * 5000, close=1000, name="a flood of closes"),
        Case("frames: a flood of pings", handshake(more=frame(b"", PING) * 5000), (101,), -1),
        Case("frames: a flood of pongs", handshake(more=frame(b"", PONG) * 5000), (101,), -1),
        Case("frames: pings within a message", handshake(more=frame(b"a", fin=False) + frame(b"", PING) * 3000 + frame(b"b", CONTINUATION)), (101,), -1),
        Case("frames: HTTP", handshake(more=get()), (101,), 1002),
    ]  # fmt: skip
    found += [frames(raw(0x81 | bit, 0x80, mask), name=f"reserved bit {bit:#x}") for bit in (0x40, 0x20, 0x10)]
    found += [
        frames(raw(0x80 | code, 0x80, mask), name=f"opcode {code}") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ]
    found += [frames(close_frame(code), name=f"close code {code}") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)]  # fmt: skip
    found += [frames(close_frame(code), close=code, name=f"close code {code}") for code in (1000, 1001, 3000, 4999)]
    found.append(frames(frame(b"", CLOSE), close=1005, name="a close without a code"))
    return found


CASES: Final = [
    *_non_ascii(),
    *_hosts(),
    *_upgrades(),
    *_lengths(),
    *_heads(),
    *_leavers(),
    *_frames(),
    *_socketio(),
    *_graphql(),
]
