"""A full disk: publishers are told, everything that needs no disk goes on, and space is all it takes to resume."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import httpx
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
            with trio.fail_after(5):
                assert orjson.loads(await live.get_message())["number"] == 1
        await refused_when_even_a_small_one_finds_no_room(client)
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


async def refused_when_even_a_small_one_finds_no_room(client: httpx.AsyncClient) -> None:
    """What was refused for 8 large events leaves room in the log that a small one may find: then it is stored."""
    stored = []
    for number in range(2_000):
        answer = await client.post("/api/publish", json={"channel": "article:other", "event": "tick", "data": number})
        if answer.status_code != 201:
            break
        stored.append(number)
    print(f"{len(stored)} small events found room")
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert answer.headers["content-type"] == "application/problem+json"
    page = (await client.get("/api/channels/article:other/history", params={"since": "1h", "limit": 5_000})).json()
    assert [event["data"] for event in page["items"]] == stored


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
        assert report.problems == []
        assert report.events - world.acknowledged < 2_000  # the small ones


FLEETING = "[channels.article]\nretention_age = '2s'\nretention_count = 10000000\n"


async def seconds_until_old_events_made_room(server: FaultyServer, limit: float) -> float:
    """Fill the disk, let all of it grow old, and publish again; returns ``limit`` if that is refused for so long."""
    world = World(server, batch=20, padding=2_000)
    async with trio.open_nursery() as nursery:
        for publisher in range(4):
            nursery.start_soon(world.publish, str(publisher))
        await world.until(lambda: world.refusals["storage_full"] >= 100)
        begun, reached = trio.current_time(), world.acknowledged + 5_000  # 10 MB: more than the reserve is
        with trio.move_on_after(limit):
            await world.until(lambda: world.acknowledged >= reached)
        seconds = trio.current_time() - begun
        nursery.cancel_scope.cancel()
    assert set(world.refusals) == {"storage_full"}
    return seconds


async def test_retention_frees_a_full_disk_by_what_it_held_in_reserve(tmp_path: Path) -> None:
    with full_disk(tmp_path / "small", "24m") as folder:
        async with FaultyServer(folder / "full.db", settings=FLEETING, sweep_interval="200ms") as server:
            assert (folder / "full.db.reserve").stat().st_blocks * 512 == 4 * 1024 * 1024
            seconds = await seconds_until_old_events_made_room(server, 20)
            print(f"5,000 events were taken again {seconds:.1f} s after the disk was full")
            assert "the disk is full: its reserve is used" in server.log.read_text()
            resize(folder, "64m")
            with trio.fail_after(5):
                while not (folder / "full.db.reserve").exists():  # noqa: ASYNC110  # nobody tells
                    await trio.sleep(0.05)
            assert await server.terminate() == 0
        assert seconds < 20
        assert check(str(folder / "full.db")).problems == []


async def test_without_a_reserve_a_full_disk_would_stay_full(tmp_path: Path) -> None:
    with full_disk(tmp_path / "small", "16m") as folder:
        async with FaultyServer(
            folder / "full.db", settings=FLEETING, sweep_interval="200ms", disk_reserve="0"
        ) as server:
            assert await seconds_until_old_events_made_room(server, 5) >= 5


async def test_a_key_can_be_revoked_on_a_full_disk(tmp_path: Path) -> None:
    with full_disk(tmp_path / "small", "24m") as folder:
        async with FaultyServer(folder / "full.db", settings=ALL_KEPT) as server:
            client = await server.operator()
            key = (await client.post("/api/keys", json={"kind": "blog", "user": "ann"})).json()
            world = World(server, batch=20, padding=2_000)
            async with trio.open_nursery() as nursery:
                for publisher in range(4):
                    nursery.start_soon(world.publish, str(publisher))
                await world.until(lambda: world.refusals["storage_full"] >= 100)
                nursery.cancel_scope.cancel()
            with contextlib.suppress(OSError):
                (folder / "ballast").write_bytes(bytes(64 * 1024 * 1024))
            for _ in range(500):  # until even the last page of the log is taken
                if (await client.post("/api/publish", json={"channel": "article:x", "event": "e"})).status_code == 507:
                    break
            assert (await client.delete(f"/api/keys/{key['id']}")).status_code == 200
            assert (await server.http(key["key"]).get("/blog/v1/subscribers")).status_code == 401


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
