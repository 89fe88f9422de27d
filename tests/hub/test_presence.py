"""Presence as connections use it, on a clock that is skipped; and last-seen times."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio
from trio.abc import Clock

from rtlite.errors import InvalidRequest, NotFound, Overloaded, StorageFull, TooLarge
from rtlite.hub import presence as module
from rtlite.hub.presence import Absent, Presence
from rtlite.hub.watchers import Watch
from rtlite.model import Member, now_ms
from rtlite.settings import KindSettings, Settings
from rtlite.store import schema
from tests.hub.readers import running_hub
from tests.hub.watching import ROOM, Instant, Watcher, line, running_presence

WALL = 1_000_000_000_000


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instant]:
    """One that stays for several servers. The wall's clock goes with Trio's: it is ``WALL`` when a test begins."""
    monkeypatch.setattr(module, "now_ms", lambda: WALL + round(trio.current_time() * 1000))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield Instant(connection)


async def watched(presence: Presence) -> tuple[Watcher, Watch]:
    watcher = Watcher()
    handle = presence.watch(ROOM, watcher, line, presence.nursery.start_soon)  # type: ignore[attr-defined]
    await trio.sleep(0.1)
    watcher.read()
    return watcher, handle


async def test_what_members_say_takes_no_more_room_than_it_needs(autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        presence.join(ROOM, "first", {"mood": "busy"}, 0)
        tracemalloc.start()
        try:
            for number in range(200):
                presence.join(ROOM, f"user {number}", {"mood": number}, number + 1)
            assert tracemalloc.get_traced_memory()[0] < 200 * 2500
        finally:
            tracemalloc.stop()


async def test_a_reconnect_within_the_grace_goes_unnoticed(autojump_clock: Clock) -> None:
    async with running_presence(presence_grace=15.0) as presence:
        watcher, _ = await watched(presence)
        presence.join(ROOM, "alice", {"mood": "busy"}, 1)
        for connection in range(2, 20):
            await trio.sleep(30)
            presence.leave(ROOM, "alice", connection - 1, clean=False)
            await trio.sleep(14.9)
            presence.join(ROOM, "alice", None, connection)
        assert watcher.said() == ["join alice"]
        assert [member.data for member in presence.members(ROOM)] == [b'{"mood":"busy"}']


async def test_a_dropped_link_is_a_leave_after_the_grace(autojump_clock: Clock) -> None:
    async with running_presence(presence_grace=15.0) as presence:
        watcher, _ = await watched(presence)
        presence.join(ROOM, "alice", None, 1)
        presence.leave(ROOM, "alice", 1, clean=False)
        await trio.sleep(14.9)
        assert watcher.said() == ["join alice"]
        await trio.sleep(0.2)
        assert watcher.said() == ["leave alice"]
        assert presence.count(ROOM) == 0


async def test_a_clean_end_is_a_leave_at_once(autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        watcher, _ = await watched(presence)
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(0.1)
        presence.leave(ROOM, "alice", 1, clean=True)
        assert presence.count(ROOM) == 0
        await trio.sleep(0.1)
        assert watcher.said() == ["join alice", "leave alice"]


async def test_the_grace_of_each_begins_when_its_link_drops(autojump_clock: Clock) -> None:
    async with running_presence(presence_grace=15.0) as presence:
        watcher, _ = await watched(presence)
        for number, user in enumerate(("alice", "bob", "carol")):
            presence.join(ROOM, user, None, number)
        presence.leave(ROOM, "alice", 0, clean=False)
        await trio.sleep(10)
        presence.leave(ROOM, "bob", 1, clean=False)
        await trio.sleep(5.1)
        watcher.read()
        assert [member.user for member in presence.members(ROOM)] == ["bob", "carol"]
        await trio.sleep(10)
        assert watcher.said() == ["leave bob"]


async def test_without_a_grace_every_end_is_a_leave(autojump_clock: Clock) -> None:
    async with running_presence(presence_grace=0.0) as presence:
        presence.join(ROOM, "alice", None, 1)
        presence.leave(ROOM, "alice", 1, clean=False)
        await trio.sleep(0.1)
        assert presence.count(ROOM) == 0


async def test_thousands_in_their_grace_cost_no_task_each(autojump_clock: Clock) -> None:
    async with running_presence(presence_grace=15.0, presence_save=3600.0) as presence:
        await trio.sleep(0.1)
        before = trio.lowlevel.current_statistics().tasks_living
        for number in range(10_000):
            presence.join(ROOM, f"user {number}", None, number)
            presence.leave(ROOM, f"user {number}", number, clean=False)
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert presence.count(ROOM) == 10_000
        await trio.sleep(15)
        assert presence.count(ROOM) == 0 and not presence._members


async def test_a_channel_with_as_many_members_as_may_be_refuses_the_next(autojump_clock: Clock) -> None:
    async with running_presence(max_members=2) as presence:
        presence.join(ROOM, "alice", None, 1)
        presence.join(ROOM, "bob", None, 2)
        with pytest.raises(Overloaded, match="the channel has 2 members") as refused:
            presence.join(ROOM, "carol", None, 3)
        assert refused.value.code == "too_many_members"
        presence.join("room:2", "carol", None, 3)


@pytest.mark.parametrize("data", [{"a": "x" * 93}, "é" * 50, [[]] * 34])
async def test_data_has_an_end(data: object, autojump_clock: Clock) -> None:
    async with running_presence(presence_data=100) as presence:
        with pytest.raises(TooLarge, match="100 bytes"):
            presence.join(ROOM, "alice", data, 1)
        assert presence.count(ROOM) == 0
        presence.join(ROOM, "alice", {"a": "x" * 90}, 1)
        with pytest.raises(TooLarge):
            presence.update(ROOM, "alice", data, 1)
        assert len(presence.members(ROOM)[0].data) == 98


async def test_data_that_is_nested_too_deeply_is_refused(autojump_clock: Clock) -> None:
    deep: list[object] = []
    for _ in range(600):
        deep = [deep]
    async with running_presence() as presence:
        with pytest.raises(InvalidRequest, match="nested"):
            presence.join(ROOM, "alice", deep, 1)


async def test_data_is_the_same_whatever_the_order_of_its_fields(autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        presence.join(ROOM, "alice", {"a": 1, "b": {"c": 2, "d": 3}}, 1)
        watcher, _ = await watched(presence)
        presence.update(ROOM, "alice", {"b": {"d": 3, "c": 2}, "a": 1}, 1)
        await trio.sleep(0.1)
        assert watcher.said() == []
        presence.update(ROOM, "alice", {"a": True, "b": {"c": 2, "d": 3}}, 1)
        await trio.sleep(0.1)
        assert watcher.said() == ["update alice"]


async def test_a_kind_without_presence_has_none(autojump_clock: Clock) -> None:
    async with running_presence(channels={"quiet": KindSettings(presence=False)}) as presence:
        for refused in (
            lambda: presence.join("quiet:1", "alice", None, 1),
            lambda: presence.update("quiet:1", "alice", None, 1),
            lambda: presence.watch("quiet:1", Watcher(), line, presence.nursery.start_soon),  # type: ignore[attr-defined]
        ):
            with pytest.raises(NotFound) as failed:
                refused()
            assert failed.value.code == "no_presence"
        presence.leave("quiet:1", "alice", 1, clean=True)


@pytest.mark.parametrize("channel", ["room:*", "*", "", "a b", "x" * 256])
async def test_only_a_channel_has_members(channel: str, autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        with pytest.raises(InvalidRequest):
            presence.join(channel, "alice", None, 1)
        with pytest.raises(InvalidRequest):
            presence.watch(channel, Watcher(), line, presence.nursery.start_soon)  # type: ignore[attr-defined]


async def test_pages_are_cut_by_their_data_too(autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        for number in range(50):
            presence.join(ROOM, f"user {number:02}", "x" * 4000, 1)
        page = presence.page(ROOM)
        assert len(page.members) == 16 and page.next == "user 15"
        seen, after = 0, ""
        while True:
            page = presence.page(ROOM, after)
            seen += len(page.members)
            if page.next is None:
                break
            after = page.next
        assert seen == 50


@pytest.mark.parametrize("count", [0, 1, 10, 11])
async def test_the_last_page_says_so(count: int, autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        for number in range(count):
            presence.join(ROOM, f"user {number:02}", None, 1)
        assert presence.page(ROOM, "", 10).next == ("user 09" if count == 11 else None)


async def test_who_left_was_last_seen_when_its_link_dropped(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database, presence_grace=15.0) as presence:
        presence.join(ROOM, "alice", None, 1)
        presence.join(ROOM, "bob", None, 2)
        await trio.sleep(101)
        presence.leave(ROOM, "alice", 1, clean=False)
        await trio.sleep(10)
        (alice, bob), following = await presence.everyone(ROOM, "", 10)
        assert alice == Member("alice", b"null", 0, WALL, left=WALL + 101_000)
        assert bob == Member("bob", b"null", 1, WALL) and following is None
        await trio.sleep(6)
        assert (await presence.everyone(ROOM, "", 1))[0] == [Absent("alice", WALL + 101_000)]
        assert presence._unsaved
        await trio.sleep(5)
        assert not presence._unsaved
        assert (await presence.everyone(ROOM, "", 1))[0] == [Absent("alice", WALL + 101_000)]


async def test_last_seen_survives_an_orderly_stop_to_the_moment(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database, presence_grace=15.0) as presence:
        presence.join(ROOM, "alice", None, 1)
        presence.join(ROOM, "bob", None, 2)
        presence.join(ROOM, "carol", None, 3)
        await trio.sleep(50.1)
        presence.leave(ROOM, "alice", 1, clean=True)
        presence.leave(ROOM, "bob", 2, clean=False)
        await trio.sleep(1.0)
        await presence.stop()
    await trio.sleep(1000)
    async with running_presence(database) as presence:
        assert await presence.everyone(ROOM, "", 10) == (
            [Absent("alice", WALL + 50_100), Absent("bob", WALL + 50_100), Absent("carol", WALL + 51_100)],
            None,
        )


async def test_a_killed_server_loses_a_few_seconds_of_last_seen_at_most(
    database: Instant, autojump_clock: Clock
) -> None:
    async with running_presence(database, presence_save=5.0) as presence:
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(3600 + 4.9)
    await trio.sleep(1000)
    async with running_presence(database) as presence:
        ((alice,), _) = await presence.everyone(ROOM, "", 10)
        assert isinstance(alice, Absent) and alice.last_seen is not None
        assert WALL + 3_600_000 <= alice.last_seen <= WALL + 3_605_000
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(6)
        assert database.rows == {(ROOM, "alice"): None}


async def test_nobody_present_is_nothing_to_write(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database) as presence:
        await trio.sleep(100)
        before = database.writes
        await trio.sleep(3600)
        assert database.writes == before
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(102)
        assert before + 20 <= database.writes <= before + 21


async def test_a_full_disk_delays_what_is_saved(database: Instant, autojump_clock: Clock) -> None:
    database.refusal = StorageFull("the disk is full")
    database.connection.execute("INSERT INTO presence VALUES (?, 'zoe', 'room', NULL)", (ROOM,))
    database.connection.execute("INSERT INTO meta VALUES ('presence_alive', '77')")
    async with running_presence(database) as presence:
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(60)
        presence.leave(ROOM, "alice", 1, clean=True)
        await trio.sleep(60)
        assert await presence.everyone(ROOM, "", 9) == ([Absent("alice", WALL + 60_000), Absent("zoe", None)], None)
        database.refusal = None
        await trio.sleep(6)
        assert database.rows == {(ROOM, "alice"): WALL + 60_000, (ROOM, "zoe"): 77}


async def test_what_waits_to_be_saved_has_an_end(database: Instant, autojump_clock: Clock) -> None:
    database.refusal = StorageFull("the disk is full")
    async with running_presence(database, max_away=100) as presence:
        for number in range(1000):
            presence.join(ROOM, f"user {number:03}", None, 1)
            presence.leave(ROOM, f"user {number:03}", 1, clean=True)
        assert len(presence._unsaved) == 100
        database.refusal = None
        await trio.sleep(6)
        assert min(database.rows) == (ROOM, "user 900")


async def test_who_leaves_while_its_arrival_is_written_has_left(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database) as presence:
        presence.join(ROOM, "alice", None, 1)
        database.meanwhile = lambda: presence.leave(ROOM, "alice", 1, clean=True)
        await trio.sleep(6)
        assert database.rows == {(ROOM, "alice"): None}
        await trio.sleep(5)
        assert database.rows == {(ROOM, "alice"): WALL + 5000}


async def test_who_leaves_while_the_table_is_read_has_left(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database) as presence:
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(6)
        database.meanwhile = lambda: presence.leave(ROOM, "alice", 1, clean=True)
        assert (await presence.everyone(ROOM, "", 9))[0] == [Absent("alice", WALL + 6000)]


async def test_thousands_are_saved_in_short_writes(database: Instant, autojump_clock: Clock) -> None:
    async with running_presence(database) as presence:
        before = database.writes
        for number in range(5500):
            presence.join(ROOM, f"user {number}", None, 1)
        await trio.sleep(6)
        assert database.writes == before + 6
        assert len(database.rows) == 5500


async def test_members_and_absent_come_page_by_page_in_one_order(database: Instant, autojump_clock: Clock) -> None:
    users = ["z", "a", "é", "日本", "🦊", "A b", "%00", "a/b", '"', "a:b", "b" * 255]
    async with running_presence(database) as presence:
        for number, user in enumerate(users):
            presence.join(ROOM, user, None, 1)
            if number % 3 == 0:
                presence.leave(ROOM, user, 1, clean=True)
            if number == 5:
                await trio.sleep(6)  # some are saved, some are not yet
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page, after = await presence.everyone(ROOM, after, 3)
            seen += [item.user for item in page]
        assert seen == sorted(users)


async def test_a_hub_forgets_who_was_last_seen_longer_ago_than_events_are_kept() -> None:
    kinds = {"room": KindSettings(retention_age=3600), "hall": KindSettings(retention_age=7200)}
    async with running_hub(channels=kinds) as hub:
        old = now_ms() - 4_000_000

        def fill(connection: sqlite3.Connection) -> None:
            for number in range(1200):
                for kind in kinds:
                    connection.execute(
                        "INSERT INTO presence VALUES (?, ?, ?, ?)", (f"{kind}:1", f"user {number}", kind, old)
                    )
            connection.execute("INSERT INTO presence VALUES ('room:1', 'here', 'room', NULL)")
            connection.execute("INSERT INTO presence VALUES ('room:1', 'just left', 'room', ?)", (now_ms(),))

        await hub.database.write(fill)  # type: ignore[attr-defined]
        await hub.sweeper.sweep()
        assert [item.user for item in (await hub.presence.everyone("room:1", "", 9))[0]] == ["here", "just left"]
        assert len((await hub.presence.everyone("hall:1", "", 9999))[0]) == 1200


async def test_numbers_of_members_are_measured(autojump_clock: Clock) -> None:
    async with running_presence() as presence:
        await watched(presence)
        for user in ("alice", "bob"):
            presence.join(ROOM, user, None, 1)
        presence.join("room:2", "alice", None, 1)
        presence.leave(ROOM, "bob", 1, clean=True)
        await trio.sleep(0.1)
        text = presence._metrics.render().decode()
        assert "rtlite_members 2.0" in text
        assert "rtlite_presence_changes_total 3.0" in text


def test_the_defaults_are_those_of_the_readme() -> None:
    chosen = Settings()
    assert (chosen.presence_grace, chosen.presence_data, chosen.max_members) == (15.0, 4096, 10_000)
    assert chosen.presence_save == 5.0 and chosen.for_kind("room").presence
