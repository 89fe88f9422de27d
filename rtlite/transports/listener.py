"""Sockets, TLS, the accept loop, and finding out what a connection is.

Every connection runs behind its own firewall: Trio cancels the siblings of a task that
raises, so an exception that left a connection would end the server. Here it ends the
connection, with a traceback in the log.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import ssl
import stat
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import trio

from rtlite.auth import origins
from rtlite.errors import Forbidden, NotFound, Refused, RequestTimeout, StartError
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.transports.head import Head, HeadTooLarge, check_websocket, parse_head
from rtlite.transports.http import HttpServer
from rtlite.transports.lean import LeanLane
from rtlite.transports.routes import PathTable, Reply, problem
from rtlite.transports.stream import ServerStream
from rtlite.transports.websocket import WebSocketRoute, WebSockets

log = get_logger(__name__)


class TrustedProxies:
    """Whose X-Forwarded-For and X-Forwarded-Proto count."""

    def __init__(self, names: Sequence[str]) -> None:
        self._unix = "unix" in names
        try:
            self._networks = [ip_network(name, strict=False) for name in names if name != "unix"]
        except ValueError as error:
            raise StartError(f"trusted_proxy: {error}") from error

    def trusts(self, address: str) -> bool:
        if address == "unix":
            return self._unix
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def resolve(self, peer: str, headers: Any, scheme: str) -> tuple[str, str]:
        """The client's address and scheme: the right-most address that is no proxy of ours."""
        if not (self._networks or self._unix) or not self.trusts(peer):
            return peer, scheme
        address = peer
        for hop in reversed([item.strip() for item in headers.get("x-forwarded-for", "").split(",")]):
            try:
                address = str(ip_address(hop.strip("[]")))
            except ValueError:
                break
            if not self.trusts(address):
                break
        forwarded = headers.get("x-forwarded-proto", "").split(",")[-1].strip().lower()
        return address, forwarded if forwarded in {"http", "https"} else scheme


class Listener:
    """Serves connections: reads each request's head and hands it to whoever speaks it."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        http: HttpServer,
        lean: LeanLane,
        websockets: WebSockets,
        websocket_routes: Sequence[WebSocketRoute],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._http = http
        self._lean = lean
        self._websockets = websockets
        self._websocket_paths = PathTable([(route.pattern, route) for route in websocket_routes])
        self._proxies = TrustedProxies(settings.trusted_proxy)
        self._tls = _tls_context(settings)
        self._idle: set[trio.CancelScope] = set()
        self.stopping = False

    @property
    def scheme(self) -> str:
        return "https" if self._tls else "http"

    def stop(self) -> None:
        """Let requests under way finish; end the connections that wait for the next one."""
        self.stopping = True
        for scope in self._idle:
            scope.cancel()

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        connections: trio.Nursery,
        *,
        trusted: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept until cancelled. Connections live in ``connections`` and outlive this task.

        When file descriptors run out, Trio's accept loop logs it and tries again; the backlog waits.
        """

        async def handle(stream: trio.SocketStream) -> None:
            await self.serve_stream(stream, trusted=trusted)

        await trio.serve_listeners(
            handle, list(listeners), handler_nursery=connections, task_status=_started(task_status)
        )

    async def serve_stream(self, transport: trio.abc.Stream, *, trusted: bool = False) -> None:
        """The life of one connection, on one screen; returns when it is over and raises nothing but cancellation."""
        try:
            async with trio.open_nursery() as nursery:
                secure = self._tls is not None and not trusted
                if secure:
                    transport = trio.SSLStream(transport, self._tls, server_side=True, https_compatible=True)  # type: ignore[arg-type]
                    with trio.fail_after(self._settings.handshake_timeout):
                        await transport.do_handshake()
                stream = ServerStream(transport, self._settings, nursery.start_soon, secure=secure, trusted=trusted)
                try:
                    await self._serve_requests(stream)
                finally:
                    await stream.aclose()
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # the peer is gone, or did not finish a handshake in time; there is nobody left to tell
        except* Exception:
            self._metrics.faults.inc()
            log.exception("a connection failed; it was closed")

    async def _serve_requests(self, stream: ServerStream) -> None:
        """Serve one request after another until the connection is over.

        One cancel scope serves all the waiting for heads; only its deadline moves (a scope of
        its own for each wait would be a tenth of a small request's cost).
        """
        head: Head | None = None
        try:
            with trio.CancelScope() as patience:
                while not self.stopping:
                    head = await self._read_head(stream, head, patience)
                    if head is None or not await self._serve_request(stream, head, patience):
                        return
            if stream.buffered and not self.stopping:
                raise RequestTimeout("the request head did not arrive in time")
        except Refused as error:
            await self._refuse(stream, problem(error))

    async def _serve_request(self, stream: ServerStream, head: Head, patience: trio.CancelScope) -> bool:
        """Serve one request; returns whether another may follow."""
        address, scheme = self._proxies.resolve(stream.peer, head.headers, "https" if stream.secure else "http")
        if (lean := self._lean.takes(head)) is not None:
            return await self._lean.answer(stream, head, lean, address, scheme)
        patience.deadline = math.inf  # from here on others hold the deadlines
        if head.wants_websocket:
            route, params = self._websocket_route(head, scheme)
            await self._websockets.serve(stream, head, route, params, address)
            return False
        return await self._http.answer(stream, head, address, scheme)

    async def _read_head(self, stream: ServerStream, last: Head | None, patience: trio.CancelScope) -> Head | None:
        """The next head; ``None`` when the connection is over.

        :param last: the head before it on this connection: a client that sends the same bytes again
            (most do) gets the same head, unparsed.
        :raises Refused: it is not one, or is too large.
        """
        raw = self._take_head(stream)
        if raw is None:
            idle = last is not None and not stream.buffered
            patience.deadline = trio.current_time() + (
                self._settings.keep_alive_timeout if idle else self._settings.handshake_timeout
            )
            while raw is None:
                if not stream.buffered:
                    self._idle.add(patience)
                elif idle:  # the first bytes came: the rest has the time of a handshake
                    idle, patience.deadline = False, trio.current_time() + self._settings.handshake_timeout
                try:
                    if not await stream.read_ahead():
                        return None
                finally:
                    self._idle.discard(patience)
                raw = self._take_head(stream)
        else:
            await trio.lowlevel.checkpoint()  # a pipelined request: others have their turn first
        if last is not None and raw == last.raw:
            return last
        return parse_head(raw.lstrip(b"\r\n"), self._settings.max_headers)

    def _take_head(self, stream: ServerStream) -> bytes | None:
        try:
            return stream.take_until(b"\r\n\r\n", self._settings.max_head)
        except ValueError as error:
            raise HeadTooLarge(f"the request head may have {self._settings.max_head} bytes") from error

    def _websocket_route(self, head: Head, scheme: str) -> tuple[WebSocketRoute, dict[str, str]]:
        """Where a handshake goes. :raises Refused: nowhere, and why; all before the handshake is answered."""
        found = self._websocket_paths.find(head.path)
        if not found:
            raise NotFound("no WebSocket is served at this path")
        check_websocket(head)
        origin = head.headers.get("origin")
        # A ticket was read by a page that CORS let read it, or is for public data: it is proof enough.
        ticket = head.query.get("token", "").startswith("tkt_")
        if not ticket and not origins.allowed(origin, head.headers.get("host"), scheme, self._settings):
            raise Forbidden("this origin may not connect (allowed_origins)", code="origin_not_allowed")
        return found[0]

    async def _refuse(self, stream: ServerStream, reply: Reply) -> None:
        """Answer, and close so that the answer arrives even if the peer still sends."""
        self._metrics.requests.labels("listener", str(reply.status)).inc()
        await self._lean.write(stream, reply, keep_alive=False)
        with trio.move_on_after(1):
            await stream.send_eof()
            while await stream.receive_some():
                pass


