"""Whatever fault is set: what is acknowledged is committed, and whoever listens gets it once the faults are over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import trio
import trio_websocket

from tests.servers import InProcess, running_server

LATE: Final = (
    {"kind": "latency", "latency": 40, "jitter": 40},
    {"kind": "latency", "latency": 5, "channel": "a:1"},
    {"kind": "slow-reader", "rate": 200_000},
)
TWICE: Final = ({"kind": "duplicate", "probability": 0.3}, {"kind": "reorder", "latency": 30, "probability": 0.5})
BROKEN: Final = (
    {"kind": "refuse", "probability": 0.3},
    {"kind": "disk-full", "probability": 0.3},
    {"kind": "close", "code": 1006, "probability": 0.5},
    {"kind": "half-open", "probability": 0.2},
    {"kind": "drop", "probability": 0.3},
)
CHANNELS: Final = ("a:0", "a:1", "a:2")
Place = tuple[str, int]


class Scene:
    """Publishers that count what was acknowledged, and faults that come and go meanwhile."""

    def __init__(self, server: InProcess, operator: Any, key: str, faults: Sequence[Any], seed: int) -> None:
        self.server = server
        self.acknowledged: list[Place] = []
        self._operator = operator
        self._key = key
        self._faults = faults
        self._random = random.Random(seed)

    async def run(self, batches: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._set_faults)
            async with trio.open_nursery() as publishers:
                for first in range(3):
                    publishers.start_soon(self._publish, first, batches)
            nursery.cancel_scope.cancel()
        assert (await self._operator.delete("/api/faults")).status_code == 200

    async def _publish(self, first: int, batches: int) -> None:
        client = self.server.http(self._key)
        for _ in range(batches):
            channels = [CHANNELS[(first + number) % 3] for number in range(8)]
            events = [{"channel": name, "event": "e", "data": "x" * self._random.randrange(3000)} for name in channels]
            answer = await client.post("/api/publish/batch", json={"events": events})
            if answer.status_code == 201:
                self.acknowledged += [(item["channel"], item["offset"]) for item in answer.json()["items"]]
            else:
                assert answer.status_code in {503, 507}

    async def _set_faults(self) -> None:
        while True:
            fault = {**self._random.choice(self._faults), "duration": f"{self._random.randrange(20, 300)}ms"}
            assert (await self._operator.post("/api/faults", json=fault)).status_code == 201
            await trio.sleep(self._random.random() / 20)  # faults have no event that one could wait for

    async def listen(self, names: Sequence[str], heard: list[Place]) -> None:
        async with self.server.websocket("/_events", self._key) as websocket:
            for name in names:
                await websocket.send_message(
                    orjson.dumps({"type": "subscribe", "channel": name, "since": "1h"}).decode()
                )
            while True:
                message = orjson.loads(await websocket.get_message())
                if message.get("event") == "e":
                    heard.append((message["channel"], message["offset"]))

    async def listen_again_and_again(self) -> None:
        while True:
            try:
                await self.listen(CHANNELS, [])
            except* (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError):
                pass  # as it was to be
            await trio.sleep(0.01)


async def scene(tmp_path: Path, faults: Sequence[Any], seed: int, again: bool, batches: int) -> list[list[Place]]:
    """What two that listen all the time have heard in the end, or two that begin once the faults are over."""
    heard: list[list[Place]] = [[], []]
    settings = {"faults": True, "outbox": 16 * 1024, "send_buffer": 8192}
    async with running_server(data=str(tmp_path / "rtlite.db"), **settings) as server:
        here = Scene(server, await server.operator(), await server.key("admin", "op"), faults, seed)

        def listen(nursery: trio.Nursery) -> None:
            nursery.start_soon(here.listen, CHANNELS, heard[0])
            nursery.start_soon(here.listen, ["a:*"], heard[1])

        async with trio.open_nursery() as nursery:
            if again:
                nursery.start_soon(here.listen_again_and_again)
            else:
                listen(nursery)
                await server.subscribed("a:*")
            await here.run(batches)
            if again:
                listen(nursery)
            with trio.move_on_after(20):
                while any(set(each) != set(here.acknowledged) for each in heard):  # noqa: ASYNC110  # others fill them
                    await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
        assert len(here.acknowledged) > 50
        for each in heard:
            assert set(each) == set(here.acknowledged)
        metrics = (await (await server.operator()).get("/metrics")).text
        assert "\nrtlite_faults_total 0.0\n" in metrics, "a mistake of ours"
    return heard


def in_order(heard: list[Place]) -> bool:
    places = [[offset for name, offset in heard if name == channel] for channel in CHANNELS]
    return all(offsets == list(range(1, len(offsets) + 1)) for offsets in places)


SEEDS: Final = [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 8))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_is_late_or_slow_hears_all_once_and_in_order(tmp_path: Path, seed: int) -> None:
    for heard in await scene(tmp_path, LATE, seed, again=False, batches=20):
        assert in_order(heard)


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_gets_events_twice_or_out_of_order_too_misses_none(tmp_path: Path, seed: int) -> None:
    await scene(tmp_path, (*LATE, *TWICE), seed, again=False, batches=20)


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_acknowledged_while_all_broke_is_there_afterwards(tmp_path: Path, seed: int) -> None:
    for heard in await scene(tmp_path, (*LATE, *TWICE, *BROKEN), seed, again=True, batches=20):
        assert in_order(heard)
