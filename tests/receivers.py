"""Endpoints of webhooks: real local HTTP servers that keep what they get, and answer as a test says.

async with receiving(410, ok) as receiver:          # the first request, the second; the last answer repeats
    receiver.url                                    # http://127.0.0.1:PORT/hook
    request = await receiver.request()              # the next that came
    request.verified(secret)                        # its payload, if the signature holds
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import h11
import trio
from standardwebhooks import Webhook

PATIENCE = 10.0


@attrs.frozen
class Request:
    target: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """The payload, as a receiver's library gives it. :raises WebhookVerificationError: it is not signed so."""
        return Webhook(secret).verify(self.body, self.headers)

    @property
    def message(self) -> str:
        return self.headers["webhook-id"]


Behaviour = Callable[[trio.abc.Stream, h11.Connection], Awaitable[None]]


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> Behaviour:
    """An answer with these headers; ``retry_after="7"`` is ``Retry-After: 7``."""
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]

    async def behave(stream: trio.abc.Stream, connection: h11.Connection) -> None:
        content = b"" if status in {204, 304} else body
        head = h11.Response(status_code=status, headers=[("content-length", str(len(content))), *fields])
        for event in (head, h11.Data(data=content), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")

    return behave


ok = answer()


async def hang(stream: trio.abc.Stream, connection: h11.Connection) -> None:
    """Never answer."""
    await trio.sleep_forever()


async def reset(stream: trio.abc.Stream, connection: h11.Connection) -> None:
    """Close in place of an answer."""
    await stream.aclose()


async def babble(stream: trio.abc.Stream, connection: h11.Connection) -> None:
    """No HTTP at all."""
    await stream.send_all(b"\x00\x01 I am no web server\r\n\r\n")
    await stream.aclose()


async def endless(stream: trio.abc.Stream, connection: h11.Connection) -> None:
    """A good status and a body without end."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"2000\r\n" + bytes(0x2000) + b"\r\n")


async def trickle(stream: trio.abc.Stream, connection: h11.Connection) -> None:
    """A good status and a body that does not come."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    await trio.sleep_forever()


class Receiver:
    def __init__(self, behaviours: list[Behaviour]) -> None:
        self.url = ""
        self.port = 0
        self.connections = 0
        self.behaviours = behaviours
        self._send, self._receive = trio.open_memory_channel[Request](100_000)

    async def request(self) -> Request:
        """The next request that came."""
        with trio.fail_after(PATIENCE):
            return await self._receive.receive()

    async def requests(self, count: int) -> list[Request]:
        return [await self.request() for _ in range(count)]

    @property
    def came(self) -> int:
        """How many requests came that were not asked for yet."""
        return self._receive.statistics().current_buffer_used

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        connection, head, body = h11.Connection(h11.SERVER), None, bytearray()
        try:
            async with stream:
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        connection.receive_data(await stream.receive_some(65536))
                    elif isinstance(event, h11.Request):
                        head, body = event, bytearray()
                    elif isinstance(event, h11.Data):
                        body += event.data
                    elif isinstance(event, h11.EndOfMessage) and head is not None:
                        headers = {name.decode(): value.decode() for name, value in head.headers}
                        self._send.send_nowait(Request(head.target.decode(), headers, bytes(body)))
                        behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                        await behave(stream, connection)
                        if connection.our_state is not h11.DONE:
                            return
                        connection.start_next_cycle()
                    else:
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # the sender gave up


@asynccontextmanager
async def receiving(
    *behaviours: Behaviour | int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    """An endpoint until the end of the block; a number is the status of an answer."""
    wanted = [answer(item) if isinstance(item, int) else item for item in behaviours or (ok,)]
    receiver = Receiver(wanted)

    async def handle(stream: trio.abc.Stream) -> None:
        await receiver.serve(stream if tls is None else trio.SSLStream(stream, tls, server_side=True))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handle, port, host=host))
        receiver.port = listener.socket.getsockname()[1]
        receiver.url = f"{'http' if tls is None else 'https'}://{host}:{receiver.port}/hook"
        yield receiver
        nursery.cancel_scope.cancel()
