"""The load generator's publishers over WebSockets: each sends a request once the last one is answered."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import picows


class SocketPublisher(picows.WSListener):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes]

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.answer.set_result(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError("closed before the answer"))

    def request(self, text: bytes) -> asyncio.Future[bytes]:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.send(picows.WSMsgType.TEXT, text)
        return self.answer


async def hammer(
    url: str, headers: dict[str, str], body: str, connections: int, seconds: float, warm: float
) -> dict[str, Any]:
    """The same request over and over. Answers that come in the first ``warm`` seconds do not count."""
    text = body.encode()
    opened = []
    for _ in range(connections):
        _, publisher = await picows.ws_connect(SocketPublisher, url, extra_headers=headers)
        assert isinstance(publisher, SocketPublisher)
        opened.append(publisher)
    begin = time.perf_counter() + warm
    end = begin + seconds
    times: list[float] = []
    refused: dict[str, int] = {}

    async def work(publisher: SocketPublisher) -> None:
        sent = time.perf_counter()
        while sent < end:
            answer = await publisher.request(text)
            now = time.perf_counter()
            if b'"published"' not in answer:
                code = re.search(rb'"code":"(\w+)"', answer)
                name = code[1].decode() if code else "unknown"
                refused[name] = refused.get(name, 0) + 1
            elif begin <= now <= end:
                times.append(1e6 * (now - sent))
            sent = now

    await asyncio.gather(*map(work, opened))
    for publisher in opened:
        publisher.answer.cancel()
        publisher.transport.disconnect()
    return {"requests": len(times), "seconds": seconds, "refused": refused, "times": times}
