"""Faults of deliveries: what is late, lost, twice or in another order, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from rtlite.faults import KINDS, Draws, Fault, NewFault
from rtlite.hub.hub import Hub
from rtlite.hub.impaired import Impaired
from rtlite.hub.parcels import Apart, Parcel
from rtlite.hub.topics import Subscription
from rtlite.model import Event
from tests.hub.readers import Reader, line, new, running_hub


def fault(kind: str, seed: int = 1, **asked: Any) -> Fault:
    defaults = {name: value for name, value in KINDS[kind].takes.items() if value is not ...}
    wanted = NewFault(kind, **{**defaults, **asked})
    return Fault("flt_1", KINDS[kind], wanted, seed, created=0, expires=float("inf"), on_strike=lambda _: None)


def parcel(number: int, channel: str = "news:a") -> Parcel:
    return Parcel.of(f"{channel} {number} 0 x\n".encode(), channel)


class Scene:
    """A subscriber, and the faults before it."""

    def __init__(self, nursery: trio.Nursery, draws: Sequence[Draws], limit: int = 1_000_000) -> None:
        self.reader = Reader()
        self.retired = 0
        self.way = Impaired(self.reader, limit, nursery.start_soon, lambda: False, self.retire)
        self.way.decide_by(draws)

    def retire(self) -> None:
        self.retired += 1

    @property
    def heard(self) -> list[int]:
        return self.reader.offsets


async def heard_after(faults: Sequence[Fault], count: int) -> list[int]:
    """What a subscriber has heard in the end, of so many events."""
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [each.draws() for each in faults])
        for number in range(1, count + 1):
            assert scene.way.offer(parcel(number))
        await trio.sleep(1_000)
        return scene.heard


async def test_events_arrive_late_by_the_latency_and_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("latency", latency=300).draws()])
        scene.way.offer(parcel(1))
        await trio.sleep(0.2)
        scene.way.offer(parcel(2))
        assert scene.heard == []
        await trio.sleep(0.15)
        assert scene.heard == [1]
        await trio.sleep(0.2)
        assert scene.heard == [1, 2]


async def test_jitter_changes_the_delay_and_never_the_order(autojump_clock: trio.testing.MockClock) -> None:
    late = fault("latency", latency=100, jitter=100)
    assert await heard_after([late], 50) == list(range(1, 51))
    delays = [late.draws().delay() for _ in range(50)]
    assert 0 <= min(delays) < 0.05 and 0.15 < max(delays) <= 0.2


async def test_dropped_events_do_not_arrive_and_count(autojump_clock: trio.testing.MockClock) -> None:
    lossy = fault("drop", probability=0.5)
    heard = await heard_after([lossy], 100)
    assert lossy.struck == 100 - len(heard) > 20
    assert heard == sorted(heard)


async def test_a_count_is_how_often_it_strikes(autojump_clock: trio.testing.MockClock) -> None:
    assert await heard_after([fault("duplicate", count=2)], 4) == [1, 1, 2, 2, 3, 4]


async def test_a_reordered_event_comes_after_the_next_one_or_alone_once_it_waited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("reorder", latency=500).draws()])
        for number in (1, 2, 3):
            scene.way.offer(parcel(number))
        assert scene.heard == [2, 1]
        await trio.sleep(0.4)
        assert scene.heard == [2, 1]
        await trio.sleep(0.2)
        assert scene.heard == [2, 1, 3]


async def test_events_of_other_channels_pass(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("drop", channel="news:b").draws()])
        scene.way.offer(parcel(1))
        scene.way.offer(parcel(2, "news:b"))
        assert scene.reader.lines == ["news:a 1 0 x"]


async def test_what_is_no_event_is_struck_by_nothing_but_waits_its_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("latency", latency=100).draws(), fault("drop", probability=1e-9).draws()])
        scene.way.offer(parcel(1))
        await scene.way.send(b"reply\n")
        assert scene.reader.lines == []
        await trio.sleep(0.2)
        assert scene.reader.lines == ["news:a 1 0 x", "reply"]


async def test_when_no_fault_is_left_all_that_waits_goes_out_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("latency", latency=60_000).draws(), fault("reorder", latency=60_000).draws()])
        for number in range(1, 6):
            scene.way.offer(parcel(number))
        assert scene.heard == []
        scene.way.decide_by([])
        scene.way.offer(b"news:a 6 0 x\n")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(scene.heard) == [1, 2, 3, 4, 5, 6] and scene.heard[-1] == 6
        assert scene.retired == 1


async def test_more_than_may_wait_is_refused_and_decided_only_when_it_is_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        late = fault("latency", latency=100)
        scene = Scene(nursery, [late.draws()], limit=30)
        assert scene.way.offer(parcel(1)) and scene.way.offer(parcel(2))
        assert not scene.way.offer(parcel(3))
        assert late.struck == 2
        with trio.fail_after(1):
            await scene.way.room(12)
        assert scene.way.offer(parcel(3))
        await trio.sleep(1)
        assert scene.heard == [1, 2, 3]


async def test_who_is_gone_gets_nothing_and_whoever_waits_for_room_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def guarded(drain: Any) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await drain()

    async with trio.open_nursery() as nursery:
        scene = Scene(nursery, [fault("latency", latency=100).draws()])
        scene.way._spawn = lambda drain: nursery.start_soon(guarded, drain)
        scene.way.offer(parcel(1))
        scene.reader.leave()
        with pytest.raises(trio.BrokenResourceError):
            await scene.way.room(2_000_000)
        assert scene.heard == []


def impair_by(hub: Hub, chosen: Fault) -> None:
    """Put a fault before whoever subscribes from now on."""

    def impair(subscription: Subscription) -> None:
        way = Impaired(subscription.outbox, 1_000_000, hub.nursery.start_soon, lambda: False, lambda: None)  # type: ignore[attr-defined]
        way.decide_by([chosen.draws()])
        subscription.outbox = way
        subscription.topic.regroup(subscription, Apart(subscription.encode))

    hub.impair = impair


async def test_of_events_on_several_channels_at_once_each_is_struck() -> None:
    async with running_hub() as hub:
        struck, other = Reader(), Reader()
        impair_by(hub, fault("drop"))
        await struck.subscribe(hub)
        hub.impair = None
        await other.subscribe(hub, "news:b")
        await hub.publish_all([new(), new(), new("news:b")])
        assert (struck.offsets, other.offsets) == ([], [1])


async def test_an_event_after_one_that_is_not_for_this_subscriber_is_struck() -> None:
    def odd(event: Event) -> bytes:
        return line(event) if event.offset % 2 else b""

    async with running_hub() as hub:
        reader = Reader()
        impair_by(hub, fault("drop"))
        await reader.subscribe(hub, encode=odd)
        await hub.publish_all([new() for _ in range(4)])
        assert reader.offsets == []


KINDS_OF_DELIVERIES = st.sampled_from(
    [
        {"kind": "latency", "latency": 20, "jitter": 20},
        {"kind": "drop"},
        {"kind": "duplicate"},
        {"kind": "reorder", "latency": 50},
    ]
)
CHOSEN = st.lists(st.tuples(KINDS_OF_DELIVERIES, st.sampled_from([0.2, 0.5, 1.0])), min_size=1, max_size=3)


def in_virtual_time(work: Any) -> Any:
    return trio.run(work, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=40)
@given(CHOSEN, st.integers(0, 2**32), st.integers(0, 40))
def test_the_same_seed_decides_the_same_again(chosen: Any, seed: int, count: int) -> None:
    async def once() -> list[int]:
        return await heard_after([fault(seed=seed, probability=chance, **asked) for asked, chance in chosen], count)

    assert in_virtual_time(once) == in_virtual_time(once)


@settings(max_examples=40)
@given(CHOSEN, st.integers(0, 2**32), st.integers(0, 40))
def test_nothing_is_lost_but_what_is_dropped_and_nothing_comes_twice_but_what_is_duplicated(
    chosen: Any, seed: int, count: int
) -> None:
    faults = [fault(seed=seed, probability=chance, **asked) for asked, chance in chosen]

    async def once() -> list[int]:
        return await heard_after(faults, count)

    heard, kinds = in_virtual_time(once), {each.kind.name for each in faults}
    if "drop" not in kinds:
        assert set(heard) == set(range(1, count + 1))
    if "duplicate" not in kinds:
        assert len(set(heard)) == len(heard)
    if "reorder" not in kinds:
        assert heard == sorted(heard)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 2**32))
def test_a_decision_does_not_hang_on_how_events_come_together(batches: list[int], seed: int) -> None:
    async def once(sizes: list[int]) -> list[int]:
        async with running_hub() as hub:
            reader = Reader()
            impair_by(hub, fault("drop", seed, probability=0.5))
            await reader.subscribe(hub)
            for size in sizes:
                await hub.publish_all([new() for _ in range(size)])
            return reader.offsets

    assert trio.run(once, batches) == trio.run(once, [1] * sum(batches))
