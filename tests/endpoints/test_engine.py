"""Engine.IO sessions: the cases of the protocol's own suite, and what breaks a rule. Time is Trio's autojump clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from rtlite.endpoints.enginesockets import EngineSocket
from rtlite.errors import Reason
from rtlite.protocols import engineio
from rtlite.transports.websocket import text_frame
from tests.endpoints.engines import Polling, engine_door, say
from tests.transports.doors import CLOSE, Answer, Door, Peer, frame, handshake, head


def refusal(answer: Answer) -> tuple[int, int]:
    return answer.status, answer.json["code"]


async def together(*functions: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run these, each begun once those before it wait; returns what they return."""
    results: list[Any] = [None] * len(functions)

    async def run(number: int) -> None:
        results[number] = await functions[number]()

    async with trio.open_nursery() as nursery:
        for number in range(len(functions)):
            nursery.start_soon(run, number)
            await trio.testing.wait_all_tasks_blocked()
    return results


async def websocket(door: Door) -> Peer:
    peer = door.connect()
    assert (await peer.upgrade("/engine.io/?EIO=4&transport=websocket")).status == 101
    assert (await peer.text())[:1] == b"0"
    return peer


# --- handshake


async def test_a_poll_opens_a_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        shaken = await client.open()
        assert len(client.sid) == 20
        del shaken["sid"]
        assert shaken == {
            "upgrades": ["websocket"],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 1_000_000,
        }


