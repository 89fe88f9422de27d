"""Finding a place in history, and saying so when it is gone."""

from __future__ import annotations

import pytest
import trio

from rtlite.errors import Reason, StorageFailed
from rtlite.hub import replay, topics
from rtlite.hub.replay import Start
from rtlite.hub.since import EventId
from rtlite.model import Position
from rtlite.settings import KindSettings, Settings
from rtlite.store import retention
from rtlite.store.policies import Policies
from tests.hub.readers import Reader, line, new, reached, running_hub


async def set_times(hub, *timestamps, channel="news:a"):
    """Give a channel's events these timestamps."""

    def update(connection):
        for offset, timestamp in enumerate(timestamps, 1):
            connection.execute(
                "UPDATE events SET timestamp = ? WHERE offset = ?"
                " AND channel = (SELECT id FROM channels WHERE name = ?)",
                (timestamp, offset, channel),
            )
        connection.execute("UPDATE channels SET newest_timestamp = ? WHERE name = ?", (max(timestamps), channel))

    await hub.database.write(update)


async def trim_to(hub, count, channel="news:a"):
    """Leave only the newest ``count`` events of a channel."""
    settings = Settings(channels={"news": KindSettings(retention_count=count)})

    def trim(connection):
        row = connection.execute("SELECT id FROM channels WHERE name = ?", (channel,)).fetchone()
        return retention.trim(connection, Policies(settings), retention.Candidate(row[0], channel), 0)

    await hub.database.write(trim)


async def locate(hub, since, name="news:a", limit=10_000):
    return await hub.database.read(lambda connection: replay.locate(connection, name, since, limit))


async def test_time_begins_with_the_first_event_at_or_after_it(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(4)])
        await set_times(hub, 100, 200, 200, 300)

        assert await locate(hub, 50) == Start(0, True)
        assert await locate(hub, 200) == Start(1, True)
        assert await locate(hub, 201) == Start(3, True)
        assert await locate(hub, 301) == Start(4, True)


async def test_time_misses_nothing_where_the_clock_was_set_back(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(4)])
        await set_times(hub, 1000, 1100, 500, 600)

        assert await locate(hub, 550) == Start(0, True)


async def test_time_reached_by_retention_is_told(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(4)])
        await set_times(hub, 100, 200, 300, 400)
        await trim_to(hub, 2)

        assert await locate(hub, 150) == Start(2, False)
        assert await locate(hub, 350) == Start(3, True)


async def test_time_before_events_that_are_all_deleted_is_told(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(4)])
        await set_times(hub, 100, 200, 300, 400)
        await trim_to(hub, 0)

        assert await locate(hub, 150) == Start(4, False)
        assert await locate(hub, 401) == Start(4, True)


async def test_position_that_retention_passed_is_told_and_the_last_deleted_one_still_holds(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        event = (await hub.publish_all([new() for _ in range(6)]))[0].event
        await trim_to(hub, 3)

        assert await locate(hub, Position(event.epoch, 2)) == Start(3, False)
        assert await locate(hub, Position(event.epoch, 3)) == Start(3, True)
        assert await locate(hub, Position(event.epoch, 6)) == Start(6, True)
        assert await locate(hub, Position(event.epoch, 7)) == Start(3, False)
        assert await locate(hub, Position(event.epoch, 10**18 * 9)) == Start(3, False)


async def test_id_that_is_not_there_is_told(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new(id="a"), new(id="b")])

        assert await locate(hub, EventId("a")) == Start(1, True)
        assert await locate(hub, EventId("c")) == Start(0, False)


