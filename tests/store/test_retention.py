"""What may go, a step at a time, on one connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rtlite.model import NewEvent
from rtlite.settings import KindSettings, Settings
from rtlite.store import retention, schema
from rtlite.store.events import Appender, channel_info, last_sequence, read_channel
from rtlite.store.policies import Policies
from rtlite.store.retention import Needed, candidates, trim
from rtlite.store.selections import Selection

NOW = 1_000_000


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        appender = Appender(0)
        for size in range(1, 11):
            appender.append(NewEvent("n:a", "tick", b"x" * size), connection)
        appender.flush(connection)
        connection.execute("UPDATE events SET timestamp = ? + offset * 1000", (NOW,))
        connection.execute("UPDATE channels SET oldest_timestamp = ?, newest_timestamp = ?", (NOW + 1000, NOW + 10_000))
        yield connection


def sweep(connection, *, now=NOW, needed=None, spill_limit=10**9, **keep):
    """Trim every candidate until nothing goes; returns the offsets left, having checked the channel's own account."""
    settings = Settings(channels={"n": KindSettings(**keep)}, spill_limit=spill_limit)
    for candidate in candidates(connection, Policies(settings), now, 0):
        while trim(connection, Policies(settings), candidate, now, needed) == retention.STEP:
            pass
    events = read_channel(connection, "n:a", 0, 100, 10**6)
    info = channel_info(connection, "n:a")
    offsets = [event.offset for event in events]
    assert info.bytes == sum(len(event.data) for event in events)
    assert info.oldest == (offsets[0] if offsets else info.top + 1)
    assert Selection(("n:*",)).held(connection).trimmed == 10 - len(events)
    if events:
        oldest = connection.execute("SELECT oldest_timestamp FROM channels").fetchone()[0]
        assert oldest == events[0].timestamp
    return offsets


@pytest.mark.parametrize("step", [1, 3, 500])
def test_count_age_and_bytes_each_let_the_oldest_go(connection, monkeypatch, step):
    monkeypatch.setattr(retention, "STEP", step)

    assert sweep(connection) == list(range(1, 11))
    assert sweep(connection, retention_count=9) == list(range(2, 11))
    assert sweep(connection, retention_age=60, now=NOW + 64_000) == list(range(4, 11))
    assert sweep(connection, retention_bytes=33) == [8, 9, 10]
    assert sweep(connection, retention_bytes=27) == [8, 9, 10]
    assert sweep(connection, retention_count=0) == []


def test_empty_channel_goes_on_with_its_next_offset(connection):
    assert sweep(connection, retention_bytes=0) == []
    appender = Appender(last_sequence(connection))
    event = appender.append(NewEvent("n:a", "tick", b""), connection).event
    appender.flush(connection)

    assert (event.offset, event.sequence) == (11, 11)
    assert channel_info(connection, "n:a").oldest == 11
    assert candidates(connection, Policies(Settings()), event.timestamp, 0) == []


def test_what_readers_need_stays_up_to_the_spill_limit(connection):
    assert sweep(connection, retention_count=2, needed=Needed(offset=4)) == list(range(4, 11))
    assert sweep(connection, retention_count=2, needed=Needed(sequence=6)) == list(range(6, 11))
    assert sweep(connection, retention_count=2, needed=Needed(offset=6), spill_limit=30) == [8, 9, 10]
    assert sweep(connection, retention_count=2, needed=Needed()) == [9, 10]


def test_event_from_the_future_stays_until_its_time_comes(connection):
    connection.execute("UPDATE events SET timestamp = timestamp + 1000000 WHERE offset = 3")

    assert sweep(connection, retention_age=1, now=NOW + 60_000) == list(range(3, 11))


def test_channel_that_vanished_is_no_failure(connection):
    assert trim(connection, Policies(Settings()), retention.Candidate(99, "n:z"), NOW) == 0


def test_candidates_are_found_page_by_page(connection):
    appender = Appender(10)
    for number in range(7):
        appender.append(NewEvent(f"m:{number}", "tick", b""), connection)
        appender.append(NewEvent(f"k:{number}", "tick", b""), connection)
    appender.flush(connection)
    settings = Settings(channels={kind: KindSettings(retention_count=0) for kind in "mkn"})
    found, after = [], 0
    while page := candidates(connection, Policies(settings), NOW, after, limit=4):
        assert len(page) <= 4
        found += [candidate.name for candidate in page]
        after = page[-1].id

    assert sorted(found) == sorted(["n:a", *[f"{kind}:{number}" for kind in "mk" for number in range(7)]])
