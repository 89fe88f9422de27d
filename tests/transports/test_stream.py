"""The end of a stream, which several tasks of a connection may come to at once."""

from __future__ import annotations

import trio
import trio.testing

from rtlite.settings import Settings
from rtlite.transports.stream import ServerStream


async def a_pair(nursery: trio.Nursery) -> tuple[ServerStream, trio.SocketStream]:
    """A connection over a socket: ours, and the peer's end of it."""
    ours, theirs = trio.socket.socketpair()
    return ServerStream(trio.SocketStream(ours), Settings(), nursery.start_soon), trio.SocketStream(theirs)


async def hears_the_end(peer: trio.SocketStream) -> None:
    """Until then the peer's bytes are read, so that no reset takes our last words away."""
    with trio.fail_after(5):
        assert await peer.receive_some() == b"last words"
        assert await peer.receive_some() == b""
        await peer.aclose()


async def test_two_tasks_that_close_a_stream_close_it_once() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = await a_pair(nursery)
        await peer.send_all(b"x" * 100_000)
        await stream.send_all(b"last words")
        nursery.start_soon(hears_the_end, peer)
        async with trio.open_nursery() as closing:
            closing.start_soon(stream.aclose)
            closing.start_soon(stream.aclose)
        await stream.aclose()


async def test_who_reads_while_another_task_closes_gets_the_end() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = await a_pair(nursery)
        await stream.send_all(b"last words")
        await peer.send_all(b"x" * 100_000)  # so that there is something to linger for

        async def read() -> None:
            while await stream.receive_some():
                pass

        async with trio.open_nursery() as reading:
            reading.start_soon(read)
            reading.start_soon(stream.aclose)
            reading.start_soon(hears_the_end, peer)


async def test_who_comes_to_read_once_the_close_has_begun_gets_the_end() -> None:
    async with trio.open_nursery() as nursery:
        stream, peer = await a_pair(nursery)
        await peer.send_all(b"x" * 100_000)
        await stream.send_all(b"last words")
        async with trio.open_nursery() as closing:
            closing.start_soon(stream.aclose)
            await trio.testing.wait_all_tasks_blocked()
            assert await stream.receive_some() == b""
            closing.start_soon(hears_the_end, peer)
