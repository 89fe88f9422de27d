"""Webhooks at rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import attrs
import pytest

from rtlite.store import schema
from rtlite.store import webhooks as tables
from rtlite.store.webhooks import Attempt, Webhook


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def webhook(id: str = "wh_1", **more: object) -> Webhook:
    return Webhook(id, "https://example.com/", ("a:*", "b:c"), "", "whsec_x", 1000, 5, **more)  # type: ignore[arg-type]


def attempt(number: int, id: str = "wh_1") -> Attempt:
    return Attempt(id, f"msg_{number}", "e", "a:b", 1, 1000 + number, 3, 200, None)


def test_a_webhook_comes_back_as_it_was_saved(connection: sqlite3.Connection) -> None:
    one = webhook(
        old_secret="whsec_y", old_secret_until=9, attempts=3, next_attempt=7, failing=8, failing_since=6, lost=2
    )
    tables.insert(connection, tables.row_of(one))
    assert [attrs.astuple(found) for found in tables.all(connection)] == [attrs.astuple(one)]
    one.cursor, one.disabled, one.channels = 9, "gone", ("d:e",)
    tables.update(connection, [tables.row_of(one)])
    assert [attrs.astuple(found) for found in tables.all(connection)] == [attrs.astuple(one)]


def test_what_is_saved_of_a_deleted_webhook_does_not_bring_it_back(connection: sqlite3.Connection) -> None:
    tables.insert(connection, tables.row_of(webhook()))
    tables.enqueue(connection, [("wh_1", b"x")])
    tables.log(connection, [attempt(1)], 10)
    tables.delete(connection, "wh_1")
    tables.update(connection, [tables.row_of(webhook())])
    assert (tables.all(connection), tables.ids(connection)) == ([], set())
    assert tables.waiting(connection, "wh_1") == (0, 0)
    assert tables.attempts(connection, "wh_1", 99, 99) == []


def test_what_waits_is_read_in_its_order_and_no_number_is_given_twice(connection: sqlite3.Connection) -> None:
    tables.enqueue(connection, [("wh_1", b"one"), ("wh_2", b"other"), ("wh_1", b"two"), ("wh_1", b"three")])
    assert tables.waiting(connection, "wh_1") == (3, 11)
    (first, body), (second, _) = tables.read_queue(connection, "wh_1", 0, 2)
    assert body == b"one"
    assert [body for _, body in tables.read_queue(connection, "wh_1", second, 9)] == [b"three"]
    tables.dequeue(connection, [first, second])
    tables.clear_queue(connection, "wh_1")
    tables.enqueue(connection, [("wh_1", b"four")])
    ((fourth, _),) = tables.read_queue(connection, "wh_1", 0, 9)
    assert fourth > second + 1
    assert tables.waiting(connection, "wh_2") == (1, 5)


def test_of_the_attempts_the_last_are_remembered_per_webhook(connection: sqlite3.Connection) -> None:
    tables.log(connection, [attempt(0, "wh_2")], 3)
    tables.log(connection, map(attempt, range(3)), 3)
    tables.log(connection, map(attempt, range(3, 5)), 3)
    found = tables.attempts(connection, "wh_1", 99, 99)
    assert [item.message for _, item in found] == ["msg_4", "msg_3", "msg_2"]
    assert [item.message for _, item in tables.attempts(connection, "wh_1", found[0][0], 1)] == ["msg_3"]
    assert len(tables.attempts(connection, "wh_2", 99, 99)) == 1


def test_what_is_shown_of_a_webhook_has_no_secret() -> None:
    assert "whsec" not in str(webhook(old_secret="whsec_y").as_json())
