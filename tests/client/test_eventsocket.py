"""An EventSocket against a server that a script plays, on Trio's autojump clock."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio_websocket import CloseReason, ConnectionClosed

from rtlite.client import Client, eventsocket
from rtlite.client.eventsocket import EventSocket
from rtlite.client.failures import CallFailed
from rtlite.client.follower import Page
from tests.client.test_calls import away


class Socket:
    """Both ends of a WebSocket: the client's as trio-websocket has it, the server's for the script."""

    def __init__(self) -> None:
        self._to_client, self._client = trio.open_memory_channel[Any](math.inf)
        self._to_server, self._server = trio.open_memory_channel[dict[str, Any]](math.inf)
        self.closed: ConnectionClosed | None = None

    async def get_message(self) -> str:
        try:
            return await self._client.receive()
        except trio.EndOfChannel:
            assert self.closed is not None
            raise self.closed from None

    async def send_message(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.closed is not None:
            raise self.closed
        self._to_server.send_nowait(json.loads(message))

    async def asked(self) -> dict[str, Any]:
        return await self._server.receive()

    def say(self, **message: Any) -> None:
        self._to_client.send_nowait(json.dumps(message))

    def subscribed(self, channel: str, position: str | None, recovered: bool = True) -> None:
        self.say(type="subscribed", channel=channel, position=position, recovered=recovered)

    def event(self, channel: str, data: int, **fields: Any) -> None:
        self.say(channel=channel, event="e", data=data, **fields)

    def close(self, code: int, reason: str = "") -> None:
        self.closed = ConnectionClosed(CloseReason(code, reason))
        self._to_client.close()


def single(error: BaseException) -> BaseException:
    """What the real one does: one error comes out of its groups as itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


Script = Callable[[Socket], Awaitable[None]]


@pytest.fixture
def play(monkeypatch):
    """Follow channels while scripts play the server, one for each connection; what came of it."""

    async def play(channels: list[str], *scripts: Script | CallFailed, since: str | None = None) -> SimpleNamespace:
        happened = SimpleNamespace(pages=[], told=[], times=[])
        left = iter(scripts)

        @asynccontextmanager
        async def open_websocket(client: Client, path: str):
            assert path == "/_events"
            happened.times.append(trio.current_time())
            script = next(left, None)
            if script is None:
                await trio.sleep_forever()
            if isinstance(script, CallFailed):
                raise script
            socket = Socket()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(script, socket)
                    try:
                        yield socket
                    finally:
                        nursery.cancel_scope.cancel()
            except BaseExceptionGroup as group:
                raise single(group) from None

        async def deliver(page: Page) -> None:
            happened.pages.append(page)

        monkeypatch.setattr(eventsocket, "open_websocket", open_websocket)
        with trio.move_on_after(1000):
            await EventSocket(Client("http://127.0.0.1:1"), channels, since, happened.told.append).follow(deliver)
        happened.data = [item["data"] for page in happened.pages for item in page.items]
        happened.pauses = [later - earlier for earlier, later in itertools.pairwise(happened.times)]
        return happened

    return play


async def test_each_channel_is_come_back_to_at_its_own_place(autojump_clock, play):
    wanted: list[dict[str, Any]] = []

    async def first(socket: Socket) -> None:
        wanted.extend([await socket.asked(), await socket.asked()])
        socket.subscribed("a:1", "x-5")
        socket.subscribed("b:*", "s-90")
        socket.event("a:1", 1, position="x-6")
        socket.event("b:7", 2, position="s-91")
        socket.close(1006)

    async def second(socket: Socket) -> None:
        wanted.extend([await socket.asked(), await socket.asked()])
        socket.subscribed("a:1", "x-6")
        socket.event("a:1", 3, position="x-7")

    happened = await play(["a:1", "b:*", "b:7"], first, second, since="2h")
    assert happened.data == [1, 2, 3]
    assert wanted == [
        {"type": "subscribe", "channel": "a:1", "since": "2h"},
        {"type": "subscribe", "channel": "b:*", "since": "2h"},
        {"type": "subscribe", "channel": "a:1", "since": "x-6"},
        {"type": "subscribe", "channel": "b:*", "since": "s-91"},
    ]
    assert set(happened.told) == {None}
    assert happened.pauses[0] <= 0.25


