"""Whatever clients do at whichever door, each subscription gets every event once and in order.

The dice are seeded; what the scheduler and the kernel make of it differs from run to run.
Each way of breaking a delivery is seen: a checker that never failed proves nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from rtlite.hub.topics import Topic
from rtlite.model import Event, NewEvent
from rtlite.settings import KIB
from rtlite.store.selections import Selection
from tests.history_checker import Violation
from tests.promises.operators import DOOR, Operator
from tests.promises.wanderers import CHANNELS, LAST, Target, Wanderer
from tests.servers import InProcess
from tests.transports.doors import serving

BY_SOCKET = [("news:a", "jobs:*"), ("news:*", "jobs:1"), ("news:b", "jobs:2")]
BY_STREAM = [("news:a",), ("news:*",), ("news:a", "jobs:1"), ("news:b", "jobs:*"), ("jobs:2", "jobs:*", "news:b")]


def wanderers(server: InProcess, seed: int) -> Iterator[Wanderer]:
    doors = [(door, [Target((name,)) for name in names]) for names in BY_SOCKET for door in ("/ws", "/_events")]
    doors += [("/sse", [Target(names)]) for names in BY_STREAM]
    doors += [(DOOR, [Target((name,)) for name in names]) for names in BY_SOCKET]
    for number, (door, targets) in enumerate(doors):
        yield (Operator if door == DOOR else Wanderer)(number, seed, server, door, targets)


async def drive(tmp_path: Path, seed: int, batches: int = 120, patience: float = 60.0) -> list[Violation]:
    """Publish at random to clients that wander; returns every promise that was broken."""
    dice = random.Random(seed)
    limits: dict[str, Any] = {"command_rate": 0, "user_command_rate": 0, "login_rate": 0}
    async with serving(data=str(tmp_path / f"{seed}.db"), outbox=16 * KIB, send_buffer=4 * KIB, **limits) as server:
        hub = server.running.server.hub
        clients = list(wanderers(server, seed))
        quiet = trio.Event()
        with trio.move_on_after(patience):
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.run, quiet)
                for _ in range(batches):
                    data = b'"%b"' % (b"x" * dice.choice([1, 100, 3000]))
                    await hub.publish_all(
                        [NewEvent(dice.choice(CHANNELS), "tick", data) for _ in range(dice.choice([1, 1, 3, 30]))]
                    )
                    await trio.sleep(dice.choice([0, 0, 0.01, 0.03]))
                quiet.set()
                for channel in CHANNELS:
                    await hub.publish(NewEvent(channel, LAST, b"0"))
        every = Selection(("news:*", "jobs:*"))
        events = await server.running.server.database.read(lambda it: every.read(it, 0, 10**6, 10**9, 10**9))
        assert len(events) > batches
        targets = [(client.name, target) for client in clients for target in client.targets]
        sessions, spilled = sum(len(target.heard) for _, target in targets), _spilled(server)
        print(f"{len(events)} events, {sessions} sessions; {spilled} times a reader was too slow")
        assert spilled and sessions > 2 * len(targets)
    return [found for name, target in targets for found in target.violations(name, events)]


def _spilled(server: InProcess) -> int:
    return int(server.running.server.metrics.spilled._value.get())


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 20))])
async def test_each_subscription_gets_every_event_once_and_in_order(tmp_path: Path, seed: int) -> None:
    assert await drive(tmp_path, seed) == []


def lose(events: list[Event]) -> list[Event]:
    return events[:-1]


def double(events: list[Event]) -> list[Event]:
    return [*events, events[-1]]


def swap(events: list[Event]) -> list[Event]:
    return [*events[2:], *events[:2]]


def keep(events: list[Event]) -> list[Event]:
    return events


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [(lose, "silent_gap"), (double, "dup_or_reorder_delivery"), (swap, "dup_or_reorder_delivery"), (keep, None)],
)
async def test_a_broken_delivery_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[list[Event]], list[Event]], seen: str | None
) -> None:
    chunks, broken = Topic.chunks, []

    def breaking(self: Topic, events: list[Event], *args: Any) -> Any:
        # A reader may have left before it could see: of three, one sees.
        if len(events) >= 3 and len(broken) < 3 and self.settled > 20:
            broken.append(events)
            events = break_it(events)
        return chunks(self, events, *args)

    monkeypatch.setattr(Topic, "chunks", breaking)
    patience = 6.0 if break_it is lose else 60.0  # what never comes is waited for
    found = {violation.check for violation in await drive(tmp_path, 3, batches=40, patience=patience)}
    assert broken and (seen in found if seen else not found)
