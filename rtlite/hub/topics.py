"""Who listens to what: topics and their subscriptions, as the fan-out finds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from rtlite.errors import Reason
from rtlite.hub.impaired import Impaired
from rtlite.hub.parcels import Apart
from rtlite.metrics import Metrics
from rtlite.model import Event, Position, is_pattern
from rtlite.store.selections import Selection

if TYPE_CHECKING:
    from rtlite.hub.fanout import Fanout

Encoder = Callable[[Event], bytes]
"""An event as framed bytes, none if it is not for these listeners. Its identity groups subscriptions, so it is a
module's function, not a fresh lambda."""

CHUNK_BYTES: Final = 64 * 1024
RECENT_EVENTS: Final = 1024
RECENT_BYTES: Final = 1024 * 1024


class Outbox(Protocol):
    """The way out of a connection, as the hub sees it."""

    def offer(self, data: bytes) -> bool:
        """Take ``data`` without waiting, or say no: this reader is too slow."""
        ...

    async def send(self, data: bytes) -> None:
        """Take ``data`` once there is room. :raises trio.BrokenResourceError: the connection is gone."""
        ...

    async def room(self, size: int) -> None:
        """Wait until so many bytes can be offered. :raises trio.BrokenResourceError: the connection is gone."""
        ...


@attrs.define(eq=False, slots=True)
class Subscription:
    """One listener on one topic.

    Live: the fan-out writes to it. Not live: it reads history from ``cursor``, and the
    fan-out leaves it alone until it has caught up.
    """

    topic: Topic
    outbox: Outbox
    encode: Encoder
    spawn: Callable[[Callable[..., Awaitable[Any]], Subscription], None]
    """Runs the way back from history in the connection's own nursery."""
    on_lost: Callable[[Reason], None]
    """Called once when events cannot be delivered any more."""
    resume: Callable[[Subscription], Awaitable[None]]
    """Reads history from ``cursor`` until live (replay.catch_up, bound to its hub)."""
    replaying: Encoder | None = None
    """In place of ``encode`` for what comes from history, where that is not to look the same."""
    live: bool = False
    closed: bool = False
    cursor: int = 0
    listener: object = None
    """Whose it is: its entry among the open connections, if it is of one."""
    muted: set[tuple[str, int]] | None = None
    """Channels and offsets past ``cursor`` that it does not want: its own connection published them."""

    @property
    def carrier(self) -> Outbox:
        """The way out of its connection, whatever faults stand before that."""
        return self.outbox.outbox if isinstance(self.outbox, Impaired) else self.outbox

    @property
    def position(self) -> Position | None:
        """Where it stands: what comes after has not been sent to it; ``None`` where there are no places."""
        return self.topic.position(self.topic.settled if self.live else self.cursor)

    def wanted(self, events: list[Event]) -> list[Event]:
        """``events`` without those that are muted."""
        muted = self.muted
        return [event for event in events if (event.channel, event.offset) not in muted] if muted else events

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if not self.closed:
            self.closed = True
            self.live = False
            self.topic.discard(self)

    def fall_behind(self, after: int) -> None:
        """The outbox is full: everything past ``after`` comes from history from now on."""
        if self.closed:  # to refuse may have been the outbox's last act
            return
        self.live = False
        if not self.topic.history:
            self.lose(Reason.TOO_SLOW)
            return
        self.cursor = after
        self.topic.metrics.spilled.inc()
        self.spawn(self.resume, self)

    def lose(self, reason: Reason) -> None:
        """Events were lost to this reader: it is closed, so that it knows."""
        if self.closed:
            return
        self.topic.metrics.dropped.inc()
        self.close()
        self.on_lost(reason)


Name = str | tuple[str, ...]
"""What one listens to: a channel, ``kind:*``, or several of both as one."""


