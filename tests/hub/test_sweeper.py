"""Retention at work beside readers and publishers, under clocks that cannot be trusted."""

from __future__ import annotations

import pytest
import trio

from rtlite.errors import Reason, StorageFailed
from rtlite.hub.sweeper import Sweeper
from rtlite.metrics import Metrics
from rtlite.model import now_ms
from rtlite.settings import DAY, HOUR, MIB, KindSettings, Settings
from rtlite.store import retention
from rtlite.store import wal as log
from rtlite.store.policies import Policies
from tests.hub.readers import Reader, history_of, new, reached, running_hub


class Clock:
    def __init__(self):
        self.wall = now_ms()
        self.ticks = 0.0

    def pass_by(self, seconds):
        self.wall += int(seconds * 1000)
        self.ticks += seconds


def sweeper_of(hub, clock, **keep):
    settings = Settings(channels={"news": KindSettings(**keep)}, spill_limit=keep.pop("spill_limit", 256 * MIB))
    return Sweeper(
        hub.database, hub.fanout, Policies(settings), Metrics(), now=lambda: clock.wall, monotonic=lambda: clock.ticks
    )


async def offsets(hub, name="news:a"):
    return [offset for offset, _ in await history_of(hub.database, name)]


async def test_count_is_kept_on_every_channel_in_steps_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 3)
    async with running_hub(tmp_path / "r.db") as hub:
        for number in range(5):
            await hub.publish_all([new(f"news:{number}") for _ in range(10 + number)])
        swept = await sweeper_of(hub, Clock(), retention_count=10).sweep()

        assert swept == 0 + 1 + 2 + 3 + 4
        assert await offsets(hub, "news:4") == list(range(5, 15))


async def test_more_channels_than_one_look_finds_are_all_swept(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new(f"{kind}:{number}") for kind in ("news", "more") for number in range(250)] * 2)
        settings = Settings(channels={kind: KindSettings(retention_count=1) for kind in ("news", "more")})

        assert await Sweeper(hub.database, hub.fanout, Policies(settings), Metrics()).sweep() == 500


async def test_age_lets_the_old_ones_go_and_a_channel_may_become_empty(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        clock = Clock()
        sweeper = sweeper_of(hub, clock, retention_age=HOUR)
        last = (await hub.publish_all([new(), new()]))[-1].event
        clock.pass_by(HOUR - 60)
        assert await sweeper.sweep() == 0
        clock.pass_by(120)
        assert await sweeper.sweep() == 2
        reader = Reader()
        answer = await reader.subscribe(hub, since=last.position)
        following = (await hub.publish(new())).event

        assert answer.recovered
        assert following.position.offset == 3
        assert following.epoch == last.epoch


async def test_clock_that_leaps_ahead_deletes_nothing_until_an_hour_has_really_passed(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        clock = Clock()
        sweeper = sweeper_of(hub, clock, retention_age=DAY)
        await hub.publish_all([new(), new()])
        clock.wall += int(2 * DAY * 1000)
        assert await sweeper.sweep() == 0
        clock.pass_by(1800)
        assert await sweeper.sweep() == 0
        clock.pass_by(1900)
        assert await sweeper.sweep() == 2


async def test_clock_that_was_wrong_for_a_moment_deletes_nothing(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        clock = Clock()
        sweeper = sweeper_of(hub, clock, retention_age=DAY)
        await hub.publish(new())
        for leap in (2 * DAY, -2 * DAY, -HOUR, HOUR):
            clock.wall += int(leap * 1000)
            clock.pass_by(10)
            assert await sweeper.sweep() == 0


async def test_what_a_slow_reader_has_yet_to_read_is_spared(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub)
        await hub.publish_all([new() for _ in range(5)])
        slow.full = True
        await hub.publish_all([new() for _ in range(20)])
        await reached(lambda: hub.fanout.topics["news:a"].behind)
        sweeper = sweeper_of(hub, Clock(), retention_count=3)
        assert await sweeper.sweep() == 5
        slow.drain()
        await slow.until_offset(25)
        await reached(lambda: not hub.fanout.topics["news:a"].behind)
        assert await sweeper.sweep() == 17

        assert slow.offsets == list(range(1, 26))
        assert slow.lost == []


async def test_what_a_slow_reader_of_the_whole_kind_has_yet_to_read_is_spared(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub, "news:*")
        await hub.publish_all([new(f"news:{number % 2}") for number in range(10)])
        slow.full = True
        await hub.publish_all([new(f"news:{number % 2}") for number in range(40)])
        await reached(lambda: hub.fanout.topics["news:*"].behind)
        swept = await sweeper_of(hub, Clock(), retention_count=3).sweep()
        slow.drain()
        await slow.until(lambda reader: len(reader.events) == 50)

        assert swept == 10
        assert slow.lost == []


async def test_slow_reader_spares_no_more_than_the_spill_limit(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub)
        slow.full = True
        await hub.publish_all([new(data=b"x" * 1000) for _ in range(400)])  # more than the page it has in hand
        await reached(lambda: hub.fanout.topics["news:a"].behind)
        settings = Settings(channels={"news": KindSettings(retention_count=3)}, spill_limit=10_000)
        swept = await Sweeper(hub.database, hub.fanout, Policies(settings), Metrics()).sweep()
        slow.drain()
        await slow.until(lambda reader: bool(reader.lost))

        assert swept == 390
        assert slow.lost == [Reason.TOO_SLOW]
        assert slow.offsets == list(range(1, len(slow.offsets) + 1))


async def test_failing_sweep_is_tried_again(tmp_path):
    async with running_hub(tmp_path / "r.db", sweep_interval=0.001) as hub:
        await hub.publish(new())
        tried, failures = trio.Event(), [StorageFailed("no"), ZeroDivisionError("a mistake of ours")]

        async def sweep():
            if not failures:
                tried.set()
                return 0
            raise failures.pop()

        hub.sweeper.sweep = sweep
        with trio.fail_after(5):
            await tried.wait()


async def test_sweep_bounds_the_write_ahead_log(tmp_path, monkeypatch):
    async with running_hub(tmp_path / "r.db") as hub:
        for _ in range(20):
            await hub.publish_all([new(data=b"x" * 10_000) for _ in range(10)])
        wal = tmp_path / "r.db-wal"
        await hub.database.keep_house()
        assert wal.stat().st_size > 0
        monkeypatch.setattr(log, "LIMIT", 1_000_000)
        await hub.database.keep_house()

        assert wal.stat().st_size == 0


async def test_chores_go_by_the_time_of_retention_and_a_mistake_in_one_stops_no_other(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        clock, told = Clock(), []
        sweeper = sweeper_of(hub, clock)

        async def wrong(now):
            raise ZeroDivisionError

        async def right(now):
            told.append(now)
            await trio.lowlevel.checkpoint()

        sweeper.chores += [wrong, right]
        await sweeper.sweep()
        started = clock.wall
        clock.wall += int(30 * DAY * 1000)  # the clock leaps
        clock.ticks += 10
        await sweeper.sweep()

        assert told == [started, started + 10_000]


async def test_chores_wait_for_the_next_pass_when_the_disk_fails(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        sweeper = sweeper_of(hub, Clock())

        async def refused(now):
            raise StorageFailed("no")

        sweeper.chores.append(refused)
        with pytest.raises(StorageFailed):
            await sweeper.sweep()
