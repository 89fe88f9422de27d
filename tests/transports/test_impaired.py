"""What faults put behind an outbox, and connections that fell silent. Over sockets; time is real where it is short."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from rtlite.settings import Settings
from rtlite.transports.impaired import Throttled
from rtlite.transports.stream import ServerStream


def a_pair(nursery: trio.Nursery) -> tuple[ServerStream, trio.SocketStream]:
    """A connection over a socket: ours, and the peer's end of it."""
    ours, theirs = trio.socket.socketpair()
    return ServerStream(trio.SocketStream(ours), Settings(), nursery.start_soon), trio.SocketStream(theirs)


async def exactly(peer: trio.SocketStream, count: int) -> bytes:
    data = b""
    with trio.fail_after(5):
        while len(data) < count:
            data += await peer.receive_some(count - len(data))
    return data


async def hears_nothing(peer: trio.SocketStream) -> None:
    with trio.move_on_after(0.1):
        raise AssertionError(await peer.receive_some())


async def test_so_many_bytes_a_second_go_out_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    slow = Throttled(ours, 1_000)
    began = trio.current_time()
    await slow.send_all(bytes(5_000))
    assert trio.current_time() - began == pytest.approx(5, abs=0.2)
    assert len(await theirs.receive_some()) == 5_000


async def test_what_is_under_way_goes_out_at_once_when_the_limit_is_lifted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    slow = Throttled(ours, 1_000)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.send_all, bytes(5_000))
        await trio.sleep(1)
        slow.lifted.set()
    assert trio.current_time() - began < 1.1
    assert len(await theirs.receive_some()) == 5_000


async def test_bytes_keep_their_order_through_a_limit_and_after_it() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = a_pair(nursery)
        assert stream.outbox.offer(b"before ")
        slow = stream.throttle(10_000)
        for number in range(500):
            assert stream.outbox.offer(b"%03d " % number)
        began = time.monotonic()
        first = await exactly(peer, 1_007)
        assert time.monotonic() - began > 0.05
        stream.lift(slow)
        assert stream.outbox.offer(b"after")
        everything = b"before " + b"".join(b"%03d " % number for number in range(500)) + b"after"
        assert first + await exactly(peer, len(everything) - len(first)) == everything
        assert stream.outbox.queued == 0
        await peer.aclose()
        await stream.aclose()


async def test_a_silent_connection_reads_nothing_says_nothing_and_does_not_end() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = a_pair(nursery)
        read: list[bytes] = []
        broken = trio.Event()

        async def reader() -> None:
            try:
                while True:
                    read.append(await stream.receive_some())
            except trio.BrokenResourceError:
                broken.set()

        nursery.start_soon(reader)
        await peer.send_all(b"heard")
        await trio.testing.wait_all_tasks_blocked()
        stream.fall_silent()
        await peer.send_all(b"not heard")
        assert stream.outbox.offer(b"not said")
        nursery.start_soon(stream.aclose)
        await hears_nothing(peer)
        assert read == [b"heard"] and not broken.is_set()
        stream.cut()
        with trio.fail_after(5):
            assert await peer.receive_some() == b""
            await broken.wait()
        await peer.aclose()


async def test_who_gives_up_closing_a_silent_connection_leaves_it_open() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = a_pair(nursery)
        stream.fall_silent()
        with trio.move_on_after(0.05):
            await stream.aclose()
        stream.break_off()  # nor does the peer notice that we gave it up
        await hears_nothing(peer)
        stream.cut()
        with trio.fail_after(5):
            assert await peer.receive_some() == b""
            await stream.aclose()
        await peer.aclose()
