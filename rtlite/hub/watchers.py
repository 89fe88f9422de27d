"""Who watches the members of a channel, and telling them.

A watcher first gets a list of all members, in pages, and then each change. What changed is
encoded once per kind of watcher and offered to many. One whose outbox is full misses
changes, and so it gets the list again once there is room: what it knows is late then, but
never wrong, and nothing is kept for it meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from rtlite.hub.slices import Pace
from rtlite.hub.topics import CHUNK_BYTES, Outbox
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Member, PresenceNotice

log = get_logger(__name__)

PresenceEncoder = Callable[[PresenceNotice], bytes]
"""A notice as framed bytes. Its identity groups watchers, so it is a module's function, not a fresh lambda."""

MOST_QUEUED: Final = 4096  # changes of one channel that wait to be told; after more, its watchers get a list


@attrs.define(eq=False, slots=True)
class Watch:
    """One watcher of one channel, until :meth:`close`."""

    audience: Audience
    outbox: Outbox
    encode: PresenceEncoder
    spawn: Callable[..., None]
    current: bool = False
    """Told changes as they come. Else a list is on its way, or the watch is closed."""
    since: int = 0
    """How many of the channel's changes were in the list that it got."""
    listing: bool = False
    closed: bool = False

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if not self.closed:
            self.closed, self.current = True, False
            self.audience.discard(self)

    def refresh(self) -> None:
        """Changes were missed, or nothing was told yet: the list is to come."""
        self.current = False
        if not self.listing:
            self.listing = True
            self.spawn(self._list)

    def tell(self, blobs: list[bytes]) -> None:
        """Offer changes, as far as there is room for them."""
        for blob in blobs:
            if not self.current:
                return
            if not self.outbox.offer(blob):
                self.refresh()

    async def _list(self) -> None:
        """Offer page after page as there is room; if changes are missed meanwhile, from the start.

        A page is read in the step that offers it, so that each change is told on the right side
        of it. Changes of members whose page is still to come are told as well: they repeat what
        that page says.
        """
        after: str | None = ""
        size = 0
        try:
            while after is not None or not self.current:
                await self.outbox.room(size)
                async with self.audience.pages.turn():
                    if self.closed:
                        return
                    if after is None or not self.current:
                        after = ""
                    blob, following = self.audience.pages.make(self.audience, self.encode, after)
                    size = len(blob)
                    if not self.outbox.offer(blob):
                        continue
                    if not after:
                        self.current, self.since = True, self.audience.changes
                    after = following
        finally:
            self.listing = False


class Audience:
    """The watchers of one channel, and the changes they have yet to be told."""

    __slots__ = ("_watchers", "changes", "channel", "groups", "missed", "pages", "queue")

    def __init__(self, watchers: Watchers, channel: str) -> None:
        self._watchers = watchers
        self.pages = watchers.pages
        self.channel = channel
        self.groups: dict[PresenceEncoder, dict[Watch, None]] = {}
        self.queue: list[PresenceNotice] = []
        self.changes = 0  # so many there were
        self.missed = False

    def note(self, notice: PresenceNotice) -> None:
        self.changes += 1
        if len(self.queue) >= MOST_QUEUED:
            self.queue.clear()
            self.missed = True
        self.queue.append(notice)

    def discard(self, watch: Watch) -> None:
        group = self.groups.get(watch.encode, {})
        group.pop(watch, None)
        if not group:
            self.groups.pop(watch.encode, None)
        if not self.groups:
            self._watchers.forget(self)

    async def deliver(self) -> int:
        """Tell what is queued. Other tasks run meanwhile, and what they change comes after it.

        A watcher that has got its list since then holds some of it: it is told the rest.
        """
        notices, self.queue = self.queue, []
        missed, self.missed = self.missed, False
        before = self.changes - len(notices)
        pace = Pace()
        for encode, group in list(self.groups.items()):
            parts = await self._encoded(notices, encode, pace)
            blobs = _joined(parts or [])
            for watch in list(group):
                known = watch.since - before
                if parts is None or missed:
                    self._step(watch, watch.refresh)
                elif known < len(parts):
                    self._step(watch, watch.tell, blobs if known <= 0 else _joined(parts[known:]))
                await pace.pause()
        return len(notices)

    async def _encoded(self, notices: list[PresenceNotice], encode: PresenceEncoder, pace: Pace) -> list[bytes] | None:
        try:
            parts = []
            for notice in notices:
                parts.append(encode(notice))
                await pace.pause()
        except Exception:
            log.exception("a change could not be encoded", channel=self.channel)
            return None
        return parts

    def _step(self, watch: Watch, step: Callable[..., None], *args: object) -> None:
        """What a connection's own code raises costs it its watch, and nobody else anything."""
        try:
            step(*args)
        except Exception:
            log.exception("a watcher could not be told", channel=self.channel)
            watch.close()


