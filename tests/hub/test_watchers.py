"""What watchers are told: everyone, then each change; late if they are slow, but never wrong."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
import trio

from rtlite.hub import presence as module
from rtlite.hub import watchers
from rtlite.hub.presence import Presence
from rtlite.model import PresenceNotice
from tests.hub.watching import ROOM, Watcher, known, line, running_presence


def watch(presence: Presence, watcher: Watcher, encode: watchers.PresenceEncoder = line) -> watchers.Watch:
    return presence.watch(ROOM, watcher, encode, presence.nursery.start_soon)  # type: ignore[attr-defined]


async def test_a_watcher_is_told_everyone_and_then_each_change(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        watcher = Watcher()
        presence.join(ROOM, "bob", None, 1)
        presence.join(ROOM, "alice", {"mood": "busy"}, 2)
        watch(presence, watcher)
        await trio.sleep(1)
        (listed,) = watcher.read()
        assert [member["user"] for member in listed["members"]] == ["alice", "bob"]
        assert listed["members"][0]["data"] == {"mood": "busy"}
        presence.join(ROOM, "carol", None, 3)
        presence.update(ROOM, "bob", 5, 1)
        presence.leave(ROOM, "alice", 2, clean=True)
        await trio.sleep(1)
        assert watcher.said() == ["join carol", "update bob", "leave alice"]


async def test_changes_before_the_list_are_told_in_it_alone(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        first, second = Watcher(), Watcher()
        watch(presence, first)
        await trio.sleep(1)
        presence.join(ROOM, "alice", None, 1)
        watch(presence, second)
        presence.join(ROOM, "bob", None, 2)
        await trio.sleep(1)
        assert first.said() == ["list", "join alice", "join bob"]
        assert second.said() == ["list alice bob"]


async def test_a_page_that_many_want_at_once_is_made_once(autojump_clock: trio.abc.Clock) -> None:
    made: list[str] = []

    def counting(notice: PresenceNotice) -> bytes:
        made.append(notice.action)
        return line(notice)

    async with running_presence() as presence:
        presence.join(ROOM, "alice", None, 1)
        crowd = [Watcher() for _ in range(100)]
        for watcher in crowd:
            watch(presence, watcher, counting)
        await trio.sleep(1)
        assert [watcher.said() for watcher in crowd] == [["list alice"]] * 100
        assert made == ["list"]
        presence.leave(ROOM, "alice", 1, clean=True)
        late = Watcher()
        watch(presence, late, counting)
        await trio.sleep(1)
        assert late.said() == ["list"]


async def test_others_have_their_turn_between_the_pages_that_watchers_want_at_once() -> None:
    """2,000 who came back at once to a room of 2,000 held the loop for 9 s."""
    made = 0

    def counting(notice: PresenceNotice) -> bytes:
        nonlocal made
        made += 1
        return line(notice)

    async with running_presence() as presence:
        presence.join(ROOM, "alice", None, 1)
        for _ in range(20):
            watch(presence, Watcher(), lambda notice: counting(notice))
        while made < 20:
            before = made
            await trio.lowlevel.checkpoint()
            assert made <= before + 1


async def test_a_watch_that_is_closed_is_told_nothing_more(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        watcher, other = Watcher(), Watcher()
        handle = watch(presence, watcher)
        watch(presence, other)
        await trio.sleep(1)
        watcher.read()
        presence.join(ROOM, "alice", None, 1)
        handle.close()
        handle.close()
        await trio.sleep(1)
        assert watcher.said() == []
        assert other.said() == ["list", "join alice"]


async def test_a_channel_without_watchers_is_forgotten(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        handles = [watch(presence, Watcher()) for _ in range(3)]
        presence.join(ROOM, "alice", None, 1)
        for handle in handles:
            handle.close()
        await trio.sleep(1)
        assert not presence._watchers._audiences and not presence._watchers._changed
        presence.leave(ROOM, "alice", 1, clean=True)
        assert not presence._watchers._changed


async def test_a_change_is_encoded_once_for_all_who_take_it_alike(autojump_clock: trio.abc.Clock) -> None:
    encoded: list[str] = []

    def counting(notice: PresenceNotice) -> bytes:
        encoded.append(notice.action)
        return line(notice)

    async with running_presence() as presence:
        crowd = [Watcher() for _ in range(100)]
        for watcher in crowd:
            watch(presence, watcher, counting)
        other = Watcher()
        watch(presence, other)
        await trio.sleep(1)
        encoded.clear()
        for user in ("alice", "bob", "carol"):
            presence.join(ROOM, user, None, 1)
        await trio.sleep(1)
        assert encoded == ["join"] * 3
        assert {watcher.writes for watcher in crowd} == {2}  # the list, and one write for the three
        assert all(watcher.said() == ["list", "join alice", "join bob", "join carol"] for watcher in (*crowd, other))


async def test_a_slow_watcher_gets_one_list_once_there_is_room(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        slow, quick = Watcher(limit=600), Watcher()
        watch(presence, slow)
        watch(presence, quick)
        await trio.sleep(1)
        for number in range(20):
            presence.join(ROOM, f"user {number:02}", None, 1)
            await trio.sleep(1)
        told = slow.read()
        assert 1 < len(told) < 20
        await trio.sleep(1)
        (listed,) = slow.read()
        assert listed["action"] == "list" and len(listed["members"]) == 20
        presence.join(ROOM, "one more", None, 1)
        await trio.sleep(1)
        assert slow.said() == ["join one more"]
        assert known(slow.told) == known(quick.told + quick.read()) and quick.refused == 0


async def test_a_watcher_that_never_reads_costs_nothing_more(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        stuck = Watcher(limit=300)
        handle = watch(presence, stuck)
        for number in range(1000):
            presence.join(ROOM, f"user {number}", None, 1)
            if number % 100 == 0:
                await trio.sleep(1)
        assert stuck.size <= 300
        assert len(presence._watchers._audiences[ROOM].queue) < 1000
        assert len(presence.nursery.child_tasks) == 2  # type: ignore[attr-defined]  # presence's, and the list that waits
        handle.close()
        stuck.read()
        await trio.sleep(1)
        assert stuck.said() == []


async def test_a_list_of_thousands_comes_in_pages_that_fit(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence() as presence:
        for number in range(2500):
            presence.join(ROOM, f"user {number:04}", {"n": number}, 1)
        watcher = Watcher(limit=200_000)
        watch(presence, watcher)
        while not watcher.told or watcher.told[-1]["next"]:
            await trio.sleep(1)
            assert watcher.size <= 200_000
            watcher.read(1)
        assert len(watcher.told) >= 3
        assert max(len(page["members"]) for page in watcher.told) <= 1000
        assert [member["data"]["n"] for page in watcher.told for member in page["members"]] == list(range(2500))


async def test_changes_between_the_pages_of_a_list_are_not_missed(autojump_clock: trio.abc.Clock) -> None:
    async with running_presence(max_members=3000) as presence:
        for number in range(2500):
            presence.join(ROOM, f"user {number:04}", None, 1)
        watcher = Watcher(limit=160_000)
        watch(presence, watcher)
        await trio.sleep(1)
        assert watcher.read(1)[0]["next"]
        presence.leave(ROOM, "user 0000", 1, clean=True)  # listed already
        presence.leave(ROOM, "user 2499", 1, clean=True)  # not yet
        presence.update(ROOM, "user 0001", "new", 1)
        presence.join(ROOM, "a new one", None, 1)
        await trio.sleep(1)
        for _ in range(9):
            watcher.read(1)
            await trio.sleep(1)
        assert known(watcher.told) == {member.user: orjson.loads(member.data) for member in presence.members(ROOM)}
        assert known(watcher.told)["user 0001"] == "new"


async def test_more_changes_than_are_kept_become_a_list(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "MOST_QUEUED", 10)
    async with running_presence() as presence:
        watcher = Watcher()
        watch(presence, watcher)
        await trio.sleep(1)
        for number in range(35):
            presence.join(ROOM, f"user {number:02}", None, 1)
        assert len(presence._watchers._audiences[ROOM].queue) <= 10
        await trio.sleep(1)
        told = watcher.read()
        assert [notice["action"] for notice in told] == ["list", "list"]
        assert len(known(told)) == 35


async def test_what_one_connection_raises_costs_the_others_nothing(autojump_clock: trio.abc.Clock) -> None:
    class Broken(Watcher):
        def offer(self, data: bytes) -> bool:
            if self.writes:
                raise ZeroDivisionError
            return super().offer(data)

    async with running_presence() as presence:
        broken, whole = Broken(), Watcher()
        watch(presence, broken)
        watch(presence, whole)
        await trio.sleep(1)
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(1)
        presence.join(ROOM, "bob", None, 1)
        await trio.sleep(1)
        assert whole.said() == ["list", "join alice", "join bob"]
        assert len(presence._watchers._audiences[ROOM].groups[line]) == 1


async def test_a_change_that_cannot_be_encoded_is_no_silent_gap(autojump_clock: trio.abc.Clock) -> None:
    def fussy(notice: PresenceNotice) -> bytes:
        if notice.action == "join":
            raise ZeroDivisionError
        return line(notice)

    async with running_presence() as presence:
        watcher, other = Watcher(), Watcher()
        watch(presence, watcher, fussy)
        watch(presence, other)
        await trio.sleep(1)
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(1)
        assert watcher.said() == ["list", "list alice"]
        assert other.said() == ["list", "join alice"]


async def test_a_watch_that_is_closed_while_changes_are_told_is_told_none(autojump_clock: trio.abc.Clock) -> None:
    handles: list[watchers.Watch] = []

    class Closing(Watcher):
        def offer(self, data: bytes) -> bool:
            if self.writes:
                for handle in handles:
                    handle.close()
            return super().offer(data)

    async with running_presence() as presence:
        first, second = Closing(), Watcher()
        handles += [watch(presence, first), watch(presence, second)]
        await trio.sleep(1)
        presence.join(ROOM, "alice", None, 1)
        await trio.sleep(1)
        assert first.said() == ["list", "join alice"]
        assert second.said() == ["list"]


@pytest.mark.parametrize("pages", ["whole", "paged"])
@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_each_watcher_knows_the_members_in_the_end(
    seed: int, pages: str, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    if pages == "paged":
        monkeypatch.setattr(module, "_PAGE_BYTES", 30)  # two or three members
    async with running_presence(presence_grace=3) as presence:
        crowd: list[tuple[Watcher, watchers.Watch]] = []
        for _ in range(300):
            user, tab = f"user {rng.randrange(12)}", rng.randrange(2)
            match rng.randrange(8):
                case 0 | 1 | 2:
                    presence.join(ROOM, user, rng.choice([None, 1, 2]), (user, tab))
                case 3:
                    presence.leave(ROOM, user, (user, tab), clean=rng.random() < 0.5)
                case 4:
                    if len(crowd) < 6:
                        watcher = Watcher(limit=rng.choice([200, 700, 3000, 2**30]))
                        crowd.append((watcher, watch(presence, watcher)))
                case 5 if crowd:
                    rng.choice(crowd)[0].read(rng.randrange(3))
                case 6:
                    await trio.lowlevel.checkpoint()
                case 7:
                    await trio.sleep(rng.choice([0, 0, 0.001, 1]))
        for _ in range(20):
            await trio.sleep(1)
            for watcher, _ in crowd:
                watcher.read()
        monkeypatch.undo()
        truth = known([page(presence)])
        for watcher, _ in crowd:
            assert known(watcher.told) == truth
            if pages == "whole":  # else what a page is to say may have been told before it
                assert_sensible(watcher.told)


def page(presence: Presence) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(line(presence.page(ROOM)))
    return result


def assert_sensible(told: list[dict[str, Any]]) -> None:
    """Joins only of those who are not there, leaves and updates only of those who are."""
    for number, notice in enumerate(told):
        if notice["action"] != "list":
            there = notice["member"]["user"] in known(told[:number])
            assert there == (notice["action"] != "join"), told[: number + 1]
