"""An echo for WebSocket test suites, served with ``--conformance-echo`` and never else.

It takes messages of 17 MiB, one more than the largest that Autobahn sends, in as many frames
as it likes, and needs no credential: it reads nothing and keeps nothing.
"""

from __future__ import annotations

from rtlite.settings import MIB
from rtlite.transports.websocket import WebSocket, WebSocketRoute


async def echo(websocket: WebSocket) -> None:
    """Send every message back, until the peer closes."""
    while True:
        await websocket.reply(await websocket.receive())


def websockets() -> list[WebSocketRoute]:
    path, size, frames = "/conformance/echo", 17 * MIB, 1_000_000
    return [WebSocketRoute(path, "conformance", echo, max_message=size, max_fragments=frames)]
