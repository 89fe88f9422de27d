"""The reading end of an event stream: the head, the chunks taken apart strictly, the events."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import trio

from rtlite.protocols.eventsource import Decoder, Incoming
from tests.transports.doors import Answer, Peer, head


class Stream:
    """A peer that asked for events.

    ``status`` and ``headers`` are the answer's, ``body`` all of it so far without the chunks'
    framing, ``ended`` whether it came to its proper end.
    """

    def __init__(self, peer: Peer, answer: Answer) -> None:
        self.peer = peer
        self.status = answer.status
        self.headers = answer.headers
        self.answer = answer
        self.body = b""
        self.ended = False
        self.decoder = Decoder()
        self._events: Iterator[Incoming] = iter(())

    async def piece(self) -> bytes:
        """The next chunk, or what came, without chunks; empty at the end."""
        if self.headers.get("transfer-encoding") != "chunked":
            try:
                data = await self.peer.exactly(1)
            except EOFError:
                self.ended = True
                return b""
            self.body += data
            return data
        size = await self.peer.until(b"\r\n")
        assert size == b"%x\r\n" % int(size, 16), size
        data = await self.peer.exactly(int(size, 16))
        assert await self.peer.exactly(2) == b"\r\n"
        self.body += data
        self.ended = not data
        return data

    async def next(self) -> Incoming:
        """The next event; :raises EOFError: the stream ended."""
        with trio.fail_after(200):
            while True:
                for event in self._events:
                    return event
                data = await self.piece()
                if not data:
                    raise EOFError(self.body[-500:])
                self._events = self.decoder.feed(data)

    async def until(self, name: str) -> Incoming:
        """The next event of this name."""
        while (event := await self.next()).name != name:
            pass
        return event

    async def data(self) -> dict:
        """The data of the next event."""
        return orjson.loads((await self.next()).data)

    async def rest(self) -> list[Incoming]:
        """All events to the end."""
        events = list(self._events)
        while data := await self.piece():
            events += self.decoder.feed(data)
        return events


async def ask(peer: Peer, target: str, *, version: str = "1.1", **headers: str) -> Stream:
    """Ask for events; a status that is no stream's comes with its body, in ``answer``."""
    request = head(f"GET {target}", **headers)
    await peer.send(request if version == "1.1" else request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    return Stream(peer, await peer.answer(streaming=True))
