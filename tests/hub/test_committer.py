"""What needs no disk does not wait for it."""

from __future__ import annotations

import trio

from rtlite.errors import StorageFull
from rtlite.settings import KindSettings
from tests.hub.readers import Reader, new, running_hub

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
