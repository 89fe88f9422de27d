"""The heartbeat of sessions: who is pinged when, and who is given up."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rtlite.errors import Reason
from rtlite.transports.pulse import Pulse


@attrs.define(eq=False)
class Session:
    """Notes when it is pinged and when it is ended."""

    busy: bool = False
    room: bool = True
    emptied: float = -math.inf
    pings: list[float] = attrs.field(factory=list)
    ended: list[float] = attrs.field(factory=list)

    def ping(self) -> bool:
        self.pings.append(round(trio.current_time() - self.began))
        return self.room

    def end(self, reason: Reason) -> None:
        assert reason is Reason.NO_PONG
        self.ended.append(round(trio.current_time() - self.began))

    began: float = attrs.field(factory=trio.current_time)


@asynccontextmanager
async def beating(interval: float = 25.0, timeout: float | None = 20.0) -> AsyncIterator[Pulse]:
    pulse = Pulse(interval, timeout)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        await trio.testing.wait_all_tasks_blocked()
        yield pulse
        nursery.cancel_scope.cancel()


async def test_who_answers_is_pinged_an_interval_later(autojump_clock: trio.testing.MockClock) -> None:
    async with beating() as pulse:
        session = Session()
        beat = pulse.add(session)
        for _ in range(3):
            await trio.sleep(27)  # it answers two seconds after the ping
            beat.answered()
        await trio.sleep(26)
        assert session.pings == [25, 52, 79, 106]
        assert not session.ended


async def test_who_does_not_answer_is_ended_after_the_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async with beating() as pulse:
        session = Session()
        pulse.add(session)
        await trio.sleep(200)
        assert (session.pings, session.ended) == ([25], [45])


async def test_an_answer_that_nobody_waits_for_is_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with beating() as pulse:
        session = Session()
        beat = pulse.add(session)
        for _ in range(5):
            beat.answered()
        await trio.sleep(26)
        beat.answered()
        beat.answered()
        await trio.sleep(26)
        assert session.pings == [25, 51]


async def test_an_old_timeout_is_no_judge_of_a_later_ping(autojump_clock: trio.testing.MockClock) -> None:
    async with beating(interval=1, timeout=20) as pulse:
        session = Session()
        beat = pulse.add(session)
        for _ in range(40):
            await trio.sleep(1)
            await trio.testing.wait_all_tasks_blocked()
            beat.answered()
        assert len(session.pings) == pytest.approx(40, abs=1)
        assert not session.ended


async def test_a_slow_reader_has_more_time_and_its_ping_when_there_is_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with beating() as pulse:
        session = Session(busy=True, room=False)
        beat = pulse.add(session)
        await trio.sleep(90)
        assert session.pings == [25, 45, 65, 85]  # tried again
        session.room = True
        await trio.sleep(20)
        assert not session.ended
        session.busy = False
        beat.answered()
        await trio.sleep(30)
        assert session.pings[-1] == 135
        await trio.sleep(30)
        assert session.ended == [155]


async def test_a_session_that_is_over_is_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with beating() as pulse:
        one, other = Session(), Session()
        beats = [pulse.add(session) for session in (one, other)]
        beats[0].stop()
        await trio.sleep(30)
        beats[1].stop()
        await trio.sleep(30)
        assert (one.pings, one.ended, other.pings, other.ended) == ([], [], [25], [])


async def test_who_had_no_room_for_its_ping_is_given_one_before_it_is_judged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with beating() as pulse:
        session = Session(busy=True, room=False)
        pulse.add(session)
        await trio.sleep(40)
        session.busy, session.room = False, True
        await trio.sleep(100)
        assert (session.pings, session.ended) == ([25, 45], [65])


async def test_the_time_to_answer_runs_from_when_the_backlog_was_gone(autojump_clock: trio.testing.MockClock) -> None:
    async with beating() as pulse:
        session = Session(busy=True)
        pulse.add(session)
        await trio.sleep(63)
        session.busy, session.emptied = False, trio.current_time()
        await trio.sleep(100)
        assert (session.pings, session.ended) == ([25], [83])


async def test_where_nobody_answers_the_pings_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async with beating(timeout=None) as pulse:
        session = Session()
        pulse.add(session)
        await trio.sleep(101)
        assert (session.pings, session.ended) == ([25, 50, 75, 100], [])


async def test_a_mistake_in_a_ping_ends_one_connection_and_not_the_heartbeat(
    autojump_clock: trio.testing.MockClock, logs: list[Any]
) -> None:
    class Faulty(Session):
        def ping(self) -> bool:
            raise RuntimeError

        def end(self, reason: Reason) -> None:
            raise RuntimeError(reason)

    async with beating(timeout=None) as pulse:
        other = Session()
        for session in (Faulty(), other):
            pulse.add(session)
        await trio.sleep(51)
        assert other.pings == [25, 50]
    assert sum("exc_info" in line for line in logs) == 2  # the ping, and the end; and then it is left alone
