"""The client for Trio: the calls, and subscriptions that come back by themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from rtlite.client.calls import Calls
from rtlite.client.eventsource import EventSource
from rtlite.client.failures import CallFailed, HistoryLost
from rtlite.client.follower import Page, without_repeats
from rtlite.client.shapes import Event


class Client(Calls):
    """One server, as a Trio program uses it: ``async with Client(url, key) as client``.

    :param url: ``http://…``, ``https://…``, or ``http+unix:PATH``.
    :param key: any credential: a key or a token; ``None`` presents nothing.
    :raises CallFailed: the URL or the key cannot be one.
    """

    @asynccontextmanager
    async def subscribe(
        self,
        *channels: str,
        since: str | None = None,
        on_gap: Callable[[str], None] | None = None,
        on_trouble: Callable[[CallFailed | None], None] | None = None,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Follow channels, or whole kinds such as ``changes:*``, for as long as the block lasts.

        The block begins once the server has subscribed us, and gets each event once, over any number of
        reconnections; while it takes none, no more than a few are read ahead.

        :param since: a position, an event id, an age or a time; ``None`` is from now on.
        :param on_gap: called with the channels' names when events are gone that should have come next;
            without it the iterator raises :class:`.HistoryLost` there, and can be asked to go on.
        :param on_trouble: called with each failure that is tried again, and with ``None`` after a success.
        :raises CallFailed: the server refuses for good; here, or in the iterator if that comes later.
        """
        up = trio.Event()

        def heard(failure: CallFailed | None) -> None:
            if failure is None:
                up.set()
            if on_trouble is not None:
                on_trouble(failure)

        send, receive = trio.open_memory_channel[Page | CallFailed](1)
        source = EventSource(self, without_repeats(channels), since, heard)

        async def follow() -> None:
            try:
                await source.follow(send.send)
            except CallFailed as failure:
                await send.send(failure)
                up.set()

        async with background() as nursery:
            nursery.start_soon(follow)
            await up.wait()
            try:
                first: Page | CallFailed | None = receive.receive_nowait()
            except trio.WouldBlock:
                first = None
            if isinstance(first, CallFailed):
                raise first
            yield _Events(receive, on_gap, [] if first is None else [first])


class _Events:
    """The events of the pages that arrive."""

    def __init__(
        self,
        pages: trio.MemoryReceiveChannel[Page | CallFailed],
        on_gap: Callable[[str], None] | None,
        first: Iterable[Page],
    ) -> None:
        self._pages = pages
        self._on_gap = on_gap
        self._first = deque(first)
        self._items: deque[Event] = deque()

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Event:
        while not self._items:
            page = self._first.popleft() if self._first else await self._pages.receive()
            if isinstance(page, CallFailed):
                raise page
            self._items.extend(page.items)
            if not page.recovered:
                if self._on_gap is None:
                    raise HistoryLost(page.of)
                self._on_gap(page.of)
        return self._items.popleft()


@asynccontextmanager
async def background() -> AsyncIterator[trio.Nursery]:
    """A nursery of tasks that serve the block and end with it; what the block raises comes as itself, in no group."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:  # noqa: BLE001  # it is raised below
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
