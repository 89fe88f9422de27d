"""Streams: whose they are, what they keep, and what happens when that changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rtlite.domain import streams as module
from rtlite.domain.streams import Change, Streams
from rtlite.errors import Conflict, InvalidRequest, NotFound, Reason
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Position
from rtlite.settings import Settings
from rtlite.store.database import open_database
from rtlite.store.presence import save
from tests.hub.readers import Reader, greeting, history_of, reached

KEPT = Change(store_history=True)


@attrs.frozen
class Bench:
    streams: Streams
    hub: Hub

    async def publish(self, channel: str, id: str) -> Position:
        return (await self.hub.publish(NewEvent(channel, "message", b"1", id))).event.position

    async def held(self, channel: str) -> list[str]:
        return [id for _, id in await history_of(self.hub.database, channel)]  # type: ignore[attr-defined]


@asynccontextmanager
async def opened(path: Path | str = ":memory:", **settings: Any) -> AsyncIterator[Bench]:
    chosen = Settings(**settings)
    async with open_database(str(path), "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, Metrics())
        hub.database, hub.nursery = database, nursery  # type: ignore[attr-defined]
        streams = Streams(hub, database, chosen)
        await streams.load()
        await nursery.start(hub.run)
        yield Bench(streams, hub)
        nursery.cancel_scope.cancel()


async def test_a_stream_keeps_nothing_until_its_owner_wants_it() -> None:
    async with opened() as bench:
        stream, new = await bench.streams.put("s", "ann", Change())
        assert new and (stream.owner, stream.store_history) == ("ann", False)
        await bench.publish("stream:s", "a")
        changed, new = await bench.streams.put("s", "ann", KEPT)
        assert not new and changed == attrs.evolve(stream, store_history=True) == bench.streams.find("s")
        await bench.publish("stream:s", "b")
        await bench.publish("stream:s:errors", "c")
        await bench.publish("stream:other", "d")
        assert await bench.held("stream:s") == ["b"]
        assert await bench.held("stream:s:errors") == ["c"]
        assert await bench.held("stream:other") == []


async def test_what_holds_for_streams_holds_after_a_restart(tmp_path: Path) -> None:
    wanted = Change(store_history=True, age=60.0, count=5, bytes=1000)
    async with opened(tmp_path / "r.db") as bench:
        stream, _ = await bench.streams.put("s", "ann", wanted)
    async with opened(tmp_path / "r.db") as bench:
        assert bench.streams.find("s") == stream
        keep = bench.hub.policies.of("stream:s:errors")
        assert (keep.history, keep.retention_age, keep.retention_count, keep.retention_bytes) == (True, 60.0, 5, 1000)


async def test_a_bound_of_0_is_the_kinds_again() -> None:
    async with opened() as bench:
        await bench.streams.put("s", "ann", Change(count=5, age=60.0))
        stream, _ = await bench.streams.put("s", "ann", Change(count=0))
        assert (stream.count, stream.age) == (None, 60.0)
        assert bench.hub.policies.of("stream:s").retention_count == 10_000


async def test_each_streams_retention_is_its_own() -> None:
    async with opened() as bench:
        await bench.streams.put("few", "ann", Change(store_history=True, count=2))
        await bench.streams.put("many", "ann", KEPT)
        for id in ("a", "b", "c"):
            await bench.publish("stream:few", id)
            await bench.publish("stream:many", id)
        assert await bench.hub.sweeper.sweep() == 1
        assert await bench.held("stream:few") == ["b", "c"]
        assert await bench.held("stream:many") == ["a", "b", "c"]


async def test_more_than_may_be_kept_is_refused() -> None:
    async with opened(stream_age=60.0, stream_count=5, stream_bytes=1000) as bench:
        for change in (Change(age=61.0), Change(count=6), Change(bytes=1001)):
            with pytest.raises(InvalidRequest, match=r"retention\.\w+: at most"):
                await bench.streams.put("s", "ann", change)
        await bench.streams.put("s", "ann", Change(age=60.0, count=5, bytes=1000))


@pytest.mark.parametrize("id", ["", "a:b", "a b", "é", "*", "a/b", ".", "..", "~x", "x" * 65, "a\n"])
async def test_what_is_no_id_makes_no_stream(id: str) -> None:
    async with opened() as bench:
        with pytest.raises(InvalidRequest, match="stream"):
            await bench.streams.put(id, "ann", KEPT)
        assert bench.streams.page(None, "") == ([], None)


async def test_one_has_so_many_streams_and_no_more() -> None:
    async with opened(max_streams=2) as bench:
        await bench.streams.put("a", "ann", KEPT)
        await bench.streams.claim("b", "ann")
        for make in (bench.streams.put("c", "ann", KEPT), bench.streams.claim("c", "ann")):
            with pytest.raises(Conflict, match="2 streams at most"):
                await make
        await bench.streams.put("a", "ann", Change(count=1))
        await bench.streams.put("c", "bob", KEPT)


async def test_of_two_who_claim_a_stream_one_gets_it() -> None:
    async with opened() as bench, trio.open_nursery() as nursery:
        owners: list[str] = []

        async def claim(user: str) -> None:
            owners.append((await bench.streams.claim("s", user)).owner)

        for user in ("ann", "bob", "cy"):
            nursery.start_soon(claim, user)
        await reached(lambda: len(owners) == 3)
        assert len(set(owners)) == 1
        other = "ann" if owners[0] == "bob" else "bob"
        with pytest.raises(Conflict, match="another's"):
            await bench.streams.put("s", other, KEPT)


async def test_streams_are_listed_by_id_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    async with opened() as bench:
        for id, owner in (("c", "ann"), ("a", "ann"), ("b", "bob"), ("d", "ann")):
            await bench.streams.claim(id, owner)

        def page(owner: str | None, after: str) -> tuple[list[str], str | None]:
            found, following = bench.streams.page(owner, after)
            return [stream.id for stream in found], following

        assert page("ann", "") == (["a", "c"], "c")
        assert page("ann", "c") == (["d"], None)
        assert page(None, "b") == (["c", "d"], None)
        assert page("eve", "") == ([], None)


# --- what happens to who listens


async def test_who_listens_when_history_is_turned_on_begins_anew_and_can_resume() -> None:
    async with opened() as bench:
        await bench.streams.claim("s", "ann")
        readers = {name: Reader() for name in ("stream:s", "stream:s:errors", "stream:t", "stream:*")}
        both = Reader()
        for name, reader in readers.items():
            await reader.subscribe(bench.hub, name)
        await both.subscribe(bench.hub, ("news:a", "stream:s"))
        await bench.streams.put("s", "ann", KEPT)
        assert [reader.lost for reader in readers.values()] == [[Reason.RECONFIGURED]] * 2 + [[], []]
        assert both.lost == [Reason.RECONFIGURED]

        again = Reader()
        subscribed = await again.subscribe(bench.hub, "stream:s", greet=greeting)
        for id in ("a", "b"):
            await bench.publish("stream:s", id)
        assert [id for _, id in again.arrivals] == ["a", "b"]
        late = Reader()
        await late.subscribe(bench.hub, "stream:s", since=subscribed.position)
        assert late.arrivals == [(1, "a"), (2, "b")]
        assert [id for *_, id in readers["stream:*"].events] == ["a", "b"]


async def test_other_changes_disturb_nobody() -> None:
    async with opened() as bench:
        await bench.streams.put("s", "ann", KEPT)
        reader = Reader()
        await reader.subscribe(bench.hub, "stream:s")
        await bench.streams.put("s", "ann", Change(count=5))
        await bench.publish("stream:s", "a")
        assert (reader.lost, reader.arrivals) == ([], [(1, "a")])


async def test_a_place_from_before_history_was_off_holds_no_more() -> None:
    async with opened() as bench:
        await bench.streams.put("s", "ann", KEPT)
        place = await bench.publish("stream:s", "a")
        await bench.streams.put("s", "ann", Change(store_history=False))
        unkept = await bench.publish("stream:s", "b")
        assert unkept.epoch != place.epoch
        await bench.streams.put("s", "ann", KEPT)
        await bench.publish("stream:s", "c")
        for since in (place, unkept):
            reader = Reader()
            assert not (await reader.subscribe(bench.hub, "stream:s", since=since)).recovered
        assert await bench.held("stream:s") == ["a", "c"]


async def test_what_is_published_while_history_goes_on_and_off_is_delivered_in_order_and_kept_or_not() -> None:
    """Publishers never stop; each reader of a time sees what was published in that time, once and in order."""
    async with opened() as bench, trio.open_nursery() as nursery:
        await bench.streams.claim("s", "ann")
        seen: list[list[str]] = []
        acknowledged: list[str] = []
        stop = trio.Event()

        async def publish() -> None:
            number = 0
            while not stop.is_set():
                id = f"{number:05}"
                await bench.publish("stream:s", id)
                acknowledged.append(id)
                number += 1

        async def listen() -> None:
            while True:
                reader = Reader()
                await reader.subscribe(bench.hub, "stream:s")
                await reader.until(lambda reader: bool(reader.lost))
                seen.append([id for _, id in reader.arrivals])

        nursery.start_soon(publish)
        nursery.start_soon(listen)
        for number in range(10):
            await trio.sleep(0.02)
            await bench.streams.put("s", "ann", Change(store_history=number % 2 == 0))
        stop.set()
        await trio.testing.wait_all_tasks_blocked(0.02)
        nursery.cancel_scope.cancel()
        flat = [id for ids in seen for id in ids]
        assert flat == sorted(set(flat)) and len(seen) == 10 and len(flat) > 50
        for ids in seen:  # without a gap as long as it listened
            assert not ids or ids == acknowledged[acknowledged.index(ids[0]) :][: len(ids)]
        kept = await bench.held("stream:s")
        assert kept == sorted(set(kept)) and set(kept) <= set(acknowledged)
        for number, ids in enumerate(seen):  # the first one listened before history was on
            assert set(ids) <= set(kept) if number % 2 else set(ids).isdisjoint(kept)


@asynccontextmanager
async def held_up(bench: Bench) -> AsyncIterator[trio.Nursery]:
    """Nothing is fanned out until the end of the block; what the block starts is waited for."""
    async with trio.open_nursery() as nursery:
        await bench.hub.committer._fanning_out.acquire()
        try:
            yield nursery
        finally:
            bench.hub.committer._fanning_out.release()


async def test_what_waits_for_its_turn_while_history_is_turned_on_is_kept() -> None:
    async with opened() as bench:
        await bench.streams.claim("s", "ann")
        async with held_up(bench) as nursery:
            nursery.start_soon(bench.streams.put, "s", "ann", KEPT)
            await reached(lambda: bench.hub.committer._fanning_out.statistics().tasks_waiting == 1)
            nursery.start_soon(bench.publish, "stream:s", "a")
            nursery.start_soon(bench.publish, "stream:other", "b")
            await reached(lambda: bench.hub.committer._fanning_out.statistics().tasks_waiting == 2)
            reader = Reader()
            nursery.start_soon(reader.subscribe, bench.hub, "stream:s")
            await trio.testing.wait_all_tasks_blocked()
        assert await bench.held("stream:s") == ["a"]
        assert (await bench.publish("stream:s", "c")).offset == 2
        assert reader.lost == [Reason.RECONFIGURED]
        assert bench.hub.committer._queues.events == bench.hub.committer._queues.bytes == 0


async def test_what_is_asked_for_after_history_is_turned_off_is_not_kept_though_it_is_asked_for_at_once() -> None:
    async with opened() as bench:
        await bench.streams.put("s", "ann", KEPT)
        await bench.publish("stream:s", "a")
        async with held_up(bench) as nursery:
            nursery.start_soon(bench.publish, "stream:s", "b")
            await reached(lambda: bench.hub.committer._fanning_out.statistics().tasks_waiting == 1)
            nursery.start_soon(bench.streams.put, "s", "ann", Change(store_history=False))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(bench.publish, "stream:s", "c")
            await trio.testing.wait_all_tasks_blocked()
        assert await bench.held("stream:s") == ["a", "b"]


async def test_what_the_hub_remembers_of_a_channel_ends_with_its_history() -> None:
    async with opened() as bench:
        await bench.streams.put("s", "ann", KEPT)

        async def publish() -> Position:  # without an id of its own an event takes the short way
            return (await bench.hub.publish(NewEvent("stream:s", "message", b"1"))).event.position

        first, second = await publish(), await publish()
        assert (first.epoch, second.offset) == (second.epoch, 2)
        await bench.streams.put("s", "ann", Change(store_history=False))
        assert (await publish()).offset == 1
        await bench.streams.put("s", "ann", KEPT)
        third = await publish()
        assert third.offset == 3 and third.epoch != first.epoch
        assert len(await bench.held("stream:s")) == 3


# --- deletion


async def test_a_deleted_stream_leaves_nothing_to_who_gets_its_name_next() -> None:
    async with opened() as bench:
        database = bench.hub.database  # type: ignore[attr-defined]
        await bench.streams.put("s", "ann", KEPT)
        await bench.streams.put("s2", "ann", KEPT)
        place = await bench.publish("stream:s", "a")
        await bench.publish("stream:s:errors", "b")
        await bench.publish("stream:s2", "c")
        await database.write(lambda connection: save(connection, [("stream:s", "ann", 5)], 5))
        listener = Reader()
        await listener.subscribe(bench.hub, "stream:s")
        await bench.streams.delete("s")
        assert listener.lost == [Reason.RECONFIGURED]
        assert bench.streams.find("s") is None
        assert await database.read(lambda connection: connection.execute("SELECT * FROM presence").fetchall()) == []

        await bench.streams.put("s", "bob", KEPT)
        reader = Reader()
        subscribed = await reader.subscribe(bench.hub, "stream:s", since=place)
        assert (reader.arrivals, subscribed.recovered) == ([], False)
        assert await bench.held("stream:s") == await bench.held("stream:s:errors") == []
        assert await bench.held("stream:s2") == ["c"]
        with pytest.raises(NotFound):
            await bench.streams.delete("nowhere")


async def test_a_long_stream_is_deleted_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtlite.store.retention.STEP", 3)
    async with opened() as bench:
        await bench.streams.put("s", "ann", KEPT)
        for number in range(10):
            await bench.publish("stream:s", str(number))
        await bench.streams.delete("s")
        assert await bench.held("stream:s") == []
