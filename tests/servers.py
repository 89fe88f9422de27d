"""The one way for tests to get servers.

In this process, on a port of its own, for most tests::

    async def test_something():
        async with running_server(ping_interval=0.1) as server:
            key = await server.key("blog", "alice")          # also "project", "stream", "admin"
            answer = await server.http(key).post("/blog/v1/articles", json={"slug": "a", "title": "A"})
            async with server.websocket("/blog/ws/articles/a", key) as websocket:
                ...
            server.running.server  # the object graph, for what has no door

A real process, for what only a process can do (be killed, say)::

    async with ServerProcess(tmp_path / "rtlite.db") as server:
        await server.kill()   # SIGKILL
        await server.start()  # again, on the same port

Both stop with the block. A :class:`ServerProcess` prints its log when the block fails.

Do not use ``autojump_clock`` with either: real sockets do not know that time was skipped.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import pytest
import trio
import trio_websocket

from rtlite.endpoints.socketio import Namespace
from rtlite.model import Kind, Role
from rtlite.server import Running, serve
from rtlite.settings import Settings
from rtlite.transports.websocket import WebSocketRoute
from tests import warm

T = TypeVar("T")

START_SECONDS = 60.0  # on a quiet machine it takes one
STOP_SECONDS = 15.0
# All is plain HTTP: to make this, let alone load certificates, takes longer than most tests.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@asynccontextmanager
async def ungrouped(manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter ``manager``, a nursery say; what the block raises comes without a group around it."""
    failure: BaseException | None = None
    async with manager as value:
        try:
            yield value
        except (Exception, pytest.skip.Exception) as error:
            failure = error
    if failure is not None:
        raise failure


class Doors:
    """What both kinds of server offer: addresses, HTTP, WebSockets."""

    url: str
    _stack: AsyncExitStack

    @property
    def ws_url(self) -> str:
        """``ws://HOST:PORT``."""
        return self.url.replace("http", "ws", 1)

    def http(self, key: str | None = None, **headers: str) -> httpx.AsyncClient:
        """An HTTP client that presents ``key``; it is closed with the server. ``user_agent="…"`` is a header."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, trust_env=False, verify=_TLS)
        self._stack.push_async_callback(client.aclose)
        return client

    async def operator(self) -> httpx.AsyncClient:
        """An HTTP client with an admin key."""
        raise NotImplementedError

    async def subscribed(self, channel: str, count: int = 1) -> None:
        """Wait until so many connections listen to ``channel``: a client learns only that it is connected."""
        client = await self.operator()
        with trio.fail_after(10):
            while True:
                connections = (await client.get("/api/connections")).json()["items"]
                if sum(channel in connection["channels"] for connection in connections) >= count:
                    return

    @asynccontextmanager
    async def websocket(
        self, path: str, key: str | None = None, largest: int = 16 * 1024 * 1024, **headers: str
    ) -> AsyncIterator[trio_websocket.WebSocketConnection]:
        """A WebSocket that presents ``key`` in the Authorization header, and takes messages up to ``largest`` bytes."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        # trio-websocket's own openers leave the socket to the garbage collector when the server closes first.
        async with (
            await trio.open_tcp_stream(host.strip("[]"), int(port)) as stream,
            ungrouped(trio.open_nursery()) as nursery,
        ):
            with trio.fail_after(10):
                connection = await trio_websocket.wrap_client_stream(
                    nursery, stream, f"{host}:{port}", path, extra_headers=extra, max_message_size=largest
                )
            async with connection:
                yield connection


@attrs.define(eq=False)
class InProcess(Doors):
    """A server in this process."""

    running: Running
    _stack: AsyncExitStack = attrs.field(factory=AsyncExitStack)

    @property
    def url(self) -> str:  # type: ignore[override]
        return self.running.url

    @property
    def port(self) -> int:
        assert self.running.port is not None
        return self.running.port

    async def key(self, kind: str, user: str, **options: Any) -> str:
        """Make a key and return its secret. Options: ``expires_in`` (seconds), ``write``, ``name``."""
        return (await self.running.server.keyring.create(Kind(kind), user, **options))[1]

    async def operator(self) -> httpx.AsyncClient:
        return self.http(await self.key("admin", "operator"))

    async def revoke(self, secret: str) -> None:
        """Revoke the key with this secret."""
        keyring = self.running.server.keyring
        found = keyring.find(secret)
        assert found is not None
        await keyring.revoke(found.id)

    def token(self, user: str, ttl: float = 3600.0, role: str = "user", **patterns: list[str]) -> str:
        """A JWT; patterns are ``subscribe`` and ``publish``."""
        return self.running.server.tokens.sign(user, Role(role), ttl, **patterns)


