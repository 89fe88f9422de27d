"""Delivery: encoded once, in order, and no reader's failure is another's."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from rtlite.errors import Reason
from rtlite.hub import fanout
from rtlite.settings import KindSettings
from tests.hub.readers import Reader, line, new, reached, running_hub


async def test_event_is_encoded_once_for_all_readers_of_one_kind(tmp_path):
    calls = []

    def encode(event):
        calls.append(event.offset)
        return line(event)

    async with running_hub(tmp_path / "r.db") as hub:
        readers = [Reader() for _ in range(10)]
        for reader in readers:
            await reader.subscribe(hub, encode=encode)
        await hub.publish_all([new(), new()])

        assert calls == [1, 2]
        assert all(reader.offsets == [1, 2] for reader in readers)


async def test_an_event_without_bytes_is_offered_to_nobody_live_or_from_history(tmp_path):
    def odd(event):
        return line(event) if event.offset % 2 else b""

    def the_fourth(event):
        return line(event) if event.offset == 4 else b""

    async with running_hub(tmp_path / "r.db") as hub:
        reader, late, other = Reader(), Reader(), Reader()
        offered = []
        offer = reader.offer
        reader.offer = lambda data: offered.append(data) or offer(data)
        await reader.subscribe(hub, encode=odd)
        await other.subscribe(hub, encode=the_fourth)
        offered.clear()
        delivered = hub.fanout._metrics.delivered
        for count in (1, 0, 1, 1):
            before = delivered._value.get()
            await hub.publish(new())
            assert delivered._value.get() - before == count
        await hub.publish_all([new(), new(), new()])
        assert reader.offsets == [1, 3, 5, 7]
        assert len(offered) == 3 and all(offered)
        await late.subscribe(hub, encode=odd, since=0)
        assert late.offsets == [1, 3, 5, 7]


async def test_batch_reaches_a_connection_in_one_write(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        for name in ("news:a", "news:b", "news:c"):
            await reader.subscribe(hub, name)
        writes = []
        offer = reader.offer
        reader.offer = lambda data: writes.append(data) or offer(data)
        await hub.publish_all([new("news:a"), new("news:b"), new("news:c"), new("news:a")])

        assert len(writes) == 1
        assert len(reader.events) == 4


async def test_big_batch_is_cut_into_chunks_and_a_refusal_between_them_loses_nothing(tmp_path):
    def encode(event):
        return line(event) + b"x" * 20_000 + b" 0 0 x\n"

    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub, encode=encode)
        offer, calls = reader.offer, []

        def refuse_the_second(data):
            calls.append(len(data))
            return len(calls) != 2 and offer(data)

        reader.offer = refuse_the_second
        await hub.publish_all([new() for _ in range(12)])
        await reader.until(lambda reader: len(reader.events) == 24)

        assert [offset for channel, offset, *_ in reader.events if channel == "news:a"] == list(range(1, 13))
        assert max(calls) <= fanout.CHUNK_BYTES


class Broken(Reader):
    def offer(self, data):
        raise ZeroDivisionError


@pytest.mark.parametrize("names", [["news:a"], ["news:a", "news:b"]])
async def test_outbox_that_raises_is_closed_and_its_neighbours_notice_nothing(tmp_path, names):
    async with running_hub(tmp_path / "r.db") as hub:
        before, broken, after = Reader(), Broken(), Reader()
        for reader in (before, broken, after):
            for name in names:
                await reader.subscribe(hub, name)
        for _ in range(2):
            await hub.publish_all([new(name) for name in names])

        assert set(broken.lost) == {Reason.INTERNAL_ERROR}
        assert sorted(before.offsets) == sorted(after.offsets) == sorted([1, 2] * len(names))


async def test_encoder_that_raises_costs_only_its_own_readers(tmp_path):
    def encode(event):
        raise ZeroDivisionError

    async with running_hub(tmp_path / "r.db") as hub:
        well, ill = Reader(), Reader()
        await ill.subscribe(hub, encode=encode)
        await well.subscribe(hub)
        await hub.publish(new())

        assert well.offsets == [1]
        assert ill.lost == [Reason.INTERNAL_ERROR]


async def test_connection_that_cannot_take_a_task_any_more_is_closed(tmp_path):
    def spawn(*_):
        raise RuntimeError("Nursery is closed to new arrivals")

    def on_lost(reason):
        raise RuntimeError("and nobody is there to tell")

    async with running_hub(tmp_path / "r.db") as hub:
        leaving, well = Reader(full=True), Reader()
        await leaving.subscribe(hub, spawn=spawn, on_lost=on_lost)
        await well.subscribe(hub)
        await hub.publish_all([new(), new()])

        assert well.offsets == [1, 2]
        assert len(hub.fanout.topics["news:a"].groups[line]) == 1


async def test_connection_that_closes_as_it_refuses_is_told_nothing_twice(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader, subscriptions = Reader(), []

        def offer(data):
            for subscription in subscriptions:
                subscription.close()
            return False

        subscriptions += [(await reader.subscribe(hub, name)).subscription for name in ("news:a", "news:b")]
        reader.offer = offer
        await hub.publish_all([new("news:a"), new("news:b")])

        assert reader.lost == []
        assert hub.fanout.topics == {}


async def test_long_fan_out_yields_and_a_reader_that_leaves_meanwhile_is_passed_by(tmp_path, monkeypatch):
    monkeypatch.setattr(fanout, "SLICE_SECONDS", 0)
    async with running_hub(tmp_path / "r.db") as hub:
        readers = [Reader() for _ in range(300)]
        subscriptions = [(await reader.subscribe(hub)).subscription for reader in readers]

        async def leave():
            subscriptions[-1].close()

        first = readers[0].offer
        readers[0].offer = lambda data: hub.nursery.start_soon(leave) or first(data)
        await hub.publish(new())
        await hub.publish(new())

        assert readers[-1].offsets == []
        assert all(reader.offsets == [1, 2] for reader in readers[:-1])


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("name", ["news:a", "news:*"])
async def test_connection_that_wants_no_echo_gets_everything_but_its_own(tmp_path, name, history):
    async with running_hub(tmp_path / "r.db", channels={"news": KindSettings(history=history)}) as hub:
        author, other = Reader(), Reader()
        subscribed = (await author.subscribe(hub, name)).subscription
        await other.subscribe(hub, name)
        async with trio.open_nursery() as nursery:  # in one batch
            for number in range(6):
                nursery.start_soon(partial(hub.publish, new(id=f"e{number}"), origin=author if number % 2 else None))

        assert sorted(id for _, id in author.arrivals) == ["e0", "e2", "e4"]
        assert [arrival for arrival in other.arrivals if arrival[1] in {"e0", "e2", "e4"}] == author.arrivals
        assert len(other.arrivals) == 6
        assert subscribed.muted is None
        if history:
            await hub.publish(new(id="e1"), origin=author)  # a duplicate: nothing is sent and nothing kept in mind
            assert (len(other.arrivals), subscribed.muted) == (6, None)


@pytest.mark.parametrize("count", [5, 700])
async def test_connection_that_fell_behind_does_not_find_its_own_events_in_history(tmp_path, count):
    """700 are more than the topic remembers and more than one page holds."""
    async with running_hub(tmp_path / "r.db") as hub:
        author = Reader()
        subscribed = (await author.subscribe(hub)).subscription
        author.full = True
        for number in range(count):
            await hub.publish(new(), origin=author if number % 3 else None)
        author.drain()
        expected = list(range(1, count + 1, 3))
        await author.until_offset(expected[-1])

        assert author.offsets == expected
        await reached(lambda: subscribed.live)
        assert subscribed.muted is None


async def test_connection_that_publishes_during_its_replay_gets_no_echo_either(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(400)])
        author = Reader(full=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(author.subscribe, hub, since=0))
            await reached(lambda: any(topic.behind for topic in hub.fanout.topics.values()))
            for _ in range(3):
                await hub.publish(new(), origin=author)
            last = (await hub.publish(new())).event.offset
            author.drain()
        await author.until_offset(last)

        assert author.offsets == [*range(1, 401), 404]


async def test_position_of_a_subscription_never_lies_past_what_it_was_sent(tmp_path, monkeypatch):
    """Else who asks during a fan-out, and is cut off, would resume past an event it never got."""
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        subscription = (await reader.subscribe(hub)).subscription
        await hub.publish(new())
        during = []
        pause = fanout.Pace.pause

        async def look(pace):
            during.append((subscription.position.offset, list(reader.offsets)))
            await pause(pace)

        monkeypatch.setattr(fanout.Pace, "pause", look)
        await hub.publish(new())

        assert during == [(1, [1])]
        assert (subscription.position.offset, reader.offsets) == (2, [1, 2])
        slow = Reader(full=True)
        behind = await hub.subscribe("news:a", slow, line, spawn=hub.nursery.start_soon, on_lost=slow.on_lost, since=0)
        await reached(lambda: bool(subscription.topic.behind))
        assert behind.subscription.position.offset == 0
        slow.drain()
        await slow.until_offset(2)
        await reached(lambda: behind.subscription.position.offset == 2)


async def test_an_end_reaches_every_reader_of_the_channels_it_is_about_though_one_of_them_fails() -> None:
    async with running_hub() as hub:
        failing, own, several, other, kind = readers = [Reader() for _ in range(5)]

        def fail(_: Reason) -> None:
            raise RuntimeError("a bug")

        await failing.subscribe(hub, "news:a", on_lost=fail)
        await own.subscribe(hub, "news:a")
        await several.subscribe(hub, ("news:a", "news:b"))
        await other.subscribe(hub, "news:b")
        await kind.subscribe(hub, "news:*")
        hub.fanout.end(lambda name: name == "news:a", Reason.RECONFIGURED)
        await hub.publish(new("news:a"))
        assert [len(reader.lines) for reader in readers] == [0, 0, 0, 0, 1]
        assert own.lost == several.lost == [Reason.RECONFIGURED]
        assert other.lost == kind.lost == []
