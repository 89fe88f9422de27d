"""Publishers wait in order, and not for those who are gone."""

from __future__ import annotations

import trio

from tests.hub.batching import in_one_batch
from tests.hub.readers import history_of, new, running_hub


async def test_cancelled_publisher_leaves_the_queue_in_order(tmp_path):
    async with running_hub(tmp_path / "r.db", queue_events=10) as hub:
        for number in range(30):  # if what they queued were counted for ever, the queue would be full
            with trio.CancelScope() as scope:
                scope.cancel()
                await hub.publish(new(id=f"gone-{number}"))
            await hub.publish(new(id=f"here-{number}"))
        ids = [id for _, id in await history_of(hub.database, "news:a")]

        assert [id for id in ids if id.startswith("here")] == [f"here-{number}" for number in range(30)]
        assert len(ids) == len(set(ids))
        assert (hub.committer._queues.events, hub.committer._queues.bytes) == (0, 0)


async def test_publishers_who_do_not_come_back_are_not_waited_for_even_when_the_clock_stands_still(autojump_clock):
    async with running_hub() as hub:
        await in_one_batch(hub, *[lambda: hub.publish(new("news:a"))] * 8)
        await hub.publish(new("news:a"))
        assert len(await history_of(hub.database, "news:a")) == 9
