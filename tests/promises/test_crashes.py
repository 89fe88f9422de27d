"""``kill -9`` in the middle of everything: nothing acknowledged is lost, nothing comes twice.

What else can happen to a server, and 200 kills, are in ``tests/faults``.
"""

from __future__ import annotations

import random
from pathlib import Path

from rtlite.store.check import check
from tests.faults.world import ALL_KEPT, FaultyServer, World


async def test_nothing_is_lost_doubled_or_reordered_when_the_server_is_killed_20_times_during_5000_publishes(
    tmp_path: Path,
) -> None:
    async with FaultyServer(tmp_path / "crash.db", settings=ALL_KEPT) as server:
        world = World(server)
        async with world.living():
            await world.crash_at_random(20, 300, random.Random(20))
            await world.until(lambda: world.acknowledged >= 5_000)
        assert await server.terminate() == 0
    assert await world.violations() == []
    assert world.refusals == {}
    assert world.unrecovered == 0
    assert len(world.epochs) == 1
    report = check(str(tmp_path / "crash.db"))
    assert report.problems == []
    assert report.events == len(world.log) == world.acknowledged >= 5_000
