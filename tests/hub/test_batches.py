"""What fails in a batch fails alone, and gives back what it had taken."""

from __future__ import annotations

import sqlite3

import pytest
import trio

from rtlite.errors import Conflict, StorageFailed, StorageFull
from tests.hub.batching import crash, exhausted, faulty, in_one_batch
from tests.hub.readers import Reader, history_of, new, running_hub


@pytest.mark.parametrize(
    "work",
    [crash, exhausted, faulty("INSERT INTO nowhere VALUES (1)"), faulty("INSERT INTO meta VALUES ('epoch', 'again')")],
)
async def test_failing_transaction_leaves_its_neighbours_in_the_batch_alone(tmp_path, work):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)
        before, failed, after, changed = await in_one_batch(
            hub,
            lambda: hub.publish(new(id="before")),
            lambda: hub.transact(work),
            lambda: hub.publish(new(id="after")),
            lambda: hub.transact(lambda transaction: transaction.publish("news:a", "tick", None, "changed").event.id),
        )

        assert (before.event.offset, after.event.offset, changed) == (1, 2, "changed")
        assert isinstance(failed, StorageFailed)
        assert failed.code == "internal_error"
        assert reader.arrivals == [(1, "before"), (2, "after"), (3, "changed")]
        assert await history_of(hub.database, "news:a") == reader.arrivals


async def test_transaction_refused_beside_one_that_crashes_is_judged_anew(tmp_path):
    """The batch is tried again job by job: what the first attempt said of a job no longer counts."""
    async with running_hub(tmp_path / "r.db") as hub:
        runs = []

        def refuse_the_first_time(transaction):
            runs.append(1)
            if len(runs) == 1:
                raise Conflict("not now")
            return transaction.publish("news:a", "tick", None).event.offset

        second, failed = await in_one_batch(
            hub, lambda: hub.transact(refuse_the_first_time), lambda: hub.transact(crash)
        )

        assert second == 1
        assert isinstance(failed, StorageFailed)
        assert [offset for offset, _ in await history_of(hub.database, "news:a")] == [1]


async def test_each_publisher_of_a_failed_batch_gets_an_exception_of_its_own(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        write = hub.database.write

        async def full(work):
            raise StorageFull("the disk is full")

        hub.database.write = full
        hub.database.write, errors = write, []
        gate = new("gate:a")
        await hub.publish(gate)
        hub.database.write = full
        async with trio.open_nursery() as nursery:

            async def publish():
                with pytest.raises(StorageFull) as raised:
                    await hub.publish(new())
                errors.append(raised.value)

            for _ in range(5):
                nursery.start_soon(publish)
        hub.database.write = write

        assert len(set(map(id, errors))) == 5
        assert (await hub.publish(new())).event.offset == 1


async def test_sequences_rise_over_all_channels_and_have_no_hole_after_a_failure(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        first = await hub.publish(new("news:a"))
        with pytest.raises(StorageFailed):
            await hub.transact(crash)
        second = await hub.publish(new("news:b"))

        assert (first.event.sequence, second.event.sequence) == (1, 2)


async def test_batch_publish_is_all_or_nothing(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        with pytest.raises(StorageFailed):
            await hub.publish_all([new(), new(id="\ud800")])  # no UTF-8 holds a lone surrogate

        assert await history_of(hub.database, "news:a") == []
        assert (await hub.publish(new())).event.offset == 1


async def test_mistaken_statement_is_named_as_ours_and_not_as_the_disks(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        with pytest.raises(StorageFailed) as raised:
            await hub.transact(faulty("SELECT * FROM nowhere"))

        assert raised.value.code == "internal_error"
        assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
