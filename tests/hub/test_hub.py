"""What the hub promises, seen from outside: one order, nothing missed, nothing twice, and no trace left."""

from __future__ import annotations

import random
import time

import pytest
import trio

from rtlite.errors import NotFound, Overloaded, Reason, StorageFailed
from rtlite.hub import fanout, topics
from rtlite.hub.since import EventId
from rtlite.model import Position
from rtlite.settings import KindSettings
from tests.history_checker import Attempt, History, Outcome, Session, check_history
from tests.hub.readers import Reader, greeting, history_of, line, new, reached, running_hub

PASSING = {"live": KindSettings(history=False)}


async def test_eight_publishers_and_three_subscribers_see_one_order_equal_to_offset_order(tmp_path):
    attempts = []

    async def publish(number):
        for count in range(40):
            started = time.perf_counter()
            done = await hub.publish(new(id=f"p{number}-{count}"))
            attempts.append(
                Attempt(str(number), done.event.id, started, time.perf_counter(), Outcome.OK, done.event.offset)
            )

    async with running_hub(tmp_path / "r.db") as hub:
        readers = [Reader() for _ in range(3)]
        for reader in readers:
            await reader.subscribe(hub)
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(publish, number)
        log = await history_of(hub.database, "news:a")

    sessions = [Session(str(number), reader.arrivals, 0, 320) for number, reader in enumerate(readers)]
    assert check_history(History(attempts, sessions, log)) == []
    assert [offset for offset, _ in log] == list(range(1, 321))


async def test_delivery_comes_before_the_publisher_hears_of_it(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)
        published = await hub.publish(new())

        assert reader.arrivals == [(1, published.event.id)]


async def test_same_id_again_gives_the_first_result_and_delivers_nothing(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)
        first = await hub.publish(new(id="once", data=b"1"))
        again = await hub.publish(new(id="once", data=b"2"))

        assert again.duplicate
        assert not first.duplicate
        assert again.event == first.event
        assert reader.arrivals == [(1, "once")]


async def test_same_id_twice_in_one_batch_is_stored_once(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)
        results = await hub.publish_all([new(id="x"), new(id="y"), new(id="x")])

        assert [result.duplicate for result in results] == [False, False, True]
        assert [result.event.offset for result in results] == [1, 2, 1]
        assert reader.arrivals == [(1, "x"), (2, "y")]


