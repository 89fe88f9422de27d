"""One task commits for all: what fails in a batch fails alone, and nothing kills the task."""

from __future__ import annotations

import sqlite3

import pytest
import trio

from rtlite.errors import Conflict, StorageFailed, StorageFull
from rtlite.hub import committer
from rtlite.settings import KindSettings
from tests.hub.readers import Reader, history_of, new, running_hub

PASSING = {"live": KindSettings(history=False)}


async def in_one_batch(hub, *calls):
    """Run the calls so that one batch holds them all, in order; returns results and exceptions."""
    held, go_on = trio.Event(), trio.Event()
    deliver = hub.fanout.deliver

    async def hold(events, muted):
        hub.fanout.deliver = deliver
        held.set()
        await go_on.wait()
        await deliver(events, muted)

    hub.fanout.deliver = hold
    outcomes = [None] * len(calls)

    async def run(number, call):
        try:
            outcomes[number] = await call()
        except Exception as error:
            outcomes[number] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.publish, new("gate:a"))
        await held.wait()
        for number, call in enumerate(calls):  # one by one: Trio would shuffle them
            nursery.start_soon(run, number, call)
            while len(hub.committer._queue) <= number:
                await trio.lowlevel.checkpoint()
        go_on.set()
    return outcomes


def faulty(statement):
    def work(transaction):
        transaction.publish("news:a", "tick", None)
        transaction.connection.execute(statement)

    return work


def crash(transaction):
    transaction.publish("news:a", "tick", None)
    raise ZeroDivisionError


def exhausted(transaction):
    return next(iter(()))


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


async def test_refused_transaction_gives_its_offsets_and_ids_back(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:

        def refuse(transaction):
            transaction.publish("news:a", "tick", None, "x")
            transaction.publish("news:b", "tick", None, "x")
            raise Conflict("no")

        _, refused, second, third = await in_one_batch(
            hub,
            lambda: hub.publish(new(id="first")),
            lambda: hub.transact(refuse),
            lambda: hub.publish(new(id="x")),
            lambda: hub.publish(new("news:b", id="x")),
        )

        assert isinstance(refused, Conflict)
        assert (second.event.offset, second.duplicate) == (2, False)
        assert (third.event.offset, third.duplicate) == (1, False)
        assert third.event.sequence == second.event.sequence + 1 == 4  # the gate's event was the first


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


async def test_sequences_rise_over_all_channels_and_have_no_hole_after_a_failure(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        first = await hub.publish(new("news:a"))
        with pytest.raises(StorageFailed):
            await hub.transact(crash)
        second = await hub.publish(new("news:b"))

        assert (first.event.sequence, second.event.sequence) == (1, 2)


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
        assert (hub.committer._queued_events, hub.committer._queued_bytes) == (0, 0)


async def test_channels_without_history_are_forgotten_oldest_first_even_if_only_listened_to(monkeypatch):
    monkeypatch.setattr(committer, "_PASSING_CHANNELS", 10)
    async with running_hub(channels=PASSING) as hub:
        for number in range(50):
            answer = await Reader().subscribe(hub, f"live:{number}")
            answer.subscription.close()

        assert len(hub.committer._passing) == 10


async def test_offsets_on_a_channel_without_history_count_from_one(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        results = await hub.publish_all([new("live:a"), new("news:a"), new("live:a"), new("live:b")])

        assert [result.event.offset for result in results] == [1, 1, 2, 1]
        assert [result.event.sequence for result in results] == [0, 1, 0, 0]


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


async def test_publishers_who_do_not_come_back_are_not_waited_for_even_when_the_clock_stands_still(autojump_clock):
    async with running_hub() as hub:
        await in_one_batch(hub, *[lambda: hub.publish(new("news:a"))] * 8)
        await hub.publish(new("news:a"))
        assert len(await history_of(hub.database, "news:a")) == 9
