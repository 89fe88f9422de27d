"""Which long-lived connections are open: for lists, limits, revocation and an orderly stop."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypedDict

import attrs

from rtlite.errors import Reason, Refused
from rtlite.metrics import Metrics
from rtlite.model import Identity, now_ms, rfc3339
from rtlite.rules import Count, Timestamp
from rtlite.transports.outbox import Outbox

if TYPE_CHECKING:
    from rtlite.transports.stream import ServerStream


class ConnectionJson(TypedDict):
    """A connection, as the operator sees it."""

    id: str
    protocol: str
    user: str | None
    credential: str | None
    address: str
    channels: list[str]
    queued: Count
    sent: Count
    opened: Timestamp


class EndedConnection(ConnectionJson):
    """A connection that is over, and why."""

    closed: Timestamp
    reason: str
    text: str


@attrs.define(eq=False, slots=True)
class Coming:
    """What a connection is about to listen to: its right is asked, and may be taken away, before it does."""

    names: tuple[str, ...]
    dropped: bool = False
    """The right to one of them was taken away meanwhile."""


class Impairable(Protocol):
    """What faults do to a connection."""

    @property
    def stream(self) -> ServerStream | None:
        """What it goes over; ``None`` where it is many requests."""
        ...

    def close_with(self, code: int, text: str) -> None:
        """End it with this WebSocket close code, or what comes closest; 1006 is without a word."""
        ...

    def refuse_with(self, refusal: Refused) -> None:
        """End it as one that is not let in: with the refusal's status, where there is still one to say."""
        ...


Impair = Callable[["Connection"], None]


def _spare(_: Connection) -> None:
    """No fault is set."""


@attrs.define(eq=False, slots=True)
class Connection:
    """One WebSocket (later: one event stream), as the operator sees it."""

    id: str
    protocol: str
    address: str
    outbox: Outbox
    end: Callable[[Reason], None]
    identity: Identity | None = None
    drop: Callable[[str], None] | None = None
    """Ends the subscription to one channel; ``None`` if the connection is nothing without it."""
    channels: list[str] = attrs.field(factory=list)
    """What it listens to."""
    coming: tuple[Coming, ...] = ()
    opened: int = attrs.field(factory=now_ms)
    carried: Outbox | None = None
    """What its subscriptions write to, where that is handed on to ``outbox``."""
    passing: bool = False
    """Whether it is not worth remembering once it is over."""
    link: Impairable | None = None
    """The connection itself, for faults."""
    impair: Impair = _spare
    """Told when more is known of it: that it is open, whose it is, what it listens to, where it goes over."""

    def listens_to(self, names: Sequence[str]) -> None:
        """It listens to these as well."""
        self.channels += names
        self.impair(self)

    @contextmanager
    def about_to_listen(self, names: Sequence[str]) -> Iterator[Coming]:
        """While this lasts, whoever takes away the right to one of ``names`` finds this connection.

        So: enter it, ask for the right (it may have gone just before), subscribe; then look whether it was dropped.
        """
        coming = Coming(tuple(names))
        self.coming = (*self.coming, coming)
        try:
            yield coming
        finally:
            self.coming = tuple(other for other in self.coming if other is not coming)

    def lose(self, channel: str) -> bool:
        """The right to ``channel`` is gone; returns whether it has, or is about to have, a subscription to it.

        A connection that cannot do without the channel ends, as one that may not read it.
        """
        coming = [coming for coming in self.coming if channel in coming.names]
        for one in coming:
            one.dropped = True
        if not coming and channel not in self.channels:
            return False
        if self.drop is not None:
            self.drop(channel)
        else:
            self.end(Reason.FORBIDDEN)
        return True

    def mentions(self, text: str) -> bool:
        """Whether ``text`` is a part of its user's id, its protocol, its address or a channel that it listens to."""
        user = self.identity.user if self.identity else ""
        return any(text in part for part in (user, self.protocol, self.address, *self.channels))

    def as_json(self) -> ConnectionJson:
        return {
            "id": self.id,
            "protocol": self.protocol,
            "user": self.identity.user if self.identity else None,
            "credential": self.identity.credential if self.identity else None,
            "address": self.address,
            "channels": self.channels,
            "queued": self.outbox.queued,
            "sent": self.outbox.sent,
            "opened": rfc3339(self.opened),
        }


@attrs.frozen
class Ended:
    """A connection that is over, and why: ``closed`` is when, in milliseconds since 1970."""

    connection: ConnectionJson
    reason: Reason
    closed: int = attrs.field(factory=now_ms)

    def as_json(self) -> EndedConnection:
        return {
            **self.connection,
            "closed": rfc3339(self.closed),
            "reason": self.reason.name.lower(),
            "text": self.reason.value.text,
        }


class Connections:
    """The open connections, by id.

    :ivar ended: how many are over; the last of them are remembered (:meth:`recent`).
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self._metrics = metrics
        self._open: dict[str, Connection] = {}
        self._numbers = itertools.count(1)
        self._started = f"{int(time.time()):x}"
        self._recent: deque[Ended] = deque(maxlen=200)
        self.ended = 0
        self._impair: Impair = _spare

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open.values()))

    @property
    def full(self) -> bool:
        return len(self._open) >= self.limit

    @contextmanager
    def entered(
        self, protocol: str, address: str, outbox: Outbox, end: Callable[[Reason], None]
    ) -> Iterator[Connection]:
        """The connection is listed while this lasts."""
        connection = self.enter(protocol, address, outbox, end)
        try:
            yield connection
        finally:
            self.unlist(connection)

    def enter(self, protocol: str, address: str, outbox: Outbox, end: Callable[[Reason], None]) -> Connection:
        """The connection is listed until :meth:`unlist`."""
        connection = Connection(f"con_{self._started}_{next(self._numbers)}", protocol, address, outbox, end)
        connection.impair = self._impair
        self._open[connection.id] = connection
        self._metrics.connections.labels(protocol).inc()
        self._metrics.connected.labels(protocol).inc()
        return connection

    def unlist(self, connection: Connection, reason: Reason | None = None) -> None:
        """It is over, for this reason; or it is no connection of its own any more (another one stands for it).
        Idempotent."""
        if self._open.pop(connection.id, None) is None:
            return
        self._metrics.connections.labels(connection.protocol).dec()
        if reason is not None and not connection.passing:
            self.ended += 1
            self._recent.append(Ended(connection.as_json(), reason))

    def recent(self, most: int = 1_000) -> list[Ended]:
        """The connections that ended last, the newest first."""
        return list(islice(reversed(self._recent), most))

    def impair(self, impair: Impair | None) -> None:
        """From now on this is told of each connection that is open or comes; ``None`` if nobody is."""
        self._impair = impair or _spare
        for connection in self:
            connection.impair = self._impair
            self._impair(connection)

    def get(self, id: str) -> Connection | None:
        return self._open.get(id)

    def end_credential(self, credential: str, reason: Reason) -> int:
        """End every connection that a key or token opened; returns how many."""
        found = [item for item in self if item.identity is not None and item.identity.rests_on(credential)]
        for connection in found:
            connection.end(reason)
        return len(found)

    def drop(self, channel: str, who: Callable[[Identity], bool]) -> int:
        """End the subscriptions to ``channel`` of those whom ``who`` names; returns how many connections had one."""
        listed = [item for item in self if item.identity is not None and who(item.identity)]
        return sum(item.lose(channel) for item in listed)
