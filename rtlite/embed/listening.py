"""Listening to channels in the server's own process: no HTTP, no socket, the same history and the same limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Self

import orjson
import trio

from rtlite.client import Event, HistoryLost
from rtlite.errors import Reason
from rtlite.hub.hub import Hub, Subscribed
from rtlite.hub.since import Since, parse_since
from rtlite.model import Event as Committed
from rtlite.model import Position, check_pattern, is_pattern, now_ms
from rtlite.protocols import jsonframes

_END = b"\0"  # no JSON text holds it


class Listening:
    """The events of channels, as ``async with … as events: async for event in events``.

    As any subscriber, one that is slow is read from history once ``outbox`` bytes wait for it, and goes on
    where it was when what its channels keep is changed. It ends when the server does, or with :meth:`close`.
    """

    def __init__(
        self,
        hub: Hub,
        nursery: trio.Nursery,
        channels: tuple[str, ...],
        since: str | None,
        on_gap: Callable[[str], None] | None,
        limit: int,
    ) -> None:
        """:raises InvalidRequest: a channel's name, or ``since``, cannot be one."""
        if not channels:
            raise TypeError("a channel is wanted")
        self._hub = hub
        self._nursery = nursery
        self._names = tuple(dict.fromkeys(map(check_pattern, channels)))
        self._since: Since | None = None if since is None else parse_since(since, now_ms())
        self._on_gap = on_gap
        self._limit = limit
        self._several = len(self._names) > 1 or is_pattern(self._names[0])
        self._inbox = _Inbox(limit)
        self._subscribed: Subscribed | None = None
        self._items: deque[Event] = deque()
        self._gap = False
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._subscribe()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; the iterator ends. Idempotent."""
        self._closed = True
        self._leave()

    def _leave(self) -> None:
        self._inbox.close()
        if self._subscribed is not None:
            self._subscribed.close()

    async def _subscribe(self) -> None:
        inbox = self._inbox = _Inbox(self._limit)
        self._subscribed = await self._hub.subscribe(
            self._names if len(self._names) > 1 else self._names[0],
            inbox,
            _of_many if self._several else _of_channel,
            spawn=self._nursery.start_soon,
            on_lost=inbox.lose,
            since=self._since,
        )
        self._gap |= not self._subscribed.recovered
        if self._since is None:
            self._since = self._subscribed.position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._gap:
                self._gap = False
                if self._on_gap is None:
                    raise HistoryLost(", ".join(self._names))
                self._on_gap(", ".join(self._names))
            if (data := await self._inbox.take()) is not None:
                self._items.extend(map(orjson.loads, data.split(_END)[:-1]))
            elif not self._closed:
                await self._again()
        event = self._items.popleft()
        self._since = Position.parse(event["position"] or "") or self._since
        return event

    async def _again(self) -> None:
        """The hub has let go of us: come back to where we were, as a client would."""
        if self._inbox.lost is Reason.INTERNAL_ERROR:
            raise HistoryLost(", ".join(self._names))
        self._gap |= self._since is None or bool(self._subscribed and self._subscribed.beside)
        self._leave()
        await self._subscribe()


class _Inbox:
    """The hub's way to a :class:`Listening`: bytes that wait, bounded as for any connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._turn = trio.Event()
        self._closed = False
        self.lost: Reason | None = None

    def offer(self, data: bytes) -> bool:
        if self._size and self._size + len(data) > self._limit:
            return False
        if not self._closed:
            self._waiting.append(data)
            self._size += len(data)
            self._step()
        return True

    async def send(self, data: bytes) -> None:
        await self.room(len(data))
        self.offer(data)

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()
        while self._size and self._size + size > self._limit // 2:
            await self._turn.wait()
        if self._closed:
            raise trio.BrokenResourceError("nobody listens any more")

    async def take(self) -> bytes | None:
        """What comes next; ``None`` once nothing more will."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._closed or self.lost is not None:
                return None
            await self._turn.wait()
        data = self._waiting.popleft()
        self._size -= len(data)
        self._step()
        return data

    def lose(self, reason: Reason) -> None:
        self.lost = reason
        self._step()

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._size = 0
        self._step()

    def _step(self) -> None:
        self._turn.set()
        self._turn = trio.Event()


def shown(event: Committed, place: int | None = None) -> dict[str, object]:
    """An event as a client sees it; ``data`` is a fragment of JSON."""
    place = event.offset if place is None else place
    return {**jsonframes.whole(event), "position": str(Position(event.epoch, place)) if place and event.epoch else None}


def _of_channel(event: Committed) -> bytes:
    return orjson.dumps(shown(event)) + _END


def _of_many(event: Committed) -> bytes:
    return orjson.dumps(shown(event, event.sequence)) + _END