async def test_channel_that_never_was_has_one_place_only(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        epoch = (await hub.publish(new("other:a"))).event.epoch

        assert await locate(hub, Position(epoch, 0)) == Start(0, True)
        assert await locate(hub, Position(epoch, 1)) == Start(0, False)
        assert await locate(hub, Position("00000000", 0)) == Start(0, False)
        assert await locate(hub, EventId("x")) == Start(0, False)
        assert await locate(hub, 5) == Start(0, True)


async def test_places_of_a_whole_kind_are_sequences(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        names = ["news:a", "other:a", "news:b", "news:a", "other:a", "news:b", "other:a"]
        events = [(await hub.publish(new(name, id=f"{n}"))).event for n, name in enumerate(names, 1)]
        await set_times(hub, 100, 400)
        await set_times(hub, 300, 600, channel="news:b")
        epoch = events[0].epoch

        assert await locate(hub, 250, "news:*") == Start(2, True)
        assert await locate(hub, 601, "news:*") == Start(7, True)
        assert await locate(hub, EventId("4"), "news:*") == Start(4, True)
        assert await locate(hub, EventId("2"), "news:*") == Start(0, False)
        assert await locate(hub, Position(epoch, 5), "news:*") == Start(5, True)
        assert await locate(hub, Position(epoch, 8), "news:*") == Start(0, False)
        assert await locate(hub, Position("00000000", 5), "news:*") == Start(0, False)
        assert await locate(hub, 0, "news:*", limit=2) == Start(3, False)
        assert await locate(hub, 0, "news:*", limit=4) == Start(0, True)
        assert await locate(hub, 0, "none:*") == Start(7, True)


async def test_places_of_a_kind_that_retention_passed_are_told(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        for name in ["news:b", "news:a", "news:a", "other:a", "news:a"]:
            await hub.publish(new(name))
        epoch = (await hub.publish(new("other:a"))).event.epoch
        await set_times(hub, 200, 300, 500)
        await set_times(hub, 100, channel="news:b")
        await trim_to(hub, 1)

        assert await locate(hub, Position(epoch, 2), "news:*") == Start(3, False)
        assert await locate(hub, Position(epoch, 3), "news:*") == Start(3, True)
        assert await locate(hub, 250, "news:*") == Start(4, False)
        assert await locate(hub, 501, "news:*") == Start(6, True)


async def test_reader_whose_place_retention_takes_is_closed_and_not_left_with_a_gap(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub)
        slow.full = True
        for _ in range(3):
            await hub.publish_all([new() for _ in range(400)])
        await trim_to(hub, 100)  # one step of retention: 500 events
        await trim_to(hub, 100)
        slow.drain()
        await slow.until(lambda reader: bool(reader.lost))

        assert slow.lost == [Reason.TOO_SLOW]
        assert slow.offsets == list(range(1, len(slow.offsets) + 1))
        assert hub.fanout.topics == {}


async def test_reader_that_leaves_during_a_replay_is_forgotten(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(10)])
        reader = Reader(full=True)
        async with trio.open_nursery() as nursery:

            async def subscribe():
                await reader.subscribe(hub, since=0)

            nursery.start_soon(subscribe)
            await reached(lambda: any(topic.behind for topic in hub.fanout.topics.values()))
            reader.leave()

        assert hub.fanout.topics == {}
        assert reader.lost == []


async def test_history_that_cannot_be_read_closes_the_reader(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)
        reader.full = True

        async def fail(work):
            raise StorageFailed("the database refused")

        read, hub.database.read = hub.database.read, fail
        await hub.publish(new())
        await reader.until(lambda reader: bool(reader.lost))
        hub.database.read = read

        assert reader.lost == [Reason.INTERNAL_ERROR]
        assert hub.fanout.topics == {}


@pytest.mark.parametrize("remembered", [1, 3, 1000])
async def test_replay_ends_however_little_the_topic_remembers(tmp_path, monkeypatch, remembered):
    monkeypatch.setattr(topics, "RECENT_EVENTS", remembered)
    monkeypatch.setattr(replay, "PAGE_EVENTS", 7)
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(50)])
        readers = [Reader(chance=0.3) for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(reader.subscribe, hub, "news:a", 0)
            for _ in range(50):
                await hub.publish(new())
        for reader in readers:
            await reader.until_offset(100)

        assert all(reader.offsets == list(range(1, 101)) for reader in readers)


async def test_event_larger_than_what_a_topic_remembers_is_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr(topics, "RECENT_BYTES", 100)
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub)
        slow.full = True
        await hub.publish_all([new(data=b"x" * 1000) for _ in range(5)])
        slow.drain()
        await slow.until_offset(5)

        assert slow.offsets == [1, 2, 3, 4, 5]


async def test_subscribing_does_not_wait_for_the_replay(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(3)])
        reader = Reader(full=True)
        with trio.fail_after(5):
            answer = await hub.subscribe(
                "news:a", reader, line, spawn=hub.nursery.start_soon, on_lost=reader.on_lost, since=0
            )
        assert (answer.recovered, reader.lines) == (True, [])
        reader.drain()
        await reader.until_offset(3)


async def test_what_waited_for_room_does_not_come_once_the_subscription_is_closed(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        epoch = (await hub.publish(new())).event.epoch
        reader = Reader(full=True)
        subscribed = await hub.subscribe(
            "news:a", reader, line, spawn=hub.nursery.start_soon, on_lost=reader.on_lost, since=Position(epoch, 0)
        )
        await reached(lambda: reader.waiting == 1)
        subscribed.close()
        reader.drain()
        await reached(lambda: reader.waiting == 0)

        assert reader.lines == []
