"""History over HTTP: pages, and polling for what comes next."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, NotRequired, TypedDict, TypeVar

import attrs
import trio

from rtlite.auth.tokens import INVALID
from rtlite.domain.access import Access
from rtlite.endpoints.pages import Page
from rtlite.errors import Forbidden, InvalidRequest, NotFound, Unauthorized
from rtlite.hub.hub import Hub
from rtlite.hub.since import parse_since
from rtlite.hub.slices import Pace
from rtlite.model import Event, Identity, Position, check_channel, now_ms, rfc3339
from rtlite.protocols import jsonframes
from rtlite.rules import Channel, Count, Duration, PositionText, Rule, SinceText, Timestamp, of
from rtlite.settings import Settings, duration
from rtlite.store import events
from rtlite.store.database import Database
from rtlite.store.schema import store_epoch
from rtlite.transports.contract import Asked
from rtlite.transports.routes import Call, Reply, json_reply

T = TypeVar("T")
Show = Callable[[Event], Any]
"""How an event looks in a page."""

_PAGE_BYTES = 4 * 1024 * 1024


class HistoryPage(TypedDict, Generic[T]):
    """A page of a channel's history; `next` is the `since` of the following one, `null` at the end of `desc`."""

    items: list[T]
    next: PositionText | None
    recovered: NotRequired[bool]


class ChannelJson(TypedDict):
    """A channel: what it holds, and who listens."""

    channel: Channel
    position: PositionText
    events: Count
    bytes: Count
    lastEvent: Timestamp | None
    subscribers: Count
    members: Count


ASKED: Final = (
    Asked("since", SinceText, "Begin after this place; from the oldest event without it"),
    Asked("limit", Annotated[int, Rule(minimum=1, maximum=of("max_replay"), default=100)], "The most events"),
    Asked("order", Annotated[str, Rule(enum=["asc", "desc"], default="asc")], "`desc`: the newest first"),
    Asked("wait", Duration, "How long to wait for an event if there is none yet"),
)


@attrs.define(eq=False)
class _Wait:
    """A poll that waits for what comes next."""

    credential: str
    over: trio.Event = attrs.field(factory=trio.Event)
    revoked: bool = False


