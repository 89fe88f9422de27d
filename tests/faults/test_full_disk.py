"""A full disk: publishers are told, everything that needs no disk goes on, and space is all it takes to resume."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import orjson
import trio

from rtlite.store.check import check
from tests.faults.machine import full_disk, resize
from tests.faults.world import ALL_KEPT, FaultyServer, World

SETTINGS = f"{ALL_KEPT}[channels.notifications]\nhistory = false\n"


async def fill_and_free(server: FaultyServer, folder: Path) -> World:
    """Publish until the disk is full and beyond, look at what still goes, and give it space again."""
    world = World(server, padding=2_000, patience=3)
    client = server.http(world.key)
    async with world.living():
        await world.until(lambda: world.refusals["storage_full"] >= 20 or world.acknowledged > 20_000)
        if not world.refusals:
            return world
        stored = world.acknowledged
        async with server.websocket("/blog/ws/notifications", world.key) as live:
            await server.subscribed("notifications:operator")
            passing = {"channel": "notifications:operator", "event": "tick", "data": {"number": 1}}
            assert (await client.post("/api/publish", json=passing)).status_code == 201
            with trio.fail_after(1):
                assert orjson.loads(await live.get_message())["number"] == 1
        answer = await client.post("/api/publish", json={"channel": "article:other", "event": "tick"})
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(await world.history()) >= stored
        async with server.websocket(f"/blog/ws/articles/world?since=1h&token={world.key}") as replay:
            for _ in range(11):
                await replay.get_message()
        assert (await client.get("/readyz")).status_code == 200
        resize(folder, "48m")
        freed, resumed = trio.current_time(), world.acknowledged + 50
        await world.until(lambda: world.acknowledged >= resumed)
        print(f"writes resumed {trio.current_time() - freed:.2f} s after there was space")
        assert trio.current_time() - freed < 5
    return world


async def test_full_disk_is_told_to_publishers_and_loses_nothing_and_writes_resume_when_there_is_space(
    tmp_path: Path,
) -> None:
    with full_disk(tmp_path / "small", "8m") as folder:  # where its log is, too
        async with FaultyServer(folder / "full.db", settings=SETTINGS) as server:
            before = server.pid
            world = await fill_and_free(server, folder)
            assert server.pid == before
            assert await server.terminate() == 0
        assert await world.violations() == []
        assert set(world.refusals) == {"storage_full"}
        report = check(str(folder / "full.db"))
        assert (report.problems, report.events) == ([], world.acknowledged)


async def test_acknowledging_what_a_full_disk_refused_is_seen_by_the_checker(tmp_path: Path) -> None:
    with full_disk(tmp_path / "small", "2m") as folder:
        async with FaultyServer(folder / "full.db", settings=SETTINGS, altered="lying") as server:
            world = World(server, padding=2_000, patience=1)
            async with world.living():
                await world.until(lambda: world.acknowledged > 2_000)
        assert {"lost_ack"} <= {violation.check for violation in await world.violations()}


async def test_server_on_a_full_disk_does_not_start_and_says_why_in_one_line(tmp_path: Path) -> None:
    with full_disk(tmp_path / "small", "1m") as folder:
        with contextlib.suppress(OSError):
            (folder / "ballast").write_bytes(bytes(2 * 1024 * 1024))
        for there_was_one in (False, True):
            server = FaultyServer(folder / "full.db")
            process = server.open(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with trio.fail_after(20):
                out, err = await trio.to_thread.run_sync(process.communicate)
            assert (process.returncode, out) == (1, ""), there_was_one
            assert err.startswith(f"rtlite: {folder}/full.db cannot be opened: "), err
            assert "full" in err
            assert err.count("\n") == 1