def _joined(parts: list[bytes]) -> list[bytes]:
    """Consecutive parts in one piece each, as large as a piece may be."""
    pieces: list[bytes] = []
    start = size = 0
    for number, part in enumerate(parts):
        if size and size + len(part) > CHUNK_BYTES:
            pieces.append(b"".join(parts[start:number]))
            start, size = number, 0
        size += len(part)
    return [*pieces, b"".join(parts[start:])] if size else pieces


class Pages:
    """Lists of members, one page at a time for all watchers.

    Where thousands come back at once, each is owed a list of thousands. A page takes the loop
    3 ms, so they take turns, and rest as long as they worked; whoever is next to want the same
    page gets the same bytes.
    """

    def __init__(self, page: Callable[[str, str], PresenceNotice]) -> None:
        self._page = page
        self._lock = trio.Lock()
        self._last: tuple[Any, bytes, str | None] | None = None
        self._worked = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._lock:
            self._worked = 0.0
            yield
            if not self._lock.statistics().tasks_waiting:
                self._last = None
            elif self._worked:
                await trio.sleep(self._worked)

    def make(self, audience: Audience, encode: PresenceEncoder, after: str) -> tuple[bytes, str | None]:
        """The members past ``after``, encoded, and where the next page begins."""
        key = (audience, audience.changes, encode, after)
        if self._last is None or self._last[0] != key:
            started = time.perf_counter()
            page = self._page(audience.channel, after)
            self._last = (key, encode(page), page.next)
            self._worked = time.perf_counter() - started
        return self._last[1:]


class Watchers:
    """The audience of every channel that has one.

    :param page: a list of a channel's members, those past a user.
    """

    def __init__(self, page: Callable[[str, str], PresenceNotice], metrics: Metrics) -> None:
        self.pages = Pages(page)
        self._metrics = metrics
        self._audiences: dict[str, Audience] = {}
        self._changed: dict[Audience, None] = {}
        self._wake = trio.Event()

    def watch(self, channel: str, outbox: Outbox, encode: PresenceEncoder, spawn: Callable[..., None]) -> Watch:
        audience = self._audiences.get(channel)
        if audience is None:
            audience = self._audiences[channel] = Audience(self, channel)
        watch = Watch(audience, outbox, encode, spawn)
        audience.groups.setdefault(encode, {})[watch] = None
        watch.refresh()
        return watch

    def note(self, channel: str, action: str, member: Member) -> None:
        """A member changed: whoever watches the channel is told soon."""
        audience = self._audiences.get(channel)
        if audience is not None:
            audience.note(PresenceNotice(channel, action, (member,)))
            self._changed[audience] = None
            self._wake.set()

    def forget(self, audience: Audience) -> None:
        if self._audiences.get(audience.channel) is audience:
            del self._audiences[audience.channel]

    async def run(self) -> None:
        """Tell changes until cancelled.

        It rests as long as it worked. What changes meanwhile goes out in one write per watcher,
        so that a channel where thousands come at once does not hold up everyone else.
        """
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            started = time.perf_counter()
            changed, self._changed = self._changed, {}
            for audience in changed:
                try:
                    self._metrics.presence.inc(await audience.deliver())
                except Exception:
                    log.exception("changes could not be told", channel=audience.channel)
            await trio.sleep(time.perf_counter() - started)
