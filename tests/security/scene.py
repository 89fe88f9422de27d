"""A server under attack and a bystander who must not notice, both out of the test's way.

The server runs in a thread or a process of its own, and attackers use plain blocking
sockets: nothing of Trio's stands between a test and the bytes it wants to send.
"""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import orjson
import structlog
import trio
from structlog.testing import LogCapture

from tests.servers import START_SECONDS, InProcess, ServerProcess, running_server
from tests.transports.doors import CLOSE, PING, PONG, TEXT, Answer, frame

PATIENCE = 10.0


@attrs.define
class Door:
    """Where a server listens."""

    address: tuple[str, int] | str
    tls: ssl.SSLContext | None = None

    def connect(self) -> Line:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(PATIENCE)
            sock.connect(self.address)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_hostname="localhost")
        except BaseException:
            sock.close()
            raise
        return Line(sock)


class Line:
    """A blocking connection that reads answers and frames."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._read = bytearray()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all; a server that refused and closed before the end is nobody's failure."""
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.sock.sendall(data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self._read[:200])!r}")
        self._read += data

    def exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            self._more()
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken

    def until(self, separator: bytes) -> bytes:
        while (end := self._read.find(separator)) < 0:
            self._more()
        return self.exactly(end + len(separator))

    def answer(self) -> Answer:
        """The next HTTP answer."""
        first, *fields = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        status = int(first.split(" ")[1])
        body = b"" if status in {100, 101, 204, 304} else self.exactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    def frame(self) -> tuple[int, bytes]:
        first, length = self.exactly(2)
        assert first & 0x80 and length < 128, "the server sends whole, unmasked frames"
        if length == 126:
            (length,) = struct.unpack("!H", self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.exactly(8))
        return first & 0x0F, self.exactly(length)

    def text(self) -> bytes:
        """The next text; pings are answered."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return payload
            if opcode == PING:
                self.send(frame(payload, PONG))
            assert opcode in {PING, PONG}, (opcode, payload)

    def close_code(self) -> int:
        """The code of the close frame that comes, 1005 if it has none."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005

    def pong(self, payload: bytes) -> None:
        """Wait for the pong with this payload."""
        while self.frame() != (PONG, payload):
            pass

    def ended(self) -> bytes:
        """What comes until the end, also by a reset."""
        with suppress(EOFError, ConnectionResetError, ssl.SSLError):
            while True:
                self._more()
        return bytes(self._read)


@attrs.define
class Scene:
    """A running server, a key to it, and someone who was connected before the attack."""

    door: Door
    key: str
    logs: Callable[[], list[str]]
    """Every line logged so far, as text; those with a traceback contain ``exc_info`` or ``exception``."""
    server: InProcess | ServerProcess
    _run: Callable[[Callable[[], Any]], Any]
    bystander: Line = attrs.field(init=False)
    publisher: Line = attrs.field(init=False)
    number: int = 0

    def run(self, function: Callable[[], Any]) -> Any:
        """Run an async function where the server is."""
        return self._run(function)

    def upgrade(self, path: str, key: str | None = None, **headers: str) -> Line:
        line = self.door.connect()
        fields = {"X-Api-Key": key or self.key, **headers}
        line.send(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n".encode()
            + "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
            + b"\r\n"
        )
        assert line.answer().status == 101
        return line

    def request(self, method: str, path: str, body: Any = None, *, line: Line | None = None, **headers: str) -> Answer:
        """One request on the publisher's connection, or on ``line``."""
        line = line or self.publisher
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        fields = {"Host": "localhost", "X-Api-Key": self.key, "Content-Length": str(len(content))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items() if value
        )
        line.send(head.encode() + b"\r\n" + content)
        return line.answer()

    def publish(self) -> None:
        self.number += 1
        event = {"channel": "article:bystander", "event": "e", "data": {"n": self.number}}
        assert self.request("POST", "/api/publish", event).status == 201

    def all_is_well(self) -> None:
        """The bystander gets an event, on its connection from before, and a newcomer is served."""
        self.publish()
        assert orjson.loads(self.bystander.text()) == {"type": "e", "n": self.number}
        with self.door.connect() as newcomer:
            assert self.request("GET", "/healthz", line=newcomer).status == 200

    def faults(self) -> float:
        """How often the server caught a mistake of its own."""
        if isinstance(self.server, InProcess):
            return float(self.server.running.server.metrics.faults._value.get())
        text = self.request("GET", "/metrics").body.decode()
        return float(
            next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("rtlite_faults_total "))
        )


@contextmanager
def staged(
    *, data: Path | None = None, process: bool = False, tls: Any = None, uds: Path | None = None, **settings: Any
) -> Iterator[Scene]:
    """A server under attack.

    :param process: in a process of its own, on the file ``data``; else in a thread.
    :param tls: a trustme CA and a folder; :param uds: a unix socket to listen on.
    """
    started: queue.Queue[Any] = queue.Queue()
    capture = LogCapture()

    async def main() -> None:
        stop = trio.Event()
        token = trio.lowlevel.current_trio_token()
        if process:
            assert data is not None
            async with ServerProcess(data, **settings) as child:
                started.put((child, child.admin_key or "rtk_dev", stop, token))
                await stop.wait()
                assert await child.terminate() == 0
        else:
            async with running_server(**settings) as server:
                started.put((server, await server.key("admin", "root"), stop, token))
                await stop.wait()

    def thread() -> None:
        try:
            trio.run(main)
        except BaseException as error:  # the test gets it
            started.put(error)
        else:
            started.put(None)

    client = None
    if uds is not None:
        settings["uds"] = str(uds)
    if data is not None and not process:
        settings["data"] = str(data)
    if tls is not None:
        authority, folder = tls
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "certificate.pem")
        settings |= {"certfile": str(folder / "certificate.pem"), "allowed_origins": ("http://localhost",)}
        client = ssl.create_default_context()
        authority.configure_trust(client)
    if not process:
        structlog.configure(processors=[capture])
    runner = threading.Thread(target=thread, name="server", daemon=True)
    runner.start()
    first = started.get(timeout=2 * START_SECONDS)
    if isinstance(first, BaseException):
        raise first
    server, key, stop, token = first

    def logs() -> list[str]:
        if process:
            return [line for line in server.log.read_text().splitlines() if line.startswith("{")]
        return [repr(entry) for entry in capture.entries]

    scene = Scene(
        Door(str(uds) if uds is not None else ("127.0.0.1", server.port), client),
        key,
        logs,
        server,
        lambda function: trio.from_thread.run(function, trio_token=token),
    )
    try:
        with scene.door.connect() as scene.publisher, scene.upgrade("/blog/ws/articles/bystander") as scene.bystander:
            while not any(
                "article:bystander" in item["channels"]
                for item in scene.request("GET", "/api/connections").json["items"]
            ):
                pass
            yield scene
    finally:
        token.run_sync_soon(stop.set)
        runner.join(30)
        if not process:
            structlog.reset_defaults()
    last = started.get(timeout=1)
    if last is not None:
        raise last
