"""Listening to another program's server: server-sent events, a WebSocket that sends JSON, GraphQL, Socket.IO.

What it sends is handed over as it came, in ``raw``. What it means is found out when it is played (:mod:`.meaning`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
from trio_websocket import ConnectionClosed, WebSocketConnection

from rtlite.cli.dialects import Dialect, GraphQL, Plain, SocketIO, Step, is_socket_io
from rtlite.client import CallFailed, Client
from rtlite.client.follower import Deliver, Follower, Page
from rtlite.client.websocket import open_websocket
from rtlite.protocols.eventsource import BrokenStream, Decoder

_SILENCE: Final = 3600.0  # seconds; others may have nothing to say for long
_OTHER_SUBPROTOCOL: Final = 4406
# Close codes after which no later try can succeed, and the statuses that mean the same.
_FOR_GOOD: Final = {
    1008: 403,
    4400: 400,
    4401: 401,
    4403: 403,
    _OTHER_SUBPROTOCOL: 406,
}
_BEHIND: Final = {"ws": "http", "wss": "https"}


def server_of(url: str) -> str:
    """The part of an upstream's URL that a client is made with."""
    parts = urlsplit(url)
    return f"{_BEHIND.get(parts.scheme, parts.scheme)}://{parts.netloc}"


@attrs.frozen
class Wanted:
    """What is to be asked of an upstream besides its URL.

    :ivar messages: what a WebSocket gets first. :ivar query: a GraphQL subscription, and its ``variables``.
    """

    messages: tuple[str, ...] = ()
    query: str | None = None
    variables: dict[str, Any] | None = None


def follower(client: Client, url: str, wanted: Wanted, on_trouble: Callable[[CallFailed | None], None]) -> Follower:
    """Listens to ``url``: ``ws:`` and ``wss:`` are WebSockets, and so is Socket.IO, which its path shows."""
    parts = urlsplit(url)
    if is_socket_io(parts.path):
        return _Socket(client, url, SocketIO, on_trouble)
    if parts.scheme not in _BEHIND:
        return _Events(client, url, on_trouble)
    if wanted.query is None:
        return _Socket(client, url, partial(Plain, wanted.messages), on_trouble)
    request = {"query": wanted.query} | ({"variables": wanted.variables} if wanted.variables else {})
    return _Socket(client, url, partial(GraphQL, request, _params(client.key)), on_trouble)


def _params(key: str | None) -> dict[str, Any]:
    """What ``connection_init`` says of who connects: a key, or a token."""
    if key is None:
        return {}
    return {"authorization": f"Bearer {key}"} if key.startswith("eyJ") else {"apiKey": key}


class _Events(Follower):
    """Server-sent events, resumed by ``Last-Event-ID`` where the server gives ids."""

    def __init__(self, client: Client, url: str, on_trouble: Callable[[CallFailed | None], None]) -> None:
        super().__init__(client, (), None, on_trouble)
        self._parts = urlsplit(url)
        self._place: str | None = None

    async def connection(self, deliver: Deliver) -> None:
        try:
            await self._listen(deliver)
        except (BrokenStream, CallFailed) as error:
            if isinstance(error, CallFailed) and error.code != "not_rtlite":
                raise
            text = f"{self._client.url} answers, but not with server-sent events"
            raise CallFailed(text, 200, "no_event_stream") from error

    async def _listen(self, deliver: Deliver) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._place} if self._place else {})
        query = parse_qs(self._parts.query, keep_blank_values=True)
        decoder = Decoder(self._place)
        path = self._parts.path or "/"
        async with self._client.stream(path, query, headers, silence=_SILENCE) as pieces:
            self.is_up()
            async for piece in pieces:
                items: list[Any] = [{"raw": event.data} for event in decoder.feed(piece)]
                self._place = decoder.last_id
                if items:
                    await deliver(Page(items, True, path))
        self.wait = (decoder.retry or 0) / 1000


class _Socket(Follower):
    """A WebSocket. What is sent while it is away is lost: these have no way to come back to a place."""

    def __init__(
        self,
        client: Client,
        url: str,
        dialect: Callable[[], Dialect],
        on_trouble: Callable[[CallFailed | None], None],
    ) -> None:
        super().__init__(client, (), None, on_trouble)
        self._parts = urlsplit(url)
        self._of = self._parts.path or "/"
        self._dialect = dialect
        self._was_here = False

    async def connection(self, deliver: Deliver) -> None:
        dialect = self._dialect()
        query = "&".join(part for part in (self._parts.query, dialect.query) if part)
        path = self._of + (f"?{query}" if query else "")
        async with open_websocket(self._client, path, dialect.subprotocol) as socket:
            try:
                step = dialect.begin()
                while True:
                    await self._take(step, socket, deliver)
                    step = dialect.feed(await socket.get_message())
            except ConnectionClosed as error:
                if (reason := error.reason) is not None and reason.code in _FOR_GOOD:
                    text = f"{self._client.url} closed the connection: {reason.reason or reason.name} ({reason.code})"
                    if reason.code == _OTHER_SUBPROTOCOL and dialect.subprotocol is None:
                        text += "; a GraphQL subscription is asked for with --query"
                    raise CallFailed(text, _FOR_GOOD[reason.code], str(reason.code)) from error

    async def _take(self, step: Step, socket: WebSocketConnection, deliver: Deliver) -> None:
        for message in step.answers:
            await socket.send_message(message)
        if step.up:
            self.is_up()
            if self._was_here:
                await deliver(Page([], False, self._of))
            self._was_here = True
        if step.recorded:
            items: list[Any] = [{"raw": text} for text in step.recorded]
            await deliver(Page(items, True, self._of))


def shown(url: str) -> str:
    """An upstream's URL for the head of a recording: without what may be secret, with what names a stream."""
    parts = urlsplit(url)
    names = {name: values[0] for name, values in parse_qs(parts.query).items() if name in {"stream", "channel"}}
    query = f"?{urlencode(names)}" if names and is_socket_io(parts.path) else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"
