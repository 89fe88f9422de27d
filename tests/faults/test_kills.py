"""``kill -9`` at named moments: within the start, a checkpoint, a backup; and 200 times at random."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from rtlite.store.check import check
from rtlite.store.database import open_database
from tests.faults.machine import injected, injecting
from tests.faults.world import ALL_KEPT, FaultyServer, World, rtlite


@pytest.mark.full
async def test_nothing_is_lost_doubled_or_reordered_over_200_kills_and_200000_publishes(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "crash.db", settings=ALL_KEPT, max_replay=1_000_000) as server:
        world = World(server, batch=25, patience=60, lifetime=900)
        async with world.living():
            await world.crash_at_random(200, 2_000, random.Random(200))
            await world.until(lambda: world.acknowledged >= 200_000)
        assert await server.terminate() == 0
    print(f"200 kills, {world.acknowledged} acknowledged events")
    assert await world.violations() == []
    assert (world.refusals, world.unrecovered, len(world.epochs)) == ({}, 0, 1)
    report = check(str(tmp_path / "crash.db"))
    assert (report.problems, report.events) == ([], world.acknowledged)


async def test_acknowledging_before_the_commit_is_seen_by_the_checker_after_one_kill(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "crash.db", altered="hasty") as server:
        world = World(server, patience=1)
        async with world.living():
            for _ in range(2):  # a commit may come just before the kill
                await world.crash_at_random(1, 50, random.Random(1))
        found = {violation.check for violation in await world.violations()}
    assert found & {"lost_ack", "ack_offset_lie"}


async def test_forgetting_one_delivery_is_seen_by_the_checker_without_any_kill(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "crash.db", altered="dropping") as server:
        world = World(server, patience=1)
        async with world.living():
            await world.until(lambda: world.acknowledged >= 200)
    assert {violation.check for violation in await world.violations()} == {"silent_gap"}


MOMENTS = [("pwrite64", 3), ("pwrite64", 25), ("fdatasync", 6)]  # the header, the migration, its commit
ALL_MOMENTS = [("pwrite64", n) for n in range(1, 90, 2)] + [("fdatasync", n) for n in range(1, 15)]


async def die_within_the_start(path: Path, call: str, number: int) -> bool:
    """Start a server on a new file and kill it at this system call; returns whether that came before it was ready."""
    server = FaultyServer(path, prefix=injecting(call, f"signal=KILL:when={number}"))
    process = server.open(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        await trio.to_thread.run_sync(process.stdout.read, 1)  # type: ignore[union-attr]  # the key, or nothing
        process.terminate()
        code = await trio.to_thread.run_sync(process.wait)
    assert code in {0, -signal.SIGKILL}
    return bool(code)


async def assert_usable(path: Path) -> None:
    async with open_database(str(path)) as database:
        assert await database.write(lambda connection: connection.execute("SELECT 1").fetchone()[0]) == 1
    assert check(str(path)).problems == []


@pytest.mark.parametrize(("call", "number"), MOMENTS)
async def test_server_killed_while_it_makes_its_database_starts_well_the_next_time(
    tmp_path: Path, call: str, number: int
) -> None:
    path = tmp_path / "start.db"
    assert await die_within_the_start(path, call, number), "it was to die"
    await assert_usable(path)


@pytest.mark.full
async def test_server_killed_at_any_write_or_sync_of_its_start_starts_well_the_next_time(tmp_path: Path) -> None:
    died = 0
    for call, number in ALL_MOMENTS:
        path = tmp_path / f"{call}-{number}.db"
        died += await die_within_the_start(path, call, number)
        await assert_usable(path)
    print(f"killed at {died} moments")
    assert died > 40


async def test_nothing_is_lost_when_the_server_is_killed_within_a_checkpoint(tmp_path: Path) -> None:
    """Only a checkpoint writes to the database's own file."""
    path = tmp_path / "checkpoint.db"
    async with FaultyServer(path, settings=ALL_KEPT) as server:
        world = World(server, batch=50, padding=500)
        async with world.living():
            async with injected(server.pid, "pwrite64", "signal=KILL:when=30", path):
                assert await server.ended() == -signal.SIGKILL
            await server.start()
            reached = world.acknowledged + 500
            await world.until(lambda: world.acknowledged >= reached)
        assert await server.terminate() == 0
    assert await world.violations() == []
    assert check(str(path)).problems == []


async def test_server_killed_within_a_backup_loses_nothing_and_leaves_no_half_copy_that_passes_for_one(
    tmp_path: Path,
) -> None:
    """SQLite would take back what there is of a half copy, and the next server begin with an empty database."""
    path, copy = tmp_path / "backup.db", tmp_path / "copy.db"
    async with FaultyServer(path, settings=ALL_KEPT) as server:
        world = World(server, batch=50, padding=2000)
        async with world.living():
            await world.until(lambda: world.acknowledged >= 2_000)
        # Nobody publishes now, so the copy alone is written.
        async with injected(server.pid, "pwrite64", "signal=KILL:when=100"), trio.open_nursery() as nursery:
            nursery.start_soon(rtlite, "backup", copy, "--data", path)
            assert await server.ended() == -signal.SIGKILL
        assert any(name.startswith("copy.db.") for name in os.listdir(tmp_path)), "it was under way"
        assert not copy.exists()
        await server.start()
        world.log = await world.history()
        assert await world.violations() == []
        code, said = await rtlite("backup", copy, "--data", path)
        assert code == 0, said
        assert await server.terminate() == 0
    report = check(str(copy))
    assert (report.problems, report.events) == ([], world.acknowledged)