async def test_a_websocket_opens_a_session_that_has_no_upgrades(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        peer = door.connect()
        await peer.upgrade("/engine.io/?EIO=4&transport=websocket")
        assert b'"upgrades":[]' in await peer.text()


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("GET", "transport=polling", 5),
        ("GET", "EIO=abc&transport=polling", 5),
        ("GET", "EIO=3&transport=polling", 5),
        ("GET", "EIO=4", 0),
        ("GET", "EIO=4&transport=abc", 0),
        ("GET", "EIO=4&transport=websocket", 3),
        ("POST", "EIO=4&transport=polling", 2),
        ("PUT", "EIO=4&transport=polling", 2),
        ("GET", "EIO=4&transport=polling&sid=unknown", 1),
        ("POST", "EIO=4&transport=polling&sid=unknown", 1),
    ],
)
async def test_a_request_that_is_of_no_session_is_400_and_says_why_by_number(
    method: str, query: str, code: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with engine_door() as door:
        peer = door.connect()
        await peer.send(head(f"{method} /engine.io/?{query}", Content_Length="0"))
        assert refusal(await peer.answer()) == (400, code)
        await peer.send(head("GET /engine.io/?EIO=4&transport=polling"))  # the connection is good for another
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("transport=websocket", 5),
        ("EIO=3&transport=websocket", 5),
        ("EIO=4", 0),
        ("EIO=4&transport=polling", 3),
        ("EIO=4&transport=websocket&sid=unknown", 1),
    ],
)
async def test_a_handshake_that_is_of_no_session_opens_no_websocket(
    query: str, code: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with engine_door() as door:
        peer = door.connect()
        await peer.send(handshake(f"/engine.io/?{query}"))
        assert refusal(await peer.answer()) == (400, code)


async def test_a_full_server_opens_no_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door(max_connections=1) as door:
        await Polling(door).open()
        answer = await Polling(door).get()
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


async def test_of_sessions_that_nobody_vouches_for_the_oldest_go(autojump_clock: trio.testing.MockClock) -> None:
    async def vouch(engine: EngineSocket) -> None:
        engine.settled = await engine.receive() == "me"
        await trio.sleep_forever()

    async with engine_door(vouch, socketio_max_strangers=3) as door:
        known, *strangers = [Polling(door) for _ in range(6)]
        await known.open()
        await known.post(b"4me")
        for stranger in strangers:
            await stranger.open()
            await trio.testing.wait_all_tasks_blocked()
        assert len(door.connections) == 4
        assert [(await client.post(b"4me")).status for client in (known, *strangers)] == [200, 400, 400, 200, 200, 200]


# --- messages


async def test_messages_go_both_ways_by_polls(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        answer = await client.post(b"4hello")
        assert (answer.status, answer.body) == (200, b"ok")
        assert await client.poll() == ["4hello"]
        await client.post("4test1\x1e4test2€\x1ebAQIDBA==".encode())
        assert await client.poll() == ["4test1", "4test2€", b"\1\2\3\4"]


async def test_a_poll_waits_until_there_is_something_to_say(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        got, _ = await together(client.poll, lambda: client.post(b"4late"))
        assert got == ["4late"]


async def test_messages_go_both_ways_by_websocket(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        peer = await websocket(door)
        await say(peer, "4hello")
        assert await peer.text() == b"4hello"
        await peer.send(frame(b"\1\2\3\4", 2))
        assert await peer.frame() == (2, b"\1\2\3\4")


@pytest.mark.parametrize("body", [b"abc", b"", b"4ok\x1eabc", b"b!", b"4\xff", b"\x1e".join([b"4"] * 17)])
async def test_a_payload_that_cannot_be_read_is_400_and_the_session_is_over(
    body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        assert refusal(await client.post(body)) == (400, 3)
        assert refusal(await client.get()) == (400, 1)


async def test_a_post_over_the_largest_payload_is_413_and_is_not_read(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = door.connect()
        await peer.send(head(f"POST {client.target()}", Content_Length="1000001"))
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await client.post(b"4still here")
        assert await client.poll() == ["4still here"]


async def test_a_post_without_a_stated_length_is_400(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = door.connect()
        await peer.send(head(f"POST {client.target()}", Transfer_Encoding="chunked"))
        assert refusal(await peer.answer()) == (400, 3)


@pytest.mark.parametrize("message", ["abc", "", "0", "5", "2probe"])
async def test_a_packet_that_may_not_come_closes_the_websocket(
    message: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with engine_door() as door:
        peer = await websocket(door)
        await say(peer, message)
        assert await peer.close_code() == 1008


async def test_a_message_over_the_largest_payload_closes_the_websocket(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        peer = await websocket(door)
        await peer.send(frame("4" + "x" * 1_000_000))
        assert await peer.close_code() == 1009


async def test_a_session_of_polls_takes_no_more_than_its_outbox_holds(autojump_clock: trio.testing.MockClock) -> None:
    refused: list[bool] = []

    async def talk(engine: EngineSocket) -> None:
        while engine.link.outbox.offer(text_frame(b"4" + b"x" * 1000)):
            pass
        refused.append(True)
        await engine.link.outbox.send(text_frame(b"4last"))
        await trio.sleep_forever()

    async with engine_door(talk, outbox=10_000) as door:
        client = Polling(door)
        await client.open()
        await trio.testing.wait_all_tasks_blocked()
        assert refused
        packets = await client.poll()
        assert 8 <= len(packets) <= 10
        assert (await client.poll())[-1] == "4last"


# --- heartbeat


async def test_the_server_pings_and_who_answers_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        peer, client = await websocket(door), Polling(door)
        await client.open()
        for _ in range(3):
            assert await peer.text() == b"2"
            await say(peer, "3")
            assert await client.poll() == ["2"]
            await client.post(b"3")
        assert len(door.connections) == 2
        assert trio.current_time() == pytest.approx(75, abs=1)


async def test_who_answers_no_ping_is_gone_within_interval_and_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with engine_door() as door:
        peer, client = await websocket(door), Polling(door)
        await client.open()
        started = trio.current_time()
        assert await peer.close_code() == 1001
        assert trio.current_time() - started == pytest.approx(45, abs=1)
        await trio.sleep(6)  # a client that does not answer the close frame has five seconds
        assert refusal(await client.get()) == (400, 1)
        assert len(door.connections) == 0


async def test_a_client_that_stops_polling_is_cleaned_up(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        await Polling(door).open()
        assert len(door.connections) == 1
        await trio.sleep(46)
        assert len(door.connections) == 0


# --- close


async def test_a_client_that_closes_has_its_poll_answered(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        packets, _ = await together(client.poll, lambda: client.post(b"1"))
        assert packets == ["6"]
        assert refusal(await client.get()) == (400, 1)


async def test_a_websocket_that_closes_by_packet_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        peer = await websocket(door)
        await say(peer, "1")
        assert await peer.close_code() == 1000


async def test_a_second_poll_at_once_is_400_and_closes_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        first, second = await together(client.get, client.get)
        assert (first.status, first.body) == (200, b"1")
        assert refusal(second) == (400, 3)
        assert refusal(await client.get()) == (400, 1)


async def test_a_second_post_at_once_is_400_and_closes_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        slow = door.connect()
        await slow.send(head(f"POST {client.target()}", Content_Length="6") + b"4a")
        await trio.testing.wait_all_tasks_blocked()
        assert refusal(await client.post(b"4b")) == (400, 3)
        assert await client.poll() == ["1"]
        await slow.send(b"bcde")
        assert refusal(await slow.answer()) == (400, 1)


async def test_a_poll_that_the_client_leaves_ends_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = door.connect()
        await peer.send(head(f"GET {client.target()}"))
        await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(peer.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert refusal(await client.get()) == (400, 1)


async def test_what_ends_a_session_is_said_to_the_poll_that_waits_or_to_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with engine_door() as door:
        waits, comes = Polling(door), Polling(door)
        await waits.open()
        await comes.open()

        async def end() -> None:
            for connection in door.connections:
                connection.end(Reason.STOPPING)

        packets, _ = await together(waits.poll, end)
        assert packets == ["1"]
        assert await comes.poll() == ["1"]
        assert len(door.connections) == 0


# --- upgrade


async def test_a_session_of_polls_goes_on_over_a_websocket(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.upgraded()
        await say(peer, "4hello")
        assert await peer.text() == b"4hello"
        await peer.send(frame(b"\1\2", 2))
        assert await peer.frame() == (2, b"\1\2")
        assert len(door.connections) == 1  # the session, not its WebSocket


async def test_nothing_is_lost_or_doubled_on_the_way(autojump_clock: trio.testing.MockClock) -> None:
    async def count(engine: EngineSocket) -> None:
        for number in range(1000):
            await engine.link.outbox.send(text_frame(f"4{number}".encode()))
            await trio.sleep(0.001)
        await engine.receive()

    async with engine_door(count) as door:
        client = Polling(door)
        await client.open()
        heard: list[Any] = []
        while len(heard) < 300:
            heard += await client.poll()
        peer = await client.websocket()
        await say(peer, "2probe")
        assert await peer.text() == b"3probe"
        heard += await client.poll()
        await trio.sleep(0.05)  # more comes meanwhile, and waits
        await say(peer, "5")
        while heard[-1] != "4999":
            heard.append((await peer.text()).decode())
        assert [packet for packet in heard if packet != "6"] == [f"4{number}" for number in range(1000)]


async def test_the_poll_that_waits_is_released_by_the_probe(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.websocket()

        async def probe() -> None:
            await say(peer, "2probe")
            assert await peer.text() == b"3probe"

        packets, _ = await together(client.poll, probe)
        assert packets == ["6"]


async def test_a_poll_that_comes_while_a_websocket_takes_over_is_answered_soon_or_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.websocket()
        await say(peer, "2probe")
        assert await peer.text() == b"3probe"
        started = trio.current_time()
        assert await client.poll() == ["6"]
        assert trio.current_time() - started <= 0.11
        answer, _ = await together(client.get, lambda: say(peer, "5"))
        assert refusal(answer) == (400, 3)


async def test_after_the_upgrade_polls_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.upgraded()
        assert refusal(await client.get()) == (400, 3)
        again = await client.websocket()
        assert await again.close_code() == 1008
        await say(peer, "4on")
        assert await peer.text() == b"4on"


async def test_an_upgrade_of_another_revision_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        for revision in ("EIO=3&", "", "EIO=4&EIO=3&"):
            peer = door.connect()
            await peer.send(handshake(f"/engine.io/?{revision}transport=websocket&sid={client.sid}"))
            assert refusal(await peer.answer()) == (400, 5)


async def test_a_probe_that_fails_leaves_the_polls_as_they_were(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        wrong, silent, left = [await client.websocket() for _ in range(3)]
        await say(wrong, "4hello")
        assert await wrong.close_code() == 1008
        await say(left, "2probe")
        assert await left.text() == b"3probe"
        await trio.aclose_forcefully(left.stream)
        started = trio.current_time()
        assert await silent.close_code() == 1000
        assert trio.current_time() - started <= 10.1
        await client.post(b"4still here")
        heard = await client.poll()
        assert heard == ["4still here"] or await client.poll() == ["4still here"]


async def test_the_end_of_the_websocket_is_the_end_of_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.upgraded()
        await trio.aclose_forcefully(peer.stream)
        await trio.sleep(1)
        assert len(door.connections) == 0


async def test_the_end_of_the_session_is_the_end_of_the_websocket(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.upgraded()
        (connection,) = door.connections
        connection.end(Reason.STOPPING)
        assert await peer.close_code() == 1001


async def test_an_upgraded_session_that_answers_no_ping_is_gone(autojump_clock: trio.testing.MockClock) -> None:
    async with engine_door() as door:
        client = Polling(door)
        await client.open()
        peer = await client.upgraded()
        assert await peer.text() == b"2"
        opcode, _ = await peer.frame()
        assert opcode == CLOSE
        await trio.sleep(6)
        assert len(door.connections) == 0


# --- our own mistakes


async def test_an_application_that_fails_ends_its_session_and_no_other(
    autojump_clock: trio.testing.MockClock, logs: list[Any]
) -> None:
    async def fail(engine: EngineSocket) -> None:
        if await engine.receive() == "fail":
            raise RuntimeError("on purpose")
        await trio.sleep_forever()

    async with engine_door(fail) as door:
        one, other = Polling(door), Polling(door)
        await one.open()
        await other.open()
        await other.post(b"4x")
        await one.post(b"4fail")
        assert await one.poll() == ["1"]
        assert refusal(await one.get()) == (400, 1)
        assert (await other.post(b"4y")).status == 200
        assert any(line.get("exc_info") for line in logs)
        assert engineio.PING in await other.poll()