async def test_same_id_is_free_on_another_channel(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish(new("news:a", id="x"))

        assert not (await hub.publish(new("news:b", id="x"))).duplicate


async def test_slow_reader_is_spilled_and_gets_every_event_once_in_order(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow, quick = Reader(), Reader()
        await slow.subscribe(hub)
        await quick.subscribe(hub)
        await hub.publish(new())
        slow.full = True
        for _ in range(30):
            await hub.publish_all([new() for _ in range(20)])

        assert slow.offsets == [1]
        assert quick.offsets == list(range(1, 602))
        slow.drain()
        await slow.until_offset(601)
        await hub.publish(new())
        await slow.until_offset(602)

        assert slow.offsets == list(range(1, 603))
        assert slow.lost == []


async def test_slow_reader_of_more_than_the_topic_remembers_reads_the_rest_from_history(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow = Reader()
        await slow.subscribe(hub)
        slow.full = True
        for _ in range(5):
            await hub.publish_all([new(data=b"x" * 1000) for _ in range(600)])
        slow.drain()
        await slow.until_offset(3000)

        assert slow.offsets == list(range(1, 3001))
        topic = hub.fanout.topics["news:a"]
        await reached(lambda: not topic.behind)
        assert (len(topic.recent), topic.recent_bytes, len(topic.behind)) == (0, 0, 0)


async def test_slow_reader_on_a_channel_without_history_is_closed_as_too_slow(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        slow, quick = Reader(full=True), Reader()
        await slow.subscribe(hub, "live:a")
        await quick.subscribe(hub, "live:a")
        await hub.publish_all([new("live:a"), new("live:a")])
        await hub.publish(new("live:a"))

        assert slow.lost == [Reason.TOO_SLOW]
        assert quick.offsets == [1, 2, 3]
        assert len(hub.fanout.topics["live:a"].groups[line]) == 1


async def test_reader_that_resumes_gets_what_it_missed_and_then_live_events(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        published = [await hub.publish(new()) for _ in range(10)]
        reader = Reader()
        answer = await reader.subscribe(hub, since=published[3].event.position, greet=greeting)
        await hub.publish(new())

        assert answer.recovered
        assert answer.position == published[3].event.position
        assert reader.lines[0] == f"hello {published[3].event.position} True"
        assert reader.offsets == list(range(5, 12))


async def test_reader_without_since_begins_now_and_is_told_where_that_is(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        last = (await hub.publish(new())).event
        reader = Reader()
        answer = await reader.subscribe(hub, greet=greeting)

        assert answer.position == last.position
        assert reader.lines == [f"hello {last.position} True"]


async def test_position_before_the_first_event_of_a_channel_holds(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        answer = await Reader().subscribe(hub)
        await hub.publish_all([new(), new()])
        reader = Reader()
        resumed = await reader.subscribe(hub, since=answer.position)

        assert answer.position.offset == 0
        assert resumed.recovered
        assert reader.offsets == [1, 2]


async def test_position_of_another_epoch_is_told_and_history_starts_over(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new(), new()])
        reader = Reader()
        answer = await reader.subscribe(hub, since=Position("aaaaaaaa", 2), greet=greeting)

        assert not answer.recovered
        assert reader.lines[0].endswith("False")
        assert reader.offsets == [1, 2]


async def test_replay_longer_than_the_limit_is_told_and_cut_at_the_old_end(tmp_path):
    async with running_hub(tmp_path / "r.db", max_replay=3) as hub:
        first = (await hub.publish_all([new() for _ in range(10)]))[0].event
        reader = Reader()
        answer = await reader.subscribe(hub, since=first.position)

        assert not answer.recovered
        assert answer.position.offset == 7
        assert reader.offsets == [8, 9, 10]


async def test_positions_and_ids_hold_after_a_restart(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        before = [await hub.publish(new(id=f"e{number}")) for number in range(3)]
    async with running_hub(tmp_path / "r.db") as hub:
        assert (await hub.publish(new(id="e1"))).duplicate
        after = await hub.publish(new(id="e3"))
        assert (after.event.epoch, after.event.offset) == (before[0].event.epoch, 4)
        assert after.event.sequence > before[2].event.sequence
        by_position, by_id = Reader(), Reader()
        first = await by_position.subscribe(hub, since=before[0].event.position)
        second = await by_id.subscribe(hub, since=EventId("e1"))

        assert first.recovered
        assert second.recovered
        assert by_position.offsets == [2, 3, 4]
        assert by_id.offsets == [3, 4]


async def test_channel_without_history_gets_a_new_epoch_after_a_restart(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        before = (await hub.publish(new("live:a"))).event
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        answer = await Reader().subscribe(hub, "live:a", since=before.position)

        assert not answer.recovered
        assert answer.position.epoch != before.epoch
        assert (await hub.publish(new("live:a"))).event.position == Position(answer.position.epoch, 1)


async def test_channel_without_history_recovers_only_a_reader_that_missed_nothing(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        keeper = Reader()
        await keeper.subscribe(hub, "live:a")
        event = (await hub.publish(new("live:a"))).event
        same = await Reader().subscribe(hub, "live:a", since=event.position)
        await hub.publish(new("live:a"))
        missed = await Reader().subscribe(hub, "live:a", since=event.position)

        assert (same.recovered, missed.recovered) == (True, False)


async def test_pattern_reader_gets_all_channels_of_its_kind_and_no_other(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub, "news:*")
        await hub.publish_all([new("news:a"), new("other:a"), new("news:b"), new("newsy:a")])

        assert [channel for channel, *_ in reader.events] == ["news:a", "news:b"]


async def test_pattern_reader_resumes_by_sequence_while_other_kinds_publish(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        answer = await Reader().subscribe(hub, "news:*")
        await hub.publish_all([new("news:a"), new("news:b"), new("other:a"), new("other:b")])
        first = Reader()
        begun = await first.subscribe(hub, "news:*", since=answer.position)
        at = Position(answer.position.epoch, first.events[0][2])
        await hub.publish(new("other:a"))  # the kind's newest event is not the newest of all
        second = Reader()
        with trio.fail_after(5):
            resumed = await second.subscribe(hub, "news:*", since=at)
        await hub.publish(new("news:c"))

        assert (begun.recovered, resumed.recovered) == (True, True)
        assert [channel for channel, *_ in first.events] == ["news:a", "news:b", "news:c"]
        assert [channel for channel, *_ in second.events] == ["news:b", "news:c"]


async def test_first_reader_of_a_kind_goes_live_past_newer_events_of_other_kinds(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        events = [result.event for result in await hub.publish_all([new("news:a"), new("other:a"), new("other:b")])]
        for since in (0, Position(events[0].epoch, 1), Position(events[0].epoch, 2)):
            reader = Reader()
            with trio.fail_after(5):
                answer = await reader.subscribe(hub, "news:*", since=since)
            await hub.publish(new("news:b"))
            answer.subscription.close()

            assert answer.recovered
            assert reader.events[-1][0] == "news:b"
            assert len(reader.events) == len({sequence for _, _, sequence, _ in reader.events})
            assert hub.fanout.topics == {}


async def test_slow_pattern_reader_is_spilled_and_gets_every_event_once_in_order(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        slow, quick = Reader(), Reader()
        await quick.subscribe(hub, "news:*")
        await slow.subscribe(hub, "news:*")
        slow.full = True
        for number in range(40):
            await hub.publish_all([new(f"news:{number % 7}"), new("other:a"), new(f"news:{number % 3}")])
        slow.drain()
        await slow.until(lambda reader: len(reader.events) == 80)

        assert slow.events == quick.events
        assert slow.offsets


async def test_one_connection_that_reads_a_channel_and_its_kind_gets_both(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub, "news:a")
        await reader.subscribe(hub, "news:*")
        await hub.publish_all([new("news:a"), new("news:b")])

        assert sorted(reader.offsets) == [1, 1, 1]


async def test_closed_subscription_receives_nothing_and_leaves_no_topic(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        answer = await reader.subscribe(hub)
        answer.subscription.close()
        answer.subscription.close()
        await hub.publish(new())

        assert reader.events == []
        assert hub.fanout.topics == {}


async def test_unsubscribing_in_the_middle_of_a_replay_ends_it(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        for _ in range(3):
            await hub.publish_all([new() for _ in range(400)])
        reader = Reader()
        original = reader.offer

        def offer(data):
            next(iter(hub.fanout.topics["news:a"].behind)).close()
            return original(data)

        reader.offer = offer
        await reader.subscribe(hub, since=0)

        assert 0 < len(reader.events) < 1200
        assert hub.fanout.topics == {}


async def test_subscriber_cancelled_at_each_moment_leaves_no_trace(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new() for _ in range(600)])
        outcomes = set()
        for checkpoints in range(40):
            reader = Reader(chance=0.1)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel_later(checkpoints=checkpoints, scope=scope):
                        for _ in range(checkpoints):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel_later)
                    answer = await reader.subscribe(hub, since=0, greet=greeting, spawn=nursery.start_soon)
                    answer.subscription.close()
            outcomes.add(scope.cancelled_caught)
            assert hub.fanout.topics == {}
        reader = Reader(full=True)
        with trio.move_on_after(0.05) as scope:  # it waits for room: the one state that lasts
            await reader.subscribe(hub, since=0)

        assert scope.cancelled_caught
        assert hub.fanout.topics == {}
        assert True in outcomes


async def test_reader_that_leaves_while_another_attaches_does_not_take_the_topic_along(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        stays = Reader()
        async with trio.open_nursery() as nursery:

            async def come_and_go():
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await Reader().subscribe(hub)

            for _ in range(5):
                nursery.start_soon(come_and_go)
            nursery.start_soon(stays.subscribe, hub)
            for _ in range(5):
                nursery.start_soon(come_and_go)
        await hub.publish(new())

        assert stays.offsets == [1]


async def test_event_committed_and_not_yet_fanned_out_is_not_repeated_to_one_who_names_it(tmp_path):
    """A client that knows its own event's id can ask for what comes after it before the fan-out."""
    async with running_hub(tmp_path / "r.db") as hub:
        keeper, reader = Reader(), Reader()
        await keeper.subscribe(hub)
        deliver = hub.fanout.deliver
        committed, go_on = trio.Event(), trio.Event()

        async def held(events, muted):
            committed.set()
            await go_on.wait()
            await deliver(events, muted)

        hub.fanout.deliver = held
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.publish, new(id="mine"))
            await committed.wait()

            async def subscribe():
                answer = await reader.subscribe(hub, since=EventId("mine"))
                assert answer.position.offset == 1

            nursery.start_soon(subscribe)
            await trio.sleep(0.02)  # it now reads in circles; there is no event to wait for
            go_on.set()
        await hub.publish(new(id="next"))

        assert reader.arrivals == [(2, "next")]


async def test_greeting_that_finds_no_room_still_comes_before_the_first_event(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish(new())
        reader = Reader(full=True)
        async with trio.open_nursery() as nursery:

            async def subscribe():
                await reader.subscribe(hub, greet=greeting)

            nursery.start_soon(subscribe)
            await reader.until(lambda reader: reader.refused > 0)
            await hub.publish(new())
            reader.drain()
        await reader.until_offset(2)

        assert [text.split()[0] for text in reader.lines] == ["hello", "news:a"]


async def test_transaction_commits_its_change_and_its_event_together(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)

        def work(transaction):
            transaction.connection.execute("INSERT INTO meta (name, value) VALUES ('test', 'x')")
            return transaction.publish("news:a", "tick", {"a": 1}).event.offset

        assert await hub.transact(work) == 1
        assert reader.offsets == [1]


async def test_refused_transaction_stores_nothing_and_tells_only_its_caller(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        reader = Reader()
        await reader.subscribe(hub)

        def work(transaction):
            transaction.connection.execute("INSERT INTO meta (name, value) VALUES ('test', 'x')")
            transaction.publish("news:a", "tick", None)
            transaction.publish("news:new", "tick", None)
            raise NotFound("no such thing")

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(hub.publish, new())
            with pytest.raises(NotFound):
                await hub.transact(work)
        count = await hub.database.read(
            lambda connection: connection.execute("SELECT count(*) FROM meta WHERE name = 'test'").fetchone()[0]
        )

        assert count == 0
        assert reader.offsets == [1, 2, 3, 4, 5]
        assert await history_of(hub.database, "news:new") == []


async def test_transaction_on_a_channel_without_history_is_delivered_with_the_id_it_was_told(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        reader = Reader()
        await reader.subscribe(hub, "live:a")
        told = await hub.transact(lambda transaction: transaction.publish("live:a", "tick", None))

        assert reader.arrivals == [(1, told.event.id)]


async def test_full_queue_refuses_with_overloaded_and_takes_more_once_drained(tmp_path):
    async with running_hub(tmp_path / "r.db", queue_events=3) as hub:
        with pytest.raises(Overloaded):
            await hub.publish_all([new() for _ in range(4)])
        await hub.publish_all([new() for _ in range(3)])
        refused = []
        async with trio.open_nursery() as nursery:

            async def transact():
                try:
                    await hub.transact(lambda transaction: None)
                except Overloaded:
                    refused.append(1)

            for _ in range(10):  # transactions count as well, though they may bring no event
                nursery.start_soon(transact)
        await hub.publish(new())

        assert refused


@pytest.mark.parametrize("seed", range(6))
async def test_reader_that_resumes_during_a_flood_sees_no_gap_and_no_repeat(tmp_path, monkeypatch, seed):
    for module in (fanout, topics):
        monkeypatch.setattr(module, "CHUNK_BYTES", [100, 64 * 1024][seed % 2])  # refusals fall between events, too
    history = await flood(tmp_path / "r.db", seed)

    assert check_history(history) == []
    assert any(session.arrivals for session in history.sessions)


@pytest.mark.parametrize("seed", range(100, 103))
async def test_flood_with_retention_at_its_heels_says_every_gap(tmp_path, seed):
    history = await flood(tmp_path / "r.db", seed, keep=40)

    assert history.trimmed > 0
    assert check_history(history) == []


async def test_flood_whose_reader_drops_one_delivery_is_caught(tmp_path):
    """The negative control: the checker sees in the same flood what is really broken."""
    history = await flood(tmp_path / "r.db", 7, faulty=True)

    assert "silent_gap" in {violation.check for violation in check_history(history)}


async def flood(path, seed, *, keep=None, faulty=False):
    """Publishers of every kind at work, while readers come, resume, are slow, and go, all at random."""
    rng = random.Random(seed)
    attempts, sessions = [], []
    publishing = True
    kinds = {"news": KindSettings(retention_count=keep)} if keep else {}

    async def publish(hub, number):
        for count in range(50):
            ids = [f"p{number}-{count}-{part}" for part in range(rng.choice([1, 1, 1, 5]))]
            await attempt(hub, number, ids)
            if rng.random() < 0.2:
                await attempt(hub, number, ids)  # a retry

    async def attempt(hub, number, ids):
        started, way = time.perf_counter(), rng.random()
        results, outcome = [], Outcome.OK
        with trio.CancelScope() as scope:
            if way < 0.1:
                scope.deadline = trio.current_time() + rng.random() * 0.002
            try:
                if way < 0.2:

                    def refuse(transaction):
                        transaction.publish("news:a", "tick", None, f"refused-{ids[0]}")
                        raise NotFound("no")

                    await hub.transact(refuse)
                elif way < 0.4:
                    results = await hub.transact(
                        lambda transaction: [transaction.publish("news:a", "tick", None, id) for id in ids]
                    )
                else:
                    results = await hub.publish_all([new(id=id) for id in ids])
            except NotFound:
                outcome, ids = Outcome.FAILED, [f"refused-{ids[0]}"]
        if scope.cancelled_caught:
            outcome = Outcome.UNKNOWN
            ids = [*ids, f"refused-{ids[0]}"] if way < 0.2 else ids
        for at, id in enumerate(ids):
            told = results[at] if outcome is Outcome.OK else None
            attempts.append(
                Attempt(
                    str(number),
                    id,
                    started,
                    time.perf_counter(),
                    outcome,
                    told and told.event.offset,
                    bool(told and told.duplicate),
                )
            )

    async def read(hub, number):
        since = None
        while publishing:
            reader = Reader(chance=rng.choice([0, 0.05, 0.5]), rng=random.Random(rng.random()))
            async with trio.open_nursery() as nursery:
                reader.full = rng.random() < 0.2
                if reader.full:
                    nursery.start_soon(relent, reader)
                answer = await reader.subscribe(hub, since=since, spawn=nursery.start_soon)
                assert since is None or answer.recovered or keep
                wanted = len(reader.events) + rng.randrange(60)
                await reader.until(
                    lambda reader, wanted=wanted: len(reader.events) >= wanted or reader.lost or not publishing
                )
                answer.subscription.close()
                nursery.cancel_scope.cancel()
            sessions.append(Session(f"r{number}", reader.arrivals, answer.position.offset))
            last = reader.offsets[-1] if reader.events else answer.position.offset
            since = rng.choice([None, Position(answer.position.epoch, last), Position(answer.position.epoch, last)])

    async def relent(reader):
        for _ in range(rng.randrange(200)):
            await trio.lowlevel.checkpoint()
        reader.drain()

    async def sweep(hub):
        while publishing:
            await hub.sweeper.sweep()

    async def publish_from_all_sides(hub):
        nonlocal publishing
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(publish, hub, number)
        publishing = False  # and one event more wakes the readers that wait at the end
        started = time.perf_counter()
        last = await hub.publish(new(id="last"))
        attempts.append(Attempt("w", "last", started, time.perf_counter(), Outcome.OK, last.event.offset))

    async with running_hub(path, channels=kinds) as hub:
        # On a busy machine deliveries are few, each with much: the one to lose is among the first.
        faithful = Reader(chance=0.3, rng=rng, loses=3 if faulty else None)
        whole = await faithful.subscribe(hub)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_from_all_sides, hub)
            for number in range(5):
                nursery.start_soon(read, hub, number)
            if keep:
                nursery.start_soon(sweep, hub)
        log = await history_of(hub.database, "news:a")
        if not faithful.lost:
            await faithful.until_offset(log[-1][0])
        until = None if faithful.lost else log[-1][0]
        sessions.append(Session("whole", faithful.arrivals, whole.position.offset, until))
        assert keep or not faithful.lost
    return History(attempts, sessions, log, trimmed=log[0][0] - 1)


async def test_failing_storage_refuses_a_subscriber_and_the_next_one_is_served(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        read = hub.database.read

        async def fail(work):
            raise StorageFailed("the database refused")

        hub.database.read = fail
        with pytest.raises(StorageFailed):
            await Reader().subscribe(hub)
        assert hub.fanout.topics == {}
        hub.database.read = read
        reader = Reader()
        await reader.subscribe(hub)
        await hub.publish(new())

        assert reader.offsets == [1]
