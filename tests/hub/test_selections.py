"""Several channels listened to as one: their order, their places, those that keep nothing."""

from __future__ import annotations

import random

import pytest
import trio

from rtlite.errors import Reason
from rtlite.model import Event, Position
from rtlite.settings import KindSettings
from rtlite.store.selections import Selection
from tests.hub.readers import Reader, greeting, new, reached, running_hub
from tests.hub.test_sweeper import Clock, sweeper_of

FORGETFUL = {"typing": KindSettings(history=False), "cursor": KindSettings(history=False)}


def sequences(reader: Reader) -> list[int]:
    return [int(line.split()[2]) for line in reader.lines if not line.startswith("hello")]


def heard(reader: Reader) -> list[str]:
    return [line.split()[0] for line in reader.lines if not line.startswith("hello")]


async def test_channels_come_in_the_order_of_their_commits():
    async with running_hub() as hub:
        reader = Reader()
        await reader.subscribe(hub, ("news:a", "news:c", "jobs:1"))
        for channel in ("news:a", "news:b", "jobs:1", "news:c", "jobs:2", "news:a"):
            await hub.publish(new(channel))

        assert heard(reader) == ["news:a", "jobs:1", "news:c", "news:a"]
        assert sequences(reader) == [1, 3, 4, 6]


async def test_a_batch_over_several_channels_keeps_its_order():
    async with running_hub() as hub:
        reader, one = Reader(), Reader()
        await reader.subscribe(hub, ("news:a", "jobs:*"))
        await one.subscribe(hub, "news:a")
        await hub.publish_all([new(f"{kind}:{number % 3}") for number in range(30) for kind in ("jobs", "news")])
        await hub.publish_all([new("news:a"), new("jobs:1"), new("news:a")])

        assert sequences(reader) == [*range(1, 60, 2), 61, 62, 63]
        assert sequences(one) == [61, 63]


async def test_what_a_pattern_covers_as_well_comes_once():
    async with running_hub() as hub:
        reader = Reader()
        await reader.subscribe(hub, ("news:a", "news:*", "jobs:1"))
        await hub.publish_all([new("news:a"), new("news:b"), new("jobs:1")])
        again = Reader()
        await again.subscribe(hub, ("news:a", "news:*", "jobs:1"), since=Position(await epoch(hub), 0))
        await again.until(lambda it: len(sequences(it)) == 3)

        assert sequences(reader) == sequences(again) == [1, 2, 3]


async def epoch(hub) -> str:
    subscribed = await Reader().subscribe(hub, ("any:1", "any:2"))
    subscribed.close()
    return subscribed.position.epoch


async def test_it_resumes_where_it_was():
    async with running_hub() as hub:
        await hub.publish_all([new(f"news:{number % 4}") for number in range(1000)])
        reader = Reader()
        subscribed = await reader.subscribe(hub, ("news:1", "news:2"), since=Position(await epoch(hub), 500))
        await reader.until(lambda it: len(sequences(it)) == 250)
        await hub.publish(new("news:2"))

        assert (subscribed.recovered, subscribed.position) == (True, Position(await epoch(hub), 500))
        assert sequences(reader) == [n for n in range(501, 1001) if (n - 1) % 4 in {1, 2}] + [1001]


@pytest.mark.parametrize("offset", [1001, 10**9])
async def test_a_place_that_never_was_is_not_recovered(offset):
    async with running_hub() as hub:
        await hub.publish_all([new(f"news:{number % 4}") for number in range(1000)])
        reader = Reader()
        subscribed = await reader.subscribe(hub, ("news:1", "news:2"), since=Position(await epoch(hub), offset))
        await reader.until(lambda it: len(sequences(it)) == 500)

        assert not subscribed.recovered


