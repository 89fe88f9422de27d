"""From a place in history to live, without gap or repeat.

A subscription is registered first and held: the fan-out passes it by. It reads history up
to the last place *fanned out* (the table may hold later rows, whose fan-out is still to
come). Meanwhile the topic records what it fans out. Once the record reaches back to where
the reader stands, the rest is handed over and the subscription goes live in one step
without an ``await``, so nothing can slip in between.

The same way back serves a reader that was too slow: it is a subscription like any other
that happens to stand somewhere in history.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

import attrs
import trio

from rtlite.errors import Reason, Refused
from rtlite.hub.since import EventId, Since
from rtlite.hub.topics import Name, Subscription, Topic
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Event, Position, is_pattern
from rtlite.settings import Settings
from rtlite.store import events as history
from rtlite.store.database import Database
from rtlite.store.schema import store_epoch
from rtlite.store.selections import Selection

log = get_logger(__name__)

PAGE_EVENTS: Final = 256
PAGE_BYTES: Final = 256 * 1024


@attrs.frozen
class Start:
    """Where a replay begins. ``recovered`` is false if part of what was asked for is gone."""

    after: int
    recovered: bool


def locate(connection: sqlite3.Connection, name: Name, since: Since, limit: int) -> Start:
    """The place in the history of a channel, or of several, that ``since`` names.

    What is gone is said, never skipped in silence: a position of another epoch, one that
    retention passed, an unknown id, or more events than ``limit`` give ``recovered = False``
    and begin with the oldest event that may be sent.

    :param limit: events before the newest.
    """
    if not isinstance(name, str) or is_pattern(name):
        return _locate_sequence(connection, Selection((name,) if isinstance(name, str) else name), since, limit)
    info = history.channel_info(connection, name)
    if info is None:  # nothing was ever published here
        return Start(0, isinstance(since, int) or since == Position(store_epoch(connection), 0))
    before_oldest = info.oldest - 1
    after, recovered = before_oldest, False
    if isinstance(since, Position):
        if since.epoch == info.epoch and before_oldest <= since.offset <= info.top:
            after, recovered = since.offset, True
    elif isinstance(since, EventId):
        offset = history.offset_of(connection, name, since.id)
        if offset is not None:
            after, recovered = offset, True
    else:
        offset = history.offset_at(connection, name, since)
        after = info.top if offset is None else offset - 1
        # Retention may have taken events of that time, if it took any and the oldest one left is younger.
        recovered = before_oldest == 0 or (info.newest_timestamp < since if offset is None else after > before_oldest)
    if info.top - after > limit:
        return Start(info.top - limit, False)
    return Start(after, recovered)


def _locate_sequence(connection: sqlite3.Connection, selection: Selection, since: Since, limit: int) -> Start:
    """The same for several channels, where a place is a sequence."""
    info = selection.held(connection)
    last = history.last_sequence(connection)
    after, recovered = info.trimmed, False
    if isinstance(since, Position):
        if since.epoch == store_epoch(connection) and info.trimmed <= since.offset <= last:
            after, recovered = since.offset, True
    elif isinstance(since, EventId):
        sequence = selection.sequence_of(connection, since.id)
        if sequence is not None and sequence >= info.trimmed:
            after, recovered = sequence, True
    elif (sequence := selection.sequence_at(connection, since)) is None:
        after = max(last, info.trimmed)
        recovered = info.trimmed == 0 or info.newest_timestamp < since
    else:
        after = max(sequence - 1, info.trimmed)
        # Nothing of that time was deleted, if an older event than the first one wanted is still here.
        recovered = info.trimmed == 0 or bool(selection.read(connection, info.trimmed, 1, 1, sequence - 1))
    cut = selection.newest_but(connection, limit, after)
    return Start(after, recovered) if cut is None else Start(cut, False)


class Replay:
    """Brings subscriptions to live."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics

    async def locate(self, name: Name, since: Since, limit: int | None = None) -> Start:
        """See :func:`locate`; the limit is the setting ``max_replay`` unless given."""
        most = self._settings.max_replay if limit is None else limit
        return await self._database.read(lambda connection: locate(connection, name, since, most))

    async def catch_up(self, subscription: Subscription) -> None:
        """Read history from ``subscription.cursor`` until live, or until it is closed.

        A reader whose place was taken by retention is closed as too slow: to go on would be a silent gap.
        """
        topic = subscription.topic
        started = time.perf_counter()
        topic.start_recording(subscription)
        try:
            while not subscription.closed:
                if self._go_live(subscription, topic):
                    break
                up_to = topic.cursor or 0
                page = await self._read(topic, subscription.cursor, up_to)
                if page is None:
                    subscription.lose(Reason.TOO_SLOW)
                    return
                encode = subscription.replaying or subscription.encode
                for _, blob in topic.chunks(subscription.wanted(page), encode, subscription.cursor):
                    if not await self._send(subscription, blob):
                        return
                self._metrics.replayed.inc(len(page))
                # An empty page: what lies between is of other channels.
                subscription.cursor = topic.key(page[-1]) if page else max(subscription.cursor, up_to)
                if subscription.muted:
                    subscription.muted.difference_update((event.channel, event.offset) for event in page)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            subscription.close()  # the reader is gone; its connection ends by itself
        except Refused:
            log.exception("history could not be read", channel=topic.name)
            subscription.lose(Reason.INTERNAL_ERROR)
        finally:
            topic.stop_recording(subscription)
        self._metrics.replay_seconds.observe(time.perf_counter() - started)

    async def _send(self, subscription: Subscription, blob: bytes) -> bool:
        """Hand over once there is room. One that was closed meanwhile gets nothing more, not even what waited."""
        while True:
            await subscription.outbox.room(len(blob))
            if subscription.closed:
                return False
            if subscription.outbox.offer(blob):
                return True

    def _go_live(self, subscription: Subscription, topic: Topic) -> bool:
        """In one step: hand over what the topic recorded past the cursor, and join the fan-out."""
        if subscription.cursor < topic.recent_floor:
            return False
        if subscription.cursor > (topic.cursor or 0):  # a place in the table whose fan-out is still to come
            return False
        rest = [event for event in topic.recent if topic.key(event) > subscription.cursor]
        encode = subscription.replaying or subscription.encode
        for after, blob in topic.chunks(subscription.wanted(rest), encode, subscription.cursor):
            if not subscription.outbox.offer(blob):
                subscription.cursor = after
                return False
        subscription.cursor = topic.cursor or 0
        subscription.muted = None
        subscription.live = True
        return True

    async def _read(self, topic: Topic, after: int, up_to: int) -> list[Event] | None:
        """The next page up to what was fanned out; ``None`` if retention took part of it."""

        def read(connection: sqlite3.Connection) -> list[Event] | None:
            if (selection := topic.selection) is not None:
                page = selection.read(connection, after, PAGE_EVENTS, PAGE_BYTES, up_to)
                return None if selection.held(connection).trimmed > after else page
            page = history.read_channel(connection, topic.channel, after, PAGE_EVENTS, PAGE_BYTES, up_to)
            if up_to > after and (not page or page[0].offset != after + 1):
                return None
            return page

        return await self._database.read(read)
