"""A recording that is played is what was recorded: the same events, in the same order, at the same distances."""

from __future__ import annotations

import json
import math
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from rtlite.cli.player import Due, drawn, play
from rtlite.client import Client
from tests.cli.conftest import rtlite
from tests.servers import ServerProcess

EVENTS = 10_000
CHANNELS = [f"replay:{number}" for number in range(20)]
A_SECOND = 500.0
TOLERANCE_MS = 20.0


def lines(path: Path) -> list[dict[str, Any]]:
    """What was recorded, in the order in which it is played."""
    events = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return sorted(events, key=lambda event: event["timestamp"])


def offsets_ms(events: list[dict[str, Any]]) -> list[float]:
    times = [datetime.fromisoformat(event["timestamp"]).timestamp() * 1000 for event in events]
    return [time - times[0] for time in times]


async def record(server: ServerProcess, name: Path) -> None:
    done = await rtlite("record", str(name), "replay:*", "--count", str(EVENTS), "--url", server.url)
    assert done.code == 0, done.err


async def held_up(longest: list[float]) -> None:
    """How long the machine lets a task oversleep that only sleeps, in ms: no replay can be better."""
    while True:
        wanted = trio.current_time() + 0.005
        await trio.sleep_until(wanted)
        longest[0] = max(longest[0], (trio.current_time() - wanted) * 1000)


async def replayed(folder: Path, items: list[Due]) -> tuple[float, float]:
    """Record what is published on one server, play it on another and record that.

    How far it is off at most, and how long the machine held up a task that only slept meanwhile, in ms.
    """
    folder.mkdir()
    first, second, slept = folder / "first.jsonl", folder / "second.jsonl", [0.0]
    async with (
        ServerProcess(folder / "one.db", dev=True) as server,
        trio.open_nursery() as nursery,
        Client(server.url, "rtk_dev") as client,
    ):
        nursery.start_soon(record, server, first)
        await server.subscribed("replay:*")
        async with trio.open_nursery() as clock:
            clock.start_soon(held_up, slept)
            await play(client, items, lambda event, receipt: None)
            clock.cancel_scope.cancel()
    async with ServerProcess(folder / "two.db", dev=True) as server:
        async with trio.open_nursery() as nursery, trio.open_nursery() as clock:
            nursery.start_soon(record, server, second)
            await server.subscribed("replay:*")
            clock.start_soon(held_up, slept)
            done = await rtlite("play", str(first), "--url", server.url)
            clock.cancel_scope.cancel()
        assert done.code == 0, done.err

    before, after = lines(first), lines(second)
    assert len(before) == len(after) == EVENTS
    for channel in CHANNELS:
        assert published(before, channel) == published(after, channel)
    places = {event["data"]["number"]: at for event, at in zip(after, offsets_ms(after), strict=True)}
    pairs = zip(before, offsets_ms(before), strict=True)
    off = sorted(abs(places[event["data"]["number"]] - at) for event, at in pairs)
    print(
        f"{EVENTS} events on {len(CHANNELS)} channels: off by {off[EVENTS // 2]:.0f} ms in the median,"
        f" {off[EVENTS * 99 // 100]:.0f} ms at p99, {off[-1]:.0f} ms at most;"
        f" a task that only slept was held up for {slept[0]:.0f} ms"
    )
    return off[-1], slept[0]


def published(events: list[dict[str, Any]], channel: str) -> list[Any]:
    return [[event["event"], event["data"]] for event in events if event["channel"] == channel]


@pytest.mark.full
async def test_ten_thousand_events_are_replayed_in_order_and_within_20_ms(tmp_path):
    random, at, items = drawn(8), 0.0, []
    for number in range(EVENTS):
        at += random.expovariate(A_SECOND)  # bursts and pauses, as real events have them
        data = {"number": number, "text": "ä" * random.randrange(200), "of": [number / 7, None, {"deep": [True]}]}
        items.append(Due(at, partial(dict, channel=random.choice(CHANNELS), event=f"e{number % 5}", data=data)))
    # Order and contents hold each time. The time does where the machine lets a task run when it is due.
    shortest = math.inf
    for attempt in range(3):
        off, slept = await replayed(tmp_path / str(attempt), items)
        if off <= TOLERANCE_MS:
            return
        assert slept > TOLERANCE_MS / 2, f"off by {off:.0f} ms"
        shortest = min(shortest, slept)
    pytest.skip(f"the machine held up tasks for {shortest:.0f} ms and more: nothing can be said of {TOLERANCE_MS} ms")
