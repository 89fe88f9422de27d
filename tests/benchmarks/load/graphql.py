"""Subscribers over graphql-transport-ws: one operation on each socket, as npm's client names it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import picows

from tests.benchmarks.load.fleet import Fleet, Subscriber, open_socket

_PROTOCOL = {"Sec-WebSocket-Protocol": "graphql-transport-ws"}


class Operation(Subscriber):
    """:param spec: ``init``, the payload of the connection's first message, and ``payload``, the operation."""

    def __init__(self, fleet: Fleet, spec: dict[str, Any]) -> None:
        super().__init__(fleet, False)
        self._spec = spec

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self._send({"type": "connection_init", "payload": self._spec["init"]})

    def _control(self, transport: picows.WSTransport, kind: picows.WSMsgType, payload: bytes) -> None:
        if kind != picows.WSMsgType.TEXT:
            super()._control(transport, kind, payload)
            return
        message = json.loads(payload)
        if message["type"] == "connection_ack":
            self._send({"id": str(uuid4()), "type": "subscribe", "payload": self._spec["payload"]})
            self.connected.set_result(None)
        elif message["type"] == "ping":
            self.fleet.pings += 1
            self._send({"type": "pong"})
        elif message["type"] != "pong":
            raise RuntimeError(f"unexpected: {payload[:200]!r}")  # an error, say: picows disconnects

    def _send(self, message: dict[str, Any]) -> None:
        self.transport.send(picows.WSMsgType.TEXT, json.dumps(message, separators=(",", ":")).encode())


async def operate(fleet: Fleet, url: str, spec: dict[str, Any], source: str | None = None) -> Subscriber:
    """Open a socket and subscribe. It is not yet one of ``fleet.subscribers``."""
    return await open_socket(lambda: Operation(fleet, spec), url, _PROTOCOL, source)
