"""What a connection turns out to be, request after request, over memory streams and Trio's clock."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.transports.routes import Call, Reply, json_reply
from tests.transports.doors import (
    PONG,
    ROUTES,
    close_frame,
    frame,
    handshake,
    head,
    open_door,
    post,
    route,
    websocket_route,
)
from tests.transports.test_head import SMUGGLING, STARTS

GET = head("GET /echo?n=1")


async def test_a_connection_serves_one_request_after_another_in_both_lanes(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        for number in range(3):
            await peer.send(post("/lean", {"n": number}))
            assert (await peer.answer()).json["body"] == f'{{"n":{number}}}'
            await peer.send(GET)
            assert (await peer.answer()).json["query"] == {"n": "1"}
            await peer.send(post("/echo", b"slow lane"))
            assert (await peer.answer()).json["body"] == "slow lane"


async def test_pipelined_requests_of_all_kinds_in_one_segment_are_answered_in_order(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        chunked = head("POST /echo", Transfer_Encoding="chunked") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        await peer.send(
            post("/lean", b"1"), GET, post("/lean", b"2"), post("/lean", b"3"), chunked, GET, GET,
            head("HEAD /echo"), post("/echo", b"4"), handshake("/ws"), frame("five5"), close_frame(),
        )  # fmt: skip
        bodies = [(await peer.answer()).json["body"] for _ in range(7)]
        assert bodies == ["1", "", "2", "3", "abcde", "", ""]
        assert (await peer.answer(bodiless=True)).status == 200
        assert (await peer.answer()).json["body"] == "4"
        assert (await peer.answer()).status == 101
        assert await peer.text() == b"5"
        assert await peer.close_code() == 1000


async def test_pipelined_garbage_is_refused_after_the_good_request_was_answered(autojump_clock) -> None:
    async with open_door() as door:
        for good in (GET, post("/lean")):
            peer = door.connect()
            await peer.send(good, b"GARBAGE\r\n\r\n")
            assert (await peer.answer()).status == 200
            assert (await peer.answer()).code == "bad_request"
            assert await peer.ended() == b""


async def test_a_long_row_of_pipelined_requests_is_not_cut_by_the_time_of_one_head(autojump_clock) -> None:
    async def slow(call: Call) -> Reply:
        await trio.sleep(1)
        return json_reply({})

    async with open_door([route("POST", "/slow", slow, lean=True)]) as door:
        peer = door.connect()
        await peer.send(post("/slow") * 30)
        for _ in range(30):
            assert (await peer.answer()).status == 200


async def test_a_lean_handler_may_take_longer_than_a_handshake(autojump_clock) -> None:
    async def slow(call: Call) -> Reply:
        await trio.sleep(60)
        return json_reply({})

    async with open_door([route("POST", "/slow", slow, lean=True)]) as door:
        peer = door.connect()
        await peer.send(post("/slow"))
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize("request_", [GET, post("/lean", b"x"), post("/echo", b"x")])
async def test_a_request_byte_by_byte(request_: bytes, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        for byte in request_:
            await peer.send(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize("start", [b"", b"GE", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_head_that_never_ends_is_closed_after_10_seconds(start: bytes, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(start)
        begun = trio.current_time()
        if start:
            assert (await peer.answer()).code == "request_timeout"
        assert await peer.ended() == b""
        assert 10 <= trio.current_time() - begun <= 11.1


async def test_a_head_that_dribbles_has_10_seconds_in_all(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        begun = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            for number in range(100):
                await peer.send(b"X-%d: y\r\n" % number if number else b"GET / HTTP/1.1\r\n")
                await trio.sleep(1)
        assert (await peer.answer()).status == 408
        assert trio.current_time() - begun <= 12


@pytest.mark.parametrize("first", [GET, post("/lean")])
async def test_an_idle_connection_is_closed_in_silence_after_75_seconds(first: bytes, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(first)
        await peer.answer()
        begun = trio.current_time()
        assert await peer.ended() == b""
        assert trio.current_time() - begun == pytest.approx(75, abs=0.1)


async def test_on_an_idle_connection_a_head_once_begun_has_10_seconds(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(GET)
        await peer.answer()
        await trio.sleep(60)
        await peer.send(b"GET")
        begun = trio.current_time()
        assert (await peer.answer()).code == "request_timeout"
        assert trio.current_time() - begun == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("size", [16 * 1024 + 1, 100_000])
async def test_a_head_over_16_kib_is_431(size: int, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * size)
        assert (await peer.answer()).code == "head_too_large"
        assert await peer.ended() == b""


async def test_a_head_of_16_kib_is_read_in_every_lane(autojump_clock) -> None:
    async with open_door() as door:
        for start in ("GET /echo", "POST /lean"):
            peer = door.connect()
            short = head(start, Content_Length="0", X="")
            await peer.send(head(start, Content_Length="0", X="x" * (16 * 1024 - len(short))))
            assert (await peer.answer()).status == 200
        peer = door.connect()
        await peer.send(handshake("/ws", X="x" * (16 * 1024 - len(handshake("/ws", X="y")) + 1)))
        assert (await peer.answer()).status == 101


async def test_more_than_100_fields_are_431(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head("GET /echo", **{f"X{number}": "y" for number in range(100)}))
        assert (await peer.answer()).code == "head_too_large"


@pytest.mark.parametrize("raw", [*SMUGGLING.values(), *STARTS.values()], ids=[*SMUGGLING, *STARTS])
async def test_a_hostile_head_is_400_and_the_connection_is_over(raw: bytes, autojump_clock, logs) -> None:
    async with open_door() as door:
        start, lines = (raw, b"") if raw in STARTS.values() else (b"POST /lean HTTP/1.1", raw)
        for first in (b"", GET):
            peer = door.connect()
            await peer.send(first, start + b"\r\nHost: a\r\n" + lines + b"\r\n", GET)
            if first:
                await peer.answer()
            assert (await peer.answer()).code == "bad_request"
            assert await peer.ended() == b""  # what stands behind it is no request
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


@pytest.mark.parametrize(
    "body",
    [b"x\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"0x3\r\nabc\r\n", b"3\nabc\n0\n\n", b"3\r\nabcXX0\r\n\r\n"],
)
async def test_junk_in_chunks_is_400_and_the_connection_is_over(body: bytes, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head("POST /echo", Transfer_Encoding="chunked"), body, GET, GET)
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""


# --- upgrades


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/nowhere", {}, 404, "not_found"),
        ("/echo", {}, 404, "not_found"),
        ("/ws/", {}, 404, "not_found"),
        ("/%ff", {}, 404, "not_found"),
        ("/ws", {"Sec_WebSocket_Version": "8"}, 426, "upgrade_required"),
        ("/ws", {"Sec_WebSocket_Version": ""}, 426, "upgrade_required"),
        ("/ws", {"Sec_WebSocket_Key": "zz"}, 400, "bad_request"),
        ("/ws", {"Sec_WebSocket_Key": ""}, 400, "bad_request"),
        ("/ws", {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
        ("/ws", {"Origin": "null"}, 403, "origin_not_allowed"),
        ("/ws", {"Content_Length": "3"}, 400, "bad_request"),
    ],
)
async def test_a_bad_upgrade_is_refused_before_the_handshake(path, headers, status, code, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        answer = await peer.upgrade(path, **headers)
        assert (answer.status, answer.code) == (status, code)
        assert "sec-websocket-accept" not in answer.headers
        assert await peer.ended() == b""


@pytest.mark.parametrize("request_line", ["GET /ws", "HEAD /ws", "GET /rooms/{room}"])
async def test_a_websockets_path_asked_for_without_an_upgrade_says_that_one_is_wanted(request_line, autojump_clock):
    """What is seen behind a proxy that drops the header; without a credential, as it would be for the proxy's owner."""
    async with open_door(websockets=[websocket_route("/rooms/{room}")]) as door:
        peer = door.connect()
        await peer.send(head(request_line.replace("{room}", "a%20b")))
        answer = await peer.answer(bodiless=request_line.startswith("HEAD"))
        assert answer.status == 426
        assert answer.headers["upgrade"] == "websocket" and answer.headers["connection"] == "Upgrade"
        if request_line.startswith("GET"):
            assert answer.code == "upgrade_required" and "does a proxy drop it?" in answer.body.decode()
        await peer.send(GET)
        assert (await peer.answer()).status == 200, "the connection goes on"


