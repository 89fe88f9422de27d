"""The peers, each as its own documentation does the same work (see ``peers/``).

They keep no history on a disk and ask nobody who they are; rtlite does both in the same rows.
"""

from __future__ import annotations

import shutil
import socket
import time
from typing import Any

from tests.benchmarks.install import BUN, CLIENT_PYTHON, DEBIAN, NODE_MODULES, PEERS
from tests.benchmarks.load.message import FIRST, event
from tests.benchmarks.ours import JSON, Rtlite
from tests.benchmarks.servers import Server


class _WebSocketPeer(Server):
    """Subscribers and publishers connect to the same place; a message goes to all but its sender."""

    @property
    def subscriber(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/"}

    @property
    def publisher(self) -> dict[str, Any]:
        return self.subscriber


class _NodePeer(_WebSocketPeer):
    script: str

    def command(self) -> list[str]:
        return [shutil.which("node") or "node", str(PEERS / self.script)]

    def environment(self) -> dict[str, str]:
        return {"NODE_PATH": str(NODE_MODULES), "NODE_ENV": "production"}


class Ws(_NodePeer):
    name = "ws"
    script = "ws.cjs"


class SocketIo(_NodePeer):
    name = "socket.io"
    script = "socketio.cjs"

    @property
    def subscriber(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket", "socketio": True}


class GraphQlWs(_NodePeer):
    name = "graphql-ws"
    script = "graphql.cjs"


class NodeHttp(_NodePeer):
    name = "node http"
    script = "node_http.cjs"

    def publish(self, size: int) -> dict[str, Any]:
        """The same request as :meth:`Rtlite.publish` makes."""
        assert size == 1
        headers = {"Authorization": "Bearer rtk_" + "x" * 40, "Content-Type": JSON}
        path, body = "/api/publish", event(Rtlite.channel, FIRST)
        return {"host": "127.0.0.1", "port": self.port, "headers": headers, "path": path, "body": body}


class Bun(_WebSocketPeer):
    name = "bun"

    def command(self) -> list[str]:
        return [str(BUN), "run", str(PEERS / "bun.js")]


class Websockets(_WebSocketPeer):
    name = "websockets"

    def command(self) -> list[str]:
        return [str(CLIENT_PYTHON), str(PEERS / "websockets_server.py")]


class Nchan(Server):
    name = "nchan"

    def command(self) -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        text = (PEERS / "nchan.conf").read_text()
        modules = DEBIAN / "usr" / "lib" / "nginx" / "modules"
        config = self.directory / "nginx.conf"
        config.write_text(
            text.format(root=self.directory, modules=modules, port=self.port, ping=f"{self.ping_seconds:.0f}")
        )
        nginx = DEBIAN / "usr" / "sbin" / "nginx"
        return [str(nginx), "-p", str(self.directory), "-c", str(config), "-e", str(self.directory / "error.log")]

    def _await_ready(self) -> None:
        """It prints nothing: it is ready when it accepts."""
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.log.seek(0)
        raise RuntimeError(f"nginx did not start: {self.log.read()}")

    @property
    def subscriber(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/sub"}

    @property
    def publisher(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/pub"}


PEERS_THAT_BROADCAST: tuple[type[Server], ...] = (Ws, Bun, SocketIo, Websockets, Nchan)
