"""A stream's rows, and which channels are its own."""

import sqlite3
from contextlib import closing

import attrs
import pytest

from rtlite.settings import KindSettings
from rtlite.store import schema, streams
from rtlite.store.streams import Stream

STREAM = Stream("s", "ann", True, age=60.0, created=1000)


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        for number, name in enumerate(
            (
                "stream:s",
                "stream:s:errors",
                "stream:s:a:b",
                "stream:s2",
                "stream:s-1",
                "stream:S",
                "stream:s;x",
                "news:s",
            )
        ):
            connection.execute(
                "INSERT INTO channels VALUES (?, ?, 'stream', 'before', 5, 1, 0, 0, 0, 0)", (number, name)
            )
        yield connection


def test_streams_come_back_as_they_were_stored_by_id(connection):
    other = Stream("a", "bob", False, count=2**40, bytes=5)
    for stream in (STREAM, other):
        streams.put(connection, stream)
    assert streams.load(connection) == [other, STREAM]
    changed = attrs.evolve(STREAM, store_history=False, age=None)
    streams.put(connection, changed)
    assert streams.find(connection, "s") == changed
    assert streams.find(connection, "S") is None
    assert streams.count(connection, "ann") == streams.count(connection, "bob") == 1
    streams.delete(connection, "s")
    assert streams.load(connection) == [other]


def test_its_channels_are_its_own_and_no_others(connection):
    own = ["stream:s", "stream:s:a:b", "stream:s:errors"]
    assert sorted(name for _, name in streams.channels(connection, "s")) == own
    streams.renew_epochs(connection, "s")
    renewed = connection.execute("SELECT name FROM channels WHERE epoch != 'before' ORDER BY name").fetchall()
    assert [name for (name,) in renewed] == own
    connection.execute("UPDATE channels SET oldest = top + 1")
    assert streams.channels(connection, "s") == []


def test_what_a_stream_does_not_say_its_kind_does():
    kind = KindSettings(history=False, retention_count=7)
    assert STREAM.policy(kind) == attrs.evolve(kind, history=True, retention_age=60.0)
    assert STREAM.as_json(kind) == {
        "id": "s",
        "owner": "ann",
        "storeHistory": True,
        "retention": {"age": "1m", "count": 7, "bytes": kind.retention_bytes},
        "created": "1970-01-01T00:00:01.000Z",
    }
