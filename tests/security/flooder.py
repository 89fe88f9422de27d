"""A flood of one kind, from a process of its own: ``python -m tests.security.flooder PORT KEY KIND SECONDS``.

Twenty connections at a time send as fast as the server takes it. What the server answers is
read and dropped, but for those that never read. They come from 127.0.0.2, since failed logins
count per address. Prints how many rounds were begun.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio

from tests.security.corpus import CASES, get, handshake
from tests.transports.doors import BINARY, PING, close_frame, frame, post

CONNECTIONS = 20
HEADS = [case.send for case in CASES if len(case.send) < 20_000 and case.status != (101,)]
GARBAGE = [case.send for case in CASES if case.name.startswith("frames:") and len(case.send) < 300_000]


class Attacker:
    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key
        self.number = itertools.count()

    async def round(self, *data: bytes) -> None:
        """Connect, send, and read until the server ends it or has nothing to say for three seconds."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port, local_address="127.0.0.2")
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._send, stream, [part.replace(b"$KEY", self.key.encode()) for part in data])
            while True:
                with trio.move_on_after(3) as patience:
                    if not await stream.receive_some(65536):
                        break
                if patience.cancelled_caught:
                    break
            nursery.cancel_scope.cancel()

    @staticmethod
    async def _send(stream: trio.SocketStream, parts: list[bytes]) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for part in parts:
                await stream.send_all(part)

    async def heads(self) -> None:
        await self.round(HEADS[next(self.number) % len(HEADS)])

    async def garbage(self) -> None:
        await self.round(GARBAGE[next(self.number) % len(GARBAGE)])

    async def pings(self) -> None:
        await self.round(handshake(), *[frame(b"x" * 100, PING) * 100] * 10)

    async def pings_unread(self) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port, local_address="127.0.0.2")
        async with stream:
            with trio.move_on_after(0.5):
                await stream.send_all(handshake().replace(b"$KEY", self.key.encode()))
                while True:
                    await stream.send_all(frame(b"x" * 100, PING) * 500)

    async def tiny(self) -> None:
        await self.round(handshake(), frame(b"x") * 10_000)

    async def fragments(self) -> None:
        await self.round(handshake(), frame(b"", fin=False), *[frame(b"", 0, fin=False) * 1000] * 50)

    async def slow_fragments(self) -> None:
        await self.round(
            handshake(), *[frame(b"x" * 500, BINARY, fin=False), *[frame(b"y" * 500, 0, fin=False)] * 1000]
        )

    async def closes(self) -> None:
        await self.round(handshake(), close_frame() * 1000)

    async def json(self) -> None:
        await self.round(post("/api/publish", b"[" * 500_000 + b"]" * 500_000, X_Api_Key="$KEY"))
        await self.round(post("/api/publish", b'{"a":' + b"[1.5," * 100 + b'"x"', X_Api_Key="$KEY"))

    async def large(self) -> None:
        text = b'{"channel":"attack:x","event":"e","data":"' + b"x" * 1_000_000 + b'"}'
        await self.round(post("/api/publish", text, X_Api_Key="$KEY"))

    async def chunks(self) -> None:
        chunks = b"".join(
            [b"POST /api/keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5000]
        )
        await self.round(chunks + b"0\r\n\r\n")

    async def logins(self) -> None:
        number = next(self.number)
        await self.round(get(b"/api/keys", b"Connection: close", b"X-Api-Key: rtk_%d" % number))
        await self.round(handshake({b"Authorization": b"Bearer eyJhbGciOiJIUzI1NiJ9.e30.%d" % number}))

    async def connects(self) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port, local_address="127.0.0.2")
        await trio.aclose_forcefully(stream)

    async def upgrades(self) -> None:
        await self.round(handshake(), close_frame())

    async def pipelined(self) -> None:
        await self.round(get() * 200)


KINDS = [name for name, item in vars(Attacker).items() if name != "round" and not name.startswith("_")]


async def flood(port: int, key: str, kind: str, seconds: float) -> int:
    attacker = Attacker(port, key)
    attack: Callable[[], Awaitable[Any]] = getattr(attacker, kind)
    rounds = itertools.count()

    async def repeat() -> None:
        while True:
            next(rounds)
            try:
                await attack()
            except* (OSError, trio.BrokenResourceError):  # the server has had enough
                pass

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(repeat)
    return next(rounds)


if __name__ == "__main__":
    print(trio.run(flood, int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
