"""Faults: what can be made slow, deaf or broken on purpose, each kind declared once.

Words and units are Toxiproxy's where it has the same: latency and jitter in milliseconds, a probability
(its toxicity), a rate. What a fault decides comes from its seed alone, so that the same seed decides
the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import blake2b
from typing import Annotated, Any, Final

import attrs

from rtlite.model import is_pattern, kind_of, matches, rfc3339
from rtlite.rules import Rule, Subscribable, User

PROTOCOLS: Final = ("http", "blog", "commands", "events", "sse", "socketio", "graphql", "collab")
"""Requests, and the protocols of connections as the list of them has them."""


class Level(Enum):
    """What a kind of fault strikes."""

    DELIVERIES = "events on their way to one subscriber"
    CONNECTIONS = "connections, those that are open and those that come"
    REQUESTS = "HTTP requests, and attempts to connect"
    TOKENS = "tokens"
    DISK = "the database"


@attrs.frozen
class Kind:
    """One kind of fault.

    :ivar levels: what it strikes.
    :ivar takes: its fields besides those that all have, with their defaults; ``...`` is to be given.
    :ivar chosen: what one may choose by whom it strikes.
    """

    name: str
    levels: tuple[Level, ...]
    help: str
    takes: Mapping[str, Any] = attrs.field(factory=dict)
    chosen: tuple[str, ...] = ("protocol", "channel", "user", "connection")

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "help": self.help,
            "fields": {name: None if value is ... else value for name, value in self.takes.items()},
            "required": [name for name, value in self.takes.items() if value is ...],
            "chosen": list(self.chosen),
        }


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "latency",
            (Level.DELIVERIES, Level.REQUESTS),
            "events arrive late, in order; requests are answered late",
            {"latency": ..., "jitter": 0},
        ),
        Kind("drop", (Level.DELIVERIES,), "events do not arrive"),
        Kind("duplicate", (Level.DELIVERIES,), "events arrive twice"),
        Kind(
            "reorder",
            (Level.DELIVERIES,),
            "an event arrives after the next one, or alone after the latency if there is none",
            {"latency": 1000},
        ),
        Kind(
            "close",
            (Level.CONNECTIONS,),
            "connections are closed with a code; 1006 cuts them off without a word",
            {"code": 1012, "text": ""},
        ),
        Kind("half-open", (Level.CONNECTIONS,), "connections stay open, but nobody reads and nothing comes"),
        Kind(
            "slow-reader",
            (Level.CONNECTIONS,),
            "connections take so many bytes a second and no more, as if their client read slowly",
            {"rate": ...},
        ),
        Kind(
            "refuse",
            (Level.REQUESTS,),
            "requests and new connections are answered with a status",
            {"status": 503, "retry_after": None},
            ("protocol", "channel", "user"),
        ),
        Kind(
            "expire",
            (Level.TOKENS,),
            "tokens issued until now expire: their connections end, and nobody lets them in",
            {},
            ("user",),
        ),
        Kind(
            "disk-full",
            (Level.DISK,),
            "the disk is full: what would be stored is refused, what needs no disk goes on",
            {},
            (),
        ),
    )
}


@attrs.frozen
class NewFault:
    """A fault as one asks for it.

    ``latency`` and ``jitter`` are milliseconds, ``rate`` bytes a second, ``retry_after`` seconds;
    ``duration`` is a text such as ``30s``. Of who is chosen by, what is not given is everyone.
    """

    kind: Annotated[str, Rule(enum=list(KINDS))]
    protocol: Annotated[str, Rule(enum=list(PROTOCOLS))] | None = None
    channel: Subscribable | None = None
    user: User | None = None
    connection: str | None = None
    probability: Annotated[float, Rule(exclusiveMinimum=0, maximum=1)] = 1.0
    count: int | None = None
    seed: int | None = None
    duration: str | None = None
    latency: int | None = None
    jitter: int | None = None
    code: int | None = None
    text: str | None = None
    rate: int | None = None
    status: int | None = None
    retry_after: int | None = None


@attrs.define(eq=False)
class Fault:
    """A fault that is set.

    :ivar asked: what was asked for, checked and with the defaults in it.
    :ivar expires: when it ends, on Trio's clock.
    :ivar on_strike: told each time that it strikes.
    :ivar struck: how often it did.
    """

    id: str
    kind: Kind
    asked: NewFault
    seed: int
    created: int
    expires: float
    on_strike: Callable[[Fault], None]
    struck: int = 0
    removed: bool = False
    _shares: int = 0

    @property
    def spent(self) -> bool:
        """Whether it strikes no more: it was ended, or struck as often as it was to."""
        return self.removed or (self.asked.count is not None and self.struck >= self.asked.count)

    def picks(self, protocol: str, user: str | None, connection: str | None) -> bool:
        """Whether it is for this connection or request, whatever the channel: never for what the console shows."""
        asked = self.asked
        return (
            asked.protocol in {None, protocol}
            and protocol in PROTOCOLS
            and asked.user in {None, user}
            and asked.connection in {None, connection}
        )

    def covers(self, channel: str) -> bool:
        """Whether it is for events of this channel."""
        return self.asked.channel is None or matches(self.asked.channel, channel)

    def touches(self, name: str) -> bool:
        """Whether who listens to this channel or pattern may get events that it is for."""
        return self.covers(name) or (is_pattern(name) and kind_of(self.asked.channel or "") == kind_of(name))

    def draws(self) -> Draws:
        """Decisions for one more of those whom it strikes."""
        self._shares += 1
        return Draws(self, self._shares)

    def as_json(self, now: float) -> dict[str, Any]:
        """:param now: Trio's clock."""
        asked = self.asked
        chosen = {name: getattr(asked, name) for name in ("protocol", "channel", "user", "connection")}
        return {
            "id": self.id,
            "kind": self.kind.name,
            **chosen,
            **{name: getattr(asked, name) for name in self.kind.takes},
            "probability": asked.probability,
            "count": asked.count,
            "seed": self.seed,
            "struck": self.struck,
            "created": rfc3339(self.created),
            "remaining": round(max(0.0, self.expires - now), 3),
        }


class Draws:
    """What a fault decides for one subscriber, connection or kind of request, one case after the other.

    Chance is a hash of the seed, of the place among those whom the fault strikes, and of how often was drawn:
    so it needs no state, of which a generator has 2.5 KB, and is the same in each version of Python.
    """

    __slots__ = ("_drawn", "_place", "fault")

    def __init__(self, fault: Fault, place: int) -> None:
        self.fault = fault
        self._place = place
        self._drawn = 0

    def strikes(self) -> bool:
        """Whether it strikes this time; then it counts."""
        chance = self._draw()
        if self.fault.spent or chance >= self.fault.asked.probability:
            return False
        self.fault.struck += 1
        self.fault.on_strike(self.fault)
        return True

    def delay(self) -> float:
        """Seconds: the latency, more or less the jitter."""
        asked = self.fault.asked
        jitter = (2 * self._draw() - 1) * (asked.jitter or 0)
        return max(0.0, (asked.latency or 0) + jitter) / 1000

    def _draw(self) -> float:
        """From 0 up to, and not, 1."""
        self._drawn += 1
        text = f"{self.fault.seed}/{self._place}/{self._drawn}"
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2**48
