"""rtlite inside another program: :func:`open` for Trio, :func:`start` for everything else."""

from rtlite.embed.embedded import Embedded, open
from rtlite.embed.started import Started, start
from rtlite.transports.websocket import WebSocket, WebSocketRoute

__all__ = ["Embedded", "Started", "WebSocket", "WebSocketRoute", "open", "start"]
