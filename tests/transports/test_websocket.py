"""WebSockets over memory streams: what the peer sees, and when. RFC 6455 sections are named where one is obeyed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rtlite.errors import Overloaded, Reason, StorageFailed
from rtlite.model import Identity, Kind
from rtlite.transports.websocket import MAX_FRAGMENTS, WebSocket, text_frame
from tests.transports.doors import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Door,
    Peer,
    close_frame,
    frame,
    handshake,
    open_door,
    websocket_route,
)


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Door, Peer]]:
    """A door, and a WebSocket to ``/ws`` that is open."""
    async with open_door(**options) as door:
        peer = door.connect()
        assert (await peer.upgrade("/ws")).status == 101
        yield door, peer


async def sleep_forever(websocket: WebSocket) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
async def test_a_text_frame_has_the_length_that_a_client_reads(size: int) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(text_frame(b"x" * size))
    assert await Peer(theirs).frame() == (TEXT, b"x" * size)


async def test_a_message_is_received_and_answered(autojump_clock) -> None:
    async with connected() as (_, peer):
        await peer.send(frame("hello"), frame(b"\0\1", BINARY), frame(b"", BINARY))
        assert [await peer.text() for _ in range(3)] == [b"5", b"2", b"0"]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_an_empty_message_is_a_message(opcode: int, autojump_clock) -> None:
    async with connected() as (_, peer):
        await peer.send(frame(b"", opcode), frame(b"x", opcode))
        assert [await peer.text() for _ in range(2)] == [b"0", b"1"]


async def test_a_message_in_pieces_is_one_message(autojump_clock) -> None:
    async with connected() as (_, peer):
        await peer.send(frame("he", fin=False), frame("p", PING), frame("llo", 0, fin=False), frame("", 0))
        assert await peer.frame() == (PONG, b"p")
        assert await peer.text() == b"5"


async def test_a_frame_in_the_handshakes_own_segment_works(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        await peer.send(handshake("/ws"), frame("early"), frame("and", PING), frame("again"))
        assert (await peer.answer()).status == 101
        assert sorted([await peer.frame() for _ in range(3)]) == [(TEXT, b"5"), (TEXT, b"5"), (PONG, b"and")]


async def test_a_handshake_byte_by_byte_with_a_frame_behind_works(autojump_clock) -> None:
    async with open_door() as door:
        peer = door.connect()
        for byte in handshake("/ws") + frame("slowly"):
            await peer.send(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await peer.answer()).status == 101
        assert await peer.text() == b"6"


async def test_neither_compression_nor_a_subprotocol_is_negotiated(autojump_clock) -> None:
    async with open_door() as door:
        answer = await door.connect().upgrade(
            "/ws", Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="chat, " + " " * 8000
        )
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers and "sec-websocket-protocol" not in answer.headers


# --- heartbeat


async def test_a_ping_comes_every_30_seconds_and_a_peer_that_pongs_stays(autojump_clock) -> None:
    async with connected() as (door, peer):
        start = trio.current_time()
        for number in range(1, 11):
            opcode, payload = await peer.frame()
            assert opcode == PING
            assert trio.current_time() - start == pytest.approx(30 * number, abs=0.1)
            await peer.send(frame(payload, PONG))
        await peer.send(frame("still here"))
        assert await peer.text() == b"10"
        assert len(door.connections) == 1


async def test_a_peer_that_sends_no_pong_for_30_seconds_is_closed_with_1001(autojump_clock) -> None:
    async with connected() as (door, peer):
        start = trio.current_time()
        assert await peer.close_code() == 1001
        assert trio.current_time() - start == pytest.approx(60, abs=0.1)
        assert await peer.ended() == b""
        assert trio.current_time() - start == pytest.approx(65, abs=0.1)  # it does not answer the close either
        assert len(door.connections) == 0


async def test_messages_do_not_stand_in_for_a_pong(autojump_clock) -> None:
    async with connected() as (_, peer):
        for _ in range(2):
            await trio.sleep(29)
            await peer.send(frame("x"))
        assert await peer.close_code() == 1001


async def test_a_slow_reader_with_a_backlog_is_not_taken_for_dead(autojump_clock) -> None:
    """The ping stands behind the backlog, so its pong's time has not begun."""
    block = text_frame(b"x" * 16 * 1024)

    async def flood(websocket: WebSocket) -> None:
        for _ in range(60):
            websocket.outbox.offer(block)
        await trio.sleep_forever()

    async with open_door(websockets=[websocket_route("/flood", flood)]) as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        peer = Peer(ours)
        await peer.upgrade("/flood")
        start = trio.current_time()
        for _ in range(60):
            await trio.sleep(5)  # 300 s for it all
            assert await peer.exactly(len(block)) == block
        opcode, payload = await peer.frame()
        assert opcode == PING and trio.current_time() - start > 290
        await peer.send(frame(payload, PONG))
        await trio.sleep(29)
        assert len(door.connections) == 1


