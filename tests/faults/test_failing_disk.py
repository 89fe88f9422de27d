"""A disk whose syncs fail or take long: strace makes fdatasync do so."""

from __future__ import annotations

from functools import partial
from math import inf
from pathlib import Path

import orjson
import trio

from rtlite.store.check import check
from tests.faults.machine import injected
from tests.faults.world import ALL_KEPT, FaultyServer, World

SETTINGS = f"{ALL_KEPT}[channels.notifications]\nhistory = false\n"


async def test_failed_fsync_is_never_acknowledged_and_later_publishes_succeed_without_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "failing.db"
    async with FaultyServer(path, settings=ALL_KEPT) as server:
        world = World(server)
        async with world.living():
            await world.until(lambda: world.acknowledged >= 100)
            # strace counts per thread, and the new connection has a new one: they fail again and again.
            async with injected(server.pid, "fdatasync", "error=EIO:when=10+10"):
                await world.until(lambda: world.refusals["storage_failed"] >= 20)
            recovered = world.acknowledged + 100
            await world.until(lambda: world.acknowledged >= recovered)
            # What was refused is not revived from the WAL either.
            await server.kill()
            await server.start()
        assert await server.terminate() == 0
    assert await world.violations() == []
    assert set(world.refusals) == {"storage_failed"}
    assert (world.unrecovered, len(world.epochs)) == (0, 1)
    report = check(str(path))
    assert (report.problems, report.events) == ([], world.acknowledged)
    assert "the database is opened anew after an error" in server.log.read_text()


async def test_acknowledging_in_spite_of_a_failed_fsync_is_seen_by_the_checker(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "failing.db", settings=ALL_KEPT, altered="lying") as server:
        world = World(server, patience=1)
        async with world.living(), injected(server.pid, "fdatasync", "error=EIO:when=5"):
            await world.until(lambda: world.acknowledged >= 200)
    assert {"lost_ack", "ack_offset_lie"} & {violation.check for violation in await world.violations()}


async def slowest_answers(server: FaultyServer, world: World, count: int, *, until: float = inf) -> tuple[float, float]:
    """While each fsync takes 0.6 s: the slowest answer of ``/healthz``, and of a live delivery without history.

    It asks ``count`` times, or fewer if ``/healthz`` takes longer than ``until`` seconds.
    """
    client = server.http(world.key)
    passing = {"channel": "notifications:operator", "event": "tick", "data": {}}
    health, live = 0.0, 0.0
    async with world.living(), server.websocket("/blog/ws/notifications", world.key) as reader:
        await server.subscribed("notifications:operator")
        async with injected(server.pid, "fdatasync", "delay_enter=600000"), trio.open_nursery() as nursery:
            for _ in range(count):
                begun = trio.current_time()
                nursery.start_soon(partial(client.post, "/api/publish", json=passing))
                assert (await client.get("/healthz")).status_code == 200
                health = max(health, trio.current_time() - begun)
                assert orjson.loads(await reader.get_message())["type"] == "tick"
                live = max(live, trio.current_time() - begun)
                if health > until:
                    break
            reached = world.acknowledged + 3
            await world.until(lambda: world.acknowledged >= reached and world.slowest > 0.5)
    return health, live


async def test_slow_disk_makes_publishers_wait_and_nobody_else(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "slow.db", settings=SETTINGS) as server:
        world = World(server)
        health, live = await slowest_answers(server, world, 3)
        assert await server.terminate() == 0
    print(f"each fsync 0.6 s: /healthz {health:.3f} s, a channel without history {live:.3f} s,", end=" ")
    print(f"a durable publish {world.slowest:.2f} s")
    assert await world.violations() == []
    assert health < 0.5
    assert live < 1


async def test_database_on_the_event_loop_is_seen_when_the_disk_is_slow(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "slow.db", settings=SETTINGS, altered="blocking") as server:
        # An answer may be given between two commits: one of many is enough.
        health, _ = await slowest_answers(server, World(server, publishers=1), 200, until=0.5)
    assert health > 0.5
