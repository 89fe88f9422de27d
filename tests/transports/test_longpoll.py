"""Requests whose answers wait, and the outbox that holds what polls take until a WebSocket takes over."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.transports.longpoll import LongPollRoute, Poll, PollOutbox, frames
from rtlite.transports.outbox import Outbox
from rtlite.transports.routes import Reply
from rtlite.transports.websocket import binary_frame, text_frame
from tests.transports.doors import head, open_door


async def slow(poll: Poll) -> Reply:
    """Say what came, and wait before it if the query asks for that."""
    body = await poll.body()
    await trio.sleep(float(poll.head.query.get("wait", "0")))
    return Reply(200, body or b"nothing", "text/plain")


async def deaf(poll: Poll) -> Reply:
    """Do not read the body."""
    return Reply(413, b"")


ROUTES = [LongPollRoute("/slow", slow), LongPollRoute("/deaf", deaf)]


# --- requests


async def test_an_answer_may_wait_and_the_connection_is_good_for_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_door(polls=ROUTES) as door:
        peer = door.connect()
        for wait in (0, 100):
            started = trio.current_time()
            await peer.send(head(f"GET /slow?wait={wait}"))
            answer = await peer.answer()
            assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, b"nothing", "no-store")
            assert trio.current_time() - started == pytest.approx(wait, abs=0.1)
        assert door.answered("poll") == 2


async def test_what_is_sent_while_an_answer_waits_is_the_next_request(autojump_clock: trio.testing.MockClock) -> None:
    async with open_door(polls=ROUTES) as door:
        peer = door.connect()
        await peer.send(head("GET /slow?wait=10"))
        await trio.sleep(1)
        await peer.send(head("POST /slow", Content_Length="5") + b"hello")
        assert [(await peer.answer()).body for _ in range(2)] == [b"nothing", b"hello"]


async def test_who_leaves_is_waited_for_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    ended: list[float] = []

    async def wait(poll: Poll) -> Reply:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with open_door(polls=[LongPollRoute("/wait", wait)]) as door:
        peer = door.connect()
        await peer.send(head("GET /wait"))
        await trio.sleep(5)
        assert not ended
        await peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(ended) == 1


async def test_a_body_that_dribbles_has_15_seconds_in_all(autojump_clock: trio.testing.MockClock) -> None:
    async with open_door(polls=ROUTES) as door:
        peer = door.connect()
        started = trio.current_time()
        await peer.send(head("POST /slow", Content_Length="10") + b"12345")
        assert (await peer.answer()).code == "request_timeout"
        assert trio.current_time() - started == pytest.approx(15, abs=0.1)


async def test_a_body_that_is_not_read_ends_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with open_door(polls=ROUTES) as door:
        peer = door.connect()
        await peer.send(head("POST /deaf", Content_Length="100") + b"GET /slow HTTP/1.1\r\n\r\n")
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert not await peer.ended()


async def test_a_chunked_body_is_not_read_as_a_request(autojump_clock: trio.testing.MockClock) -> None:
    async with open_door(polls=ROUTES) as door:
        peer = door.connect()
        await peer.send(head("POST /slow", Transfer_Encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n")
        answer = await peer.answer()
        assert answer.headers["connection"] == "close"
        assert not await peer.ended()


async def test_pages_of_listed_origins_may_read_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with open_door(polls=ROUTES, allowed_origins=("https://good.example",)) as door:
        peer = door.connect()
        for origin, allowed in (("https://good.example", "https://good.example"), ("https://evil.example", None)):
            await peer.send(head("GET /slow", Origin=origin))
            assert (await peer.answer()).headers.get("access-control-allow-origin") == allowed


# --- frames


def test_frames_give_back_the_messages_whatever_their_length() -> None:
    messages = [(b"x" * length, length % 2 == 1) for length in (0, 1, 125, 126, 127, 65_535, 65_536, 100_001)]
    data = b"".join((binary_frame if binary else text_frame)(payload) for payload, binary in messages)
    assert list(frames(data)) == messages


# --- the outbox


async def test_what_is_offered_waits_for_a_poll_up_to_the_limit() -> None:
    outbox = PollOutbox(100)
    assert outbox.offer(b"a" * 60) and outbox.offer(b"b" * 40)
    assert not outbox.offer(b"c")
    assert outbox.queued == 100
    await outbox.filled()
    assert outbox.take() == b"a" * 60 + b"b" * 40
    assert (outbox.queued, outbox.sent) == (0, 100)
    assert outbox.offer(b"d" * 1000)  # a single one larger than the limit, where nothing waits


async def test_a_poll_waits_until_something_is_there(autojump_clock: trio.testing.MockClock) -> None:
    outbox = PollOutbox(100)
    with trio.move_on_after(1) as patience:
        await outbox.filled()
    assert patience.cancelled_caught
    outbox.release()
    await outbox.filled()
    assert outbox.take() == b""


async def test_who_sends_waits_for_room(autojump_clock: trio.testing.MockClock) -> None:
    outbox = PollOutbox(100)
    await outbox.send(b"a" * 80)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.send, b"b" * 40)
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.queued == 80
        assert outbox.take() == b"a" * 80
    assert outbox.take() == b"b" * 40


async def test_a_websocket_takes_over_what_waits_and_whoever_waits(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        carrier = Outbox(None, ours, 100, 60.0, nursery.start_soon, lambda: None)
        outbox = PollOutbox(100)
        outbox.offer(b"a" * 80)
        nursery.start_soon(outbox.send, b"b" * 40)
        await trio.testing.wait_all_tasks_blocked()
        outbox.hand_over(carrier)
        assert outbox.carried
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.offer(b"c" * 10)
        await outbox.drained()
        assert await theirs.receive_some() == b"a" * 80 + b"b" * 40 + b"c" * 10
        assert outbox.queued == carrier.queued == 0


async def test_a_closed_outbox_takes_nothing_and_lets_the_poll_go() -> None:
    outbox = PollOutbox(100)
    outbox.offer(b"a")
    outbox.close()
    await outbox.filled()
    assert outbox.take() == b""
    assert outbox.offer(b"b")  # dropped: the reader is gone, not slow
    with pytest.raises(trio.BrokenResourceError):
        await outbox.send(b"c")


async def test_a_backlog_can_be_dropped() -> None:
    outbox = PollOutbox(100)
    outbox.offer(b"a" * 100)
    outbox.discard_queued()
    assert outbox.offer(b"why")
    assert outbox.take() == b"why"