# --- how it ends


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_closes_with_its_code_and_text(reason: Reason, autojump_clock) -> None:
    async with connected() as (door, peer):
        next(iter(door.connections)).end(reason)
        opcode, payload = await peer.frame()
        assert opcode == CLOSE
        assert int.from_bytes(payload[:2], "big") == reason.value.blog
        assert payload[2:].decode() == reason.value.text
        await peer.send(close_frame())
        assert await peer.ended() == b""
        assert door.metrics.closed.labels(reason.name.lower())._value.get() == 1


async def test_the_first_reason_stands(autojump_clock) -> None:
    async with connected() as (door, peer):
        connection = next(iter(door.connections))
        connection.end(Reason.REVOKED)
        connection.end(Reason.STOPPING)
        assert await peer.close_code() == 1008


async def test_a_peer_that_closes_gets_its_own_code_back(autojump_clock) -> None:
    async with connected() as (door, peer):
        await peer.send(close_frame(4321))
        assert await peer.frame() == (CLOSE, (4321).to_bytes(2, "big"))
        assert await peer.ended() == b""
        assert len(door.connections) == 0


async def test_a_peer_that_never_answers_the_close_is_dropped_after_5_seconds(autojump_clock) -> None:
    async with connected() as (door, peer):
        start = trio.current_time()
        next(iter(door.connections)).end(Reason.STOPPING)
        await peer.ended()
        assert trio.current_time() - start == pytest.approx(5, abs=0.1)


async def test_a_peer_that_pings_in_place_of_answering_the_close_is_no_fault(autojump_clock, logs) -> None:
    async with connected() as (door, peer):
        next(iter(door.connections)).end(Reason.UNAUTHORIZED)
        assert await peer.close_code() == 4401
        await peer.send(frame("?", PING), frame("late"), close_frame())
        assert await peer.ended() == b""
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


async def test_what_stands_behind_a_close_frame_is_ignored(autojump_clock, logs) -> None:
    """RFC 6455, section 5.5.1; one client library pings right behind its close."""
    async with connected() as (door, peer):
        await peer.send(close_frame(1000) + frame("?", PING) + frame("late"))
        assert await peer.close_code() == 1000
        assert await peer.ended() == b""
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


async def test_a_credential_that_expires_ends_the_connection_at_that_moment(autojump_clock) -> None:
    async def expiring(websocket: WebSocket) -> None:
        websocket.admit(Identity(Kind.JWT, "u", "jwt:u"), 12.5)
        await listen_quietly(websocket)

    async with open_door(websockets=[websocket_route("/expiring", expiring)]) as door:
        peer = door.connect()
        await peer.upgrade("/expiring")
        start = trio.current_time()
        assert await peer.close_code() == 1008
        assert trio.current_time() - start == pytest.approx(12.5, abs=0.01)


async def listen_quietly(websocket: WebSocket) -> None:
    while True:
        await websocket.receive()


async def test_over_capacity_the_handshake_is_answered_and_then_closed_with_1013(autojump_clock) -> None:
    async with connected(max_connections=1) as (door, first):
        second = door.connect()
        assert (await second.upgrade("/ws")).status == 101
        assert await second.close_code() == 1013
        await first.send(frame("abc"))
        assert await first.text() == b"3"


async def test_a_reader_too_slow_learns_it_once_it_reads_again(autojump_clock) -> None:
    async def drop(websocket: WebSocket) -> None:
        while websocket.send(b"y" * 5000):
            pass
        websocket.end(Reason.TOO_SLOW)
        await trio.sleep_forever()

    async with open_door(websockets=[websocket_route("/drop", drop)]) as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        peer = Peer(ours)
        await peer.upgrade("/drop")
        await trio.sleep(20)
        frames = 0
        while (read := await peer.frame())[0] == TEXT:
            assert read[1] == b"y" * 5000
            frames += 1
        assert read[0] == CLOSE and read[1][:2] == (4408).to_bytes(2, "big")
        assert frames < 10  # the backlog is dropped


