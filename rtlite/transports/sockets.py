"""Listening sockets: TCP, unix, TLS."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterator, Sequence

import trio

from rtlite.errors import StartError
from rtlite.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certfile and not settings.keyfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile or None)
    except (OSError, ssl.SSLError) as error:
        files = f"certfile {settings.certfile}" + (f" and keyfile {settings.keyfile}" if settings.keyfile else "")
        raise StartError(f"cannot use {files}: {error.strerror or error}") from error
    return context


def open_tcp(settings: Settings) -> list[trio.SocketListener]:
    """Listen on ``host`` and ``port``. :raises StartError: it cannot be done."""
    if settings.port > 65535:  # getaddrinfo would take it modulo 65536
        raise StartError(f"cannot listen on {settings.host}:{settings.port}: ports end at 65535")
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        why = "no such host" if error.errno == socket.EAI_NONAME else error.strerror
        raise StartError(f"cannot listen on {settings.host}: {why}") from error
    except (OSError, OverflowError, UnicodeError) as error:
        raise StartError(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    listeners: list[trio.SocketListener] = []
    refusal: OSError | None = None
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
            if error.errno == errno.EADDRNOTAVAIL and (listeners or len(found) > 1):
                refusal = error  # localhost names ::1 too, also where there is no IPv6
                continue
            close_all(listeners)
            raise StartError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
        sock.setblocking(False)
        listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
    if not listeners:
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port}: {refusal.strerror if refusal else 'no address'}"
        )
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
def open_unix(path: str, settings: Settings, mode: int) -> Iterator[list[trio.SocketListener]]:
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
