"""Both HTTP lanes; and what is relied on of Hypercorn 0.18 and Quart."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.errors import Conflict
from rtlite.transports.routes import Access, Call, Reply, json_reply
from tests.transports.doors import ROUTES, Peer, close_frame, handshake, head, open_door, post, route

GET = head("GET /echo")


async def test_both_lanes_give_the_same_bytes_for_the_same_call(autojump_clock) -> None:
    async def refuse(call: Call) -> Reply:
        raise Conflict(f"the name {call.params['name']} is taken")

    async def fail(call: Call) -> Reply:
        raise RuntimeError("a bug")

    def routes(prefix: str, lean: bool):
        return [
            route("POST", f"{prefix}/same/{{name}}", lean=lean),
            route("POST", f"{prefix}/refuse/{{name}}", refuse, lean=lean),
            route("POST", f"{prefix}/fail", fail, lean=lean),
            route("POST", f"{prefix}/keyed", lean=lean, access=Access.OPERATOR),
            route("POST", f"{prefix}/small", lean=lean, limit=10),
        ]

    calls = [
        ("/same/x?q=%C3%A9", b'{"a": 1}', {}),
        ("/same/a%2Fb", "é".encode(), {}),
        ("/same/%ff", b"", {}),
        ("/refuse/x", b"{}", {}),
        ("/fail", b"{}", {}),
        ("/keyed", b"", {}),
        ("/keyed", b"", {"Authorization": "Bearer rtk_test"}),
        ("/keyed", b"", {"Authorization": "Bearer rtk_wrong"}),
        ("/small", b"x" * 11, {}),
    ]
    async with open_door([*routes("/l", True), *routes("/q", False)]) as door:
        for path, body, headers in calls:
            answers = []
            for lane in ("/l", "/q"):
                peer = door.connect()
                await peer.send(post(lane + path, body, **headers))
                answers.append(await peer.answer())
            lean, quart = answers
            assert (lean.status, lean.body) == (quart.status, quart.body), path
            for name in ("content-type", "www-authenticate"):
                assert lean.headers.get(name) == quart.headers.get(name), path
            assert "server" not in lean.headers and "server" not in quart.headers


@pytest.mark.parametrize("path", ["/nowhere", "/", "//echo", "/echo/", "/things/a/b", "/..%2fecho", "/%00", "/a%0ab"])
async def test_an_unknown_path_is_404(path: str, autojump_clock) -> None:
    async with open_door() as door:
        for method in ("GET", "POST", "PROPFIND"):
            peer = door.connect()
            await peer.send(head(f"{method} {path}"))
            assert (await peer.answer()).code == "not_found"


@pytest.mark.parametrize("method", ["POST", "DELETE", "PROPFIND", "TRACE"])
async def test_an_unknown_method_is_405_and_says_what_is_allowed(method: str, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head(f"{method} /things/x"), GET)
        answer = await peer.answer()
        assert answer.code == "method_not_allowed"
        assert answer.headers["allow"] == "GET, PUT"
        assert (await peer.answer()).status == 200


async def test_a_head_request_gets_the_headers_of_a_get(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(GET, head("HEAD /echo"), head("HEAD /nowhere"), GET)
        get, asked = await peer.answer(), await peer.answer(bodiless=True)
        assert asked.status == 200
        assert asked.headers["content-type"] == get.headers["content-type"]
        assert (await peer.answer(bodiless=True)).status == 404
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize("status", [204, 304])
async def test_an_empty_answer_has_no_body_and_no_length(status: int, autojump_clock) -> None:
    async def nothing(call: Call) -> Reply:
        return Reply(status)

    async with open_door([*ROUTES, route("DELETE", "/it", nothing)]) as door:
        peer = door.connect()
        await peer.send(head("DELETE /it"), GET)
        answer = await peer.answer(bodiless=True)
        assert answer.status == status and "content-length" not in answer.headers
        assert (await peer.answer()).status == 200


async def test_no_cache_keeps_what_a_credential_was_shown_for(autojump_clock) -> None:
    routes = [route("GET", "/keyed", access=Access.OPERATOR), route("GET", "/open")]
    async with open_door(routes) as door:
        peer = door.connect()
        key = {"X-Api-Key": "rtk_test"}
        await peer.send(head("GET /keyed", **key), head("GET /open", **key), head("GET /nowhere", **key))
        kept = [(await peer.answer()).headers.get("cache-control") for _ in range(3)]
        assert kept == ["no-store", None, None]


# --- bodies


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("path", ["/lean", "/echo"])
async def test_a_chunked_body_is_put_together(path: str, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head(f"POST {path}", Transfer_Encoding="chunked"), chunks(b"ab", b"c" * 300), GET)
        assert (await peer.answer()).json["body"] == "ab" + "c" * 300
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize("path", ["/lean", "/echo"])
async def test_a_body_over_the_limit_is_413_and_closes(path: str, autojump_clock) -> None:
    async with open_door(max_body=1000) as door:
        peer = door.connect()
        await peer.send(post(path, b"x" * 1000))
        assert (await peer.answer()).status == 200
        await peer.send(head(f"POST {path}", Content_Length="1001"), b"x" * 500)
        assert (await peer.answer()).code == "too_large"
        assert await peer.ended() == b""
        peer = door.connect()
        await peer.send(head(f"POST {path}", Transfer_Encoding="chunked"), chunks(*[b"y" * 100] * 11))
        assert (await peer.answer()).code == "too_large"
        assert await peer.ended() == b""


async def test_a_body_for_a_path_that_is_not_there_is_not_read(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head("POST /nowhere", Content_Length="5000000"), b"x" * 1000)
        assert (await peer.answer()).code == "not_found"
        assert await peer.ended() == b""


@pytest.mark.parametrize("path", ["/lean", "/echo"])
@pytest.mark.parametrize("begun", [b"", b"half"])
async def test_a_body_that_does_not_come_is_408_after_15_seconds(path: str, begun: bytes, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head(f"POST {path}", Content_Length="10"), begun)
        start = trio.current_time()
        assert (await peer.answer()).code == "request_timeout"
        assert trio.current_time() - start == pytest.approx(15, abs=0.1)
        await peer.ended()


@pytest.mark.parametrize("path", ["/lean", "/echo"])
async def test_a_body_that_dribbles_has_15_seconds_in_all(path: str, autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head(f"POST {path}", Content_Length="1000"))
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            for _ in range(100):
                await trio.sleep(1)
                await peer.send(b"x")
        assert (await peer.answer()).code == "request_timeout"
        assert trio.current_time() - start <= 18


@pytest.mark.parametrize("path", ["/lean", "/echo"])
async def test_expect_100_continue(path: str, autojump_clock) -> None:
    async with open_door(max_body=1000) as door:
        peer = door.connect()
        await peer.send(head(f"POST {path}", Content_Length="3", Expect="100-continue"))
        assert (await peer.answer()).status == 100
        await peer.send(b"abc")
        assert (await peer.answer()).json["body"] == "abc"
        await peer.send(head(f"POST {path}", Content_Length="2000", Expect="100-continue"))
        answer = await peer.answer()
        assert answer.status in {100, 413}
        if answer.status == 100:
            assert (await peer.answer()).code == "too_large"


async def test_a_peer_that_leaves_before_the_answer_ends_its_request(autojump_clock) -> None:
    ended: list[str] = []

    async def slow(call: Call) -> Reply:
        try:
            await trio.sleep(1000)
        finally:
            ended.append(call.method)
        return json_reply({})

    async with open_door([route("GET", "/slow", slow)]) as door:
        peer = door.connect()
        await peer.send(head("GET /slow"))
        await trio.testing.wait_all_tasks_blocked()
        await peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["GET"]


async def test_a_peer_that_never_reads_is_given_up_after_the_write_timeout(autojump_clock) -> None:
    async def big(call: Call) -> Reply:
        return Reply(200, b"x" * 3_000_000)

    async with open_door([route("GET", "/big", big), route("POST", "/lean", big, lean=True)]) as door:
        for request in (head("GET /big"), post("/lean")):
            ours, theirs = trio.testing.lockstep_stream_pair()
            done = trio.Event()

            async def serve(stream=theirs, done=done) -> None:
                await door.listener.serve_stream(stream)
                done.set()

            door.nursery.start_soon(serve)
            await Peer(ours).send(request)
            start = trio.current_time()
            await done.wait()
            assert 60 <= trio.current_time() - start < 62


class Stubborn(trio.abc.Stream):
    """A stream whose reading was woken just before it is cancelled, as a socket's can be."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        with trio.CancelScope(shield=True):
            return bytes(await self._inner.receive_some(max_bytes))

    async def send_all(self, data: bytes) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_bytes_that_are_read_as_the_answer_ends_belong_to_the_next_request(autojump_clock) -> None:
    async with open_door() as door:
        ours, theirs = trio.testing.memory_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, Stubborn(theirs))
        peer = Peer(ours)
        try:
            for number in range(3):
                await peer.send(head(f"GET /echo?n={number}"))
                assert (await peer.answer()).json["query"] == {"n": str(number)}
                await trio.testing.wait_all_tasks_blocked()
        finally:
            await peer.stream.aclose()


