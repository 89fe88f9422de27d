"""Who is present where: rules without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest, Overloaded
from rtlite.hub.members import Members
from rtlite.model import Member

ROOM = "room:1"


class Told:
    """Members, and what is told of them."""

    def __init__(self, most: int = 10_000, most_away: int = 10_000) -> None:
        self.changes: list[tuple[str, str]] = []
        self.members = Members(self._note, most, most_away)

    def _note(self, channel: str, action: str, member: Member) -> None:
        self.changes.append((action, member.user))

    def join(self, user: str, connection: object = 1, data: bytes | None = None, now: int = 0) -> None:
        self.members.join(ROOM, user, data, connection, now)

    def leave(self, user: str, connection: object = 1, now: int = 0, until: float | None = None) -> None:
        self.members.leave(ROOM, user, connection, now, until)

    def present(self) -> dict[str, tuple[bytes, int]]:
        return {member.user: (member.data, member.connections) for member in self.members.of(ROOM, "", 100)}


def test_a_user_with_several_connections_is_one_member() -> None:
    told = Told()
    for connection in ("tab", "other tab", "phone", "phone"):
        told.join("alice", connection)
    assert told.present() == {"alice": (b"null", 3)}
    told.leave("alice", "phone")
    told.leave("alice", "tab")
    assert told.changes == [("join", "alice")]
    told.leave("alice", "other tab")
    assert told.changes == [("join", "alice"), ("leave", "alice")]


def test_data_is_the_latest_that_any_connection_gave_and_none_says_nothing() -> None:
    told = Told()
    told.join("alice", "tab", b'"busy"')
    told.join("alice", "phone")
    assert told.present() == {"alice": (b'"busy"', 2)}
    told.join("alice", "phone", b'"away"')
    told.members.update(ROOM, "alice", b"1", "tab")
    assert told.present() == {"alice": (b"1", 2)}
    assert told.changes == [("join", "alice"), ("update", "alice"), ("update", "alice")]


def test_what_does_not_change_is_not_told() -> None:
    told = Told()
    told.join("alice", data=b"1")
    told.join("alice", data=b"1")
    told.members.update(ROOM, "alice", b"1", 1)
    assert told.changes == [("join", "alice")]


@pytest.mark.parametrize("connection", ["another of hers", None])
def test_only_a_connection_that_joined_updates(connection: object) -> None:
    told = Told()
    told.join("alice")
    with pytest.raises(InvalidRequest, match="join the channel first"):
        told.members.update(ROOM, "alice", b"1", connection)
    with pytest.raises(InvalidRequest):
        told.members.update(ROOM, "bob", b"1", 1)


def test_to_leave_without_having_joined_is_no_error() -> None:
    told = Told()
    told.leave("alice")
    told.join("alice")
    told.leave("alice", "another")
    told.leave("bob")
    assert told.changes == [("join", "alice")]


def test_within_the_grace_a_member_is_there_without_connections() -> None:
    told = Told()
    told.join("alice", now=5)
    told.leave("alice", now=9, until=20.0)
    assert told.members.of(ROOM, "", 9) == [Member("alice", b"null", 0, 5, left=9)]
    assert (told.members.next_expiry(), told.members.expire(19.9)) == (20.0, False)
    told.join("alice", "again", now=15)
    assert told.members.of(ROOM, "", 9) == [Member("alice", b"null", 1, 5)]
    assert told.members.next_expiry() is None and not told.members.expire(30.0)
    assert told.changes == [("join", "alice")]


def test_after_the_grace_it_leaves() -> None:
    told = Told()
    told.join("alice")
    told.leave("alice", until=20.0)
    assert told.members.expire(20.0) and not told.members.expire(20.0)
    assert told.changes[-1] == ("leave", "alice")


def test_a_full_channel_takes_nobody_new_but_those_who_are_there() -> None:
    told = Told(most=2)
    told.join("alice")
    told.join("bob")
    with pytest.raises(Overloaded) as refused:
        told.join("carol")
    assert refused.value.code == "too_many_members"
    told.join("bob", "phone")
    told.leave("alice", until=10.0)
    with pytest.raises(Overloaded):  # her place is kept
        told.join("carol")
    told.join("alice", "again")
    told.leave("alice", "again")
    told.join("carol")
    assert set(told.present()) == {"bob", "carol"}


def test_the_ten_thousand_and_first_member_is_refused() -> None:
    told = Told(most=10_000)
    for number in range(10_000):
        told.join(f"user {number}")
    with pytest.raises(Overloaded):
        told.join("one more")
    assert told.members.count(ROOM) == 10_000


def test_of_more_who_are_away_than_may_be_the_oldest_leaves_at_once() -> None:
    told = Told(most_away=2)
    for number, user in enumerate(("alice", "bob", "carol")):
        told.join(user)
        told.leave(user, until=10.0 + number)
    assert told.changes[-1] == ("leave", "alice")
    assert set(told.present()) == {"bob", "carol"}


def test_a_channel_without_members_is_forgotten() -> None:
    told = Told()
    for number in range(100):
        told.members.join(f"room:{number}", "alice", None, 1, 0)
        told.members.leave(f"room:{number}", "alice", 1, 0, None if number % 2 else 1.0)
    while told.members.expire(1.0):
        pass
    assert not told.members
    assert not told.members._channels and not told.members._away


def test_a_refused_join_leaves_no_channel_behind() -> None:
    told = Told(most=0)
    with pytest.raises(Overloaded):
        told.join("alice")
    assert not told.members._channels


def test_members_come_in_the_order_of_their_users() -> None:
    told = Told()
    users = ["z", "a", "é", "日本", "🦊", "A b", "%00", "a/b", '"', "a:b"]
    for user in users:
        told.join(user)
    pages, after = [], ""
    while page := told.members.of(ROOM, after, 3):
        pages += [member.user for member in page]
        after = pages[-1]
    assert pages == sorted(users) == sorted(users, key=lambda user: user.encode())


USERS = st.sampled_from(["alice", "bob"])
TABS = st.sampled_from([1, 2])
STEPS = st.one_of(
    st.tuples(st.just("join"), USERS, TABS, st.sampled_from([None, b"1", b"2"])),
    st.tuples(st.just("update"), USERS, TABS, st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("leave"), USERS, TABS, st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 20)),
)


@given(st.lists(STEPS, max_size=40))
def test_whoever_follows_the_changes_knows_the_members(steps: list[tuple]) -> None:
    """Joins only of those who are not there, leaves and updates of those who are, and nothing without need."""
    known: dict[str, bytes] = {}

    def follow(channel: str, action: str, member: Member) -> None:
        assert (action == "join") == (member.user not in known)
        if action == "leave":
            del known[member.user]
            return
        assert known.get(member.user) != member.data
        known[member.user] = member.data

    members, clock = Members(follow, 10, 10), 0.0
    links: set[tuple[str, int]] = set()
    for step in steps:
        match step:
            case ("join", user, tab, data):
                members.join(ROOM, user, data, tab, 0)
                links.add((user, tab))
            case ("update", user, tab, data) if (user, tab) in links:
                members.update(ROOM, user, data, tab)
            case ("leave", user, tab, clean):
                members.leave(ROOM, user, tab, 0, None if clean else clock + 15)
                links.discard((user, tab))
            case ("wait", seconds):
                clock += seconds
                while members.expire(clock):
                    pass
        now = {member.user: member for member in members.of(ROOM, "", 10)}
        assert {user: member.data for user, member in now.items()} == known
        assert {user: member.connections for user, member in now.items() if member.connections} == {
            user: sum(user == other for other, _ in links) for user, _ in links
        }
    while members.expire(clock + 15):
        pass
    assert set(known) == {user for user, _ in links}
