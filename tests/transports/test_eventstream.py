"""Event streams over memory streams: what the peer sees, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from rtlite.errors import Forbidden, InvalidRequest, NotFound, Overloaded, Reason, StorageFailed, TooMany, Unauthorized
from rtlite.protocols import sse
from rtlite.transports.eventstream import EventStream, EventStreamRoute
from tests.streams import Stream, ask
from tests.transports.doors import Door, head, open_door


async def talk(stream: EventStream) -> None:
    """An endpoint that says one thing and listens."""
    stream.open()
    stream.send(sse.message(b"hello", id="a-1"))
    await stream.watch()


@asynccontextmanager
async def door_of(endpoint: Callable[[EventStream], Awaitable[None]] = talk, **options: Any) -> AsyncIterator[Door]:
    async with open_door(streams=[EventStreamRoute("/s/{name}", endpoint, sse)], **options) as door:
        yield door


@asynccontextmanager
async def connected(
    endpoint: Callable[[EventStream], Awaitable[None]] = talk, version: str = "1.1", **options: Any
) -> AsyncIterator[tuple[Door, Stream]]:
    async with door_of(endpoint, **options) as door:
        yield door, await ask(door.connect(), "/s/x", version=version)


def entry(door: Door) -> Any:
    (connection,) = door.connections
    return connection


# --- the answer


async def test_a_stream_is_answered_with_the_headers_that_keep_it_flowing(autojump_clock) -> None:
    async with connected() as (_, stream):
        assert stream.status == 200
        wanted = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "vary": "Origin",
            "transfer-encoding": "chunked",
        }
        assert wanted.items() <= stream.headers.items()
        assert "access-control-allow-origin" not in stream.headers and "content-length" not in stream.headers
        assert (await stream.next()).data == "hello"


async def test_a_page_of_an_allowed_origin_may_read_it(autojump_clock) -> None:
    async with door_of(allowed_origins=("https://shop.example",)) as door:
        stream = await ask(door.connect(), "/s/x", Origin="https://shop.example")
        assert stream.headers["access-control-allow-origin"] == "https://shop.example"
        stream = await ask(door.connect(), "/s/x", Origin="https://evil.example")
        assert "access-control-allow-origin" not in stream.headers


async def test_http_1_0_gets_the_body_as_it_is_and_its_end_with_the_connections(autojump_clock) -> None:
    async with connected(version="1.0") as (door, stream):
        assert stream.status == 200 and "transfer-encoding" not in stream.headers
        assert (await stream.next()).data == "hello"
        entry(door).end(Reason.STOPPING)
        assert [event.name for event in await stream.rest()] == ["closed"]
        assert stream.ended


async def test_the_path_names_the_parameters(autojump_clock) -> None:
    async def echo(stream: EventStream) -> None:
        stream.open()
        stream.send(sse.json_message([dict(stream.params), dict(stream.head.query)]))

    async with door_of(echo) as door:
        stream = await ask(door.connect(), "/s/a%2Fb%20c?x=1")
        assert orjson.loads((await stream.next()).data) == [{"name": "a/b c"}, {"x": "1"}]
        assert (await stream.rest(), stream.ended) == ([], True)


@pytest.mark.parametrize("extra", [{"Content_Length": "2"}, {"Transfer_Encoding": "chunked"}])
async def test_a_request_with_a_body_is_refused(autojump_clock, extra: dict[str, str]) -> None:
    async with door_of() as door:
        peer = door.connect()
        await peer.send(head("GET /s/x", **extra), b"{}")
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""


# --- refusals


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unauthorized("no", headers={"WWW-Authenticate": "Bearer"}), 401, "unauthorized"),
        (Forbidden("no"), 403, "forbidden"),
        (NotFound("no"), 404, "not_found"),
        (InvalidRequest("no", code="invalid_channel"), 400, "invalid_channel"),
    ],
)
async def test_what_no_retry_mends_is_a_status_and_the_connection_can_go_on(
    autojump_clock, error: Exception, status: int, code: str
) -> None:
    async def refuse(stream: EventStream) -> None:
        raise error

    async with door_of(refuse, allowed_origins=("https://shop.example",)) as door:
        peer = door.connect()
        for _ in range(2):
            await peer.send(head("GET /s/x", Origin="https://shop.example"))
            answer = await peer.answer()
            assert (answer.status, answer.code) == (status, code)
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        await peer.send(head("GET /echo", Connection="close"))
        assert (await peer.answer()).status == 200
        assert len(door.connections) == 0 and door.faults() == 0


async def test_who_is_turned_away_gets_204_without_a_body(autojump_clock) -> None:
    async def turn_away(stream: EventStream) -> None:
        stream.turn_away()
        await trio.sleep_forever()

    async with door_of(turn_away) as door:
        peer = door.connect()
        await peer.send(head("GET /s/x"), head("GET /echo"))
        answer = await peer.answer()
        assert answer.status == 204 and "content-length" not in answer.headers
        assert (await peer.answer()).status == 200


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("error", "code", "least"),
    [
        (Overloaded("no"), "over_capacity", 15),
        (TooMany("no", 600), "rate_limited", 600),
        (TooMany("no", 1), "rate_limited", 15),
        (StorageFailed("no"), "internal_error", 15),
        (ZeroDivisionError("a mistake of ours"), "internal_error", 15),
    ],
)
async def test_what_may_pass_is_a_stream_that_ends_and_says_when_to_come_back(
    autojump_clock, error: Exception, code: str, least: float, opened: bool
) -> None:
    async def fail(stream: EventStream) -> None:
        if opened:
            stream.open()
        raise error

    async with connected(fail) as (_, stream):
        assert stream.status == 200
        (event,) = await stream.rest()
        assert event.name == "closed" and orjson.loads(event.data)["code"] == code
        assert stream.ended and stream.decoder.retry is not None
        assert least * 1000 <= stream.decoder.retry <= max(30, least) * 1000
        assert await stream.peer.ended() == b""


async def test_beyond_the_limit_of_connections_one_is_told_to_come_back(autojump_clock) -> None:
    async with connected(max_connections=1) as (door, _):
        second = await ask(door.connect(), "/s/x")
        assert orjson.loads((await second.until("closed")).data)["code"] == "over_capacity"


# --- the end


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NORMAL])
async def test_each_reason_is_said_before_the_end(autojump_clock, reason: Reason) -> None:
    async with connected() as (door, stream):
        await stream.next()
        entry(door).end(reason)
        (event,) = await stream.rest()
        assert event.name == "closed"
        why = {"code": reason.name.lower(), "message": reason.value.text}
        assert orjson.loads(event.data) == {"event": "closed", "data": why, **why}
        assert event.id == (sse.STOP_ID if reason is Reason.CLOSED_BY_OPERATOR else "a-1")
        assert stream.ended
        await stream.peer.ended()
        assert len(door.connections) == 0


async def test_a_stopping_server_sends_each_client_away_for_a_time_of_its_own(autojump_clock) -> None:
    async with door_of() as door:
        streams = [await ask(door.connect(), "/s/x") for _ in range(20)]
        for connection in door.connections:
            connection.end(Reason.STOPPING)
        for stream in streams:
            await stream.rest()
        times = [stream.decoder.retry for stream in streams]
        assert all(time is not None and 1000 <= time <= 5000 for time in times)
        assert len(set(times)) > 10


async def test_an_expired_credential_ends_the_stream_and_the_first_reason_stands(autojump_clock) -> None:
    async def expire(stream: EventStream) -> None:
        stream.admit(Any, 5.0)  # type: ignore[arg-type]
        await talk(stream)

    async with connected(expire) as (_, stream):
        start = trio.current_time()
        event = await stream.until("closed")
        assert orjson.loads(event.data)["code"] == "expired"
        assert trio.current_time() - start == pytest.approx(5, abs=0.1)


async def test_the_end_is_noted_and_the_peer_that_leaves_is_noticed(autojump_clock) -> None:
    ended: list[str] = []

    async def endpoint(stream: EventStream) -> None:
        stream.on_end(lambda: ended.append("left"))
        await talk(stream)

    async with connected(endpoint) as (door, stream):
        await stream.next()
        await stream.peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["left"] and len(door.connections) == 0


async def test_a_peer_that_sends_no_more_gets_the_proper_end(autojump_clock) -> None:
    async with connected() as (_, stream):
        await stream.next()
        await stream.peer.stream.send_eof()  # type: ignore[attr-defined]
        assert (await stream.rest(), stream.ended) == ([], True)


async def test_what_a_peer_sends_on_is_dropped_and_a_lot_of_it_is_abuse(autojump_clock) -> None:
    async with connected(max_head=1000) as (_, stream):
        await stream.next()
        await stream.peer.send(b"x" * 1000)
        await trio.testing.wait_all_tasks_blocked()
        await stream.peer.send(b"x")
        assert orjson.loads((await stream.next()).data)["code"] == "abuse"


async def test_a_task_of_the_stream_that_fails_ends_it(autojump_clock) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def endpoint(stream: EventStream) -> None:
        stream.spawn(fail)
        await talk(stream)

    async with connected(endpoint) as (door, stream):
        assert orjson.loads((await stream.until("closed")).data)["code"] == "internal_error"
        await stream.peer.ended()
        assert door.faults() == 1


# --- time


async def test_a_heartbeat_comes_every_30_seconds(autojump_clock) -> None:
    async with connected() as (_, stream):
        await stream.next()
        start = trio.current_time()
        for number in range(1, 6):
            assert await stream.piece() == b": heartbeat\n\n"
            assert trio.current_time() - start == pytest.approx(30 * number, abs=0.1)


async def test_an_endpoint_that_thinks_long_sends_no_heartbeat_before_its_answer(autojump_clock) -> None:
    async def slow(stream: EventStream) -> None:
        await trio.sleep(100)
        await talk(stream)

    async with connected(slow) as (_, stream):
        assert await stream.piece() == b"id: a-1\ndata: hello\n\n"


async def test_a_client_that_vanished_is_given_up_once_it_takes_nothing_for_a_minute(autojump_clock) -> None:
    async with door_of() as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        with trio.move_on_after(1):
            await ours.send_all(head("GET /s/x"))
        start = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert len(door.connections) == 1
        while len(door.connections):  # noqa: ASYNC110  # the clock jumps
            await trio.sleep(1)
        assert 55 <= trio.current_time() - start <= 75


async def test_a_reader_that_is_too_slow_is_told_once_it_reads_again(autojump_clock) -> None:
    async def flood(stream: EventStream) -> None:
        stream.open()
        while stream.send(sse.message(b"x" * 5000)):
            pass
        stream.end(Reason.TOO_SLOW)
        await trio.sleep_forever()

    async with door_of(flood, outbox=20_000) as door:
        ours, theirs = trio.testing.lockstep_stream_pair()
        door.nursery.start_soon(door.listener.serve_stream, theirs)
        await ours.send_all(head("GET /s/x"))
        await trio.sleep(10)
        data = b""
        while part := await ours.receive_some():
            data += part
        assert data.endswith(b'"code":"too_slow","message":"reader too slow"}\n\n\r\n0\r\n\r\n')
