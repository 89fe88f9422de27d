"""Sending in order, through a server that comes and goes: a scripted one, on a clock that jumps."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from rtlite.cli import relay as module
from rtlite.cli.relay import Relay
from rtlite.client.failures import CallFailed

AWAY = CallFailed("no server answers")


class Server:
    """Takes what is sent, but for what ``script`` has a failure for; of a ``lost`` one the answer does not arrive."""

    url = "http://test"

    def __init__(self, *script: CallFailed | str | None) -> None:
        self.script = list(script)
        self.requests: list[tuple[bytes, str, dict[str, str]]] = []
        self.tries = 0
        self.open = trio.Event()
        self.open.set()

    async def send(self, method: str, path: str, content: bytes, type: str, query: dict[str, str]) -> None:
        assert (method, path) == ("POST", "/streams/s/messages")
        self.tries += 1
        await self.open.wait()
        step = self.script.pop(0) if self.script else None
        if isinstance(step, CallFailed):
            raise step
        self.requests.append((content, type, dict(query)))
        if step == "lost":
            raise AWAY

    def messages(self, channel: str = "") -> list[Any]:
        """What arrived, each request once, as the server's ids have it."""
        once = {query["id"]: (content, query) for content, _, query in self.requests}
        return [
            orjson.loads(line)
            for content, query in once.values()
            if query.get("channel") == channel
            for line in content.split(b"\n")
        ]


@asynccontextmanager
async def relaying(server: Server, buffer: int = 10**9) -> AsyncIterator[Relay]:
    relay = Relay(server.url, "s", buffer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay.run, nullcontext(server))
        yield relay
        nursery.cancel_scope.cancel()


async def test_lines_go_to_their_channels_in_order_and_the_exit_status_comes_last(autojump_clock) -> None:
    server = Server()
    async with relaying(server) as relay:
        for number in range(5):
            relay.put(b"%d" % number, error=number % 2 == 1)
        await relay.finish({"code": 3})
        assert (relay.left, relay.finished, relay.failure) == (0, True, None)
    assert (server.messages(), server.messages("errors")) == ([0, 2, 4], [1, 3])
    content, type, query = server.requests[-1]
    assert (content, type, query["event"]) == (b'{"code":3}', "application/json", "exit")
    assert len({query["id"] for _, _, query in server.requests}) == len(server.requests)


async def test_a_line_is_sent_at_once_and_what_comes_meanwhile_goes_together(autojump_clock) -> None:
    server = Server()
    async with relaying(server) as relay:
        relay.put(b"1")
        server.open = trio.Event()
        await trio.testing.wait_all_tasks_blocked()
        assert server.tries == 1
        for number in (b"2", b"3"):
            relay.put(number)
        server.open.set()
        await relay.finish({})
    assert [content for content, _, _ in server.requests] == [b"1", b"2\n3", b"{}"]


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504, 507])
async def test_what_passes_is_waited_for_and_tried_again_under_the_same_id(status: int, autojump_clock, capsys) -> None:
    server = Server(CallFailed("no", status), CallFailed("no", status, retry_after=60.0), "lost")
    async with relaying(server) as relay:
        began = trio.current_time()
        relay.put(b"1")
        await relay.finish({})
        assert trio.current_time() - began >= 60
    assert [content for content, _, _ in server.requests] == [b"1", b"1", b"{}"]
    assert server.messages() == [1]
    assert capsys.readouterr().err == "rtlite: no; trying again\nrtlite: http://test answers again\n"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_a_refusal_for_good_is_said_once_and_holds_nobody_up(status: int, autojump_clock, capsys) -> None:
    server = Server(None, CallFailed("not yours", status))
    async with relaying(server) as relay:
        relay.put(b"1")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            relay.put(b'"' + b"x" * module._LIVE + b'"')
            await relay.room()
        await relay.finish({})
        assert (relay.left, relay.finished) == (3, False)
    assert capsys.readouterr().err == "rtlite: not yours; nothing more is sent\n"


async def fill(relay: Relay, limit: int) -> int:
    """Put as much as there is room for, but no more than ``limit`` bytes; returns how much that was."""
    put = 0
    line = b'"' + b"x" * 998 + b'"'
    with trio.move_on_after(1):
        while put < limit:
            await relay.room()
            relay.put(line)
            put += 1000
    return put


async def test_a_program_that_is_faster_than_the_server_is_held_up_and_goes_on(autojump_clock) -> None:
    server = Server()
    server.open = trio.Event()
    async with relaying(server) as relay:
        first = await fill(relay, 10**7)
        assert 0.9 * module._LIVE < first < module._LIVE
        server.open.set()
        assert await fill(relay, 10**6) == 10**6
        await relay.finish({})
    assert len(server.messages()) == (first + 10**6) // 1000


async def test_while_the_server_is_away_so_much_waits_on_disk_and_no_more(autojump_clock) -> None:
    server = Server(*[AWAY] * 10)
    async with relaying(server, buffer=5_000_000) as relay:
        relay.put(b"0")
        await trio.testing.wait_all_tasks_blocked()
        put = await fill(relay, 10**8)
        assert 4_900_000 < put < 5_000_000
        await relay.finish({})
        assert relay.left == 0
    assert len(server.messages()) == 1 + put // 1000


async def test_a_full_disk_holds_the_program_up_and_loses_nothing(autojump_clock, monkeypatch, capsys) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    server = Server(*[AWAY] * 10)
    async with relaying(server) as relay:
        relay.put(b"0")
        await trio.testing.wait_all_tasks_blocked()
        with monkeypatch.context() as patched:
            patched.setattr("os.pwrite", full)
            put = await fill(relay, 10**8)
        assert put < module._LIVE
        await relay.finish({})
    assert len(server.messages()) == 1 + put // 1000
    assert "No space left on device; the program is held up" in capsys.readouterr().err


async def test_who_gives_up_knows_how_much_is_left(autojump_clock) -> None:
    async with relaying(Server(*[AWAY] * 1000)) as relay:
        for _ in range(5):
            relay.put(b"1")
        with trio.move_on_after(60) as scope:
            await relay.finish({})
        assert scope.cancelled_caught and relay.left == 5
