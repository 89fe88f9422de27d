"""Delivering a committed batch to all who listen.

An event is encoded and framed once per kind of listener, what is consecutive is joined,
and each connection gets one write per batch. Nothing here awaits a reader: an outbox
takes bytes or says no, and a reader that is too slow goes back to reading history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import trio

from rtlite.errors import Reason
from rtlite.hub.impaired import Impaired
from rtlite.hub.slices import SLICE_SECONDS, Pace, slices
from rtlite.hub.topics import CHUNK_BYTES, Encoder, Name, Outbox, Subscription, Topic
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Event, kind_of

log = get_logger(__name__)

Muted = Mapping[Outbox, set[tuple[str, int]]]
"""What connections published and do not want back: channels and offsets, by outbox."""


class Fanout:
    """Delivers committed events, in order, to every live subscription."""

    def __init__(self, metrics: Metrics) -> None:
        self.topics: dict[Name, Topic] = {}
        self._selected: dict[str, dict[Topic, None]] = {}
        """The topics of several names, by each of them."""
        self.unsettled: dict[Topic, int] = {}
        """The topics of the batch that is being fanned out, and where each stood before."""
        self.recording: dict[Topic, None] = {}
        """The topics of which someone reads history."""
        self._metrics = metrics

    def topic(self, name: Name, history: bool) -> Topic:
        """The topic of this name; it exists as long as it has subscriptions."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(self, name, history, self._metrics)
            for part in () if isinstance(name, str) else name:
                self._selected.setdefault(part, {})[topic] = None
        return topic

    def forget(self, topic: Topic) -> None:
        """Nobody listens to it any more."""
        name = topic.name
        if self.topics.get(name) is topic:
            del self.topics[name]
            for part in () if isinstance(name, str) else name:
                del self._selected[part][topic]
                if not self._selected[part]:
                    del self._selected[part]

    def end(self, covers: Callable[[str], bool], reason: Reason) -> None:
        """End every subscription that names one of these channels, so that its reader begins anew."""
        for topic in list(self.topics.values()):
            if any(map(covers, (topic.name,) if isinstance(topic.name, str) else topic.name)):
                for subscription in [item for group in topic.groups.values() for item in group]:
                    subscription.close()
                    self._tell(subscription, reason)

    def behind(self) -> set[Outbox]:
        """The connections that read history, because they asked for it or are too slow to be live."""
        return {subscription.carrier for topic in self.recording for subscription in topic.behind}

    def subscriptions(self) -> list[Subscription]:
        """All there are."""
        return [item for topic in self.topics.values() for group in topic.groups.values() for item in group]

    def listening(self, name: str) -> list[Topic]:
        """The topics of a channel or pattern: its own, and those of several names of which it is one."""
        own = self.topics.get(name)
        return [*([] if own is None else [own]), *self._selected.get(name, ())]

    async def deliver(self, events: list[Event], muted: Muted | None = None) -> None:
        """Fan a batch out. Other tasks run every few milliseconds meanwhile; the order stays.

        Cursors move before the first write, in one step: whoever goes live from here on has
        these events from elsewhere, and the lists below hold exactly those that do not.
        """
        work: list[tuple[Topic, list[Subscription], Encoder, list[Event], int]] = []
        authors: list[Subscription] = []
        for topic, share in self._share(events).items():
            after = self.unsettled[topic] = topic.cursor or 0
            topic.cursor = topic.key(share[-1])
            if topic.selection is None:
                topic.epoch = share[-1].epoch
            if topic.behind:
                topic.record(share)
            for encode, group in list(topic.groups.items()):
                live = [subscription for subscription in group if subscription.live]
                if muted and (own := _mute(group, share, muted)):
                    authors += own
                    live = [subscription for subscription in live if subscription not in own]
                    work += [
                        (topic, [author], encode, rest, after)
                        for author in own
                        if author.live and (rest := author.wanted(share))
                    ]
                if live:
                    work.append((topic, live, encode, share, after))
        plan: list[tuple[Topic, list[Subscription], list[tuple[int, bytes]], int]] = []
        pace = Pace()
        made: dict[tuple[Encoder, int], list[tuple[int, bytes]]] = {}
        for topic, live, encode, share, after in work:
            same = (encode, id(share))  # topics of several names have a share in common, and the order
            if (chunks := made.get(same, [])) and topic.selection is not None:
                plan.append((topic, live, chunks, len(share)))
                continue
            if topic.selection is not None:
                after = share[0].sequence - 1
            try:
                for part in slices(share):
                    chunks += topic.chunks(part, encode, after)
                    after = topic.key(part[-1])
                    await pace.pause()
            except Exception:
                log.exception("an event could not be encoded", channel=topic.name)
                for subscription in live:
                    self._fail(subscription)
            else:
                made[same] = chunks
                if chunks:
                    plan.append((topic, live, chunks, len(share)))
        if len(plan) > 1:
            await self._deliver_joined(plan)
        elif plan:
            await self._deliver_one(*plan[0])
        for author in authors:
            if author.live:  # one that fell behind meanwhile will find its own events in the history
                author.muted = None
        self.unsettled.clear()

    def _share(self, events: list[Event]) -> dict[Topic, list[Event]]:
        shares: dict[Topic, list[Event]] = {}
        topics = self.topics
        listening: dict[str, list[Topic]] = {}
        for event in events:
            found = listening.get(event.channel)
            if found is None:
                names = (event.channel, kind_of(event.channel) + ":*")
                found = listening[event.channel] = [
                    topic for name in names if (topic := topics.get(name)) is not None and topic.cursor is not None
                ]
            for topic in found:
                shares.setdefault(topic, []).append(event)
        if self._selected:
            self._share_selections(events, shares)
        return shares

    def _share_selections(self, events: list[Event], shares: dict[Topic, list[Event]]) -> None:
        """The topics of several names. Those to whom the same of this batch matters get the same list of it."""
        by_name: dict[str, list[Event]] = {}
        for event in events:
            if event.sequence:
                for name in (event.channel, kind_of(event.channel) + ":*"):
                    by_name.setdefault(name, []).append(event)
        touched: dict[Topic, list[str]] = {}
        for name in by_name:
            for topic in self._selected.get(name, ()):
                if topic.cursor is not None:
                    touched.setdefault(topic, []).append(name)
        lists: dict[tuple[str, ...], list[Event]] = {(name,): share for name, share in by_name.items()}
        for topic, names in touched.items():
            key = tuple(names)
            if key not in lists:  # in the order of commits, and none twice that a pattern covers as well
                found = {event.sequence: event for name in names for event in by_name[name]}
                lists[key] = [found[sequence] for sequence in sorted(found)]
            shares[topic] = lists[key]

    async def _deliver_one(
        self, topic: Topic, live: list[Subscription], chunks: list[tuple[int, bytes]], count: int
    ) -> None:
        """The common case, one topic in the batch, and the hot path: nothing is allocated per subscriber."""
        deadline = trio.current_time() + SLICE_SECONDS
        delivered = 0
        for number, subscription in enumerate(live):
            if self._hand_over(subscription, chunks):
                delivered += count
            if number & 63 == 63 and trio.current_time() > deadline:
                await trio.lowlevel.checkpoint()
                deadline = trio.current_time() + SLICE_SECONDS
        self._metrics.delivered.inc(delivered)

    async def _deliver_joined(self, plan: list[tuple[Topic, list[Subscription], list[tuple[int, bytes]], int]]) -> None:
        """Several topics in the batch: what goes to one connection is joined first."""
        mail: dict[Outbox, list[tuple[Subscription, list[tuple[int, bytes]], int]]] = {}
        for _topic, live, chunks, count in plan:
            for subscription in live:
                mail.setdefault(subscription.outbox, []).append((subscription, chunks, count))
        deadline = trio.current_time() + SLICE_SECONDS
        delivered = 0
        for number, (outbox, letters) in enumerate(mail.items()):
            letters = [letter for letter in letters if letter[0].live]
            blobs = [blob for _, chunks, _ in letters for _, blob in chunks]
            joins = len(blobs) > 1 and sum(map(len, blobs)) <= CHUNK_BYTES and not isinstance(outbox, Impaired)
            if joins and self._offer(outbox, b"".join(blobs)):
                delivered += sum(count for _, _, count in letters)
            else:
                for subscription, chunks, count in letters:
                    if self._hand_over(subscription, chunks):
                        delivered += count
            if number & 63 == 63 and trio.current_time() > deadline:
                await trio.lowlevel.checkpoint()
                deadline = trio.current_time() + SLICE_SECONDS
        self._metrics.delivered.inc(delivered)

    def _hand_over(self, subscription: Subscription, chunks: list[tuple[int, bytes]]) -> bool:
        """One reader's share. What its connection's own code raises ends that connection, never the fan-out."""
        try:
            for after, blob in chunks:
                if not subscription.live:  # closed or fallen behind since the list was made
                    return False
                if not subscription.outbox.offer(blob):
                    subscription.fall_behind(after)
                    return False
        except Exception:
            log.exception("an event could not be handed over", channel=subscription.topic.name)
            self._fail(subscription)
            return False
        return True

    def _offer(self, outbox: Outbox, data: bytes) -> bool:
        with suppress(Exception):  # each of its subscriptions will find out for itself
            return outbox.offer(data)
        return False

    def _fail(self, subscription: Subscription) -> None:
        try:
            subscription.lose(Reason.INTERNAL_ERROR)
        except Exception:
            log.exception("a reader could not be told that it lost events", channel=subscription.topic.name)

    def _tell(self, subscription: Subscription, reason: Reason) -> None:
        try:
            subscription.on_lost(reason)
        except Exception:
            log.exception("a reader could not be told to begin anew", channel=subscription.topic.name)


def _mute(group: Iterable[Subscription], share: list[Event], muted: Muted) -> dict[Subscription, None]:
    """Note what of ``share`` a subscription's own connection published; returns those with something noted."""
    authors: dict[Subscription, None] = {}
    places = {(event.channel, event.offset) for event in share}
    for subscription in group:
        own = muted.get(subscription.carrier)
        if own and (own := own & places):
            subscription.muted = own | (subscription.muted or set())
            authors[subscription] = None
    return authors
