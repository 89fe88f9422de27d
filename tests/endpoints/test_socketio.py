"""Namespaces of Socket.IO: the cases of the protocol's own suite on an echo, and what breaks a rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from rtlite.endpoints.socketio import ConnectRefused, Namespace, Socket, SocketIO
from rtlite.errors import InvalidRequest, Reason
from rtlite.settings import Settings
from tests.endpoints.engines import Polling, engine_door, say
from tests.transports.doors import Door, Peer, frame


def echo(name: str = "/") -> Namespace:
    """The server of the protocol's suite."""
    namespace = Namespace(name)

    @namespace.on_connect
    async def connect(socket: Socket) -> None:
        await socket.emit("auth", socket.auth)

    @namespace.on("message")
    async def message(socket: Socket, *args: Any) -> None:
        await socket.emit("message-back", *args)

    @namespace.on("message-with-ack")
    async def message_with_ack(socket: Socket, *args: Any) -> tuple[Any, ...]:
        return args

    return namespace


@asynccontextmanager
async def namespaces(*served: Namespace, **options: Any) -> AsyncIterator[Door]:
    server = SocketIO(served or (echo(), echo("/custom")), Settings(**options))
    async with engine_door(server.converse, **options) as door:
        yield door


async def engine(door: Door) -> Peer:
    peer = door.connect()
    assert (await peer.upgrade("/engine.io/?EIO=4&transport=websocket")).status == 101
    assert (await peer.text())[:1] == b"0"
    return peer


async def connected(door: Door) -> Peer:
    """A client in the root namespace."""
    peer = await engine(door)
    await say(peer, "40")
    assert (await peer.text()).startswith(b'40{"sid":"')
    assert await peer.text() == b'42["auth",{}]'
    return peer


# --- connect


