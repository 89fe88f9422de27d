"""The heartbeat of all Engine.IO sessions: one task, where a task for each would cost 4 KiB each.

A session is pinged an interval after it began or last answered, and then has a timeout to
answer. Both are the same for all, so that who was added first is due first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from rtlite.errors import Reason
from rtlite.settings import Settings

_SLICE: Final = 64  # sessions between two checkpoints


class Pinged(Protocol):
    """A session, as its heartbeat sees it."""

    @property
    def busy(self) -> bool:
        """Whether it still takes what was sent before: then it is slow, and not gone."""
        ...

    def ping(self) -> bool:
        """Send a ping; ``False`` if there is no room for it."""
        ...

    def end(self, reason: Reason) -> None: ...


class Beat:
    """One session's place in the pulse."""

    __slots__ = ("_pulse", "due", "sent", "session")

    def __init__(self, pulse: Pulse, session: Pinged) -> None:
        self._pulse = pulse
        self.session: Pinged | None = session
        self.due: float | None = None  # when the answer to a ping is, if one is awaited
        self.sent = False

    def answered(self) -> None:
        """A pong came. One that nobody waits for is nothing."""
        if self.due is not None and self.sent:
            self.due = None
            self._pulse.rest(self)

    def stop(self) -> None:
        """The session is over. What stands in the pulse until it is due holds nothing of it."""
        self.session = None


class Pulse:
    """Pings sessions, and ends those that do not answer."""

    def __init__(self, settings: Settings) -> None:
        self._interval = settings.socketio_ping_interval
        self._timeout = settings.socketio_ping_timeout
        self._resting: deque[tuple[float, Beat]] = deque()
        self._asked: deque[tuple[float, Beat]] = deque()

    def add(self, session: Pinged) -> Beat:
        """A session began."""
        beat = Beat(self, session)
        self.rest(beat)
        return beat

    def rest(self, beat: Beat) -> None:
        """It is pinged an interval from now."""
        self._resting.append((trio.current_time() + self._interval, beat))

    async def run(self) -> None:
        """Beat until cancelled."""
        step = min(self._interval, self._timeout)  # nothing that is added meanwhile is due sooner
        while True:
            dues = [queue[0][0] for queue in (self._resting, self._asked) if queue]
            await trio.sleep_until(min([*dues, trio.current_time() + step]))
            await self._work(self._resting, self._ask)
            await self._work(self._asked, self._judge)

    async def _work(self, queue: deque[tuple[float, Beat]], act: Callable[[Beat, Pinged, float], None]) -> None:
        done = 0
        while queue and queue[0][0] <= trio.current_time():
            due, beat = queue.popleft()
            if beat.session is not None:
                act(beat, beat.session, due)
            done += 1
            if done % _SLICE == 0:
                await trio.lowlevel.checkpoint()

    def _ask(self, beat: Beat, session: Pinged, due: float) -> None:
        beat.sent = session.ping()
        self._wait(beat, due)

    def _wait(self, beat: Beat, since: float) -> None:
        beat.due = since + self._timeout  # not since now: a beat that is late makes no session live longer
        self._asked.append((beat.due, beat))

    def _judge(self, beat: Beat, session: Pinged, due: float) -> None:
        """The time to answer is up."""
        if beat.due != due:  # it did
            return
        if session.busy:
            beat.sent = beat.sent or session.ping()
            self._wait(beat, due)
        else:
            session.end(Reason.NO_PONG)
