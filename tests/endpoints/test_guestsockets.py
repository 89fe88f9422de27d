"""WebSocket protocols that an embedding program brings: who gets in, and what limits hold for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import trio
import trio_websocket

import rtlite
from rtlite.auth.throttle import Buckets
from rtlite.endpoints.guestsockets import GuestSockets
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import StartError
from rtlite.model import Role
from rtlite.settings import Settings
from rtlite.transports.contract import Message
from tests.servers import InProcess, running_server
from tests.transports.doors import frame, open_door, tcp


async def echo(websocket: rtlite.WebSocket) -> None:
    """Says who said it."""
    assert websocket.identity is not None
    while True:
        message = await websocket.receive()
        await websocket.reply(f"{websocket.identity.user} in {websocket.params['room']}: {message!r}")


ECHO = rtlite.WebSocketRoute("/echo/{room}", "echo", echo, messages=[Message("said", "Anything", str)])


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with running_server(websockets=[ECHO], max_message=1000, allowed_origins=("https://ours.example",)) as server:
        yield server


async def close_code(socket: trio_websocket.WebSocketConnection) -> int:
    with trio.fail_after(10), pytest.raises(trio_websocket.ConnectionClosed) as closed:
        await socket.get_message()
    assert closed.value.reason is not None
    return closed.value.reason.code


async def test_whoever_has_a_credential_is_let_in_and_the_program_knows_who_it_is(server: InProcess) -> None:
    for credential in (server.token("alice"), await server.key("project", "alice")):
        async with server.websocket("/echo/hall", credential) as socket:
            await socket.send_message("Hi")
            assert await socket.get_message() == "alice in hall: 'Hi'"
            await socket.send_message(b"\0")
            assert await socket.get_message() == r"alice in hall: b'\x00'"
            listed = (await (await server.operator()).get("/api/connections")).json()["items"]
            assert [(item["protocol"], item["user"]) for item in listed] == [("echo", "alice")]


@pytest.mark.parametrize("credential", [None, "pk_live_nobody", "x.y.z"])
async def test_nobody_else_is_let_in(server: InProcess, credential: str | None) -> None:
    async with server.websocket("/echo/hall", credential) as socket:
        assert await close_code(socket) == 4401


@pytest.mark.parametrize(("origin", "status"), [("https://ours.example", 101), ("https://theirs.example", 403)])
async def test_a_page_of_another_origin_is_not_let_in(server: InProcess, origin: str, status: int) -> None:
    peer = await tcp(server)
    assert (await peer.upgrade(f"/echo/hall?token={server.token('alice')}", Origin=origin)).status == status


async def test_a_credential_that_is_revoked_ends_the_connection(server: InProcess) -> None:
    key = await server.key("project", "alice")
    async with server.websocket("/echo/hall", key) as socket:
        await socket.send_message("Hi")
        await socket.get_message()
        operator = await server.operator()
        (listed,) = (await operator.get("/api/connections")).json()["items"]
        await operator.delete(f"/api/keys/{listed['credential']}")
        assert await close_code(socket) == 4401


async def test_a_message_is_no_larger_than_others_may_be(server: InProcess) -> None:
    async with server.websocket("/echo/hall", server.token("alice")) as socket:
        await socket.send_message("x" * 1001)
        assert await close_code(socket) == 1009


async def test_what_it_says_of_itself_is_described(server: InProcess) -> None:
    described = (await server.http().get("/asyncapi.json")).json()
    channel = described["channels"]["echo_room"]
    assert (channel["address"], channel["description"]) == ("/echo/{room}", "Says who said it.")
    assert list(channel["messages"]) == ["said"]


@pytest.mark.parametrize("setting", ["command_rate", "user_command_rate"])
async def test_who_sends_too_fast_is_read_more_slowly(setting: str, autojump_clock) -> None:
    limits = {"command_rate": 0, "user_command_rate": 0, setting: 1, "command_burst": 2}
    settings = Settings(ping_interval=10_000.0, **limits)
    users = Buckets(settings.user_command_rate, 2 * settings.user_command_rate, clock=trio.current_time)
    doors: list[rtlite.WebSocketRoute] = []

    async def converse(websocket: rtlite.WebSocket) -> None:
        await doors[0].endpoint(websocket)

    async with open_door(websockets=[rtlite.WebSocketRoute("/echo/{room}", "echo", converse)]) as door:
        sessions = Sessions(None, door.gate, None, settings)  # type: ignore[arg-type]  # nothing is read
        doors += GuestSockets([ECHO], sessions, users, settings).websockets([])
        peer = door.connect()
        await peer.upgrade(f"/echo/hall?token={door.gate._tokens.sign('alice', Role.USER, 3600)}")
        began = trio.current_time()
        await peer.send(*[frame("Hi")] * 5)
        for _ in range(5):
            assert await peer.text() == b"alice in hall: 'Hi'"
        assert trio.current_time() - began == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("path", ["/ws", "/collab/mine", "/collab/{any}", "/echo/{another}", "echo"])
async def test_a_path_that_is_served_already_or_is_none_is_refused_at_the_start(path: str) -> None:
    brought = [ECHO, rtlite.WebSocketRoute(path, "mine", echo)]
    with pytest.raises(StartError, match=r"websockets: "):
        async with rtlite.open(port=None, websockets=brought):
            pass


def test_a_program_without_trio_brings_its_own_too() -> None:
    async def ask(url: str) -> str | bytes:
        async with trio_websocket.open_websocket_url(url) as socket:
            await socket.send_message(orjson.dumps({"a": 1}).decode())
            return await socket.get_message()

    with rtlite.start(websockets=[ECHO]) as rt:
        url = f"{rt.url.replace('http', 'ws', 1)}/echo/hall?token={rt.token('alice')}"
        assert trio.run(ask, url) == """alice in hall: '{"a":1}'"""
