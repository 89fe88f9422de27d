"""Retention in the background: a task that now and then deletes what may go, in short writes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from rtlite.errors import Refused
from rtlite.hub.fanout import Fanout
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import kind_of, now_ms
from rtlite.store import presence, retention
from rtlite.store.database import Database
from rtlite.store.policies import Policies

log = get_logger(__name__)

_JUMP_SECONDS: Final = 300.0


class Sweeper:
    def __init__(
        self,
        database: Database,
        fanout: Fanout,
        policies: Policies,
        metrics: Metrics,
        now: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._fanout = fanout
        self._policies = policies
        self._metrics = metrics
        self._now = now
        self._monotonic = monotonic
        self._clock = (now(), monotonic())
        self.chores: list[Callable[[int], Awaitable[None]]] = []
        """What else is deleted at each pass: each gets the time (ms) that retention goes by."""

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await trio.sleep(self._policies.settings.sweep_interval)
            try:
                await self.sweep()
                await self._database.keep_house()
            except Refused as error:  # the disk may be full or failing; the next pass tries again
                log.warning("retention could not delete", code=error.code)
            except Exception:
                log.exception("retention failed")

    async def sweep(self) -> int:
        """One pass over every channel that holds too much; returns how many events went."""
        now = self._trusted_now()
        swept, after = 0, 0
        while True:
            found = await self._database.read(
                lambda connection, after=after: retention.candidates(connection, self._policies, now, after)  # type: ignore[misc]
            )
            if not found:
                break
            for candidate in found:
                swept += await self._trim(candidate, now)
            after = found[-1].id
        self._metrics.swept.inc(swept)
        await self._forget(now)
        for chore in self.chores:
            try:
                await chore(now)
            except Refused:
                raise
            except Exception:  # a mistake in one must not keep the others from theirs, pass after pass
                log.exception("retention failed")
        return swept

    async def _forget(self, now: int) -> None:
        """Users who were last seen longer ago than events are kept."""
        while (
            await self._database.write(lambda connection: presence.forget(connection, self._policies.settings, now))
            == presence.STEP
        ):
            await trio.lowlevel.checkpoint()

    async def _trim(self, candidate: retention.Candidate, now: int) -> int:
        total = 0
        while True:
            needed = retention.Needed(self._next(candidate.name), self._next(candidate.name, among_others=True))
            deleted = await self._database.write(
                lambda connection, needed=needed: retention.trim(connection, self._policies, candidate, now, needed),  # type: ignore[misc]
                vital=True,
            )
            total += deleted
            if deleted < retention.STEP:
                return total
            await trio.lowlevel.checkpoint()

    def _next(self, channel: str, *, among_others: bool = False) -> int | None:
        """What the slowest reader of a channel reads next: an offset; or of the channel among others, a sequence."""
        topics = (*self._fanout.listening(channel), *self._fanout.listening(kind_of(channel) + ":*"))
        readers = (item for topic in topics if (topic.selection is not None) is among_others for item in topic.behind)
        return min((reader.cursor + 1 for reader in readers), default=None)

    def _trusted_now(self) -> int:
        """The wall clock, unless it leapt ahead: a wrong clock must not delete a week of history at once.

        After a leap, the old clock goes on, and the new time is believed once an hour has
        passed on the monotonic clock as well.
        """
        wall, ticks = self._now(), self._monotonic()
        expected = self._clock[0] + int((ticks - self._clock[1]) * 1000)
        if wall - expected > _JUMP_SECONDS * 1000 and ticks - self._clock[1] < 3600:
            log.warning("the clock leapt ahead; retention by age waits", seconds=(wall - expected) // 1000)
            return expected
        self._clock = (wall, ticks)
        return wall