class Topic:
    """What one name is listened to by.

    ``cursor`` is the last place fanned out: an offset, or where the name stands for several
    channels, a sequence. It is ``None`` until the committer has set it, in order with its commits.
    ``selection`` reads the history of several channels; it is ``None`` for a single one.
    """

    __slots__ = (
        "behind",
        "cursor",
        "epoch",
        "fanout",
        "groups",
        "history",
        "metrics",
        "name",
        "recent",
        "recent_bytes",
        "recent_floor",
        "selection",
    )

    def __init__(self, fanout: Fanout, name: Name, history: bool, metrics: Metrics) -> None:
        self.fanout = fanout
        self.name = name
        names = (name,) if isinstance(name, str) else name
        self.selection = None if isinstance(name, str) and not is_pattern(name) else Selection(names)
        self.history = history
        self.metrics = metrics
        self.epoch = ""
        self.cursor: int | None = None
        self.groups: dict[Encoder, dict[Subscription, None]] = {}
        self.behind: dict[Subscription, None] = {}
        self.recent: deque[Event] = deque()
        self.recent_bytes = 0
        self.recent_floor = 0

    @property
    def channel(self) -> str:
        """The channel, where it is a single one."""
        assert isinstance(self.name, str)  # noqa: S101  # where it is not, ``selection`` was looked at first
        return self.name

    @property
    def subscribers(self) -> int:
        return sum(map(len, self.groups.values()))

    @property
    def settled(self) -> int:
        """The last place that every live subscription was sent: ``cursor``, unless a fan-out is under way."""
        return self.fanout.unsettled.get(self, self.cursor or 0)

    def position(self, cursor: int) -> Position | None:
        """A place as one can name it; ``None`` for a kind without history, whose channels have an epoch each."""
        return Position(self.epoch, cursor) if self.epoch else None

    def key(self, event: Event) -> int:
        """The event's place in this topic's order."""
        return event.offset if self.selection is None else event.sequence

    def placed(self, event: Event) -> Event:
        """``event`` with the epoch that its place in this topic is of: a channel's own, or the store's."""
        if self.selection is None or event.epoch == self.epoch or not self.history:
            return event
        return attrs.evolve(event, epoch=self.epoch)

    def add(self, subscription: Subscription) -> None:
        self.groups.setdefault(subscription.encode, {})[subscription] = None

    def regroup(self, subscription: Subscription, encode: Encoder) -> None:
        """It is encoded another way from the next event on."""
        group = self.groups.get(subscription.encode, {})
        listed = group.pop(subscription, subscription) is None
        if not group:
            self.groups.pop(subscription.encode, None)
        subscription.encode = encode
        if listed:
            self.add(subscription)

    def discard(self, subscription: Subscription) -> None:
        self.stop_recording(subscription)
        group = self.groups.get(subscription.encode)
        if group is not None:
            group.pop(subscription, None)
            if not group:
                del self.groups[subscription.encode]
        if not self.groups:
            self.fanout.forget(self)

    def start_recording(self, subscription: Subscription) -> None:
        """While someone reads history, the newest events are kept here, so that the last step needs no read."""
        if not self.behind:
            self.recent_floor = self.cursor or 0
            self.fanout.recording[self] = None
        self.behind[subscription] = None

    def stop_recording(self, subscription: Subscription) -> None:
        """It is live, or closed. Idempotent."""
        self.behind.pop(subscription, None)
        if not self.behind:
            self.fanout.recording.pop(self, None)
            self.recent.clear()
            self.recent_bytes = 0

    def record(self, events: Iterable[Event]) -> None:
        for event in events:
            self.recent.append(event)
            self.recent_bytes += len(event.data)
        while len(self.recent) > RECENT_EVENTS or self.recent_bytes > RECENT_BYTES:
            dropped = self.recent.popleft()
            self.recent_bytes -= len(dropped.data)
            self.recent_floor = self.key(dropped)

    def chunks(self, events: list[Event], encode: Encoder, after: int) -> list[tuple[int, bytes]]:
        """``events`` encoded and joined: each chunk with the cursor that stands before it."""
        chunks: list[tuple[int, bytes]] = []
        parts: list[bytes] = []
        size, start = 0, after
        most = 0 if isinstance(encode, Apart) else CHUNK_BYTES
        for event in events:
            part = encode(self.placed(event))
            if size and size + len(part) > most:
                chunks.append((start, _joined(parts)))
                parts, size, start = [], 0, after
            if part:
                parts.append(part)
                size += len(part)
            after = self.key(event)
        if size:
            chunks.append((start, _joined(parts)))
        return chunks


def _joined(parts: list[bytes]) -> bytes:
    """In one piece. A single one stays what it is: a parcel, maybe."""
    return parts[0] if len(parts) == 1 else b"".join(parts)