@asynccontextmanager
async def running_server(
    namespaces: Sequence[Namespace] = (), websockets: Sequence[WebSocketRoute] = (), **settings: Any
) -> AsyncIterator[InProcess]:
    """A server in this process, in memory unless ``data`` is given, stopped in order at the end.

    :param namespaces: of Socket.IO, besides its own. :param websockets: paths besides its own.
    """
    chosen = Settings(**{"port": 0, "data": ":memory:", "shutdown_spread": 0.0, "shutdown_timeout": 2.0, **settings})
    async with ungrouped(trio.open_nursery()) as nursery:
        running: Running = await nursery.start(partial(serve, chosen, namespaces, websockets=websockets))
        server = InProcess(running)
        try:
            await running.keep_admin_key()
            async with server._stack:
                yield server
        finally:
            running.stop()


class ServerProcess(Doors):
    """``python -m rtlite serve`` in a process of its own.

    :param data: the database file. Its log goes to a file beside it, over all its starts.
    :param popen: what starts it; ``subprocess.Popen`` where the start itself is looked at (:mod:`tests.warm`).
    :param flags: as on the command line: ``dev=True`` is ``--dev``, ``ping_interval="1s"`` is ``--ping-interval 1s``.

    ``url`` and ``port`` hold from the first :meth:`start` on and stay over restarts.
    ``admin_key`` is what the first start of a database printed, unless ``dev``.
    """

    def __init__(
        self, data: str | os.PathLike[str], *, popen: type[subprocess.Popen[str]] = warm.Popen, **flags: object
    ) -> None:
        self.data = Path(data)
        self.log = self.data.with_name(self.data.name + ".log")
        self.url = ""
        self.port = 0
        self.admin_key: str | None = None
        self._popen = popen
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None
        self._decided = threading.Event()
        self._ready = False
        self._reader: threading.Thread | None = None
        self._stack = AsyncExitStack()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def operator(self) -> httpx.AsyncClient:
        return self.http(self.admin_key or "rtk_dev")

    @property
    def command(self) -> list[str]:
        """The whole command line."""
        words = [sys.executable, "-m", "rtlite", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        words += ["--data", str(self.data)]
        for name, value in self._flags.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return words

    @property
    def environment(self) -> dict[str, str]:
        """Ours, without settings."""
        return {name: value for name, value in os.environ.items() if not name.startswith("RTLITE_")}

    def open(self, **streams: Any) -> subprocess.Popen[str]:
        """Begin to start it."""
        return self._popen(self.command, stdin=subprocess.DEVNULL, text=True, env=self.environment, **streams)

    async def start(self) -> None:
        """Start it, and return once it says that it is ready."""
        assert self._process is None, "it runs already"
        self._ready = False
        self._decided.clear()
        with self.log.open("a") as log:
            self._process = await trio.to_thread.run_sync(partial(self.open, stdout=subprocess.PIPE, stderr=log))
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        await trio.to_thread.run_sync(self._decided.wait, START_SECONDS, abandon_on_cancel=True)
        if not self._ready:
            await self.kill()
            raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Copy what it prints to the log, and take the ready line and the key from it."""
        assert process.stdout is not None
        with process.stdout, self.log.open("a", buffering=1) as log:
            for line in process.stdout:
                log.write(line)
                if match := re.search(r"\brtk_[\w-]{20,}", line):
                    self.admin_key = match[0]
                if match := re.match(r"rtlite ready on (http://\S+:(\d+))", line):
                    self.url, self.port = match[1], int(match[2])
                    self._ready = True
                    self._decided.set()
        self._decided.set()  # it ended

    async def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        await self.stop(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM: an orderly stop; returns the exit code, which is to be 0."""
        return await self.stop(signal.SIGTERM)

    async def stop(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self._process is not None and self._reader is not None
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            with trio.CancelScope(shield=True):
                code: int = await trio.to_thread.run_sync(process.wait, STOP_SECONDS)
                await trio.to_thread.run_sync(self._reader.join)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not stop in {STOP_SECONDS} s:\n{self.log.read_text()}") from None
        return code

    async def __aenter__(self) -> ServerProcess:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await self._stack.aclose()
            if self._process is not None:
                await self.kill()
        if kind is not None:
            print(f"--- log of the server on {self.data} ---\n{self.log.read_text()}")