class History:
    def __init__(self, hub: Hub, database: Database, access: Access, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._access = access
        self._settings = settings
        self._waits: set[_Wait] = set()

    def end_credential(self, key: str) -> None:
        """A key was revoked: its polls that wait are refused at once."""
        for wait in self._waits:
            if wait.credential == key:
                wait.revoked = True
                wait.over.set()

    async def answer(self, call: Call) -> Reply:
        """``?since=POSITION|ID|2h|ISO&limit=&order=asc|desc&wait=20s`` on one channel.

        ``next`` is where the following page begins: in ascending order it is always there, so
        that a client that asks again with ``since=next`` and ``wait`` gets each event once, as it
        comes. ``recovered`` is false if part of what ``since`` named is gone.
        """
        return await self.page(call, check_channel(call.params["channel"]), jsonframes.whole)

    async def page(self, call: Call, channel: str, show: Show) -> Reply:
        """The same, where the endpoint says which channel, and how an event looks."""
        await self._check_right(call, channel)
        self._check_kept(channel)
        limit = self._limit(call.query.get("limit", "100"))
        order = call.query.get("order", "asc")
        if order == "desc":
            return json_reply(await self._backwards(channel, call.query.get("since"), limit, show))
        if order != "asc":
            raise InvalidRequest("order: asc or desc is wanted")
        wait = self._wait(call.query.get("wait"))
        answer = await self._forwards(call, channel, limit, wait, show)
        if wait:
            await self._check_right(call, channel)  # it may have been taken away meanwhile
        return json_reply(answer)

    async def _check_right(self, call: Call, channel: str) -> None:
        if not await self._access.may_read(call.identity, channel):
            raise Forbidden("this credential may not read that channel")

    async def _forwards(self, call: Call, channel: str, limit: int, wait: float, show: Show) -> dict[str, Any]:
        after, recovered = await self._place(channel, call.query.get("since"))
        page, epoch = await self._read(channel, after, limit)
        if not page and wait:
            await self._wait_for(call.identity, channel, after, wait)
            page, epoch = await self._read(channel, after, limit)
        return {
            "items": await _shown(page, show),
            "next": str(Position(epoch, page[-1].offset if page else after)),
            "recovered": recovered,
        }

    async def following(self, channel: str, since: str | None, limit: int) -> tuple[list[Event], Position, bool]:
        """The events after ``since``, at most ``limit``; where the next page begins; whether all of them are there.

        :raises NotFound: the channel keeps none. :raises InvalidRequest: ``since`` cannot be read.
        """
        self._check_kept(channel)
        after, recovered = await self._place(channel, since)
        page, epoch = await self._read(channel, after, limit)
        return page, Position(epoch, page[-1].offset if page else after), recovered

    async def position(self, channel: str) -> Position:
        """Where a channel is now. :raises NotFound: it keeps no history."""
        self._check_kept(channel)

        def read(connection: Any) -> Position:
            info = events.channel_info(connection, channel)
            return info.position if info else Position(store_epoch(connection), 0)

        return await self._database.read(read)

    def _check_kept(self, channel: str) -> None:
        if not self._hub.policies.keeps(channel):
            raise NotFound("this channel keeps no history", code="no_history")

    async def _place(self, channel: str, since: str | None) -> tuple[int, bool]:
        """The offset that ``since`` names, or that before the oldest event; whether what it names is still there."""
        if since is None:
            info = await self._database.read(lambda connection: events.channel_info(connection, channel))
            return info.oldest - 1 if info else 0, True
        # A page is no replay: its limit is the page's, so nothing is cut from the far end.
        start = await self._hub.replay.locate(channel, parse_since(since, now_ms()), 2**62)
        return start.after, start.recovered

    async def _backwards(self, channel: str, since: str | None, limit: int, show: Show) -> dict[str, Any]:
        """Newest first; ``since`` is a position to go back from."""
        before = 2**62
        if since is not None:
            position = Position.parse(since)
            if position is None:
                raise InvalidRequest("since: a position is wanted with order=desc")
            before = position.offset

        def read(connection: Any) -> tuple[list[Event], int]:
            info = events.channel_info(connection, channel)
            page = events.read_channel_backwards(connection, channel, before, limit, _PAGE_BYTES)
            return page, info.oldest if info else 0

        page, oldest = await self._database.read(read)
        more = bool(page) and page[-1].offset > oldest  # not by the limit: a page may be cut by its bytes as well
        return {"items": await _shown(page, show), "next": str(page[-1].position) if more else None}

    async def _read(self, channel: str, after: int, limit: int) -> tuple[list[Event], str]:
        def read(connection: Any) -> tuple[list[Event], str]:
            info = events.channel_info(connection, channel)
            page = events.read_channel(connection, channel, after, limit, _PAGE_BYTES)
            return page, info.epoch if info else store_epoch(connection)

        return await self._database.read(read)

    async def _wait_for(self, identity: Identity, channel: str, after: int, seconds: float) -> None:
        """Until an event past ``after`` is there, or the time is up: that of the wait, or the credential's.

        :raises Unauthorized: the key was revoked meanwhile.
        """
        if identity.expires is not None:
            seconds = max(0.0, min(seconds, identity.expires - time.time()))
        wait = _Wait(identity.credential)
        self._waits.add(wait)
        try:
            async with trio.open_nursery() as nursery:
                bell = _Bell(wait.over)
                subscribed = await self._hub.subscribe(
                    channel, bell, _ring, spawn=nursery.start_soon, on_lost=lambda _: wait.over.set()
                )
                try:
                    # What was committed between the page and the subscription has been fanned out by now.
                    if (subscribed.subscription.topic.cursor or 0) <= after:
                        with trio.move_on_after(seconds):
                            await wait.over.wait()
                finally:
                    subscribed.subscription.close()
                    nursery.cancel_scope.cancel()
        finally:
            self._waits.discard(wait)
        if wait.revoked:
            raise Unauthorized(INVALID)

    def _limit(self, text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= self._settings.max_replay:
            raise InvalidRequest(f"limit: a whole number from 1 to {self._settings.max_replay} is wanted")
        return int(text)

    def _wait(self, text: str | None) -> float:
        if text is None:
            return 0.0
        try:
            return min(duration(text), self._settings.poll_timeout)
        except ValueError as error:
            raise InvalidRequest(f"wait: {error}") from error

    async def channels(self, prefix: str, after: str) -> Page[ChannelJson]:
        """A page of channels by name, with what each holds and who listens."""
        page = 200
        found = await self._database.read(lambda connection: events.list_channels(connection, after, page, prefix))
        fanout = self._hub.fanout
        items: list[ChannelJson] = [
            {
                "channel": info.name,
                "position": str(info.position),
                "events": info.top - info.oldest + 1,
                "bytes": info.bytes,
                "lastEvent": rfc3339(info.newest_timestamp) if info.top else None,
                "subscribers": sum(topic.subscribers for topic in fanout.listening(info.name)),
                "members": self._hub.presence.count(info.name),
            }
            for info in found
        ]
        return {"items": items, "next": found[-1].name if len(found) == page else None}


async def _shown(page: list[Event], show: Show) -> list[dict[str, Any]]:
    items, pace = [], Pace()
    for event in page:
        items.append(show(event))
        await pace.pause()
    return items


class _Bell:
    """An outbox that only notes that something came."""

    def __init__(self, arrived: trio.Event) -> None:
        self._arrived = arrived

    def offer(self, data: bytes) -> bool:
        self._arrived.set()
        return True

    async def send(self, data: bytes) -> None:
        self._arrived.set()
        await trio.lowlevel.checkpoint()

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()


def _ring(event: Event) -> bytes:
    return b"!"  # no bytes would say that the event is for nobody
