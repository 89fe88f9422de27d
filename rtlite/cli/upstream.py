"""Listening to another program's server: server-sent events, or a WebSocket that sends JSON.

What it sends is handed over as it came, in ``raw``. What it means is found out when it is played.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
from trio_websocket import ConnectionClosed

from rtlite.client import CallFailed, Client
from rtlite.client.failures import not_rtlite
from rtlite.client.follower import Deliver, Follower, Page
from rtlite.client.websocket import open_websocket
from rtlite.protocols.eventsource import BrokenStream, Decoder

_SILENCE: Final = 3600.0  # seconds; others may have nothing to say for long
_FOR_GOOD: Final = {1008: 403, 4401: 401, 4403: 403}  # close codes after which no later try can succeed
_ANSWERS: Final = frozenset({"connected", "subscribed", "unsubscribed", "ping", "pong", "presence", "error"})
_BEHIND: Final = {"ws": "http", "wss": "https"}


def server_of(url: str) -> str:
    """The part of an upstream's URL that a client is made with."""
    parts = urlsplit(url)
    return f"{_BEHIND.get(parts.scheme, parts.scheme)}://{parts.netloc}"


def follower(
    client: Client, url: str, messages: Sequence[str], on_trouble: Callable[[CallFailed | None], None]
) -> Follower:
    """Listens to ``url``: ``ws:`` and ``wss:`` are WebSockets, which get the ``messages`` first, at each connection."""
    if urlsplit(url).scheme in _BEHIND:
        return _Socket(client, url, messages, on_trouble)
    return _Events(client, url, on_trouble)


class _Events(Follower):
    """Server-sent events, resumed by ``Last-Event-ID`` where the server gives ids."""

    def __init__(self, client: Client, url: str, on_trouble: Callable[[CallFailed | None], None]) -> None:
        super().__init__(client, (), None, on_trouble)
        self._parts = urlsplit(url)
        self._place: str | None = None

    async def connection(self, deliver: Deliver) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._place} if self._place else {})
        query = parse_qs(self._parts.query, keep_blank_values=True)
        decoder = Decoder(self._place)
        path = self._parts.path or "/"
        async with self._client.stream(path, query, headers, silence=_SILENCE) as pieces:
            self.is_up()
            async for piece in pieces:
                try:
                    items: list[Any] = [{"raw": event.data} for event in decoder.feed(piece)]
                except BrokenStream as error:
                    raise not_rtlite(self._client.url) from error
                self._place = decoder.last_id
                if items:
                    await deliver(Page(items, True, path))
        self.wait = (decoder.retry or 0) / 1000


class _Socket(Follower):
    """A WebSocket. What is sent while it is away is lost: these have no way to come back to a place."""

    def __init__(
        self, client: Client, url: str, messages: Sequence[str], on_trouble: Callable[[CallFailed | None], None]
    ) -> None:
        super().__init__(client, (), None, on_trouble)
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._of = parts.path or "/"
        self._messages = messages
        self._was_here = False

    async def connection(self, deliver: Deliver) -> None:
        async with open_websocket(self._client, self._path) as socket:
            try:
                for message in self._messages:
                    await socket.send_message(message)
                self.is_up()
                if self._was_here:
                    await deliver(Page([], False, self._of))
                self._was_here = True
                while True:
                    received = await socket.get_message()
                    if isinstance(received, str):
                        items: list[Any] = [{"raw": received}]
                        await deliver(Page(items, True, self._of))
            except ConnectionClosed as error:
                if (reason := error.reason) is not None and reason.code in _FOR_GOOD:
                    text = f"{self._client.url} closed the connection: {reason.reason or reason.name} ({reason.code})"
                    raise CallFailed(text, _FOR_GOOD[reason.code], str(reason.code)) from error


def meaning(raw: str, channel: str | None) -> dict[str, Any] | None:
    """The event in an upstream's message, by the shapes of the protocols that are spoken here; ``None`` if none is.

    ``{"channel","event","data"}`` is whole; ``{"type","data"}`` and ``{"type", …}`` are of ``channel``
    unless they name one, and whatever else is JSON is a ``message`` of it.
    """
    try:
        value = orjson.loads(raw)
    except ValueError:
        return None if channel is None else {"channel": channel, "event": "message", "data": raw}
    named: object
    match value:
        case {"channel": str(named), "event": str(event), "data": data}:
            return {"channel": named, "event": event, "data": data}
        case {"type": str(type)} if type in _ANSWERS:
            return None
        case {"type": str(event), **rest}:
            named = rest.pop("channel", None)
            target = named if isinstance(named, str) else channel
            data = rest.get("data", rest)
            return None if target is None else {"channel": target, "event": event, "data": data}
        case {"channel": str(), "userId": _}:
            return None  # a stream of events has begun
    return None if channel is None else {"channel": channel, "event": "message", "data": value}


def channel_of(url: str) -> str | None:
    """The channel that a blog's or a stream's URL names; ``None`` of one that names none."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    match parts:
        case [*_, "ws", "articles", slug]:
            return f"article:{slug}"
        case [*_, "ws", "notifications"] | [*_, "ws"]:
            return "notifications:dev"
        case [*_, "sse", channel]:
            return channel
    return None
