"""WebSockets as a client opens them: over TCP, TLS or a unix socket, with the key in a header."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import trio
from trio_websocket import ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream

from rtlite.client.calls import Calls
from rtlite.client.failures import CallFailed, no_answer

_OPEN_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
_LARGEST: Final = 16 * 1024 * 1024  # bytes of a message; an event's data may have a megabyte


@asynccontextmanager
async def open_websocket(
    client: Calls, path: str, subprotocol: str | None = None
) -> AsyncIterator[WebSocketConnection]:
    """A connection to ``path`` at the server that ``client`` speaks to, closed with the block.

    :raises CallFailed: nobody answers, or not with a WebSocket.
    """
    try:
        # trio-websocket's own openers speak neither over unix sockets nor with the keys in a header over TLS,
        # and leave the socket to the garbage collector when the server closes first.
        async with trio.open_nursery() as nursery:
            deadline = trio.current_time() + _OPEN_SECONDS
            with trio.fail_at(deadline):
                stream = await _stream(client)
            async with stream:
                with trio.fail_at(deadline):
                    websocket = await _handshake(nursery, stream, client, path, subprotocol)
                try:
                    yield websocket
                finally:
                    with trio.move_on_after(_CLOSE_SECONDS):
                        await websocket.aclose()
    except BaseExceptionGroup as group:
        if group.subgroup(trio.Cancelled) is not None:
            raise
        raise _told(client, group) from group


async def _handshake(
    nursery: trio.Nursery, stream: Any, client: Calls, path: str, subprotocol: str | None
) -> WebSocketConnection:
    parts = urlsplit(client.base_url)
    headers = [] if client.key is None else [(b"Authorization", f"Bearer {client.key}".encode())]
    return await wrap_client_stream(
        nursery,
        stream,
        parts.netloc,
        parts.path.rstrip("/") + path,
        subprotocols=None if subprotocol is None else [subprotocol],
        extra_headers=headers,
        max_message_size=_LARGEST,
    )


async def _stream(client: Calls) -> trio.abc.Stream:
    if client.socket is not None:
        return await trio.open_unix_socket(client.socket)
    parts = urlsplit(client.base_url)
    host = parts.hostname or ""
    stream = await trio.open_tcp_stream(host, parts.port or (443 if parts.scheme == "https" else 80))
    if parts.scheme != "https":
        return stream
    # The same authorities as the HTTP client trusts.
    secure = trio.SSLStream(stream, httpx.create_ssl_context(), server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secure)
        raise
    return secure


def _told(client: Calls, error: BaseException) -> BaseException:
    """The one error in the nursery's group, in our words if the connection failed; a group of several as it is."""
    if isinstance(error, BaseExceptionGroup):
        return _told(client, error.exceptions[0]) if len(error.exceptions) == 1 else error
    if isinstance(error, ConnectionRejected):
        text = f"{client.url} answers, but with no WebSocket ({error.status_code})"
        return CallFailed(text, error.status_code, "refused")
    if isinstance(error, OSError | trio.BrokenResourceError | trio.TooSlowError | HandshakeError):
        return no_answer(client.url, error)
    return error
