"""The load generator's HTTP half: keep-alive connections that send ready-made requests."""

from __future__ import annotations

import asyncio
import select
import socket
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
    """The same request over and over. Answers that come in the first ``warm`` seconds do not count.

    On bare sockets: the generator shares two cores with the server, and what it takes for a request is
    missing there.
    """
    data = request_bytes("POST", path, headers, body.encode())
    poll = select.epoll()
    opened = {}
    for _ in range(connections):
        connection = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    clock = time.perf_counter
    begin = clock() + warm
    end = begin + seconds
    times: list[float] = []
    refused: dict[int, int] = {}
    sent = dict.fromkeys(opened, clock())
    for connection in opened.values():
        connection.sendall(data)
    while sent:
        for descriptor, _ in poll.poll():
            answer = _answer(opened[descriptor])
            now = clock()
            if answer[9:12] != b"201":
                status = int(answer[9:12])
                refused[status] = refused.get(status, 0) + 1
            elif begin <= now <= end:
                times.append(1e6 * (now - sent[descriptor]))
            if now < end:
                sent[descriptor] = now
                opened[descriptor].send(data)
            else:
                del sent[descriptor]
                poll.unregister(descriptor)
    poll.close()
    for connection in opened.values():
        connection.close()
    return {"requests": len(times), "seconds": seconds, "refused": refused, "times": times}


def _answer(connection: socket.socket) -> bytes:
    """A whole one; nearly always it comes in one piece, with its length near the end of the head."""
    data = connection.recv(65536)
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0 and len(data) - end - 4 >= _length(data[:end]):
            return data
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed before the answer")
        data += more


def _length(head: bytes) -> int:
    head = head.lower() + b"\r\n"
    at = head.index(b"content-length:") + 15
    return int(head[at : head.index(b"\r\n", at)])
