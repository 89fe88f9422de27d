"""An EventSource against streams that a script gives, on Trio's autojump clock."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio

from rtlite.client import Client
from rtlite.client.eventsource import EventSource
from rtlite.client.failures import CallFailed
from rtlite.client.follower import Page
from tests.client.test_calls import away


def connected(id: str = "", recovered: str = "true", retry: int = 3000) -> bytes:
    return f'retry: {retry}\nevent: connected\nid: {id}\ndata: {{"recovered":{recovered}}}\n\n'.encode()


def event(data: int, id: str | None) -> bytes:
    line = "" if id is None else f"id: {id}\n"
    return f'{line}data: {{"channel":"a:1","event":"e","data":{data}}}\n\n'.encode()


def closed(code: str, retry: int = 3000) -> bytes:
    return f'retry: {retry}\nevent: closed\ndata: {{"code":"{code}","message":"so it is"}}\n\n'.encode()


class Streams(Client):
    """A client whose streams are a list: pieces, in which an exception ends one; or a failure to begin."""

    def __init__(self, *streams: list[Any] | CallFailed) -> None:
        super().__init__("http://127.0.0.1:1")
        self.streams = iter(streams)
        self.asked: list[tuple[float, dict[str, Any], str | None]] = []

    @asynccontextmanager
    async def stream(self, path, query, headers, *, silence):
        asked = {name: value for name, value in query.items() if name != "includeMetadata"}
        self.asked.append((trio.current_time(), asked, headers.get("Last-Event-ID")))
        pieces = next(self.streams, None)
        if pieces is None:
            await trio.sleep_forever()
        if isinstance(pieces, CallFailed):
            raise pieces
        async with aclosing(self._pieces(pieces)) as generator:
            yield generator

    @staticmethod
    async def _pieces(pieces: list[Any]) -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, CallFailed):
                raise piece
            yield piece

    @property
    def places(self) -> list[str | None]:
        return [last_id for _, _, last_id in self.asked]

    @property
    def pauses(self) -> list[float]:
        times = [at for at, _, _ in self.asked]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class Listener:
    """What was delivered and what trouble was told, until nothing more comes."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.told: list[CallFailed | None] = []

    async def deliver(self, page: Page) -> None:
        self.pages.append(page)

    async def follow(self, client: Client, channels: tuple[str, ...] = ("a:1",), since: str | None = None) -> None:
        with trio.move_on_after(1000):
            await EventSource(client, channels, since, self.told.append).follow(self.deliver)

    @property
    def data(self) -> list[Any]:
        return [item["data"] for page in self.pages for item in page.items]

    @property
    def losses(self) -> int:
        return sum(not page.recovered for page in self.pages)


async def test_it_comes_back_with_the_last_id_it_was_given(autojump_clock):
    client = Streams([connected("x-0"), event(1, "x-1"), away()], [connected("x-1"), event(2, "x-2")])
    listener = Listener()
    await listener.follow(client, ("a:1", "b:*"), "2h")
    assert listener.data == [1, 2]
    assert client.places == [None, "x-1", "x-2"]
    assert client.asked[0][1] == {"channel": ("a:1", "b:*"), "since": ("2h",)}
    assert client.asked[1][1] == {"channel": ("a:1", "b:*")}
    assert [page.items[0]["position"] for page in listener.pages] == ["x-1", "x-2"]


async def test_the_place_of_connected_holds_before_the_first_event(autojump_clock):
    client = Streams([connected("x-7"), away()])
    await Listener().follow(client)
    assert client.places == [None, "x-7"]


async def test_a_stream_cut_off_before_its_first_word_asks_for_the_same_again(autojump_clock):
    client = Streams([away()], [connected("x-0")])
    await Listener().follow(client, since="2h")
    assert client.asked[0][1:] == client.asked[1][1:] == ({"channel": ("a:1",), "since": ("2h",)}, None)


async def test_half_an_event_is_not_delivered_and_asked_for_again(autojump_clock):
    client = Streams([connected("x-0"), event(1, "x-1")[:-1], away()], [connected("x-0"), event(1, "x-1")])
    listener = Listener()
    await listener.follow(client)
    assert client.places[:2] == [None, "x-0"]
    assert listener.data == [1]


async def test_after_an_end_in_order_it_stays_away_as_long_as_the_server_wants(autojump_clock):
    client = Streams([connected("x-0"), closed("stopping", retry=4000)], [connected("x-0", retry=60_000)], away())
    listener = Listener()
    await listener.follow(client)
    assert [failure and str(failure) for failure in listener.told] == [
        None,
        "the server closed the stream: so it is (stopping)",
        None,
        "no server answers",
    ]
    assert client.pauses[0] == pytest.approx(4)
    assert client.pauses[1] == pytest.approx(60)
    assert client.pauses[2] < 1


async def test_after_a_broken_link_it_comes_back_at_once_and_without_a_word(autojump_clock):
    client = Streams([connected("x-0"), away()], [connected("x-0")])
    listener = Listener()
    await listener.follow(client)
    assert client.pauses[0] <= 0.25
    assert listener.told == [None, None]


@pytest.mark.parametrize("code", ["revoked", "expired", "forbidden", "closed_by_operator"])
async def test_an_end_for_good_is_raised(autojump_clock, code):
    client = Streams([connected("x-0"), closed(code)])
    with pytest.raises(CallFailed, match=rf"so it is \({code}\)"):
        await Listener().follow(client)
    assert len(client.asked) == 1


async def test_a_refusal_is_raised(autojump_clock):
    with pytest.raises(CallFailed, match="not yours"):
        await Listener().follow(Streams(CallFailed("not yours", 403)))


async def test_a_server_too_busy_to_begin_is_told_of_and_given_time(autojump_clock):
    client = Streams([b"retry: 20000\n\n"], [connected("x-0")])
    listener = Listener()
    await listener.follow(client)
    assert "ended the stream before it began" in str(listener.told[0])
    assert client.pauses[0] == pytest.approx(20)


async def test_what_is_gone_is_said(autojump_clock):
    listener = Listener()
    await listener.follow(Streams([connected("x-5", "false"), event(1, "x-6")]), since="x-2")
    assert [page.recovered for page in listener.pages] == [False, True]


async def test_without_history_a_second_connection_is_a_loss_and_a_first_is_none(autojump_clock):
    listener = Listener()
    await listener.follow(Streams([connected(), event(1, None), away()], [connected(), event(2, None)]))
    assert listener.data == [1, 2]
    assert listener.losses == 1


@pytest.mark.parametrize(
    "stream",
    [
        b"event: connected\ndata: {}\n\n",
        b"data: 5\n\n",
        b"data: {\n\n",
        b'data: {"channel":"a:1"}\n\n',
        b"event: closed\ndata: {}\n\n",
        b"data: " + b"x" * 20_000_000,
    ],
)
async def test_what_no_server_of_ours_sends_ends_it(autojump_clock, stream):
    with pytest.raises(CallFailed, match="not as rtlite does"):
        await Listener().follow(Streams([stream]))


async def test_other_kinds_of_events_are_let_be(autojump_clock):
    listener = Listener()
    await listener.follow(Streams([connected("x-0"), b"event: presence\ndata: ?\n\n", event(1, "x-1")]))
    assert listener.data == [1]
