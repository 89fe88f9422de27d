"""When a room delivers."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from rtlite.domain.tempo import Tempo


async def delays(every: float, pause: float, count: int) -> list[float]:
    """How long each of so many edits waits for its delivery, where one comes every so many seconds."""
    tempo, begun, found = Tempo(), trio.current_time(), []
    for number in range(count):
        await trio.sleep_until(begun + number * every)
        found.append(round(trio.current_time() - (begun + number * every), 3))
        await tempo.rest(pause)
    return found


@pytest.mark.parametrize("every", [0.02, 0.025, 1])
async def test_edits_that_are_no_more_than_the_pauses_go_out_at_once(autojump_clock: MockClock, every: float) -> None:
    assert set(await delays(every, 0.02, 100)) == {0}


async def test_a_few_at_a_time_go_out_at_once_and_many_wait(autojump_clock: MockClock) -> None:
    waits = await delays(0, 0.02, 30)
    assert waits[:10] == [0] * 10
    assert waits[-1] == pytest.approx(20 * 0.02, abs=0.021)


async def test_who_pauses_is_heard_at_once_again(autojump_clock: MockClock) -> None:
    tempo = Tempo()
    for _ in range(30):
        await tempo.rest(0.02)
    await trio.sleep(1)
    before = trio.current_time()
    for _ in range(10):
        await tempo.rest(0.02)
    assert trio.current_time() == pytest.approx(before)
