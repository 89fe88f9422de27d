"""Subscribers over server-sent events: a bare protocol that looks for the numbers, and at nothing else."""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import urlsplit

from tests.benchmarks.load.fleet import Fleet
from tests.benchmarks.load.http import request_bytes
from tests.benchmarks.load.message import microseconds


class EventSubscriber(asyncio.Protocol):
    """One stream. A number that is cut in two between reads waits for its rest."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = self.total = self.following = 0
        self._transport: asyncio.Transport
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self.connected.done():
            self._greeted(data)
            return
        fleet = self.fleet
        at = data.find(b'"n":')
        if at < 0 and b": heartbeat" in data:
            fleet.pings += 1
        while 0 <= at <= len(data) - 32:
            number = int(data[at + 4 : at + 11])
            if number != self.following:
                fleet.disorder += 1
            self.following = number + 1
            self.total += number
            self.received += 1
            fleet.received += 1
            if fleet.clocked:
                fleet.latencies.append(microseconds() - int(data[at + 16 : at + 32]))
            if fleet.received == fleet.wanted:
                fleet.done.set()
            at = data.find(b'"n":', at + 32)
        self._rest = data[-3:] if at < 0 else data[at:]

    def _greeted(self, data: bytes) -> None:
        self._rest = data
        if b"event: connected" in data and data.endswith(b"\n\n\r\n"):
            self._rest = b""
            self.connected.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.fleet.lost += 1
        if not self.connected.done():
            self.connected.set_exception(error or ConnectionError(f"no stream: {self._rest[:80]!r}"))

    def disconnect(self) -> None:
        self._transport.close()


async def listen(fleet: Fleet, url: str, headers: dict[str, str] | None, source: str | None = None) -> EventSubscriber:
    """Open a subscriber's stream. It is not yet one of ``fleet.subscribers``."""
    where = urlsplit(url)
    _, subscriber = await asyncio.get_running_loop().create_connection(
        lambda: EventSubscriber(fleet), where.hostname, where.port, local_addr=(source, 0) if source else None
    )
    subscriber._transport.write(request_bytes("GET", where.path, headers or {}))
    await asyncio.wait_for(subscriber.connected, 30)
    return subscriber