async def test_a_place_that_retention_passed_is_not_recovered(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        here = await epoch(hub)
        await hub.publish_all([new(f"news:{number % 2}") for number in range(20)])
        await sweeper_of(hub, Clock(), retention_count=3).sweep()
        reader = Reader()
        lost = await reader.subscribe(hub, ("news:0", "news:1"), since=Position(here, 5))
        held = await Reader().subscribe(hub, ("news:0", "news:1"), since=Position(here, 14))
        await reader.until(lambda it: len(sequences(it)) == 6)

        assert (lost.recovered, held.recovered) == (False, True)


async def test_a_slow_reader_of_several_misses_nothing_and_retention_waits_for_it(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub, ("news:0", "jobs:*"))
        slow.full = True
        names = ("news:0", "news:1", "jobs:0", "jobs:1")
        await hub.publish_all([new(name) for _ in range(300) for name in names])
        await reached(lambda: any(topic.behind for topic in hub.fanout.topics.values()))
        swept = await sweeper_of(hub, Clock(), retention_count=3).sweep()
        slow.drain()
        await slow.until(lambda it: len(sequences(it)) == 900)

        assert swept == 297  # those of the one channel that it does not read
        assert sequences(slow) == [n for n in range(1, 1201) if (n - 1) % 4 != 1]
        assert slow.lost == []


@pytest.mark.parametrize("name", ["news:0", ("news:0", "jobs:*")])
async def test_retention_waits_for_a_reader_whose_greeting_waits(tmp_path, name):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new("news:0") for _ in range(300)])
        slow, here = Reader(full=True), await epoch(hub)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: slow.subscribe(hub, name, since=Position(here, 0), greet=greeting))
            await reached(lambda: slow.waiting == 1)
            await sweeper_of(hub, Clock(), retention_count=3).sweep()
            slow.drain()
        await slow.until(lambda it: len(sequences(it)) == 300)
        assert slow.lost == []


async def test_nothing_is_recorded_for_a_reader_that_left_before_its_replay(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish(new("news:0"))
        gone, live = Reader(full=True), Reader()
        await live.subscribe(hub, "news:0")
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: gone.subscribe(hub, "news:0", since=0, greet=greeting))
                await reached(lambda: gone.waiting == 1)
                scope.cancel()
        assert hub.fanout.topics["news:0"].behind == {}


async def test_readers_that_come_and_go_and_stall_get_everything_once_in_order():
    dice = random.Random(7)
    names = [f"{kind}:{number}" for kind in ("news", "jobs") for number in range(4)]
    async with running_hub() as hub:
        readers: list[tuple[Reader, tuple[str, ...]]] = []
        for number in range(60):
            await hub.publish_all([new(dice.choice(names)) for _ in range(dice.randrange(1, 40))])
            if number % 4 == 0:
                chosen = tuple(dice.sample([*names, "jobs:*"], dice.randrange(2, 5)))
                reader = Reader(chance=0.2, rng=dice)
                await reader.subscribe(hub, chosen, since=Position(await epoch(hub), 0))
                readers.append((reader, chosen))
        every: list[Event] = await hub.database.read(
            lambda connection: Selection(("news:*", "jobs:*")).read(connection, 0, 10**6, 10**9, 10**9)
        )
        assert len(every) == every[-1].sequence
        for reader, chosen in readers:
            own = [
                event.sequence
                for event in every
                if event.channel in chosen or ("jobs:*" in chosen and event.channel.startswith("jobs:"))
            ]
            await reader.until(lambda it, own=own: len(sequences(it)) >= len(own))
            assert sequences(reader) == own
            assert reader.lost == []


async def test_channels_that_keep_nothing_are_heard_beside_those_that_do():
    async with running_hub(channels=FORGETFUL) as hub:
        await hub.publish_all([new("news:a"), new("typing:a")])
        reader = Reader()
        subscribed = await reader.subscribe(
            hub, ("typing:a", "news:a", "cursor:*"), since=Position(await epoch(hub), 0)
        )
        await reader.until(lambda it: len(sequences(it)) == 1)
        for channel in ("typing:a", "news:a", "cursor:b", "cursor:c"):
            await hub.publish(new(channel))
        subscribed.close()
        await hub.publish(new("typing:a"))

        assert subscribed.recovered and subscribed.position == Position(await epoch(hub), 0)
        assert heard(reader) == ["news:a", "typing:a", "news:a", "cursor:b", "cursor:c"]
        assert hub.fanout.topics == {}


async def test_what_keeps_nothing_and_a_pattern_covers_as_well_comes_once():
    async with running_hub(channels=FORGETFUL) as hub:
        reader = Reader()
        await reader.subscribe(hub, ("typing:a", "typing:*", "news:a"))
        await hub.publish_all([new("typing:a"), new("typing:b"), new("news:a")])

        assert sorted(heard(reader)) == ["news:a", "typing:a", "typing:b"]


