"""``kill -9`` in the middle of everything: nothing acknowledged is lost, nothing comes twice."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
import trio
import trio_websocket

from rtlite.store.check import check
from tests.history_checker import Attempt, History, Outcome, Session, check_history
from tests.servers import ServerProcess

CHANNEL = "article:crash"
PUBLISHERS = 8


async def post(stream: trio.SocketStream, key: str, body: bytes) -> tuple[int, dict[str, Any]] | None:
    """One publish over a keep-alive connection; ``None`` if the connection ended before the whole answer."""
    head = f"POST /api/publish HTTP/1.1\r\nHost: test\r\nX-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = b""
    try:
        await stream.send_all(head.encode() + body)
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            received = await stream.receive_some()
            if not received:
                return None
            answer += received
    except trio.BrokenResourceError:
        return None
    return int(answer[9:12]), orjson.loads(answer.partition(b"\r\n\r\n")[2])


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
        waiting = [f"{publisher}-{number}" for number in reversed(range(self.publishes // PUBLISHERS))]
        while waiting:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.server.port)
            except OSError:
                await trio.sleep(0.02)
                continue
            async with stream:
                while waiting:
                    id, begun = waiting[-1], trio.current_time()
                    body = orjson.dumps({"channel": CHANNEL, "event": "tick", "data": {"id": id}, "id": id})
                    answer = await post(stream, self.key, body)
                    now = trio.current_time()
                    if answer is None:
                        self.attempts.append(Attempt(str(publisher), id, begun, now, Outcome.UNKNOWN))
                        break
                    status, receipt = answer
                    assert status in {200, 201}, receipt
                    self.epochs.add(receipt["epoch"])
                    self.attempts.append(
                        Attempt(str(publisher), id, begun, now, Outcome.OK, receipt["offset"], duplicate=status == 200)
                    )
                    self.acknowledged += 1
                    waiting.pop()

    async def subscribe(self) -> None:
        """Follow the channel over the blog WebSocket; after every crash resume from the last position seen."""
        position = ""
        while True:
            path = f"/blog/ws/articles/crash?token={self.key}&since={position or '1h'}"
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.server.port)
            except OSError:
                await trio.sleep(0.02)
                continue
            # The stream is ours to close: trio-websocket forgets it when the server dies during the handshake.
            async with stream, trio.open_nursery() as nursery:
                try:
                    with trio.fail_after(2):
                        websocket = await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", path)
                    greeting = orjson.loads(await websocket.get_message())
                    self.unrecovered += not greeting["recovered"]
                    while True:
                        event = orjson.loads(await websocket.get_message())
                        position = event["position"]
                        self.arrivals.append((int(position.split("-")[1]), event["id"]))
                except (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.TooSlowError):
                    nursery.cancel_scope.cancel()

    async def kill_at_random(self, times: int, rng: random.Random) -> None:
        """Kill and restart after random numbers of acknowledgements, and at any point of one."""
        share = self.publishes // (times + 1)
        for _ in range(times):
            target = self.acknowledged + rng.randrange(share // 2, share)
            while self.acknowledged < target:  # noqa: ASYNC110  # a count to reach, at no exact moment
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
                while not world.arrivals or world.arrivals[-1][0] < log[-1][0]:  # noqa: ASYNC110  # as above
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
