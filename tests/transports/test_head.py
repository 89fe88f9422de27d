"""What is a request head and what is refused. One refusal a line, so that a parser's update cannot open a door."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlite.errors import Refused
from rtlite.transports.head import (
    BadHead,
    Head,
    HeadTooLarge,
    UpgradeRequired,
    check_websocket,
    decode_segment,
    parse_head,
)
from tests.transports.doors import handshake

HOST = b"Host: a\r\n"


def request(lines: bytes = b"", start: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return start + b"\r\n" + host + lines + b"\r\n"


def test_a_head_that_was_shed_holds_no_credential() -> None:
    raw = request(b"Authorization: Bearer SECRET\r\n", b"GET /ws?token=SECRET HTTP/1.1")
    head = parse_head(raw, 100)
    head.shed()
    assert "SECRET" not in repr(head)
    assert (head.path, head.version, head.keep_alive) == ("/ws", "1.1", True)


def test_a_plain_request_is_read() -> None:
    head = parse_head(request(b"X-Y:  v \r\nX-Y: w\r\n", b"GET /a%20b?q=1&q=2&empty=&%C3%A9=x HTTP/1.1"), 100)
    assert (head.method, head.path, head.version) == ("GET", "/a%20b", "1.1")
    assert head.query == {"q": "2", "empty": "", "é": "x"}
    assert head.headers == {"host": "a", "x-y": "v, w"}
    assert (head.content_length, head.chunked, head.keep_alive, head.wants_websocket) == (None, False, True, False)


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [
        ("1.1", b"", True),
        ("1.1", b"Connection: close\r\n", False),
        ("1.1", b"Connection: x, Close\r\n", False),
        ("1.0", b"", False),
        ("1.0", b"Connection: keep-alive\r\n", True),
        ("1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_the_connection_stays(version: str, connection: bytes, keep: bool) -> None:
    assert parse_head(request(connection, f"GET / HTTP/{version}".encode()), 100).keep_alive is keep


SMUGGLING = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "a list of lengths": b"Content-Length: 5, 5\r\n",
    "a length with a plus": b"Content-Length: +5\r\n",
    "a negative length": b"Content-Length: -5\r\n",
    "a hexadecimal length": b"Content-Length: 0x5\r\n",
    "a length with an underscore": b"Content-Length: 1_0\r\n",
    "a superscript length": "Content-Length: ²\r\n".encode(),
    "an empty length": b"Content-Length:\r\n",
    "an endless length": b"Content-Length: 99999999999999999999\r\n",
    "an unknown coding": b"Transfer-Encoding: gzip\r\n",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n',
    "a coding after a tab": b"Transfer-Encoding: x\tchunked\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "a folded line": b"Transfer-Encoding:\r\n chunked\r\n",
    "another folded line": b"X: a\r\n\tb\r\n",
    "a bare line feed": b"X: a\nContent-Length: 5\r\n",
    "a bare carriage return": b"X: a\rContent-Length: 5\r\n",
    "a NUL": b"X: a\0b\r\n",
    "a control character": b"X: a\x01b\r\n",
    "a NUL in a name": b"X\0: a\r\n",
    "no colon": b"just text\r\n",
    "no name": b": value\r\n",
    "a space in a name": b"X Y: value\r\n",
    "two hosts": b"Host: b\r\n",
    "two origins": b"Origin: http://a\r\nOrigin: http://b\r\n",
    "two credentials": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "h2c": b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
    "h2c among others": b"Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
    "settings of h2c": b"HTTP2-Settings: AAAA\r\n",
    "a byte over 127": b"X: \xff\r\n",
    "UTF-8": "X-Name: é\r\n".encode(),
    "UTF-8 in a name": "é: x\r\n".encode(),
    "a byte over 127 in Connection": b"Connection: Upgrade\xe9\r\n",
    "a byte over 127 in the protocol": b"Sec-WebSocket-Protocol: \xfe\r\n",
    "a byte over 127 in the extensions": b"Sec-WebSocket-Extensions: \xfe\r\n",
}
STARTS = {
    "absolute form": b"GET http://a/ HTTP/1.1",
    "authority form": b"CONNECT a:80 HTTP/1.1",
    "CONNECT with a path": b"CONNECT / HTTP/1.1",
    "an asterisk with GET": b"GET * HTTP/1.1",
    "no slash": b"GET a HTTP/1.1",
    "HTTP/2's preface": b"PRI * HTTP/2.0",
    "HTTP/2.0": b"GET / HTTP/2.0",
    "HTTP/0.9": b"GET /",
    "HTTP/1.2": b"GET / HTTP/1.2",
    "HTTP/1.10": b"GET / HTTP/1.10",
    "a method in lower case": b"get / HTTP/1.1",
    "an unknown method with a digit": b"G3T / HTTP/1.1",
    "two spaces": b"GET /  HTTP/1.1",
    "a tab": b"GET\t/\tHTTP/1.1",
    "a space in the path": b"GET /a b HTTP/1.1",
    "a NUL in the path": b"GET /\0 HTTP/1.1",
    "a byte over 127 in the path": b"GET /\xc3\xa9 HTTP/1.1",
    "nothing": b"",
    "a status line": b"HTTP/1.1 200 OK",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "a query that is not UTF-8": b"GET /?a=%ff HTTP/1.1",
    "a query of five hundred and one parameters": b"GET /?" + b"&".join([b"a=1"] * 501) + b" HTTP/1.1",
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING)
def test_a_head_that_two_parsers_could_read_differently_is_refused(lines: bytes) -> None:
    with pytest.raises(BadHead):
        parse_head(request(lines, b"POST / HTTP/1.1"), 100)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_malformed_request_line_is_refused(start: bytes) -> None:
    with pytest.raises(BadHead):
        parse_head(request(start=start), 100)


@pytest.mark.parametrize(
    "host", [b"", b"Host:\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host: \xe9\r\n"]
)
def test_a_missing_or_malformed_host_is_refused(host: bytes) -> None:
    with pytest.raises(BadHead):
        parse_head(request(host=host), 100)


@pytest.mark.parametrize("host", ["a..b", ".a", "x" * 64, "a." * 200, "[", "[::1", "a:b", "a:8:9"])
def test_a_host_that_no_name_or_address_can_be_is_refused(host: str) -> None:
    with pytest.raises(BadHead):
        parse_head(request(host=f"Host: {host}\r\n".encode()), 100)


@pytest.mark.parametrize(
    "host", ["a", "a.b.", "a_b-c.d:80", "127.0.0.1:8000", "[::1]:8000", "[fe80::1%25eth0]", "localhost:"]
)
def test_a_host_is_a_name_or_an_address_and_maybe_a_port(host: str) -> None:
    assert parse_head(request(host=f"Host: {host}\r\n".encode()), 100).headers["host"] == host


def test_chunked_with_http_1_0_is_refused() -> None:
    with pytest.raises(BadHead):
        parse_head(request(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.0"), 100)


def test_a_hundred_fields_are_read_and_one_more_is_431() -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(99))
    assert len(parse_head(request(lines), 100).headers) == 100
    with pytest.raises(HeadTooLarge) as refusal:
        parse_head(request(lines + b"One: more\r\n"), 100)
    assert refusal.value.status == 431


def websocket(**headers: str) -> Head:
    return parse_head(handshake("/ws", **headers), 100)


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive, UPGRADE"}, {"Upgrade": "WebSocket"}])
def test_a_good_handshake_passes(headers: dict[str, str]) -> None:
    head = websocket(**headers)
    assert head.wants_websocket
    check_websocket(head)


@pytest.mark.parametrize("headers", [{"Connection": ""}, {"Connection": "close"}, {"Upgrade": ""}, {"Upgrade": "tls"}])
def test_without_both_upgrade_fields_it_is_no_handshake(headers: dict[str, str]) -> None:
    assert not websocket(**headers).wants_websocket


@pytest.mark.parametrize("version", ["", "12", "13, 8", "8", "013"])
def test_another_version_is_426_and_names_ours(version: str) -> None:
    with pytest.raises(UpgradeRequired) as refusal:
        check_websocket(websocket(Sec_WebSocket_Version=version))
    assert refusal.value.status == 426
    assert refusal.value.headers["Sec-WebSocket-Version"] == "13"


@pytest.mark.parametrize(
    "key", ["", "zz", "AAAA", "A" * 24, "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODw==x", "A" * 8000]
)
def test_a_key_that_is_not_16_bytes_is_refused(key: str) -> None:
    with pytest.raises(BadHead):
        check_websocket(websocket(Sec_WebSocket_Key=key))


@pytest.mark.parametrize(
    "raw",
    [
        handshake("/ws").replace(b"GET", b"POST"),
        handshake("/ws").replace(b"HTTP/1.1", b"HTTP/1.0"),
        handshake("/ws", Content_Length="5"),
        handshake("/ws", Transfer_Encoding="chunked"),
    ],
)
def test_a_handshake_is_a_get_of_http_1_1_without_a_body(raw: bytes) -> None:
    with pytest.raises(BadHead):
        check_websocket(parse_head(raw, 100))


def test_a_segment_is_decoded_or_refused() -> None:
    assert decode_segment("a%2Fb%20%C3%A9") == "a/b é"
    for wrong in ("%ff", "%C3", "%ED%A0%80"):
        with pytest.raises(BadHead):
            decode_segment(wrong)


@given(st.binary(max_size=300))
@example(b"\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_any_bytes_are_a_head_or_refused(raw: bytes) -> None:
    _read_or_refuse(raw)


_TOKENS = st.sampled_from(
    (
        b"GET|POST| |/|?a=%|HTTP/1.1|HTTP/1.0|\r\n|\n|\r|:|Host: a|\t|Content-Length: |Transfer-Encoding: chunked"
        b"|Upgrade: websocket|Connection: upgrade|5|\0"
    ).split(b"|")
)


@given(st.lists(_TOKENS | st.binary(max_size=5), max_size=20))
def test_anything_like_a_head_is_a_head_or_refused(parts: list[bytes]) -> None:
    _read_or_refuse(b"".join(parts))
    _read_or_refuse(request(b"".join(parts)))


def _read_or_refuse(raw: bytes) -> None:
    try:
        head = parse_head(raw, 100)
    except Refused:
        return
    assert raw.isascii() and head.raw == raw
    assert head.content_length is None or not head.chunked
    if head.wants_websocket:
        try:
            check_websocket(head)
        except Refused:
            return
