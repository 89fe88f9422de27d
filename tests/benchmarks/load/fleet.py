"""Subscribers, and what they count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import picows

from tests.benchmarks.load.message import microseconds


class Counting(Protocol):
    """What the fleet needs of a subscriber."""

    received: int
    total: int
    following: int

    def disconnect(self) -> None: ...


class Fleet:
    """What all subscribers of this process count together."""

    def __init__(self) -> None:
        self.subscribers: list[Counting] = []
        self.received = self.disorder = self.pings = self.lost = 0
        self.wanted = 0
        self.clocked = False
        self.latencies: list[float] = []
        self.done = asyncio.Event()

    def expect(self, wanted: int, following: int, clocked: bool = False) -> None:
        self.received = self.disorder = 0
        self.wanted, self.clocked = wanted, clocked
        self.latencies = []
        self.done.clear()
        for subscriber in self.subscribers:
            subscriber.received = subscriber.total = 0
            subscriber.following = following


class Subscriber(picows.WSListener):
    """One connection. ``socketio`` speaks Engine.IO 4 and Socket.IO 5 on top, as far as it must."""

    def __init__(self, fleet: Fleet, socketio: bool) -> None:
        self.fleet = fleet
        self.socketio = socketio
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = self.total = self.following = 0

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        if not self.socketio:
            self.connected.set_result(None)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        at = payload.find(b'"n":')
        if at < 0:
            self._control(transport, frame.msg_type, payload)
            return
        number = int(payload[at + 4 : at + 11])
        fleet = self.fleet
        if number != self.following:
            fleet.disorder += 1
        self.following = number + 1
        self.total += number
        self.received += 1
        fleet.received += 1
        if fleet.clocked:
            fleet.latencies.append(microseconds() - int(payload[at + 16 : at + 32]))
        if fleet.received == fleet.wanted:
            fleet.done.set()

    def _control(self, transport: picows.WSTransport, kind: picows.WSMsgType, payload: bytes) -> None:
        if kind == picows.WSMsgType.PING:
            self.fleet.pings += 1
            transport.send_pong(payload)
        elif kind == picows.WSMsgType.CLOSE:
            transport.disconnect()
        elif self.socketio and payload[:1] == b"0":
            transport.send(picows.WSMsgType.TEXT, b"40")
        elif self.socketio and payload[:2] == b"40":
            self.connected.set_result(None)
        elif self.socketio and payload == b"2":
            self.fleet.pings += 1
            transport.send(picows.WSMsgType.TEXT, b"3")

    def disconnect(self) -> None:
        self.transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.fleet.lost += 1
        if not self.connected.done():
            self.connected.set_exception(ConnectionError("closed before it was connected"))


async def connect(
    fleet: Fleet, url: str, headers: dict[str, str] | None, socketio: bool = False, source: str | None = None
) -> Subscriber:
    """Open a subscriber's connection. It is not yet one of ``fleet.subscribers``."""
    return await open_socket(lambda: Subscriber(fleet, socketio), url, headers, source)


async def open_socket(
    make: Callable[[], Subscriber], url: str, headers: dict[str, str] | None, source: str | None
) -> Subscriber:
    """A WebSocket whose listener is ``make()``, once that is connected."""
    extra: dict[str, Any] = {"local_addr": (source, 0)} if source else {}
    _, subscriber = await picows.ws_connect(
        make,
        url,
        extra_headers=headers,
        enable_auto_pong=False,
        websocket_handshake_timeout=30,
        read_buffer_init_size=4096,
        **extra,
    )
    assert isinstance(subscriber, Subscriber)
    await asyncio.wait_for(subscriber.connected, 30)
    return subscriber
