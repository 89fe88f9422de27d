"""Which faults are set, and until when. What each of them does is told by who strikes: :data:`Faults.on_change`.

They end with their time, by hand, or with the server; nothing of them is stored. One that struck as often
as it was to strikes no more, but lasts: those whom it struck are to stay so.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from rtlite import settings as units
from rtlite.errors import Conflict, Forbidden, InvalidRequest, NotFound
from rtlite.faults import KINDS, PROTOCOLS, Fault, Kind, NewFault
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import check_pattern, check_user, now_ms
from rtlite.settings import Settings, duration_text
from rtlite.transports.outbox import PIECE

log = get_logger(__name__)

CUT: Final = 1006
"""The close code of a connection that ends without a close frame (RFC 6455, section 7.1.5)."""
_CODES: Final = frozenset({1000, 1001, 1002, 1003, CUT, 1007, 1008, 1009, 1011, 1012, 1013, 1014, *range(3000, 5000)})
_MAX_TEXT: Final = 123  # bytes; what a close frame has room for
_MAX_MS: Final = 600_000
_MAX_SEEDS: Final = 2**32
_MAX_ID: Final = 64


class Faults:
    """The faults of one server.

    :ivar on_change: called with those that are set whenever that changes.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._set: dict[str, Fault] = {}
        self._numbers = itertools.count(1)
        self._wake = trio.Event()
        self.on_change: list[Callable[[Sequence[Fault]], None]] = []

    @property
    def allowed(self) -> bool:
        """Whether faults may be set here at all."""
        return self._settings.dev or self._settings.faults

    def all(self) -> list[Fault]:
        """Those that are set, the oldest first."""
        return [fault for fault in self._set.values() if not self._is_over(fault)]

    def add(self, wanted: NewFault) -> Fault:
        """Set a fault. It strikes at once, open connections too.

        :raises Forbidden: not on this server. :raises InvalidRequest: the text names the field.
        :raises Conflict: very many are set.
        """
        if not self.allowed:
            raise Forbidden("faults are off here (--dev and the setting faults allow them)", code="faults_off")
        kind, asked, seconds = check(wanted, self._settings)
        self._tidy()
        if len(self._set) >= self._settings.max_faults:
            raise Conflict(f"there are {self._settings.max_faults} faults at most", code="too_many_faults")
        fault = Fault(
            f"flt_{next(self._numbers)}",
            kind,
            asked,
            seed=secrets.randbelow(_MAX_SEEDS) if asked.seed is None else asked.seed,
            created=now_ms(),
            expires=trio.current_time() + seconds,
            on_strike=self._struck,
        )
        self._set[fault.id] = fault
        log.warning("a fault is set", seed=fault.seed, seconds=seconds, **_told(fault))
        self._tell()
        return fault

    def remove(self, id: str) -> None:
        """End a fault. :raises NotFound: there is none of this id."""
        fault = self._set.get(id)
        if fault is None or self._is_over(fault):
            raise NotFound("no such fault")
        fault.removed = True
        self._tidy()

    def clear(self) -> int:
        """End all; returns how many there were."""
        ended = self.all()
        for fault in ended:
            fault.removed = True
        self._tidy()
        return len(ended)

    def _struck(self, fault: Fault) -> None:
        self._metrics.faults_injected.labels(fault.kind.name).inc()

    async def run(self) -> None:
        """End each when its time is up, until cancelled."""
        while True:
            with trio.CancelScope(deadline=min((fault.expires for fault in self._set.values()), default=math.inf)):
                await self._wake.wait()
            self._wake = trio.Event()
            self._tidy()

    @staticmethod
    def _is_over(fault: Fault) -> bool:
        return fault.removed or fault.expires <= trio.current_time()

    def _tidy(self) -> None:
        ended = [fault for fault in self._set.values() if self._is_over(fault)]
        for fault in ended:
            fault.removed = True
            del self._set[fault.id]
            log.warning("a fault is over", **_told(fault))
        if ended:
            self._tell()

    def _tell(self) -> None:
        self._metrics.faults_set.set(len(self._set))
        self._wake.set()  # another one may be the next to end
        present = list(self._set.values())
        for callback in self.on_change:
            try:
                callback(present)
            except Exception:  # our own mistake in one of them; the server, and what the others do, goes on
                log.exception("a fault could not be set or ended everywhere")