async def test_an_http_route_at_a_websockets_path_answers_and_other_methods_are_no_upgrade(autojump_clock):
    async with open_door(websockets=[websocket_route("/echo")]) as door:
        peer = door.connect()
        await peer.send(head("POST /ws"))
        assert (await peer.answer()).status == 404
        await peer.send(GET)
        assert (await peer.answer()).status == 200


ORIGINS = {"allowed_origins": ("https://good.example", "http://other.example:8080")}


@pytest.mark.parametrize(
    ("origin", "options", "passes"),
    [
        ("http://localhost", {}, True),  # the Host header's own
        ("https://localhost", {}, False),
        ("http://localhost:8000", {}, False),
        ("https://good.example", ORIGINS, True),
        ("HTTPS://GOOD.example", ORIGINS, True),
        ("http://other.example:8080", ORIGINS, True),
        ("http://good.example", ORIGINS, False),
        ("https://good.example.evil.com", ORIGINS, False),
        ("https://evilgood.example", ORIGINS, False),
        ("https://good.example.", ORIGINS, False),
        ("https://anyone.example", {"allowed_origins": ("*",)}, True),
        ("null", {"allowed_origins": ("*",)}, False),
        ("https://evil.example", {"dev": True}, True),
    ],
)
async def test_a_page_may_connect_from_our_own_and_listed_origins(origin, options, passes, autojump_clock) -> None:
    async with open_door(**options) as door:
        answer = await door.connect().upgrade("/ws", Origin=origin)
        assert answer.status == (101 if passes else 403)


