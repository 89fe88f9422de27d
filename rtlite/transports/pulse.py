"""The heartbeat of many connections: one task, where a task for each would cost 4 KiB each.

A connection is pinged an interval after it began or last answered, and then has a timeout to
answer. The interval is the same for all, so that who was added first is due first.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from rtlite.errors import Reason
from rtlite.log import get_logger

log = get_logger(__name__)

_SLICE: Final = 64  # connections between two checkpoints
_ROUNDING: Final = 1e-6  # seconds


class Pinged(Protocol):
    """A connection, as its heartbeat sees it."""

    @property
    def busy(self) -> bool:
        """Whether it still takes what was sent before: then it is slow, and not gone."""
        ...

    @property
    def emptied(self) -> float:
        """When it had last taken all that waited for it: the time to answer runs from there."""
        ...

    def ping(self) -> bool:
        """Send a ping; ``False`` if there is no room for it."""
        ...

    def end(self, reason: Reason) -> None: ...


class Beat:
    """One connection's place in the pulse."""

    __slots__ = ("_pulse", "connection", "due", "next", "sent")

    def __init__(self, pulse: Pulse, connection: Pinged) -> None:
        self._pulse = pulse
        self.connection: Pinged | None = connection
        self.next = 0.0  # when it is pinged
        self.due: float | None = None  # when the answer to a ping is, if one is awaited
        self.sent = False

    def answered(self) -> None:
        """A pong came. One that nobody waits for is nothing."""
        if self.due is not None and self.sent:
            self.due = None
            self._pulse.rest(self)

    def stop(self) -> None:
        """The connection is over. What stands in the pulse until it is due holds nothing of it."""
        self.connection = None


class Pulse:
    """Pings connections, and ends those that do not answer.

    :param interval: seconds. :param timeout: seconds to answer; ``None`` where nobody does.
    """

    def __init__(self, interval: float, timeout: float | None) -> None:
        self._interval = interval
        self._timeout = timeout
        self._resting: deque[Beat] = deque()
        self._asked: list[tuple[float, int, Beat]] = []  # a heap
        self._numbers = itertools.count()

    def add(self, connection: Pinged) -> Beat:
        """A connection began."""
        beat = Beat(self, connection)
        self.rest(beat)
        return beat

    def rest(self, beat: Beat) -> None:
        """It is pinged an interval from now."""
        beat.next = trio.current_time() + self._interval
        self._resting.append(beat)

    async def run(self) -> None:
        """Beat until cancelled."""
        step = self._interval if self._timeout is None else min(self._interval, self._timeout)
        while True:
            until = trio.current_time() + step  # nothing that is added meanwhile is due sooner
            if self._resting:
                until = min(until, self._resting[0].next)
            if self._asked:
                until = min(until, self._asked[0][0])
            await trio.sleep_until(until)
            await self._work()

    async def _work(self) -> None:
        done = 0
        while self._resting and self._resting[0].next <= trio.current_time():
            beat = self._resting.popleft()
            self._act(beat, self._ask, beat.next)
            done += 1
            if done % _SLICE == 0:
                await trio.lowlevel.checkpoint()
        while self._asked and self._asked[0][0] <= trio.current_time():
            due, _, beat = heapq.heappop(self._asked)
            self._act(beat, self._judge, due)
            done += 1
            if done % _SLICE == 0:
                await trio.lowlevel.checkpoint()

    def _act(self, beat: Beat, act: Callable[[Beat, Pinged, float], None], due: float) -> None:
        """What a connection's own code raises ends that connection, never the heartbeat of all others."""
        connection = beat.connection
        if connection is None:
            return
        try:
            act(beat, connection, due)
        except Exception:
            log.exception("a heartbeat failed")
            beat.stop()
            try:
                connection.end(Reason.INTERNAL_ERROR)
            except Exception:
                log.exception("a connection whose heartbeat failed could not be ended")

    def _ask(self, beat: Beat, connection: Pinged, due: float) -> None:
        beat.sent = connection.ping()
        if self._timeout is None:
            self.rest(beat)
        else:
            self._wait(beat, due + self._timeout)  # not from now: a beat that is late makes nobody live longer

    def _wait(self, beat: Beat, due: float) -> None:
        beat.due = due
        heapq.heappush(self._asked, (due, next(self._numbers), beat))

    def _judge(self, beat: Beat, connection: Pinged, due: float) -> None:
        """The time to answer is up."""
        timeout = self._timeout or 0.0
        if beat.due != due:  # it did
            return
        if connection.busy:
            beat.sent = beat.sent or connection.ping()
            self._wait(beat, due + timeout)
        elif not beat.sent:  # there was no room for it
            beat.sent = connection.ping()
            self._wait(beat, trio.current_time() + timeout)
        elif connection.emptied + timeout > due + _ROUNDING:
            self._wait(beat, connection.emptied + timeout)
        else:
            connection.end(Reason.NO_PONG)