# --- CORS


PREFLIGHT = {"Access_Control_Request_Method": "PUT"}
LISTED = {"allowed_origins": ("https://good.example",)}


@pytest.mark.parametrize(
    ("path", "origin", "options", "allowed"),
    [
        ("/things/x", "https://good.example", LISTED, "https://good.example"),
        ("/things/x", "https://evil.example", LISTED, None),
        ("/things/x", "null", LISTED, None),
        ("/things/x", "https://any.example", {"allowed_origins": ("*",)}, "*"),
        ("/things/x", "https://any.example", {"dev": True}, "*"),
        ("/open", "https://evil.example", {}, "*"),
    ],
)
async def test_a_preflight_names_who_may(path, origin, options, allowed, autojump_clock) -> None:
    async with open_door([*ROUTES, route("PUT", "/open", open_to_pages=True)], **options) as door:
        peer = door.connect()
        await peer.send(head(f"OPTIONS {path}", Origin=origin, **PREFLIGHT))
        answer = await peer.answer()
        assert answer.status == 204
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in answer.headers
        assert "PUT" in answer.headers["access-control-allow-methods"]
        await peer.send(head(f"PUT {path}", Origin=origin))
        answer = await peer.answer()
        assert answer.status == 200
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_errors_can_be_read_across_origins_too(autojump_clock) -> None:
    async with open_door(**LISTED) as door:
        for request in (
            head("GET /nowhere", Origin="https://good.example"),
            post("/lean", Origin="https://good.example"),
        ):
            peer = door.connect()
            await peer.send(request)
            assert (await peer.answer()).headers["access-control-allow-origin"] == "https://good.example"


async def test_options_of_nothing_is_404_and_without_an_origin_tells_the_methods(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(head("OPTIONS /nowhere"), head("OPTIONS /things/x"))
        assert (await peer.answer()).code == "not_found"
        assert (await peer.answer()).headers["allow"] == "GET, PUT"


async def test_a_handshake_after_a_request_of_hypercorns_lane(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(GET)
        await peer.answer()
        await peer.send(handshake("/ws"), close_frame())
        assert (await peer.answer()).status == 101
        assert await peer.close_code() == 1000
