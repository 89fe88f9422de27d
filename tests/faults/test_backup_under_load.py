"""A backup of a large database, while publishers go on."""

from __future__ import annotations

from pathlib import Path

import trio

from rtlite.store.check import check
from tests.faults.world import ALL_KEPT, FaultyServer, World, flood, rtlite

MIB = 1024 * 1024


async def test_backup_of_100_mb_under_steady_writes_is_whole_and_holds_no_publisher_up(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with FaultyServer(tmp_path / "busy.db", settings=ALL_KEPT) as server:
        await flood(server, "article:bulk", 104 * MIB)
        world = World(server, publishers=4)
        async with world.living():
            await world.until(lambda: world.acknowledged >= 200)
            usual, stalls = world.slowest, []
            for _ in range(2):  # what holds a publisher up in one of them alone was not the backup
                copy.unlink(missing_ok=True)
                before, world.slowest, begun = world.acknowledged, 0.0, trio.current_time()
                code, said = await rtlite("backup", copy, "--data", server.data)
                assert code == 0, said
                seconds, meanwhile = trio.current_time() - begun, world.acknowledged - before
                stalls.append(world.slowest)
        assert await server.terminate() == 0
    print(
        f"{copy.stat().st_size / MIB:.0f} MiB in {seconds:.2f} s (with the command's start) beside {meanwhile}"
        f" publishes; slowest publish {min(stalls) * 1000:.0f} ms, without a backup {usual * 1000:.0f} ms"
    )
    assert copy.stat().st_size > 100_000_000
    assert meanwhile > 100
    assert min(stalls) <= 0.25
    assert await world.violations() == []
    report = check(str(copy))
    assert report.problems == []
    assert report.events >= 104 * 16 + before
    async with FaultyServer(copy) as restored:  # with the same keys
        channel = "/api/channels/article:world/history"
        old = f"{next(iter(world.epochs))}-1"
        answer = await restored.http(world.key).get(channel, params={"since": old, "limit": 10})
        assert answer.json()["recovered"] is False


async def test_backup_in_small_steps_would_not_come_to_an_end(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "busy.db", settings=ALL_KEPT, altered="stepwise") as server:
        await flood(server, "article:bulk", 16 * MIB)
        world = World(server, publishers=4, patience=1)
        async with world.living():
            with trio.move_on_after(2.5) as patience:
                print(await rtlite("backup", tmp_path / "copy.db", "--data", server.data))
    assert patience.cancelled_caught
