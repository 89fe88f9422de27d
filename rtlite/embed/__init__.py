"""rtlite inside another program: :func:`open` for Trio, :func:`start` for everything else."""

from rtlite.embed.embedded import Embedded, open
from rtlite.embed.started import Started, start
from rtlite.endpoints.socketio import ConnectRefused, Namespace
from rtlite.transports.websocket import WebSocket, WebSocketRoute

__all__ = ["ConnectRefused", "Embedded", "Namespace", "Started", "WebSocket", "WebSocketRoute", "open", "start"]
