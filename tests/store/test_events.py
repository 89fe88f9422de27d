"""Appending in order and reading back, on one connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rtlite.model import NewEvent
from rtlite.store import events as store
from rtlite.store import schema


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def append(connection, *channels, ids=(), sequence=None):
    appender = store.Appender(store.last_sequence(connection) if sequence is None else sequence)
    ids = iter(ids)
    results = [
        appender.append(NewEvent(channel, "tick", b"12345", next(ids, None)), connection) for channel in channels
    ]
    appender.flush(connection)
    return results


def test_offsets_count_per_channel_and_sequences_over_all(connection):
    events = [result.event for result in append(connection, "n:a", "n:b", "n:a", "m:c", "n:b")]

    assert [event.offset for event in events] == [1, 1, 2, 1, 2]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert len({event.epoch for event in events}) == 1


def test_what_is_read_equals_what_was_returned(connection):
    events = [result.event for result in append(connection, *["n:a"] * 4)]

    assert store.read_channel(connection, "n:a", 0, 10, 10**6) == events
    assert store.read_channel(connection, "n:a", 1, 2, 10**6) == events[1:3]
    assert store.read_channel(connection, "n:a", 0, 10, 10**6, up_to=3) == events[:3]
    assert store.read_channel(connection, "n:a", 0, 10, 7) == events[:2]
    assert store.read_channel_backwards(connection, "n:a", 4, 2, 10**6) == [events[2], events[1]]
    assert store.read_channel(connection, "n:z", 0, 10, 10**6) == []


def test_position_larger_than_sqlite_can_hold_reads_nothing(connection):
    append(connection, "n:a")

    assert store.read_channel(connection, "n:a", 10**19 - 1, 10, 10**6) == []
    assert len(store.read_channel_backwards(connection, "n:a", 10**19 - 1, 10, 10**6)) == 1


def test_id_again_gives_the_first_event_before_and_after_the_flush(connection):
    first, again = append(connection, "n:a", "n:a", ids=["x", "x"])
    (later,) = append(connection, "n:a", ids=["x"])

    assert (first.duplicate, again.duplicate, later.duplicate) == (False, True, True)
    assert first.event == again.event == later.event
    assert store.channel_info(connection, "n:a").top == 1


def test_channel_knows_its_top_its_bytes_and_its_age(connection):
    append(connection, "n:a", "n:a")
    info = store.channel_info(connection, "n:a")

    assert (info.top, info.oldest, info.bytes) == (2, 1, 10)
    assert str(info.position) == f"{info.epoch}-2"
    assert store.channel_info(connection, "n:b") is None


def test_channels_are_listed_by_name_after_one_and_by_prefix(connection):
    append(connection, "n:b", "n:a", "m:a", "n:c")

    def names(*arguments):
        return [info.name for info in store.list_channels(connection, *arguments)]

    assert names("", 10) == ["m:a", "n:a", "n:b", "n:c"]
    assert names("n:a", 1) == ["n:b"]
    assert names("", 10, "n:") == ["n:a", "n:b", "n:c"]


def test_last_sequence_remembers_what_retention_deleted(connection):
    append(connection, "n:a", "n:a")
    connection.execute("DELETE FROM events")
    connection.execute("UPDATE channels SET trimmed = 2, oldest = 3")

    assert store.last_sequence(connection) == 2
    assert append(connection, "n:a")[0].event.sequence == 3


def test_page_that_stops_early_leaves_no_open_cursor(connection):
    append(connection, *["n:a"] * 10)
    store.read_channel(connection, "n:a", 0, 10, 1)

    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE visits")  # would be "database table is locked" under an open cursor
    connection.execute("COMMIT")