async def test_a_client_connects_to_the_root_namespace(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await engine(door)
        await say(peer, '40{"token":"123"}')
        answer = await peer.text()
        assert answer[:2] == b"40" and orjson.loads(answer[2:]).keys() == {"sid"}
        assert await peer.text() == b'42["auth",{"token":"123"}]'


async def test_a_client_connects_to_a_namespace_of_another_name(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, '40/custom,{"a":1}')
        answer = await peer.text()
        assert answer.startswith(b'40/custom,{"sid":"')
        assert await peer.text() == b'42/custom,["auth",{"a":1}]'


async def test_a_client_of_version_3_may_put_a_query_behind_the_name(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await engine(door)
        await say(peer, "40/custom?a=b,")
        assert (await peer.text()).startswith(b'40/custom,{"sid":"')


async def test_a_handler_reads_the_query_of_the_url_at_any_time(autojump_clock: trio.testing.MockClock) -> None:
    """The head is kept as its bytes only, once a client is in a namespace."""
    asking = Namespace()

    @asking.on("query")
    async def query(socket: Socket) -> tuple[Any, ...]:
        return (dict(socket.query), socket.link.head.headers["host"])

    async with namespaces(asking) as door:
        peer = door.connect()
        await peer.upgrade("/engine.io/?EIO=4&transport=websocket&room=a%20b")
        await peer.text()
        await say(peer, "40", '421["query"]', '422["query"]')
        await peer.text()
        for number in (1, 2):
            answer = orjson.loads((await peer.text()).removeprefix(b"43%d" % number))
            assert answer == [{"EIO": "4", "transport": "websocket", "room": "a b"}, "localhost"]


async def test_an_unknown_namespace_is_a_connect_error(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await engine(door)
        await say(peer, "40/random")
        assert await peer.text() == b'44/random,{"message":"Invalid namespace"}'
        await say(peer, "40")  # the connection is good for another
        assert (await peer.text()).startswith(b"40")


async def test_a_namespace_may_refuse_a_client(autojump_clock: trio.testing.MockClock) -> None:
    members = Namespace("/members")

    @members.on_connect
    async def connect(socket: Socket) -> None:
        raise ConnectRefused("members only", {"join": "/join"})

    async with namespaces(members) as door:
        peer = await engine(door)
        await say(peer, "40/members,")
        assert await peer.text() == b'44/members,{"message":"members only","data":{"join":"/join"}}'


async def test_who_connects_to_no_namespace_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces(socketio_connect_timeout=10.0) as door:
        peer = await engine(door)
        started = trio.current_time()
        assert await peer.close_code() == 1000
        assert trio.current_time() - started == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    "message",
    [
        "4abc",
        "47",
        "4{}",
        '42["message"]',  # before it is connected
        '40["auth"]',
        "44{}",
    ],
)
async def test_what_is_no_connect_closes_the_connection(message: str, autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await engine(door)
        await say(peer, message)
        assert await peer.close_code() == 1008


async def test_to_connect_twice_closes_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, "40")
        assert await peer.close_code() == 1008


async def test_who_comes_and_goes_without_end_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces(Namespace(), command_rate=0) as door:
        peer = await engine(door)
        for _ in range(1000):
            await say(peer, "40", "41")
            assert (await peer.text())[:2] == b"40"
        await say(peer, "40")
        assert await peer.close_code() == 1008


# --- disconnect


async def test_a_client_leaves_one_namespace_and_stays_in_the_other(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, "40/custom")
        await peer.text(), await peer.text()
        await say(peer, "41/custom", '42["message","still here"]')
        assert await peer.text() == b'42["message-back","still here"]'
        await say(peer, '42/custom,["message","gone"]')
        assert await peer.close_code() == 1008


async def test_a_client_that_left_every_namespace_is_closed_after_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with namespaces(socketio_connect_timeout=10.0) as door:
        peer = await connected(door)
        await trio.sleep(20)
        started = trio.current_time()
        await say(peer, "41")
        assert await peer.close_code() == 1000
        assert trio.current_time() - started == pytest.approx(10, abs=0.1)


async def test_the_server_puts_a_client_out(autojump_clock: trio.testing.MockClock) -> None:
    namespace = echo()
    left: list[str] = []

    @namespace.on("out")
    async def out(socket: Socket) -> None:
        socket.on_disconnect(lambda: left.append(socket.id))
        await socket.disconnect()
        await socket.emit("late")

    async with namespaces(namespace) as door:
        peer = await connected(door)
        await say(peer, '42["out"]')
        assert await peer.text() == b"41"
        assert len(left) == 1
        await say(peer, "40")
        assert (await peer.text()).startswith(b"40")


# --- events


async def test_an_event_is_echoed(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, '42["message",1,"2",{"3":[true]}]')
        assert await peer.text() == b'42["message-back",1,"2",{"3":[true]}]'


async def test_binary_data_goes_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        await say(peer, f'452-["message",{placeholders}]')
        await peer.send(frame(b"\1\2\3", 2), frame(b"\4\5\6", 2))
        assert await peer.text() == f'452-["message-back",{placeholders}]'.encode()
        assert await peer.frame() == (2, b"\1\2\3")
        assert await peer.frame() == (2, b"\4\5\6")


async def test_binary_data_goes_both_ways_by_polls(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        client = Polling(door)
        await client.open()
        await client.post(b'40\x1e451-["message",{"_placeholder":true,"num":0}]\x1ebAQIDBA==')
        heard: list[Any] = []
        while len(heard) < 4:
            heard += await client.poll()
        assert heard[1:] == ['42["auth",{}]', '451-["message-back",{"_placeholder":true,"num":0}]', b"\1\2\3\4"]


async def test_events_are_acknowledged(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, '42456["message-with-ack",1,"2",{"3":[false]}]')
        assert await peer.text() == b'43456[1,"2",{"3":[false]}]'
        await say(peer, '451-789["message-with-ack",{"_placeholder":true,"num":0}]')
        await peer.send(frame(b"\1\2", 2))
        assert await peer.text() == b'461-789[{"_placeholder":true,"num":0}]'
        assert await peer.frame() == (2, b"\1\2")
        await say(peer, '427["message","x"]')  # a handler that returns nothing acknowledges with nothing
        assert await peer.text() == b'42["message-back","x"]'
        assert await peer.text() == b"437[]"


async def test_the_server_asks_and_the_client_acknowledges(autojump_clock: trio.testing.MockClock) -> None:
    namespace = echo()
    answers: list[Any] = []

    @namespace.on("ask me")
    async def ask(socket: Socket) -> None:
        answers.append(await socket.call("how many?", {"of": "these"}))
        with pytest.raises(trio.TooSlowError):
            await socket.call("are you there?", timeout=5)
        answers.append("silence")

    async with namespaces(namespace) as door:
        peer = await connected(door)
        await say(peer, '42["ask me"]')
        assert await peer.text() == b'420["how many?",{"of":"these"}]'
        await say(peer, "4399[1]", '430[42,"all"]')
        assert await peer.text() == b'421["are you there?"]'
        await trio.sleep(6)
        await say(peer, '431["too late"]', '42["message","on"]')
        assert await peer.text() == b'42["message-back","on"]'
        assert answers == [[42, "all"], "silence"]


async def test_events_are_handled_in_order_one_after_the_other(autojump_clock: trio.testing.MockClock) -> None:
    namespace = Namespace()

    @namespace.on("slow")
    async def slow(socket: Socket, seconds: float, name: str) -> None:
        await trio.sleep(seconds)
        await socket.emit("done", name)

    async with namespaces(namespace) as door:
        peer = await engine(door)
        await say(peer, "40", '42["slow",1,"a"]', '42["slow",0,"b"]')
        await peer.text()
        assert [await peer.text(), await peer.text()] == [b'42["done","a"]', b'42["done","b"]']


async def test_what_a_handler_refuses_is_an_error_event(autojump_clock: trio.testing.MockClock) -> None:
    namespace = echo()

    @namespace.on("never")
    async def never(socket: Socket) -> None:
        raise InvalidRequest("not this one")

    async with namespaces(namespace) as door:
        peer = await connected(door)
        await say(peer, '421["never"]')
        assert await peer.text() == b'42["error",{"code":"invalid_request","message":"not this one"}]'


async def test_a_handler_that_fails_ends_the_connection_and_is_in_the_log(
    autojump_clock: trio.testing.MockClock, logs: list[Any]
) -> None:
    namespace = echo()

    @namespace.on("fail")
    async def fail(socket: Socket) -> None:
        raise RuntimeError("on purpose")

    async with namespaces(namespace) as door:
        peer = await connected(door)
        await say(peer, '42["fail"]')
        assert await peer.text() == b'42["error",{"code":"internal_error","message":"internal error"}]'
        assert await peer.close_code() == 1011
        assert any(line.get("exc_info") for line in logs)


async def test_an_event_that_nobody_handles_is_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, '4212["unknown"]', '42["message",1]')
        assert await peer.text() == b'42["message-back",1]'


@pytest.mark.parametrize(
    "message",
    [
        "42{}",
        '42abc["message-with-ack"]',
        '42["connect"]',
        '42["disconnect"]',
        "42[]",
        "42[1]",
        '450-["message"]',
        '4511-["message"]',
        '4599999-["message"]',
        "431",
    ],
)
async def test_what_breaks_the_format_disconnects_and_fails_nothing(
    message: str, autojump_clock: trio.testing.MockClock, logs: list[Any]
) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, message)
        assert await peer.text() == b'42["error",{"code":"abuse","message":"protocol abuse"}]'
        assert await peer.text() == b"41"
        assert await peer.close_code() == 1008
        assert not [line for line in logs if line.get("exc_info")]


@pytest.mark.parametrize("message", ['451-["message","none"]', '451-["message",{"_placeholder":true,"num":0}]'])
async def test_a_packet_whose_attachments_do_not_come_is_dropped_after_10_seconds(
    message: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        started = trio.current_time()
        await say(peer, message)
        assert await peer.close_code() == 1008
        assert trio.current_time() - started == pytest.approx(10, abs=0.1)


async def test_a_message_in_place_of_an_attachment_closes_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await say(peer, '451-["message","x"]', '42["message","y"]')
        assert await peer.close_code() == 1008


async def test_an_attachment_of_no_packet_closes_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        await peer.send(frame(b"\1", 2))
        assert await peer.close_code() == 1008


async def test_who_sends_fast_is_read_at_the_rate_of_commands(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces(command_rate=10, command_burst=10) as door:
        peer = await connected(door)
        started = trio.current_time()
        await say(peer, *(f'42["message",{number}]' for number in range(40)))
        for number in range(40):
            assert await peer.text() == f'42["message-back",{number}]'.encode()
        assert trio.current_time() - started == pytest.approx(3.1, abs=0.3)


# --- goodbyes


@pytest.mark.parametrize(
    ("reason", "said", "code"),
    [
        (Reason.REVOKED, [b'42["error",{"code":"revoked","message":"credential revoked"}]', b"41"], 4401),
        (Reason.EXPIRED, [b'42["error",{"code":"expired","message":"credential expired"}]', b"41"], 4401),
        (Reason.TOO_SLOW, [b'42["error",{"code":"too_slow","message":"reader too slow"}]'], 4408),
        (Reason.STOPPING, [], 1001),
    ],
)
async def test_each_namespace_hears_why_it_ends_and_whether_to_come_back(
    reason: Reason, said: list[bytes], code: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with namespaces() as door:
        peer = await connected(door)
        (connection,) = door.connections
        connection.end(reason)
        assert [await peer.text() for _ in said] == said
        assert await peer.close_code() == code


async def test_a_poll_hears_why_it_ends(autojump_clock: trio.testing.MockClock) -> None:
    async with namespaces() as door:
        client = Polling(door)
        await client.open()
        await client.post(b"40")
        await client.poll()
        (connection,) = door.connections
        connection.end(Reason.REVOKED)
        heard: list[Any] = []
        while "1" not in heard:
            heard += await client.poll()
        assert heard[-3:] == ['42["error",{"code":"revoked","message":"credential revoked"}]', "41", "1"]