async def test_a_ticket_passes_from_any_origin(autojump_clock) -> None:
    async with open_door() as door:
        assert (await door.connect().upgrade("/ws?token=tkt_x", Origin="https://a.example")).status == 101


@pytest.mark.parametrize("upgrade", ["tls/1.0", "foo"])
async def test_an_unknown_upgrade_is_ignored_and_the_connection_goes_on(upgrade: str, autojump_clock) -> None:
    """RFC 9110, section 7.8."""
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head("GET /echo", Upgrade=upgrade, Connection="Upgrade"), GET)
        assert (await peer.answer()).status == 200
        assert (await peer.answer()).status == 200


# --- stopping


async def test_at_a_stop_idle_connections_end_and_a_request_under_way_is_answered(autojump_clock) -> None:
    async def slow(call: Call) -> Reply:
        await trio.sleep(2)
        return json_reply({"done": True})

    async with open_door([*ROUTES, route("GET", "/slow", slow)]) as door:
        idle, busy, fresh = door.connect(), door.connect(), door.connect()
        await idle.send(GET)
        await idle.answer()
        await busy.send(head("GET /slow"))
        await trio.testing.wait_all_tasks_blocked()
        door.listener.stop()
        await door.listener._http.context.terminated.set()
        begun = trio.current_time()
        assert await idle.ended() == b"" and await fresh.ended() == b""
        assert trio.current_time() == begun
        assert (await busy.answer()).json == {"done": True}
        await busy.ended()
        assert trio.current_time() - begun == pytest.approx(2, abs=1.1)


async def test_a_connection_that_comes_after_the_stop_is_closed_at_once(autojump_clock) -> None:
    async with open_door() as door:
        door.listener.stop()
        peer = door.connect()
        assert await peer.ended() == b""


async def test_a_ping_is_answered_also_behind_a_pipelined_handshake(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(post("/lean"), handshake("/ws"), frame("x", 9))
        assert (await peer.answer()).status == 200
        assert (await peer.answer()).status == 101
        assert await peer.frame() == (PONG, b"x")
