"""Power cuts: what was not synced when the power went is not there when it returns.

An ext4 file system in a file is told to forget what is not on its disk (FS_IOC_SHUTDOWN with
NOLOGFLUSH), the server is killed, and the file system is mounted anew, which replays its
journal. This is a crash of the operating system on an honest disk. The boot id stays, as the
machine does; a server that is to believe in a reboot is told another.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from rtlite.store.check import check
from tests.faults.machine import Disk, disk
from tests.faults.world import ALL_KEPT, FaultyServer, World
from tests.history_checker import Outcome


async def cut(disk: Disk, server: FaultyServer) -> None:
    """The power goes and returns; the server is not running any more.

    It does not see the power go, either: between the cut and the kill the kernel may say of an fsync
    that went wrong that it was done, when the file grew.
    """
    await server.freeze()
    disk.cut_power()
    await server.kill()
    await trio.to_thread.run_sync(disk.return_power)


async def cut_often(tmp_path: Path, times: int) -> None:
    with disk(tmp_path) as disk_:
        path = disk_.path / "cut.db"
        async with FaultyServer(path, settings=ALL_KEPT, max_replay=1_000_000) as server:

            async def cut_and_return() -> None:
                await cut(disk_, server)
                assert check(str(path)).problems == []
                await server.start()

            world = World(server, batch=10, patience=30, lifetime=600)
            async with world.living():
                await world.crash_at_random(times, 2_000, random.Random(times), cut_and_return)
            assert await server.terminate() == 0
        assert await world.violations() == []
        assert set(world.refusals) <= {"storage_failed"}  # between the cut and the kill
        assert (world.unrecovered, len(world.epochs)) == (0, 1)
        report = check(str(path))
        assert (report.problems, report.events) == ([], world.acknowledged)
        print(f"{times} power cuts, {world.acknowledged} acknowledged events, none lost")


async def test_nothing_acknowledged_is_lost_in_3_power_cuts(tmp_path: Path) -> None:
    await cut_often(tmp_path, 3)


@pytest.mark.full
async def test_nothing_acknowledged_is_lost_in_50_power_cuts(tmp_path: Path) -> None:
    await cut_often(tmp_path, 50)


async def lose_a_tail(disk: Disk, boots: int) -> list[int]:
    """Cut the power of a server that does not sync at commits, ``boots`` times; returns what each cut lost."""
    path = disk.path / "tail.db"
    lost = []
    before, epoch, position, key = 0, "", "", ""
    acknowledged: dict[int | None, str] = {}
    for number in range(boots):
        flags = {"altered": f"boot=boot-{number}", "settings": ALL_KEPT}
        async with FaultyServer(path, durability="normal", **flags) as server:  # type: ignore[arg-type]
            key = server.admin_key or key  # it may be lost as well, and then there is another
            world = World(server, key=key, publishers=4, channel=f"article:tail-{number}", padding=3_000)
            async with world.living():
                await world.until(lambda world=world: world.acknowledged >= 600)
            (told,) = world.epochs
            assert told != epoch, "after a reboot no old position holds"
            epoch = told
            if position:  # of the run before
                channel = f"article:tail-{number - 1}"
                log = await World(server, key=key, channel=channel).history()
                assert [offset for offset, _ in log] == list(range(1, len(log) + 1))
                lost.append(before - len(log))
                answer = await server.http(key).get(f"/api/channels/{channel}/history", params={"since": position})
                assert answer.json()["recovered"] is False
                assert dict(log).items() <= acknowledged.items(), "a beginning of what was acknowledged"
            before, position = len(world.log), f"{epoch}-{len(world.log)}"
            acknowledged = {item.offset: item.id for item in world.attempts if item.outcome is Outcome.OK}
            await cut(disk, server)
        assert check(str(path)).problems == []
    return lost


async def test_without_syncs_a_power_cut_loses_a_tail_and_every_reader_is_told(tmp_path: Path) -> None:
    with disk(tmp_path) as disk_:
        lost = await lose_a_tail(disk_, boots=2)
    print(f"durability=normal: {lost} of 600 acknowledged events lost")
    assert all(count >= 0 for count in lost)
    assert any(lost), "the cut is known to bite"


@pytest.mark.full
async def test_without_syncs_each_of_8_power_cuts_loses_a_tail(tmp_path: Path) -> None:
    with disk(tmp_path) as disk_:
        print(f"durability=normal: {await lose_a_tail(disk_, boots=9)} of 600 acknowledged events lost")


async def test_without_syncs_a_killed_server_loses_nothing_and_positions_hold(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "kill.db", durability="normal") as server:
        world = World(server)
        async with world.living():
            await world.crash_at_random(1, 200, random.Random(2))
    assert await world.violations() == []
    assert (world.unrecovered, len(world.epochs)) == (0, 1)


async def test_server_that_never_syncs_loses_or_breaks_its_database_in_a_power_cut(tmp_path: Path) -> None:
    with disk(tmp_path) as disk_:
        path = disk_.path / "off.db"
        async with FaultyServer(path, altered="unsynced") as server:
            world = World(server, publishers=4)
            async with world.living():
                await world.until(lambda: world.acknowledged >= 200)
            await cut(disk_, server)
        report = check(str(path))
        print(f"synchronous=OFF: {report.events} of {world.acknowledged} events are left; {report.problems[:1]}")
        assert report.problems or report.events < world.acknowledged