# --- hostile peers


async def test_a_message_over_the_limit_is_closed_with_1009_before_it_is_whole(autojump_clock) -> None:
    async with connected(max_message=1000) as (door, peer):
        await peer.send(frame("x" * 1000))
        assert await peer.text() == b"1000"
        await peer.send(frame("x" * 5_000_000)[:8000])
        assert await peer.close_code() == 1009
        assert door.faults() == 0
        await peer.ended()
        assert door.metrics.closed.labels("too_big")._value.get() == 1


@pytest.mark.parametrize("length", [2**63 - 1, 2**62, 2**40])
async def test_a_giant_length_allocates_nothing_and_waits_for_its_bytes(length: int, autojump_clock) -> None:
    async with connected() as (_, peer):
        await peer.send(b"\x82\xff" + length.to_bytes(8, "big") + bytes(4) + b"x" * 1000)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(b"x" * (1024 * 1024))
        assert await peer.close_code() == 1009


@pytest.mark.parametrize("payload", [b"", b"ab"])
async def test_more_than_1024_fragments_of_one_message_are_closed(payload: bytes, autojump_clock) -> None:
    async with connected() as (door, peer):
        await peer.send(frame(b"", BINARY, fin=False), *[frame(payload, 0, fin=False)] * (MAX_FRAGMENTS + 1))
        assert await peer.close_code() == 1008
        await peer.ended()
        assert len(door.connections) == 0 and door.faults() == 0


async def test_1024_fragments_are_a_message(autojump_clock) -> None:
    async with connected() as (_, peer):
        inner = [frame(b"b", 0, fin=False)] * (MAX_FRAGMENTS - 2)
        await peer.send(frame(b"a", BINARY, fin=False), *inner, frame(b"c", 0))
        assert await peer.text() == b"1024"


async def test_one_large_frame_may_arrive_in_any_number_of_segments(autojump_clock) -> None:
    """A frame on a path with small segments is not many fragments."""
    async with connected() as (_, peer):
        whole = frame("x" * 300_000)
        for start in range(0, len(whole), 100):
            await peer.send(whole[start : start + 100])
            await trio.testing.wait_all_tasks_blocked()
        assert await peer.text() == b"300000"


async def test_one_frame_in_single_bytes_is_closed_before_it_fills_the_memory(autojump_clock) -> None:
    async with connected() as (_, peer):
        with pytest.raises(trio.BrokenResourceError):
            for byte in frame("x" * 3000):
                await peer.send(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()
        assert await peer.close_code() == 1008


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame("unmasked", masked=False), 1002),
        (frame("x", 3), 1002),
        (b"\xf1\x80" + bytes(4), 1002),  # reserved bits
        (frame("x" * 126, PING), 1002),
        (frame("x", PING, fin=False), 1002),
        (frame("x", 0), 1002),  # a continuation of nothing
        (frame(b"\xff\xfe"), 1007),
        (frame(b"\xed\xa0\x80"), 1007),  # a lone surrogate
        (frame(b"\x03", CLOSE), 1002),
        (close_frame(1006), 1002),
        (frame(b"\x03\xe8\xff", CLOSE), 1007),
    ],
)
async def test_a_broken_frame_is_answered_with_its_close_code(data: bytes, code: int, autojump_clock, logs) -> None:
    """RFC 6455, section 7.1.7: fail the connection, and say why."""
    async with connected() as (door, peer):
        await peer.send(data + frame("ignored"))
        assert await peer.close_code() == code
        assert await peer.ended() == b""
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


async def test_who_goes_on_sending_after_a_broken_frame_reads_why_it_is_closed(logs: list[Any]) -> None:
    """Two tasks of the connection want to close the stream then, and one of them reads on for a moment."""
    async with open_door() as door:
        peer = door.connect_socket()
        assert (await peer.upgrade("/ws")).status == 101
        await peer.send(frame("x", 3) + bytes(60_000))
        assert await peer.close_code() == 1002
        await peer.send(bytes(60_000))
        await peer.ended()
        await trio.aclose_forcefully(peer.stream)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not door.connections and not door.nursery.child_tasks
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


async def test_a_flood_of_pings_is_answered_and_disturbs_nobody(autojump_clock) -> None:
    async with connected() as (door, peer):
        other = door.connect()
        await other.upgrade("/ws")

        async def flood() -> None:
            for _ in range(20):
                await peer.send(frame("p", PING) * 500)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await other.send(frame("calm"))
            assert await other.text() == b"4"
            for _ in range(10_000):
                assert await peer.frame() == (PONG, b"p")


