"""Following channels by server-sent events: any number of them in one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from rtlite.client.failures import CallFailed, not_rtlite
from rtlite.client.follower import Deliver, Follower, Page
from rtlite.protocols.eventsource import BrokenStream, Decoder, Incoming

_SILENCE: Final = 90.0  # seconds; the server is heard every 30, if only by a heartbeat
_WANTED: Final = {"connected": {"recovered"}, "closed": {"code", "message"}, "message": {"channel", "event", "data"}}
# Codes of the event "closed" after which no later try can succeed, as statuses.
_FOR_GOOD: Final = {
    "closed_by_operator": 204,
    "abuse": 400,
    "unauthorized": 401,
    "expired": 401,
    "revoked": 401,
    "forbidden": 403,
}


class EventSource(Follower):
    """All channels in one stream, in which each event's id says where it is."""

    _place: str | None = None
    _has_listened = False

    async def connection(self, deliver: Deliver) -> None:
        query: dict[str, Sequence[str]] = {"channel": self.channels, "includeMetadata": ("true",)}
        headers = {"Accept": "text/event-stream"}
        if self._place is not None:
            headers["Last-Event-ID"] = self._place
        elif self.since is not None:
            query["since"] = (self.since,)
        decoder = Decoder(self._place)
        closed: CallFailed | None = None
        async with self._client.stream("/sse", query, headers, silence=_SILENCE) as pieces:
            async for piece in pieces:
                for event in self._events(decoder, piece):
                    if event.name == "closed":  # the end follows; it is read, or httpx's generators are left hanging
                        closed = self._closed(event)
                    else:
                        await self._take(event, deliver)
        self.wait = (decoder.retry or 0) / 1000
        if closed is not None:
            raise closed
        if not self.was_up:
            raise CallFailed(f"{self._client.url} ended the stream before it began", 503, "overloaded")

    def _events(self, decoder: Decoder, piece: bytes) -> list[Incoming]:
        try:
            return list(decoder.feed(piece))
        except BrokenStream as error:
            raise not_rtlite(self._client.url) from error

    async def _take(self, event: Incoming, deliver: Deliver) -> None:
        value = self._value(event)
        match event.name:
            case "connected":
                self.is_up()
                # Without history there is no place to come back to, and what came meanwhile is lost.
                kept = not self._has_listened or self._place is not None
                self._has_listened = True
                if not (value["recovered"] and kept):
                    await deliver(Page([], False, ", ".join(self.channels)))
            case "message":
                item: Any = value | {"position": event.id or None}
                await deliver(Page([item], True, value["channel"]))
        self._place = event.id or None

    def _closed(self, event: Incoming) -> CallFailed:
        value = self._value(event)
        code = str(value["code"])
        text = f"the server closed the stream: {value['message']} ({code})"
        return CallFailed(text, _FOR_GOOD.get(code, 503), code)

    def _value(self, event: Incoming) -> dict[str, Any]:
        """The event's data, with the fields that this kind of event has. Unknown kinds are let be."""
        wanted = _WANTED.get(event.name)
        if wanted is None:
            return {}
        try:
            value = orjson.loads(event.data)
        except ValueError as error:
            raise not_rtlite(self._client.url) from error
        if not isinstance(value, dict) or not wanted <= value.keys():
            raise not_rtlite(self._client.url)
        return value
