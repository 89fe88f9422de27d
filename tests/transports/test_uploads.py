"""Bodies that are taken as they come."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.errors import Conflict, Reason
from rtlite.transports.routes import Access, Call, Reply, json_reply
from tests.transports.doors import Peer, head, open_door, route

KEYED = {"Authorization": "Bearer rtk_test", "Content_Type": "text/plain; charset=utf-8"}


async def collect(call: Call) -> Reply:
    assert call.pieces is not None
    taken.clear()
    async for piece in call.pieces:
        taken.append(piece)  # noqa: PERF401  # the tests look at it meanwhile
    return json_reply(b"".join(taken).decode(), 201)


async def refuse_x(call: Call) -> Reply:
    assert call.pieces is not None
    async for piece in call.pieces:
        if b"x" in piece:
            raise Conflict("no x here")
    return json_reply("done")


async def whole(call: Call) -> Reply:
    return json_reply([call.body.decode(), call.pieces is None])


taken: list[bytes] = []
ROUTES = [
    route("POST", "/lines", collect, streamed=True, lean=True, access=Access.OPERATOR),
    route("POST", "/refuse", refuse_x, streamed=True),
    route("POST", "/whole", whole, streamed=True, lean=True),
    route("POST", "/plain", whole, lean=True),
    route("GET", "/echo"),
]


def start(path: str = "/lines", **headers: str) -> bytes:
    return head(f"POST {path}", **{**KEYED, "Transfer_Encoding": "chunked", **headers})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_pieces_reach_the_endpoint_as_they_come_and_the_connection_goes_on(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start())
        for number, piece in enumerate((b"a\n", b"b", b"c\n"), 1):
            await trio.sleep(600)
            await peer.send(chunk(piece))
            await settled()
            assert len(taken) == number
        await peer.send(b"0\r\n\r\n", head("GET /echo"))
        answer = await peer.answer()
        assert (answer.status, answer.json) == (201, "a\nbc\n")
        assert (await peer.answer()).status == 200
        assert door.answered("append") == 1


async def test_a_body_with_a_length_is_taken_the_same_way_however_long_it_is(autojump_clock) -> None:
    async with open_door(ROUTES, max_body=10) as door:
        peer = door.connect()
        await peer.send(head("POST /lines", **KEYED, Content_Length="40"), b"x" * 15)
        await settled()
        assert taken == [b"x" * 15]
        await peer.send(b"y" * 25)
        assert (await peer.answer()).json == "x" * 15 + "y" * 25


async def test_another_content_type_or_route_is_taken_whole(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        for path, type in (("/whole", "application/json"), ("/plain", "text/plain"), ("/whole", "text/html")):
            for headers in ({"Content_Length": "1"}, {"Transfer_Encoding": "chunked"}):
                peer = door.connect()
                body = b"x" if "Content_Length" in headers else chunk(b"x") + b"0\r\n\r\n"
                await peer.send(head(f"POST {path}", Content_Type=type, **headers), body)
                assert (await peer.answer()).json == ["x", True]
        assert door.answered("append") == 0


async def test_who_expects_to_be_asked_is_asked_only_if_the_body_is_wanted(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start(Expect="100-continue"))
        assert await peer.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await peer.send(chunk(b"a"), b"0\r\n\r\n")
        assert (await peer.answer()).json == "a"
        peer = door.connect()
        await peer.send(start(Expect="100-continue", Authorization="Bearer rtk_wrong"))
        assert (await peer.answer()).status == 401
        assert await peer.ended() == b""


async def test_nothing_is_read_of_a_body_that_nobody_may_send(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start(Authorization="Bearer rtk_wrong"), chunk(b"a"))
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert len(door.connections) == 0


async def test_a_refusal_in_the_middle_is_answered_and_ends_the_connection(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start("/refuse"), chunk(b"a"), chunk(b"x"))
        assert (await peer.answer()).status == 409
        assert await peer.ended() == b""


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\na", b"5\r\nab\r\n0\r\n\r\n", b"1\r\naa\r\n", b"1\r\na\r\n0\r\n\x00: y\r\n\r\n"]
)
async def test_a_malformed_body_is_400(body: bytes, autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start(), body)
        assert (await peer.answer()).code == "bad_request"
        assert door.faults() == 0


async def test_a_body_that_stops_short_is_400(autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        peer = door.connect()
        await peer.send(start(), chunk(b"a"))
        await settled()
        await peer.stream.send_eof()
        assert (await peer.answer()).code == "bad_request"


async def test_who_says_nothing_for_too_long_is_408(autojump_clock) -> None:
    async with open_door(ROUTES, append_timeout=100.0) as door:
        peer = door.connect()
        await peer.send(start())
        for _ in range(3):
            await trio.sleep(99)
            await peer.send(chunk(b"a"))
        began = trio.current_time()
        assert (await peer.answer()).status == 408
        assert trio.current_time() - began == pytest.approx(100)


@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.REVOKED, 401), (Reason.STOPPING, 503), (Reason.CLOSED_BY_OPERATOR, 503)]
)
async def test_it_stands_among_the_connections_and_can_be_ended(reason: Reason, status: int, autojump_clock) -> None:
    async with open_door(ROUTES) as door:
        for busy in (False, True):
            peer = door.connect()
            await peer.send(start())
            await settled()
            (listed,) = door.connections
            assert listed.identity is not None and (listed.protocol, listed.identity.user) == ("append", "root")
            listed.end(reason)
            if busy:
                await peer.send(chunk(b"a"))
            assert (await peer.answer()).status == status
            assert len(door.connections) == 0


async def test_over_capacity_is_503(autojump_clock) -> None:
    async with open_door(ROUTES, max_connections=1) as door:
        first, second = door.connect(), door.connect()
        await first.send(start())
        await settled()
        await second.send(start())
        assert (await second.answer()).status == 503
        await first.send(b"0\r\n\r\n")
        assert (await first.answer()).status == 201


async def test_a_token_that_expires_takes_no_more_lines(autojump_clock) -> None:
    async with open_door([route("POST", "/lines", collect, streamed=True, access=Access.CREDENTIAL)]) as door:
        token = door.gate._tokens.sign("ann", "user", 60.0)
        peer = door.connect()
        await peer.send(start(Authorization=f"Bearer {token}"), chunk(b"a"))
        began = trio.current_time()
        assert (await peer.answer()).status == 401
        assert trio.current_time() - began == pytest.approx(70, abs=1)  # and the leeway


async def test_a_sender_is_not_read_ahead_of_the_endpoint() -> None:
    """What the endpoint has not asked for stays with the sender."""
    gate = trio.Event()

    async def slow(call: Call) -> Reply:
        assert call.pieces is not None
        total = 0
        async for piece in call.pieces:
            await gate.wait()
            total += len(piece)
        return json_reply(total)

    async with open_door([route("POST", "/slow", slow, streamed=True)]) as door:
        peer: Peer = door.connect_socket()
        await peer.send(start("/slow"))
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await peer.send(chunk(b"x" * 65536))
                sent += 65536
        assert 0 < sent < 8 * 1024 * 1024
