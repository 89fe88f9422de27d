"""The outbox over a real socket pair, whose kernel takes what it wants, and over a memory stream."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from rtlite.transports.outbox import NOTHING, Outbox

LIMIT = 64 * 1024


class Pair:
    """An outbox before a socket, and the socket's other end."""

    def __init__(self, nursery: trio.Nursery, limit: int = LIMIT, timeout: float = 60.0) -> None:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.broken = 0
        self.ours = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        self.theirs = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        self.writers = 0

        def spawn(function):
            self.writers += 1
            nursery.start_soon(self._count, function)

        self.outbox = Outbox(self.ours.socket.fileno(), self.ours, limit, timeout, spawn, self.on_broken)

    async def _count(self, function):
        try:
            await function()
        finally:
            self.writers -= 1

    def on_broken(self) -> None:
        self.broken += 1

    def fill(self) -> int:
        """Offer until bytes wait; returns how many were taken."""
        size = 0
        while not self.outbox.queued:
            assert self.outbox.offer(b"f" * 1024)
            size += 1024
        return size

    async def read(self, count: int) -> bytes:
        data = b""
        with trio.fail_after(10):
            while len(data) < count:
                data += await self.theirs.receive_some(count - len(data))
        return data


@asynccontextmanager
async def pair(**options: object) -> AsyncIterator[Pair]:
    async with trio.open_nursery() as nursery:
        made = Pair(nursery, **options)
        async with made.ours, made.theirs:
            yield made
            made.outbox.close()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def memory(limit: int = LIMIT, timeout: float = 60.0) -> AsyncIterator[tuple[Outbox, trio.abc.Stream]]:
    """An outbox before a stream that takes one send at a time, as TLS does."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        yield Outbox(None, ours, limit, timeout, nursery.start_soon, lambda: None), theirs
        nursery.cancel_scope.cancel()


async def test_while_nothing_waits_bytes_go_straight_to_the_socket() -> None:
    async with pair() as it:
        assert it.outbox.offer(b"hello")
        assert (it.outbox.queued, it.outbox.sent, it.writers) == (0, 5, 0)
        assert await it.read(5) == b"hello"


async def test_bytes_arrive_in_order_under_partial_writes() -> None:
    rng = random.Random(7)
    async with pair(limit=1 << 20) as it:
        expected = bytearray()
        received = bytearray()

        async def write() -> None:
            for number in range(400):
                piece = bytes([number & 255]) * rng.randrange(0, 9000)
                if not (number & 1 and it.outbox.offer(piece)):
                    await it.outbox.send(piece)
                expected.extend(piece)
            await it.outbox.drained()
            await it.ours.send_eof()

        async def read() -> None:
            while data := await it.theirs.receive_some(rng.randrange(1, 5000)):
                received.extend(data)

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                nursery.start_soon(read)
        assert received == expected
        assert it.outbox.sent == len(expected)


async def test_what_waits_is_bounded_and_the_offer_that_does_not_fit_leaves_no_byte() -> None:
    async with pair() as it:
        taken = it.fill()
        while it.outbox.offer(b"m" * 1000):
            taken += 1000
        assert LIMIT - 1000 <= it.outbox.queued <= LIMIT
        assert not it.outbox.offer(b"m" * 1000)
        data = await it.read(taken)
        assert len(data) == taken and set(data) == set(b"fm")


async def test_one_message_larger_than_the_limit_is_taken_when_nothing_else_waits() -> None:
    async with pair() as it:
        assert it.outbox.offer(b"L" * (3 * LIMIT))
        assert not it.outbox.offer(b"x")
        assert await it.read(3 * LIMIT) == b"L" * (3 * LIMIT)


async def test_send_waits_until_half_of_the_limit_is_free() -> None:
    async with pair() as it:
        it.fill()
        while it.outbox.queued < LIMIT - 1024:
            it.outbox.offer(b"m" * 1024)
        sent = trio.Event()

        async def send() -> None:
            await it.outbox.send(b"s" * 1000)
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert not sent.is_set()
            while not sent.is_set():
                await it.read(512)
                await trio.testing.wait_all_tasks_blocked()
            assert it.outbox.queued <= LIMIT // 2


async def test_an_empty_write_behind_waiting_bytes_leaves_the_writer_at_rest() -> None:
    """Hypercorn ends each answer with one; a writer left with it would spin for ever."""
    async with pair() as it:
        taken = it.fill()
        assert it.outbox.offer(b"")
        await it.read(taken)
        with trio.fail_after(5):
            await it.outbox.drained()
            await trio.testing.wait_all_tasks_blocked()
        assert it.writers == 0


async def test_there_is_never_a_second_writer() -> None:
    async with pair() as it:
        it.fill()
        it.outbox.discard_queued()
        it.outbox.offer(b"")
        it.outbox.offer(b"x" * 3 * LIMIT)
        assert it.writers == 1


async def test_over_a_stream_empty_and_discarded_writes_start_no_second_writer() -> None:
    async with trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()
        started: list[object] = []
        outbox = Outbox(None, ours, LIMIT, 60, started.append, lambda: None)
        outbox.offer(b"")
        outbox.offer(b"one")
        outbox.discard_queued()
        outbox.offer(b"two")
        for writer in started:
            nursery.start_soon(writer)
        assert len(started) == 1
        assert await theirs.receive_some(10) == b"two"


async def test_discarding_never_cuts_the_piece_that_is_partly_written() -> None:
    async with pair() as it:
        taken = it.fill()
        it.outbox.offer(b"dropped")
        it.outbox.discard_queued()
        assert 0 < it.outbox.queued <= 1024
        it.outbox.offer(b"goodbye")
        assert (await it.read(taken + 7))[-7:] == b"goodbye"


async def test_over_a_stream_discarding_keeps_what_is_in_flight() -> None:
    async with memory() as (outbox, theirs):
        outbox.offer(b"in flight")
        await trio.testing.wait_all_tasks_blocked()
        outbox.offer(b"dropped")
        outbox.discard_queued()
        outbox.offer(b"goodbye")
        data = b""
        while len(data) < 16:
            data += await theirs.receive_some(4)
        assert data == b"in flightgoodbye"
        await outbox.drained()
        assert outbox.queued == 0


async def test_over_a_stream_what_is_in_flight_counts_as_waiting() -> None:
    async with memory() as (outbox, _):
        assert outbox.offer(b"x" * (LIMIT - 10))
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.queued == LIMIT - 10
        assert not outbox.offer(b"y" * 20)


async def test_a_backlog_that_is_gone_leaves_nothing_and_is_no_others() -> None:
    async with pair() as one, pair() as other:
        for _ in range(3):
            for it in (one, other):
                assert await it.read(it.fill())
                await it.outbox.drained()
                await trio.testing.wait_all_tasks_blocked()
                assert it.outbox._queue is NOTHING and not NOTHING and not it.writers
                assert it.outbox.emptied == pytest.approx(trio.current_time(), abs=5)


async def test_over_a_stream_a_backlog_that_is_gone_leaves_nothing() -> None:
    async with memory() as (outbox, theirs):
        for number in range(3):
            assert outbox.offer(b"a%d" % number) and outbox.offer(b"b")
            read = b""
            while len(read) < 3:
                read += await theirs.receive_some()
            await outbox.drained()
            await trio.testing.wait_all_tasks_blocked()
            assert read == b"a%db" % number
            assert outbox._queue is NOTHING and not NOTHING


async def test_a_closed_outbox_drops_offers_and_refuses_sends() -> None:
    async with pair() as it:
        it.fill()
        it.outbox.close()
        it.outbox.close()
        assert it.outbox.offer(b"late")
        assert (it.outbox.queued, it.outbox.closed, it.broken) == (0, True, 0)
        with pytest.raises(trio.BrokenResourceError):
            await it.outbox.send(b"late")
        await it.outbox.drained()


async def test_closing_wakes_who_waits_for_room() -> None:
    async with pair() as it:
        it.outbox.offer(b"x" * (3 * LIMIT))
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await it.outbox.send(b"y")

            nursery.start_soon(send)
            nursery.start_soon(it.outbox.drained)
            await trio.testing.wait_all_tasks_blocked()
            it.outbox.close()


async def test_a_peer_that_is_gone_breaks_it_off_once() -> None:
    async with pair() as it:
        await it.theirs.aclose()
        assert it.outbox.offer(b"x") and it.outbox.offer(b"y")
        assert it.broken == 1 and it.outbox.closed


async def test_a_peer_that_takes_no_byte_for_the_write_timeout_is_given_up(autojump_clock) -> None:
    async with memory(timeout=30) as (outbox, _):
        outbox.offer(b"x" * 100)
        before = trio.current_time()
        await outbox.drained()
        assert outbox.closed
        assert trio.current_time() - before == pytest.approx(30)


async def test_over_a_stream_a_slow_peer_that_still_takes_bytes_is_not_given_up(autojump_clock) -> None:
    async with memory(limit=1 << 20, timeout=30) as (outbox, theirs):
        for _ in range(64):
            outbox.offer(b"x" * 16 * 1024)
        left = 64 * 16 * 1024
        while left:  # 64 KiB in 20 s: 1 MiB takes far longer than the timeout
            await trio.sleep(5)
            left -= len(await theirs.receive_some(16 * 1024))
            assert not outbox.closed