async def test_a_place_among_several_is_of_the_store_whatever_the_epochs_of_the_channels(tmp_path):
    def as_positions(event: Event) -> bytes:
        return f"{event.channel} {event.offset} {event.sequence} {event.epoch}\n".encode()

    async with running_hub(tmp_path / "r.db") as hub:
        here = await epoch(hub)
        await hub.publish_all([new("news:a"), new("news:b")])
        await hub.database.write(lambda it: it.execute("UPDATE channels SET epoch = 'anotherx' WHERE name = 'news:b'"))
        hub.committer._batches.forget()  # as a restart would
        several, kind, one = Reader(), Reader(), Reader()
        await several.subscribe(hub, ("news:a", "news:b"), since=Position(here, 0), encode=as_positions)
        subscribed = await kind.subscribe(hub, "news:*", since=Position(here, 0), encode=as_positions)
        await one.subscribe(hub, "news:b", encode=as_positions)
        await hub.publish(new("news:b"))
        await kind.until(lambda it: len(it.events) == 3)

        assert [line.split()[3] for line in several.lines + kind.lines] == [here] * 6
        assert subscribed.subscription.position == Position(here, 3)
        assert one.lines == ["news:b 2 3 anotherx"]


async def test_of_channels_that_all_keep_nothing_there_is_no_place():
    async with running_hub(channels=FORGETFUL) as hub:
        reader = Reader()
        subscribed = await reader.subscribe(hub, ("typing:a", "cursor:a"), since=Position("00000000", 3))
        await hub.publish_all([new("typing:a"), new("cursor:a")])

        assert (subscribed.position, subscribed.recovered) == (None, False)
        assert heard(reader) == ["typing:a", "cursor:a"]


async def test_a_slow_reader_of_what_is_not_kept_is_closed():
    async with running_hub(channels=FORGETFUL) as hub:
        reader = Reader()
        await reader.subscribe(hub, ("typing:a", "news:a"))
        reader.full = True
        await hub.publish(new("typing:a"))

        assert reader.lost == [Reason.TOO_SLOW]


async def test_an_event_is_encoded_once_for_all_whose_share_of_it_is_the_same():
    made: list[int] = []

    def counting(event: Event) -> bytes:
        made.append(event.sequence)
        return b"%d\n" % event.sequence

    async with running_hub() as hub:
        readers = [Reader() for _ in range(50)]
        for number, reader in enumerate(readers):
            await hub.subscribe(
                (f"inbox:{number}", "news:a"),
                reader,
                counting,
                spawn=hub.nursery.start_soon,
                on_lost=reader.lost.append,
            )
        await hub.publish_all([new("news:a"), new("inbox:7"), new("news:a")])

        assert all(reader.lines == (["1", "2", "3"] if n == 7 else ["1", "3"]) for n, reader in enumerate(readers))
        assert len(made) == 5  # [1, 3] for 49 of them, [1, 2, 3] for one


async def test_nothing_is_left_of_a_selection_that_nobody_listens_to():
    async with running_hub() as hub:
        first = await Reader().subscribe(hub, ("news:a", "news:b"))
        second = await Reader().subscribe(hub, ("news:b", "news:a"))
        assert len(hub.fanout.topics) == 1  # their order makes no difference
        assert [topic.subscribers for topic in hub.fanout.listening("news:b")] == [2]
        first.close()
        first.close()
        second.close()
        assert hub.fanout.topics == {} and hub.fanout.listening("news:b") == []


async def test_publishers_and_readers_at_once_lose_nothing():
    async with running_hub() as hub:
        async with trio.open_nursery() as nursery:
            readers = [Reader() for _ in range(10)]

            async def publish(channel: str) -> None:
                for _ in range(50):
                    await hub.publish(new(channel))

            for channel in ("news:a", "news:b", "jobs:1"):
                nursery.start_soon(publish, channel)
            for reader in readers:
                await trio.lowlevel.checkpoint()
                await reader.subscribe(hub, ("news:a", "jobs:1"), since=Position(await epoch(hub), 0))
        for reader in readers:
            await reader.until(lambda it: len(sequences(it)) == 100)
            assert sequences(reader) == sorted(set(sequences(reader)))
