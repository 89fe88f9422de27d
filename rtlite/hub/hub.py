"""The hub's face: publish, transact, subscribe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import attrs
import trio

from rtlite.errors import Reason
from rtlite.hub.committer import Committer
from rtlite.hub.fanout import Fanout
from rtlite.hub.presence import Presence
from rtlite.hub.queues import Done
from rtlite.hub.replay import Replay
from rtlite.hub.since import Since
from rtlite.hub.sweeper import Sweeper
from rtlite.hub.topics import Encoder, Name, Outbox, Subscription
from rtlite.hub.transactions import Transaction
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Position, Published, is_pattern, kind_of
from rtlite.settings import Settings
from rtlite.store.database import Database
from rtlite.store.policies import Policies

T = TypeVar("T")


@attrs.frozen
class Subscribed:
    """The answer to a subscribe. ``position`` is where the replay began, or the newest event if none
    was asked for. Of several channels, as of a pattern, it counts sequences, so that
    ``Position(event.epoch, event.sequence)`` resumes there, and it is ``None`` if they keep no history.

    ``beside`` are subscriptions to those of several channels that keep none, while others do."""

    subscription: Subscription
    position: Position | None
    recovered: bool
    beside: tuple[Subscription, ...] = ()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        for subscription in (self.subscription, *self.beside):
            subscription.close()


class Hub:
    """:ivar impair: called with each new subscription while faults may be for it."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self.policies = Policies(settings)
        self.fanout = Fanout(metrics)
        self.committer = Committer(database, self.fanout, self.policies, metrics)
        self.replay = Replay(database, settings, metrics)
        self.sweeper = Sweeper(database, self.fanout, self.policies, metrics)
        self.presence = Presence(database, settings, metrics)
        self.impair: Callable[[Subscription], None] | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the hub's services until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.committer.run)
            await nursery.start(self.presence.run)
            nursery.start_soon(self.sweeper.run)
            task_status.started()

    async def publish(self, event: NewEvent, *, origin: Outbox | None = None) -> Published:
        """Commit one event and hand it to every subscriber. See :meth:`Committer.publish`.

        :param origin: the way out of a connection that does not want its own event back.
        """
        return (await self.committer.publish([event], origin))[0]

    def publish_soon(self, event: NewEvent, done: Done) -> None:
        """As :meth:`publish`, without a task that waits; see :meth:`Committer.publish_soon`."""
        self.committer.publish_soon(event, done)

    async def publish_all(self, events: list[NewEvent]) -> list[Published]:
        """Commit several events, all or none."""
        return await self.committer.publish(events) if events else []

    async def transact(self, work: Callable[[Transaction], T], size: int = 0) -> T:
        """Change tables and announce it, all or nothing. See :meth:`Committer.transact`.

        ``work`` runs on the database thread.
        """
        return cast(T, await self.committer.transact(work, size))

    async def reconfigure(self, work: Callable[[Transaction], T], apply: Callable[[T], None]) -> T:
        """Change what channels keep. See :meth:`Committer.reconfigure`."""
        return cast(T, await self.committer.reconfigure(work, apply))

    async def subscribe(
        self,
        name: Name,
        outbox: Outbox,
        encode: Encoder,
        *,
        spawn: Callable[..., None],
        on_lost: Callable[[Reason], None],
        since: Since | None = None,
        greet: Callable[[Position | None, bool], bytes] | None = None,
        replaying: Encoder | None = None,
        listener: object = None,
    ) -> Subscribed:
        """Listen to a channel or pattern, or to several as one (already checked and allowed).

        Several come in the order of their commits. What ``since`` names is of those that keep
        history; those that do not are heard from the greeting on.

        It returns once the greeting is on its way. What is missed follows in a task of the
        connection, so that a long replay holds up neither its commands nor its pongs.

        :param encode: an event as framed bytes; a function that many subscriptions share.
        :param spawn: starts a task in the connection's nursery, as ``nursery.start_soon`` does.
        :param on_lost: called if events are lost to this reader; it closes the connection.
        :param since: a place in history; everything after it comes first, then live events.
        :param greet: bytes to send before the first event, made of the position and whether
            all that was asked for is there.
        :param replaying: encodes in place of ``encode`` what comes from history.
        :param listener: the entry among the open connections that this is of, if it is of one.
        :raises Overloaded, StorageFailed: there is no subscription.
        :raises trio.BrokenResourceError, trio.ClosedResourceError: the connection is gone.
        """
        subscriptions: list[Subscription] = []
        try:
            for part in self._parts(name):
                topic = self.fanout.topic(part, self._keeps(part))
                subscription = Subscription(topic, outbox, encode, spawn, on_lost, self.replay.catch_up, replaying)
                subscription.listener = listener
                subscriptions.append(subscription)
                topic.add(subscription)
                if self.impair is not None:
                    self.impair(subscription)
            for subscription in subscriptions:
                if subscription.topic.cursor is None:
                    await self.committer.attach(subscription.topic)
            first, *beside = subscriptions
            if since is None or not first.topic.history:
                return await self._go_live(first, beside, greet, since, placed=first.topic.name == name)
            return await self._resume(first, beside, since, greet)
        except BaseException:
            for subscription in subscriptions:
                subscription.close()
            raise

    def _keeps(self, name: Name) -> bool:
        """Whether what one listens to is kept."""
        return not isinstance(name, str) or self.policies.keeps(name)

    def _parts(self, name: Name) -> list[Name]:
        """The topics to listen to: those of several names that keep history are one, the others each their own."""
        if isinstance(name, str):
            return [name]
        kept = tuple(sorted(part for part in name if self._keeps(part)))
        passing = [part for part in name if not self._keeps(part)]
        patterns = [part for part in passing if is_pattern(part)]
        # What a pattern covers comes once, as it does where history is kept.
        passing = [part for part in passing if part in patterns or kind_of(part) + ":*" not in patterns]
        return [*([kept] if kept else []), *passing]

    async def _go_live(
        self,
        subscription: Subscription,
        beside: list[Subscription],
        greet: Callable[[Position | None, bool], bytes] | None,
        since: Since | None,
        *,
        placed: bool,
    ) -> Subscribed:
        """From now on; where nothing is kept, ``since`` holds only if nothing came after it.

        :param placed: whether there is a place to speak of: there is none in several channels that keep nothing.
        """
        topic = subscription.topic
        here = topic.position(topic.cursor or 0) if placed or topic.history else None
        recovered = since is None or since == here
        if greet is None or subscription.outbox.offer(greet(here, recovered)):
            _hear(subscription, *beside)
        elif topic.history:  # no room yet: the greeting waits, and what is published meanwhile comes from history
            subscription.cursor = topic.cursor or 0
            await subscription.outbox.send(greet(here, recovered))
            _hear(*beside)
            subscription.spawn(subscription.resume, subscription)
        else:
            subscription.lose(Reason.TOO_SLOW)
        return Subscribed(subscription, here, recovered, tuple(beside))

    async def _resume(
        self,
        subscription: Subscription,
        beside: list[Subscription],
        since: Since,
        greet: Callable[[Position | None, bool], bytes] | None,
    ) -> Subscribed:
        topic = subscription.topic
        start = await self.replay.locate(topic.name, since)
        subscription.cursor = start.after
        topic.start_recording(subscription)  # retention waits for it from here on, however long the greeting takes
        position = topic.position(start.after)
        if greet is not None:
            await subscription.outbox.send(greet(position, start.recovered))
        _hear(*beside)
        subscription.spawn(subscription.resume, subscription)
        return Subscribed(subscription, position, start.recovered, tuple(beside))


def _hear(*subscriptions: Subscription) -> None:
    for subscription in subscriptions:
        subscription.live = True
