"""Notifications' rows: pages, what is read, what goes, and that nothing of it walks through them all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rtlite.store import inbox, schema
from rtlite.store.inbox import Notification
from tests.store.plans import plans, walks


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def add(connection, *ids, user="ann", **fields):
    for id in ids:
        inbox.insert(connection, Notification(id, user, "note", "Hello", **fields))


def listed(connection, user="ann", unread=False, before=2**62, limit=100):
    return [item.id for item in inbox.page(connection, user, unread, before, limit)]


def test_a_notification_comes_back_as_it_was_stored(connection):
    whole = Notification("a", "ann", "note", "Hello", "there", "/x", True, 5)
    inbox.insert(connection, whole)
    add(connection, "b")
    assert inbox.find(connection, "a") == whole
    assert inbox.find(connection, "b") == Notification("b", "ann", "note", "Hello")
    assert inbox.find(connection, "A") is None


def test_pages_go_from_the_newest_to_the_oldest_and_hold_one_users(connection):
    add(connection, "a", "b", "c")
    add(connection, "x", user="bob")
    assert listed(connection, limit=2) == ["c", "b"]
    assert listed(connection, before=inbox.find(connection, "b").number) == ["a"]
    assert listed(connection, user="bob") == ["x"]
    assert listed(connection, user="Ann") == []


def test_what_is_marked_as_read_is_unread_no_more(connection):
    add(connection, "a", "b", "c")
    add(connection, "x", user="bob")
    inbox.mark_read(connection, "b")
    assert listed(connection, unread=True) == ["c", "a"]
    assert inbox.count_unread(connection, "ann") == 2
    assert inbox.mark_all_read(connection, "ann") == 2
    assert inbox.mark_all_read(connection, "ann") == 0
    assert (inbox.count_unread(connection, "ann"), inbox.count_unread(connection, "bob")) == (0, 1)
    assert all(inbox.find(connection, id).read for id in "abc")


def test_what_is_too_much_goes_first_the_oldest_that_is_read(connection):
    add(connection, *"abcdef")
    add(connection, "x", user="bob")
    for id in "bdf":
        inbox.mark_read(connection, id)
    inbox.trim(connection, "ann", 6)
    assert listed(connection) == [*"fedcba"]
    inbox.trim(connection, "ann", 4)
    assert listed(connection) == [*"feca"]
    inbox.trim(connection, "ann", 2)
    assert listed(connection) == [*"ec"]
    inbox.trim(connection, "ann", 0)
    assert (listed(connection), listed(connection, user="bob")) == ([], ["x"])


def test_much_that_is_too_much_goes_in_steps(connection, monkeypatch):
    monkeypatch.setattr(inbox, "STEP", 2)
    add(connection, *"abcde")
    inbox.mark_read(connection, "c")
    inbox.trim(connection, "ann", 1)
    assert listed(connection) == [*"edb"]
    inbox.trim(connection, "ann", 1)
    assert listed(connection) == ["e"]


def test_what_is_old_goes_read_or_not(connection, monkeypatch):
    monkeypatch.setattr(inbox, "STEP", 2)
    for number, id in enumerate("abcde"):
        add(connection, id, user=f"user{number}", created=number, read=number == 1)
    assert inbox.forget(connection, 3) == 2
    assert inbox.forget(connection, 3) == 1
    assert inbox.forget(connection, 3) == 0
    assert connection.execute("SELECT id FROM notifications").fetchall() == [("d",), ("e",)]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda it: inbox.find(it, "a"), "sqlite_autoindex_notifications_1 (id=?)"),
        (lambda it: inbox.mark_read(it, "a"), "sqlite_autoindex_notifications_1 (id=?)"),
        (lambda it: inbox.page(it, "ann", False, 9, 9), "notifications_by_user (user=? AND rowid<?)"),
        (lambda it: inbox.page(it, "ann", True, 9, 9), "notifications_by_read (user=? AND read=? AND rowid<?)"),
        (lambda it: inbox.count_unread(it, "ann"), "COVERING INDEX notifications_by_read (user=? AND read=?)"),
        (lambda it: inbox.mark_all_read(it, "ann"), "notifications_by_read (user=? AND read=?)"),
        (lambda it: inbox.trim(it, "ann", 0), "notifications_by_read (user=? AND read=?)"),
        (lambda it: inbox.trim(it, "ann", 0), "notifications_by_user (user=?)"),
    ],
)
def test_an_index_finds_whatever_is_asked_for(connection, ask, index):
    add(connection, "a", "b")
    steps = plans(connection, lambda: ask(connection))
    assert any(index in step for step in steps), steps
    assert not walks(steps), steps


def test_to_forget_looks_at_the_oldest_alone(connection):
    """They lie in the order in which they came, so no index is needed: the walk ends after ``STEP`` rows."""
    add(connection, *map(str, range(5)), created=10)
    steps = plans(connection, lambda: inbox.forget(connection, 5))
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN notifications"]
    assert not any("TEMP B-TREE" in step for step in steps), steps
