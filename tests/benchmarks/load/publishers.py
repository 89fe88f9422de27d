"""Publishers: over HTTP, or over a WebSocket of their own, as the server at hand wants it."""

from __future__ import annotations

import asyncio
from typing import Any

import picows

from tests.benchmarks.load.fleet import Fleet, Subscriber, connect
from tests.benchmarks.load.http import HttpConnection, request_bytes
from tests.benchmarks.load.message import change, event, message


class HttpPublisher:
    """Publishes over keep-alive HTTP: several as one batch (NDJSON) if the server takes that, else one by one."""

    def __init__(self, connections: list[HttpConnection], spec: dict[str, Any]) -> None:
        self.connections = connections
        self.spec = spec

    async def publish(self, numbers: list[int]) -> None:
        if len(numbers) > 1 and self.spec.get("batch"):
            await self._post(self.connections[0], self.spec["batch"], "\n".join(map(self._event, numbers)))
            return
        waiting = iter(numbers)

        async def work(connection: HttpConnection) -> None:
            for number in waiting:
                await self._post(connection, self.spec, self._event(number))

        await asyncio.gather(*map(work, self.connections))

    def _event(self, number: int) -> str:
        return (change if self.spec.get("change") else event)(self.spec["channel"], number)

    async def _post(self, connection: HttpConnection, door: dict[str, Any], body: str) -> None:
        request = request_bytes("POST", door["path"], door["headers"], body.encode())
        status, answer = await connection.request(request)
        if status != 201:
            raise RuntimeError(f"publishing was answered {status}: {answer!r}")

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class WebSocketPublisher:
    """Publishes by messages on a WebSocket of its own."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber

    async def publish(self, numbers: list[int]) -> None:
        for number in numbers:
            text = message(number)
            if self.subscriber.socketio:
                text = f'42["bench",{text}]'
            self.subscriber.transport.send(picows.WSMsgType.TEXT, text.encode())

    def close(self) -> None:
        self.subscriber.transport.disconnect()


async def open_publisher(spec: dict[str, Any]) -> HttpPublisher | WebSocketPublisher:
    if "path" in spec:
        connections = [await HttpConnection.open(spec["host"], spec["port"]) for _ in range(spec.get("connections", 1))]
        return HttpPublisher(connections, spec)
    # A fleet of its own: what the publisher hears does not count.
    return WebSocketPublisher(await connect(Fleet(), spec["url"], None, spec.get("socketio", False)))