def _started(task_status: trio.TaskStatus[None]) -> Any:
    class Status:
        def started(self, _listeners: object = None) -> None:
            task_status.started()

    return Status()


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certfile and not settings.keyfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile or None)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"cannot use certfile {settings.certfile} and keyfile {settings.keyfile}: {error}") from error
    return context


def open_tcp(settings: Settings) -> list[trio.SocketListener]:
    """Listen on ``host`` and ``port``. :raises StartError: it cannot be done."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, OverflowError) as error:
        raise StartError(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    listeners: list[trio.SocketListener] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _tune(sock, settings)
            sock.bind((address[0], listeners[0].socket.getsockname()[1], *address[2:]) if listeners else address)
            sock.listen(4096)
        except OSError as error:
            sock.close()
            close_all(listeners)
            raise StartError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
        sock.setblocking(False)
        listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
    return listeners


def _tune(sock: socket.socket, settings: Settings) -> None:
    """Set on the listening socket what every accepted one inherits.

    Without SO_SNDBUF the kernel lets a peer that never reads hold 4 MB; with it, 265 KiB.
    TCP_USER_TIMEOUT ends a peer that acknowledges nothing.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer)
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.write_timeout * 1000))


@contextlib.contextmanager
def open_unix(path: str, settings: Settings, mode: int) -> Any:
    """Listen on a unix socket with this file mode; the file goes when this ends.

    A socket that a killed server left behind is replaced; one that answers is not.

    :raises StartError: the path is taken or cannot be made.
    """
    directory, name = os.path.split(os.path.abspath(path))
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StartError(f"cannot listen on {path}: {error.strerror}") from error
    # Socket addresses hold 107 bytes; a path through the open folder is always short enough.
    short = f"/proc/self/fd/{folder}/{name}" if len(path) > 100 else path
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(path, short)
        _tune(sock, settings)
        mask = os.umask(0o777 & ~mode)
        try:
            sock.bind(short)
        finally:
            os.umask(mask)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        os.close(folder)
        raise StartError(f"cannot listen on {path}: {error.strerror or error}") from error
    try:
        yield [trio.SocketListener(trio.socket.from_stdlib_socket(sock))]
    finally:
        sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(short)
        os.close(folder)


def _remove_dead_socket(path: str, short: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(short).st_mode):
            raise OSError(errno.EEXIST, "the file exists and is no socket", path)
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(short)
    except ConnectionRefusedError:
        os.unlink(short)
    else:
        raise OSError(errno.EADDRINUSE, "another server listens there", path)
    finally:
        probe.close()


def close_all(listeners: Sequence[trio.SocketListener]) -> None:
    for listener in listeners:
        listener.socket.close()
