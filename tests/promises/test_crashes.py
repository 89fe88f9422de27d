"""``kill -9`` in the middle of everything: nothing acknowledged is lost, nothing comes twice."""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import httpx
import orjson
import pytest
import trio
import trio_websocket

from rtlite.store.check import check
from tests.history_checker import Attempt, History, Outcome, Session, check_history
from tests.servers import ServerProcess

CHANNEL = "article:crash"
PUBLISHERS = 8


@attrs.define
class World:
    """One channel of one server that is killed again and again, and everyone who uses it."""

    server: ServerProcess
    key: str
    publishes: int
    attempts: list[Attempt] = attrs.field(factory=list)
    arrivals: list[tuple[int, str]] = attrs.field(factory=list)
    epochs: set[str] = attrs.field(factory=set)
    unrecovered: int = 0
    acknowledged: int = 0

    async def publish(self, publisher: int) -> None:
        """Publish numbered events one after another; retry each with its id until it is acknowledged."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(base_url=self.server.url, headers=headers, timeout=10, trust_env=False) as client:
            for number in range(self.publishes // PUBLISHERS):
                id = f"{publisher}-{number}"
                body = {"channel": CHANNEL, "event": "tick", "data": {"id": id}, "id": id}
                while True:
                    begun = trio.current_time()
                    try:
                        answer = await client.post("/api/publish", json=body)
                    except httpx.TransportError:
                        self.attempts.append(Attempt(str(publisher), id, begun, trio.current_time(), Outcome.UNKNOWN))
                        await trio.sleep(0.02)
                        continue
                    assert answer.status_code in {200, 201}, answer.text
                    receipt, now = answer.json(), trio.current_time()
                    self.epochs.add(receipt["epoch"])
                    self.attempts.append(
                        Attempt(
                            str(publisher), id, begun, now, Outcome.OK, receipt["offset"], duplicate=answer.status_code == 200
                        )
                    )
                    self.acknowledged += 1
                    break

    async def subscribe(self) -> None:
        """Follow the channel over the blog WebSocket; after every crash resume from the last position seen."""
        position = ""
        while True:
            try:
                async with self.server.websocket(
                    f"/blog/ws/articles/crash?since={position or '1h'}", self.key
                ) as websocket:
                    greeting = orjson.loads(await websocket.get_message())
                    self.unrecovered += not greeting["recovered"]
                    while True:
                        event = orjson.loads(await websocket.get_message())
                        position = event["position"]
                        self.arrivals.append((int(position.split("-")[1]), event["id"]))
            except (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError):
                await trio.sleep(0.02)

    async def kill_at_random(self, times: int, rng: random.Random) -> None:
        """Kill and restart after random numbers of acknowledgements, and at any point of one."""
        share = self.publishes // (times + 1)
        for _ in range(times):
            target = self.acknowledged + rng.randrange(share // 2, share)
            while self.acknowledged < target:
                await trio.sleep(0.001)
            await trio.sleep(rng.random() * 0.01)
            await self.server.kill()
            await self.server.start()

    async def history(self) -> list[tuple[int, str]]:
        client = self.server.http(self.key)
        log: list[tuple[int, str]] = []
        since = "30d"
        while True:
            page = (await client.get(f"/api/channels/{CHANNEL}/history", params={"since": since, "limit": 1000})).json()
            log += [(event["offset"], event["id"]) for event in page["items"]]
            if not page["items"]:
                return log
            since = page["next"]


async def crash(tmp_path: Path, kills: int, publishes: int) -> None:
    rng = random.Random(kills)
    async with ServerProcess(tmp_path / "crash.db", publish_rate=0) as server:
        assert server.admin_key is not None
        world = World(server, server.admin_key, publishes)
        async with trio.open_nursery() as readers:
            readers.start_soon(world.subscribe)
            async with trio.open_nursery() as nursery:
                for publisher in range(PUBLISHERS):
                    nursery.start_soon(world.publish, publisher)
                nursery.start_soon(world.kill_at_random, kills, rng)
            log = await world.history()
            with trio.fail_after(10):
                while not world.arrivals or world.arrivals[-1][0] < log[-1][0]:
                    await trio.sleep(0.01)
            readers.cancel_scope.cancel()
        assert await server.terminate() == 0
    session = Session("blog", world.arrivals, after=0, until=log[-1][0])
    assert check_history(History(world.attempts, [session], log)) == []
    assert len(log) == publishes
    for publisher in range(PUBLISHERS):
        mine = [int(id.split("-")[1]) for _, id in log if id.startswith(f"{publisher}-")]
        assert mine == list(range(publishes // PUBLISHERS)), "per-publisher order"
    assert world.unrecovered == 0
    assert len(world.epochs) == 1
    report = check(str(tmp_path / "crash.db"))
    assert report.problems == []
    assert report.events == publishes


async def test_nothing_is_lost_doubled_or_reordered_when_the_server_is_killed_20_times_during_5000_publishes(
    tmp_path: Path,
) -> None:
    await crash(tmp_path, kills=20, publishes=5_000)


@pytest.mark.full
async def test_nothing_is_lost_doubled_or_reordered_over_200_kills(tmp_path: Path) -> None:
    await crash(tmp_path, kills=200, publishes=50_000)
