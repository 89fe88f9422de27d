"""What needs no disk does not wait for it; whoever waits is told, also at the end."""

from __future__ import annotations

import pytest
import trio

from rtlite.errors import StorageFailed, StorageFull
from rtlite.settings import KindSettings
from rtlite.store.database import open_database
from tests.hub.readers import Reader, history_of, new, running_hub

PASSING = {"live": KindSettings(history=False)}


async def test_full_disk_refuses_what_is_kept_and_passes_on_what_is_not(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        reader = Reader()
        await reader.subscribe(hub, "live:a")

        async def full(work):
            raise StorageFull("the disk is full")

        write, hub.database.write = hub.database.write, full
        refused, passed = await in_one_batch_of_two(hub)
        hub.database.write = write

        assert isinstance(refused, StorageFull)
        assert passed.event.offset == 1
        assert reader.offsets == [1]


async def in_one_batch_of_two(hub):
    outcomes = {}

    async def run(name):
        try:
            outcomes[name] = await hub.publish(new(name))
        except StorageFull as error:
            outcomes[name] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "news:a")
        nursery.start_soon(run, "live:a")
    return outcomes["news:a"], outcomes["live:a"]


@pytest.mark.parametrize("channel", ["news:a", "live:a"])
async def test_what_waits_when_the_server_stops_is_stored_and_its_publishers_are_told(tmp_path, channel):
    """They may be tasks of a program that goes on: those that the last commit did not answer waited for ever."""
    told = []

    async def publish(hub):
        told.append(await hub.publish(new(channel)))

    with trio.fail_after(20):
        async with trio.open_nursery() as program, running_hub(tmp_path / "r.db", channels=PASSING) as hub:
            for _ in range(700):
                program.start_soon(publish, hub)
            while not hub.committer._queues.events:
                await trio.lowlevel.checkpoint()
        with pytest.raises(StorageFailed, match="stopped"):
            await hub.publish(new(channel))
        with pytest.raises(StorageFailed, match="stopped"):
            await Reader().subscribe(hub, channel)

    assert sorted(published.event.offset for published in told) == list(range(1, 701))
    async with open_database(str(tmp_path / "r.db")) as database:
        assert len(await history_of(database, channel)) == (700 if channel == "news:a" else 0)
