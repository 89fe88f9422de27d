"""Several channels read as one, held against a list of everything that was appended."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest

from rtlite.model import NewEvent, is_pattern, matches
from rtlite.store import schema
from rtlite.store.events import Appender
from rtlite.store.selections import Selection

CHANNELS = [f"{kind}:{name}" for kind in ("n", "m", "nn") for name in "abc"]


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def fill(connection, count=300):
    """Random events, of which each channel has lost some of its oldest; returns those that are left."""
    dice = random.Random(count)
    appender = Appender(0)
    events = [
        appender.append(NewEvent(dice.choice(CHANNELS[:-1]), "tick", b"12345", f"e{number // 3}"), connection).event
        for number in range(count)
    ]
    appender.flush(connection)
    events = list({event.sequence: event for event in events}.values())
    left = []
    for channel in CHANNELS:
        own = [event for event in events if event.channel == channel]
        gone = own[: dice.randrange(0, 6)]
        if gone:
            connection.execute(
                "DELETE FROM events WHERE channel = (SELECT id FROM channels WHERE name = ?) AND offset <= ?",
                (channel, gone[-1].offset),
            )
            connection.execute(
                "UPDATE channels SET oldest = ?, trimmed = ? WHERE name = ?",
                (gone[-1].offset + 1, gone[-1].sequence, channel),
            )
        left += own[len(gone) :]
    return sorted(left, key=lambda event: event.sequence), events


SELECTIONS = [
    ("n:a",),
    ("n:a", "m:b"),
    ("n:c", "nn:c", "m:a"),
    ("n:*",),
    ("n:*", "n:a"),
    ("n:*", "m:c", "nn:b"),
    ("n:*", "m:*"),
    ("n:*", "m:*", "nn:*"),
    ("other:a", "n:b"),
    ("other:*",),
    tuple(CHANNELS),
]


@pytest.mark.parametrize("names", SELECTIONS)
def test_a_selection_reads_exactly_its_channels_in_the_order_of_commits(connection, names):
    left, _ = fill(connection)
    selection = Selection(names)
    own = [event for event in left if any(matches(name, event.channel) for name in names)]

    assert selection.read(connection, 0, 10**6, 10**9, 10**9) == own
    for after, up_to, limit in [(0, 100, 7), (50, 200, 1000), (120, 121, 5), (299, 10**6, 3), (10**17, 10**18, 5)]:
        wanted = [event for event in own if after < event.sequence <= up_to][:limit]
        assert selection.read(connection, after, limit, 10**9, up_to) == wanted
        newest = [event.sequence for event in reversed(own) if event.sequence > after]
        for skip in (0, 3, 10**6):
            expected = newest[skip] if skip < len(newest) else None
            assert selection.newest_but(connection, skip, after) == expected
    assert len(selection.read(connection, 0, 100, 11, 10**9)) == min(3, len(own))


@pytest.mark.parametrize("names", SELECTIONS)
def test_a_place_is_found_by_id_and_by_time(connection, names):
    left, _ = fill(connection)
    selection = Selection(names)
    own = [event for event in left if any(matches(name, event.channel) for name in names)]
    connection.execute("UPDATE events SET timestamp = 1000 + sequence")

    for id in ("e0", "e40", "e99", "missing"):
        found = [event.sequence for event in own if event.id == id]
        assert selection.sequence_of(connection, id) == max(found, default=None)
    for timestamp in (0, 1100, 1250, 10**6):
        found = [event.sequence for event in own if 1000 + event.sequence >= timestamp]
        assert selection.sequence_at(connection, timestamp) == min(found, default=None)


@pytest.mark.parametrize("names", SELECTIONS)
def test_what_retention_took_is_known(connection, names):
    left, events = fill(connection)
    kept = {event.sequence for event in left}
    gone = [e.sequence for e in events if any(matches(name, e.channel) for name in names) and e.sequence not in kept]

    assert Selection(names).held(connection).trimmed == max(gone, default=0)


def test_no_half_read_cursor_holds_up_the_log(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        schema.migrate(connection)
        fill(connection)
        Selection(("n:*", "m:a")).read(connection, 0, 2, 10**9, 10**9)
        connection.execute("DROP TABLE events")  # SQLite refuses this under an open cursor


def test_the_selections_above_cover_both_sorts():
    assert {is_pattern(name) for names in SELECTIONS for name in names} == {True, False}