async def test_a_peer_that_pings_and_never_reads_is_held_back(autojump_clock) -> None:
    async with open_door() as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        peer = Peer(ours)
        await peer.upgrade("/ws")
        listed = next(iter(door.connections))
        with trio.move_on_after(1000):
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    await peer.send(frame("p" * 125, PING) * 100)
                    assert listed.outbox.queued <= 1024 * 1024
        await peer.ended()
        assert len(door.connections) == 0


async def test_a_peer_that_vanishes_leaves_nothing(autojump_clock, logs) -> None:
    async with connected() as (door, peer):
        await peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(door.connections) == 0
        assert door.metrics.connections.labels("test")._value.get() == 0
        assert door.faults() == 0 and not any("exc_info" in line for line in logs)


# --- the endpoint's own ends


@pytest.mark.parametrize(
    ("error", "code"),
    [(Overloaded("full"), 1013), (StorageFailed("disk"), 1011), (RuntimeError("bug"), 1011), (OSError("bug"), 1011)],
)
async def test_what_an_endpoint_raises_becomes_a_close_code(error: Exception, code: int, autojump_clock) -> None:
    async def failing(websocket: WebSocket) -> None:
        await websocket.receive()
        raise error

    async with open_door(websockets=[websocket_route("/failing", failing)]) as door:
        peer = door.connect()
        await peer.upgrade("/failing")
        await peer.send(frame("go"))
        assert await peer.close_code() == code


async def test_an_endpoint_that_writes_to_a_peer_who_left_logs_no_fault(autojump_clock, logs) -> None:
    async def writing(websocket: WebSocket) -> None:
        while True:
            await websocket.outbox.send(text_frame(b"z" * 10_000))

    async with open_door(websockets=[websocket_route("/writing", writing)]) as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        peer = Peer(ours)
        await peer.upgrade("/writing")
        await peer.exactly(50_000)
        await peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(door.connections) == 0
        assert not any("exc_info" in line for line in logs)


@pytest.mark.parametrize("how", ["returns", "raises", "vanishes", "stopped", "flood", "task"])
async def test_what_was_to_be_called_at_the_end_is_called_whatever_the_end(how: str, autojump_clock) -> None:
    ended: list[str] = []

    def bad() -> None:
        ended.append("bad")
        raise RuntimeError("a bug in a callback")

    async def fail() -> None:
        raise RuntimeError("a bug in a task")

    async def endpoint(websocket: WebSocket) -> None:
        websocket.on_end(bad)
        websocket.on_end(lambda: ended.append("good"))
        if how == "task":
            websocket.spawn(fail)
        if how in {"stopped", "task"}:
            await trio.sleep_forever()
        if how in {"vanishes", "flood"}:
            await websocket.receive()
        if how == "raises":
            raise RuntimeError("a bug")

    async with open_door(websockets=[websocket_route("/callbacks", endpoint)]) as door:
        peer = door.connect()
        await peer.upgrade("/callbacks")
        if how == "vanishes":
            await peer.stream.aclose()
        elif how == "stopped":
            with trio.move_on_after(0):
                await trio.testing.wait_all_tasks_blocked()
            door.nursery.cancel_scope.cancel()
        elif how == "flood":
            await peer.send(frame(b"", BINARY, fin=False), *[frame(b"", 0, fin=False)] * 1100)
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        assert ended == ["bad", "good"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("", None),
        ("new", "new"),
        ("old, new", "new"),
        ("old", "old"),
        ("other, old", "old"),
        ("other", None),
        ("NEW", None),
        ("new other", None),
    ],
)
async def test_of_the_subprotocols_offered_the_first_of_the_routes_own_is_chosen(
    offered: str, chosen: str | None, autojump_clock
) -> None:
    """RFC 6455, section 4.2.2. Names are compared exactly (section 11.5)."""
    seen = []

    async def endpoint(websocket: WebSocket) -> None:
        seen.append(websocket.subprotocol)

    route = attrs.evolve(websocket_route("/choosy", endpoint), subprotocols=("new", "old"))
    async with open_door(websockets=[route]) as door:
        answer = await door.connect().upgrade("/choosy", Sec_WebSocket_Protocol=offered)
        assert answer.status == 101
        assert answer.headers.get("sec-websocket-protocol") == chosen
        assert seen == [chosen]