async def test_a_place_before_the_first_event_holds_as_well(autojump_clock, play):
    wanted: list[dict[str, Any]] = []

    async def serve(socket: Socket) -> None:
        wanted.append(await socket.asked())
        socket.subscribed("a:1", "x-5")
        socket.close(1001, "server is stopping")

    await play(["a:1"], serve, serve)
    assert [item.get("since") for item in wanted] == [None, "x-5"]


async def test_what_is_gone_is_said(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        socket.subscribed("a:1", "x-5", recovered=False)

    happened = await play(["a:1"], serve, since="x-1")
    assert [(page.of, page.recovered) for page in happened.pages] == [("a:1", False)]


async def test_without_history_a_second_subscription_is_a_loss_and_a_first_is_none(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        await socket.asked()
        socket.subscribed("a:*", None)
        socket.event("a:1", 1)
        socket.close(1006)

    happened = await play(["a:*"], serve, serve)
    assert [page.recovered for page in happened.pages] == [True, False, True]


async def test_a_subscription_that_came_too_fast_is_asked_for_again(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        first = await socket.asked()
        at = trio.current_time()
        socket.say(type="error", channel="a:1", code="rate_limited", message="slowly")
        assert await socket.asked() == first
        assert trio.current_time() - at == pytest.approx(1)
        socket.subscribed("a:1", "x-0")
        socket.event("a:1", 1, position="x-1")

    assert (await play(["a:1"], serve)).data == [1]


async def test_a_silent_server_is_asked_whether_it_is_there(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        await socket.asked()
        socket.subscribed("a:1", "x-0")
        for _ in range(3):
            assert await socket.asked() == {"type": "ping"}
            socket.say(type="pong")
        await socket.asked()

    happened = await play(["a:1"], serve)
    assert happened.pauses[0] == pytest.approx(30 * 5, abs=1)  # three answered, one not


@pytest.mark.parametrize(
    ("code", "status"), [("unauthorized", 403), ("invalid_request", 400), ("subscription_failed", 503)]
)
async def test_a_refused_subscription_is_raised_unless_it_may_succeed_later(autojump_clock, play, code, status):
    async def serve(socket: Socket) -> None:
        socket.say(type="error", channel="a:1", code=code, message="so it is")

    if status == 503:
        happened = await play(["a:1"], serve, serve)
        assert str(happened.told[0]) == f"a:1: so it is ({code})"
        return
    with pytest.raises(CallFailed, match=rf"a:1: so it is \({code}\)") as failed:
        await play(["a:1"], serve)
    assert failed.value.status == status


async def test_a_right_that_is_taken_away_is_raised(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        socket.subscribed("a:1", "x-0")
        socket.say(type="unsubscribed", channel="a:1", reason="unauthorized")

    with pytest.raises(CallFailed, match="a:1: this may not be read any more"):
        await play(["a:1"], serve)


@pytest.mark.parametrize("code", [1000, 4401, 4403])
async def test_a_close_for_good_is_raised(autojump_clock, play, code):
    async def serve(socket: Socket) -> None:
        socket.close(code, "so it is")

    with pytest.raises(CallFailed, match=rf"the server closed the connection: so it is \({code}\)"):
        await play(["a:1"], serve)


@pytest.mark.parametrize("code", [4401, 4403])
async def test_of_who_is_not_let_in_the_close_code_says_why(autojump_clock, play, code):
    async def serve(socket: Socket) -> None:
        socket.say(type="error", event="error", data={}, code="unauthorized", message="so it is")
        socket.close(code, "so it is")

    with pytest.raises(CallFailed, match=rf"so it is \({code}\)") as failed:
        await play(["a:1"], serve)
    assert failed.value.status == code - 4000


async def test_other_closes_are_told_of_and_come_back_from(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        socket.subscribed("a:1", "x-0")
        socket.close(1013, "over capacity")

    happened = await play(["a:1"], serve, serve, away())
    assert [failure and str(failure) for failure in happened.told] == [
        None,
        "the server closed the connection: over capacity (1013)",
        None,
        "the server closed the connection: over capacity (1013)",
        "no server answers",
    ]
    assert len(happened.times) == 4


async def test_what_no_server_of_ours_sends_ends_it(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        socket.say(data=5)

    with pytest.raises(CallFailed, match="not as rtlite does"):
        await play(["a:1"], serve)


async def test_a_subscription_for_a_link_that_is_gone_is_no_error(autojump_clock, play):
    async def serve(socket: Socket) -> None:
        await socket.asked()
        socket.say(type="error", channel="a:1", code="rate_limited", message="slowly")
        socket.close(1006)

    assert (await play(["a:1"], serve)).data == []
