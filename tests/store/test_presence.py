"""When users were last seen, at rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from rtlite.settings import KindSettings, Settings
from rtlite.store import presence, schema

ROOM = "room:1"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def test_the_last_that_is_saved_of_a_user_holds(connection: sqlite3.Connection) -> None:
    presence.save(connection, [(ROOM, "alice", 5), (ROOM, "bob", None), ("room:2", "alice", 7)], 10)
    presence.save(connection, [(ROOM, "alice", None), (ROOM, "bob", 12)], 20)
    assert presence.absent(connection, ROOM, "", 9) == [("alice", None), ("bob", 12)]
    assert presence.absent(connection, "room:2", "", 9) == [("alice", 7)]


def test_who_was_present_when_the_server_was_killed_was_last_seen_when_it_was_last_alive(
    connection: sqlite3.Connection,
) -> None:
    presence.save(connection, [(ROOM, "alice", None), (ROOM, "bob", 5)], 10)
    presence.save(connection, [], 20)
    presence.settle(connection)
    assert presence.absent(connection, ROOM, "", 9) == [("alice", 20), ("bob", 5)]


def test_at_an_orderly_stop_the_time_is_given(connection: sqlite3.Connection) -> None:
    presence.save(connection, [(ROOM, "alice", None), (ROOM, "bob", 5)], 10)
    presence.settle(connection, 33)
    assert presence.absent(connection, ROOM, "", 9) == [("alice", 33), ("bob", 5)]


def test_a_new_file_has_nothing_to_settle(connection: sqlite3.Connection) -> None:
    presence.settle(connection)
    assert presence.absent(connection, ROOM, "", 9) == []


def test_users_come_in_the_order_of_their_text_whatever_it_is(connection: sqlite3.Connection) -> None:
    users = ["z", "a", "é", "日本", "🦊", "\uffee", "A b", "%00", "a/b", '"', "'); DROP TABLE presence", "a:b", "B"]
    presence.save(connection, [(ROOM, user, number) for number, user in enumerate(users)], 1)
    seen: list[str] = []
    while page := presence.absent(connection, ROOM, seen[-1] if seen else "", 2):
        seen += [user for user, _ in page]
    assert seen == sorted(users)


def test_each_kind_is_kept_as_long_as_its_events(connection: sqlite3.Connection) -> None:
    settings = Settings(channels={"short": KindSettings(retention_age=1.0), "long": KindSettings(retention_age=100.0)})
    rows = [(f"{kind}:1", f"user {at}", at) for kind in ("long", "short") for at in (0, 8_999, 9_000, 9_500)]
    presence.save(connection, [*rows, ("short:1", "here", None)], 1)
    assert presence.forget(connection, settings, 10_000) == 2
    assert [user for user, _ in presence.absent(connection, "short:1", "", 9)] == ["here", "user 9000", "user 9500"]
    assert len(presence.absent(connection, "long:1", "", 9)) == 4
    assert presence.forget(connection, settings, 10_000) == 0


def test_few_are_forgotten_at_a_time(connection: sqlite3.Connection) -> None:
    presence.save(connection, [(f"k{number % 3}:1", f"user {number}", 0) for number in range(1200)], 1)
    settings = Settings()
    assert [presence.forget(connection, settings, 10**12) for _ in range(4)] == [500, 500, 200, 0]


def test_who_is_looked_for_is_found_by_an_index(connection: sqlite3.Connection) -> None:
    for query in (
        "SELECT user, last_seen FROM presence WHERE channel = 'a' AND user > 'b' ORDER BY user LIMIT 5",
        "SELECT channel, user FROM presence WHERE kind = 'a' AND last_seen < 5 LIMIT 5",
        "SELECT min(kind) FROM presence WHERE kind > 'a'",
    ):
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()]
        assert all(step.startswith("SEARCH") for step in plan), plan
