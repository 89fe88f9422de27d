"""Webhooks through kills of the server and failures of the endpoint: each event at least once, in order."""

from __future__ import annotations

import random
from pathlib import Path

import httpx
import pytest
import trio

from tests.receivers import Request, answer, ok, receiving
from tests.servers import ServerProcess

CHANNELS = ["news:a", "news:b"]


async def publish(server: ServerProcess, channel: str, acknowledged: list[str], enough: trio.Event) -> None:
    """One event after the other until there are enough; what is acknowledged is noted."""
    client = await server.operator()
    number = 0
    while not enough.is_set():
        number += 1
        body = {"channel": channel, "event": "tick", "data": f"{channel} {number}", "id": f"{channel}-{number}"}
        while True:
            try:
                receipt = await client.post("/api/publish", json=body)
            except httpx.TransportError:  # it is down: the same again, under the same id
                await trio.sleep(0.02)
                continue
            assert receipt.status_code in {200, 201}, receipt.text
            acknowledged.append(f"{channel} {number}")
            break


def check(got: list[Request], secret: str, acknowledged: dict[str, list[str]]) -> int:
    """At least once, in order, under one id; returns how many came again."""
    first: dict[str, str] = {}
    for request in got:
        event = str(request.verified(secret)["data"])
        assert first.setdefault(request.message, event) == event, "one id, two events"
    assert len(set(first.values())) == len(first), "one event under two ids"
    for channel, events in acknowledged.items():
        came = [event for event in first.values() if event.startswith(channel)]
        assert came[: len(events)] == events
    return len(got) - len(first)


async def run(tmp_path: Path, kills: int) -> None:
    rng = random.Random(7)
    behaviours = [ok if rng.random() < 0.9 else answer(500) for _ in range(100_000)]
    acknowledged: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
    got: list[Request] = []
    flags = {"webhook_private": True, "webhook_retries": "20ms"}
    async with receiving(*behaviours, ok) as receiver, ServerProcess(tmp_path / "hooks.db", **flags) as server:
        client = await server.operator()
        created = await client.post("/api/webhooks", json={"url": receiver.url, "channels": ["news:*"]})
        secret, enough = created.json()["secret"], trio.Event()
        async with trio.open_nursery() as publishing:
            for channel in CHANNELS:
                publishing.start_soon(publish, server, channel, acknowledged[channel], enough)
            for number in range(kills):
                await trio.sleep(rng.uniform(0.15, 0.4))
                while sum(map(len, acknowledged.values())) <= 20 * (number + 1):  # noqa: ASYNC110  # however slow the machine is
                    await trio.sleep(0.01)
                await server.kill()
                await server.start()
            enough.set()
        wanted = {event for events in acknowledged.values() for event in events}
        with trio.fail_after(60):
            while wanted:
                got.append(await receiver.request())
                wanted.discard(str(got[-1].verified(secret)["data"]))
        again = check(got, secret, acknowledged)
    count = sum(map(len, acknowledged.values()))
    print(f"{count} events acknowledged over {kills} kills, all delivered in order; {again} requests came again")
    assert count > 20 * kills


async def test_every_acknowledged_event_is_delivered_in_order_through_kills_of_the_server(tmp_path: Path) -> None:
    await run(tmp_path, 5)


@pytest.mark.full
async def test_every_acknowledged_event_is_delivered_in_order_through_forty_kills(tmp_path: Path) -> None:
    await run(tmp_path, 40)
