"""Following channels over a WebSocket to ``/_events``: one connection, one subscription for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from rtlite.client.calls import Calls
from rtlite.client.failures import CallFailed, not_rtlite
from rtlite.client.follower import Deliver, Follower, Page, without_repeats
from rtlite.client.websocket import open_websocket
from rtlite.model import kind_of

_QUIET: Final = 30.0  # seconds without a message, after which the server is asked whether it is there
_AGAIN: Final = 1.0  # seconds until a subscription is asked for again that came too fast after others
_STATUS: Final = {"unauthorized": 403, "invalid_request": 400}  # errors that no later try mends
_FOR_GOOD: Final = {1000: 204, 4401: 401, 4403: 403}  # close codes, likewise


class EventSocket(Follower):
    """Each channel by a subscription of its own, which says where it is by each event's position."""

    def __init__(
        self,
        client: Calls,
        channels: Sequence[str],
        since: str | None,
        on_trouble: Callable[[CallFailed | None], None],
    ) -> None:
        super().__init__(client, without_repeats(channels), since, on_trouble)
        self._places: dict[str, str | None] = dict.fromkeys(self.channels, since)
        self._listened: set[str] = set()

    async def connection(self, deliver: Deliver) -> None:
        async with open_websocket(self._client, "/_events") as socket, trio.open_nursery() as nursery:
            for channel in self.channels:
                await self._subscribe(socket, channel)
            while (message := await self._next(socket)) is not None:
                match message:
                    case {"type": "subscribed", "channel": str(channel), "recovered": bool(recovered)} if (
                        channel in self._places
                    ):
                        self.is_up()
                        # Without history there is no place to come back to, and what came meanwhile is lost.
                        kept = channel not in self._listened or self._places[channel] is not None
                        self._listened.add(channel)
                        self._places[channel] = message.get("position") or self._places[channel]
                        if not (recovered and kept):
                            await deliver(Page([], False, channel))
                    case {"type": "error", "code": "rate_limited", "channel": str(channel)}:
                        nursery.start_soon(self._subscribe, socket, channel, _AGAIN)
                    case {"type": "error", "code": "unauthorized"} if "channel" not in message:
                        pass  # of the whole connection: the close code behind it says more
                    case {"type": "error", "code": str(code), "message": text}:
                        about = f"{message['channel']}: " if "channel" in message else ""
                        raise CallFailed(f"{about}{text} ({code})", _STATUS.get(code, 503), code)
                    case {"type": "unsubscribed", "channel": str(channel)}:
                        raise CallFailed(f"{channel}: this may not be read any more", 403, "unauthorized")
                    case {"type": str()}:
                        pass  # an answer to a ping, or news that we have no use for
                    case {"channel": str(channel), "event": str(), "data": _}:
                        item: Any = message
                        await deliver(Page([item], True, channel))
                        self._arrived(channel, message.get("position"))
                    case _:
                        raise not_rtlite(self._client.url)
            nursery.cancel_scope.cancel()

    async def _subscribe(self, socket: WebSocketConnection, channel: str, after: float = 0.0) -> None:
        await trio.sleep(after)
        place = self._places[channel]
        wanted = {"type": "subscribe", "channel": channel} | ({} if place is None else {"since": place})
        await _send(socket, wanted)

    def _arrived(self, channel: str, position: str | None) -> None:
        subscription = channel if channel in self._places else f"{kind_of(channel)}:*"
        if position is not None and subscription in self._places:
            self._places[subscription] = position

    async def _next(self, socket: WebSocketConnection) -> dict[str, Any] | None:
        """The next message; ``None`` if the link is gone. :raises CallFailed: the server closed it, and says why."""
        try:
            for asked in (False, True):
                with trio.move_on_after(_QUIET):
                    return _parsed(await socket.get_message(), self._client.url)
                if not asked:
                    await _send(socket, {"type": "ping"})
        except ConnectionClosed as error:
            if (reason := error.reason) is not None and reason.code not in {1001, 1005, 1006}:
                text = f"the server closed the connection: {reason.reason or reason.name} ({reason.code})"
                raise CallFailed(text, _FOR_GOOD.get(reason.code, 503), str(reason.code)) from error
        return None


async def _send(socket: WebSocketConnection, message: dict[str, str]) -> None:
    with contextlib.suppress(ConnectionClosed):  # who reads is told, and why
        await socket.send_message(orjson.dumps(message).decode())


def _parsed(text: str | bytes, url: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise not_rtlite(url) from error
    if not isinstance(value, dict):
        raise not_rtlite(url)
    return value
