"""The load generator's HTTP half: keep-alive connections that send ready-made requests."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A request, ready to send."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpConnection(asyncio.Protocol):
    """One request at a time; answers have a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._data = b""
        self._answer: asyncio.Future[tuple[int, bytes]]

    @classmethod
    async def open(cls, host: str, port: int) -> HttpConnection:
        _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = data[:end].lower() + b"\r\n"
        at = head.index(b"content-length:") + 15
        length = int(head[at : head.index(b"\r\n", at)])
        if len(data) >= end + 4 + length:
            self._data = b""
            self._answer.set_result((int(head[9:12]), data[end + 4 :]))

    def connection_lost(self, error: Exception | None) -> None:
        answer = getattr(self, "_answer", None)
        if answer is not None and not answer.done():
            answer.set_exception(error or ConnectionError("closed before the answer"))

    def request(self, data: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._answer

    def close(self) -> None:
        self._transport.close()


async def hammer(
    host: str, port: int, path: str, headers: dict[str, str], body: str, connections: int, seconds: float, warm: float
) -> dict[str, Any]:
    """The same request over and over. Answers that come in the first ``warm`` seconds do not count."""
    data = request_bytes("POST", path, headers, body.encode())
    opened = [await HttpConnection.open(host, port) for _ in range(connections)]
    begin = time.perf_counter() + warm
    end = begin + seconds
    times: list[float] = []
    refused: dict[int, int] = {}

    async def work(connection: HttpConnection) -> None:
        sent = time.perf_counter()
        while sent < end:
            status, _ = await connection.request(data)
            now = time.perf_counter()
            if status != 201:
                refused[status] = refused.get(status, 0) + 1
            elif begin <= now <= end:
                times.append(1e6 * (now - sent))
            sent = now

    await asyncio.gather(*map(work, opened))
    for connection in opened:
        connection.close()
    return {"requests": len(times), "seconds": seconds, "refused": refused, "times": times}