def _told(fault: Fault) -> dict[str, object]:
    """For the log."""
    return {"fault": fault.id, "kind": fault.kind.name, "struck": fault.struck}


def check(wanted: NewFault, settings: Settings) -> tuple[Kind, NewFault, float]:
    """What was asked for with the defaults in it, and for how many seconds.

    :raises InvalidRequest: it cannot be; the text names the field.
    """
    kind = KINDS.get(wanted.kind)
    if kind is None:
        raise InvalidRequest(f"kind: one of {', '.join(KINDS)} is wanted")
    _check_choice(kind, wanted)
    for name in ("latency", "jitter", "code", "text", "rate", "status", "retry_after"):
        value = getattr(wanted, name)
        if value is None:
            if kind.takes.get(name) is ...:
                raise InvalidRequest(f"{name}: {kind.name} needs it")
        elif name not in kind.takes:
            raise InvalidRequest(f"{name}: {kind.name} has none")
        else:
            _check_value(name, value, settings)
    if not 0 < wanted.probability <= 1:  # which is not true of NaN either
        raise InvalidRequest("probability: more than 0 and up to 1 is wanted")
    if wanted.count is not None and not 1 <= wanted.count <= 2**53:
        raise InvalidRequest("count: a whole number from 1 is wanted")
    if wanted.seed is not None and not 0 <= wanted.seed <= 2**53:
        raise InvalidRequest("seed: a whole number from 0 is wanted")
    defaults = {
        name: default for name, default in kind.takes.items() if default is not ... and getattr(wanted, name) is None
    }
    return kind, attrs.evolve(wanted, **defaults), _seconds(wanted.duration, settings)


def _check_choice(kind: Kind, wanted: NewFault) -> None:
    for name in ("protocol", "channel", "user", "connection"):
        if getattr(wanted, name) is not None and name not in kind.chosen:
            raise InvalidRequest(f"{name}: {kind.name} is not chosen by it")
    if wanted.protocol not in {None, *PROTOCOLS}:
        raise InvalidRequest(f"protocol: one of {', '.join(PROTOCOLS)} is wanted")
    if wanted.channel is not None:
        check_pattern(wanted.channel)
    if wanted.user is not None:
        check_user(wanted.user)
    if wanted.connection is not None and not 1 <= len(wanted.connection) <= _MAX_ID:
        raise InvalidRequest("connection: an id as in the list of connections is wanted")


def _check_value(name: str, value: int | str, settings: Settings) -> None:
    least = math.ceil(2 * PIECE / settings.write_timeout)  # who takes a piece in longer than that is given up as gone
    match name, value:
        case (("latency" | "jitter"), int()) if 0 <= value <= _MAX_MS:
            return
        case "code", int() if value in _CODES:
            return
        case "text", str() if len(value.encode()) <= _MAX_TEXT:
            return
        case "rate", int() if least <= value <= 2**40:
            return
        case "status", int() if 400 <= value <= 599:
            return
        case "retry_after", int() if 0 <= value <= 86_400:
            return
    raise InvalidRequest(f"{name}: {_WANTED[name].format(least=least)} is wanted")


_WANTED: Final = {
    "latency": f"milliseconds up to {_MAX_MS}",
    "jitter": f"milliseconds up to {_MAX_MS}",
    "code": "a close code that a server may send, 1000 to 1014 or 3000 to 4999, or 1006",
    "text": f"a text of up to {_MAX_TEXT} bytes",
    "rate": "bytes a second, from {least} (twice 16 KiB in the setting write_timeout),",
    "status": "an HTTP status from 400 to 599",
    "retry_after": "seconds up to a day",
}


def _seconds(duration: str | None, settings: Settings) -> float:
    if duration is None:
        return settings.fault_time
    try:
        seconds = units.duration(duration)
    except ValueError as error:
        raise InvalidRequest(f"duration: {error}") from error
    if not 0 < seconds <= settings.fault_max_time:
        raise InvalidRequest(f"duration: up to {duration_text(settings.fault_max_time)} is allowed (fault_max_time)")
    return seconds
