"""Migrations, and the epochs of a restored copy."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio

from rtlite.hub.since import EventId
from rtlite.store import backup, schema
from rtlite.store.check import check
from rtlite.store.database import open_database
from rtlite.store.whose import stranger_by
from tests.hub.readers import Reader, history_of, new, running_hub


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def test_migrating_twice_changes_nothing(connection):
    schema.migrate(connection)
    epoch = schema.store_epoch(connection)
    schema.migrate(connection)

    assert schema.store_epoch(connection) == epoch
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)


def test_migration_that_fails_leaves_the_file_at_its_version(connection, monkeypatch):
    def fails(connection):
        connection.execute("CREATE TABLE half (way)")
        raise ZeroDivisionError

    schema.migrate(connection)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fails))
        with pytest.raises(ZeroDivisionError):
            schema.migrate(connection)

    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone()[0] == 0
    assert stranger_by(connection) is None


def test_file_of_the_first_version_keeps_what_it_has_and_gets_the_rest(connection, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.migrate(connection)
    epoch = schema.store_epoch(connection)
    schema.migrate(connection)

    assert schema.store_epoch(connection) == epoch
    assert connection.execute("SELECT count(*) FROM members").fetchone()[0] == 0
    assert stranger_by(connection) is None


def test_secret_is_made_once_and_long(connection):
    schema.migrate(connection)
    secret = schema.secret(connection, "jwt")

    assert schema.secret(connection, "jwt") == secret
    assert len(secret) == 64
    assert schema.secret(connection, "other") != secret


async def test_restored_copy_has_new_epochs_once_and_keeps_its_events(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        events = [(await hub.publish(new(id=f"e{number}"))).event for number in range(3)]
        await backup.write(hub.database, tmp_path / "copy.db")
        after = (await hub.publish(new(id="not in the copy"))).event
    async with running_hub(tmp_path / "copy.db") as hub:
        reader = Reader()
        told = await reader.subscribe(hub, since=after.position)
        known = await Reader().subscribe(hub, since=EventId("e1"))
        following = (await hub.publish(new())).event
        fresh = (await hub.publish(new("news:new"))).event

        assert not told.recovered
        assert reader.arrivals[:3] == [(1, "e0"), (2, "e1"), (3, "e2")]
        assert known.recovered
        assert following.epoch == fresh.epoch != events[0].epoch
        assert following.offset == 4
    async with running_hub(tmp_path / "copy.db") as hub:
        assert (await hub.publish(new())).event.epoch == following.epoch
    async with running_hub(tmp_path / "r.db") as hub:
        assert (await hub.publish(new())).event.epoch == events[0].epoch


async def test_backup_taken_during_writes_is_consistent(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:
        done = False

        async def publish(number):
            while not done:
                await hub.publish_all([new(f"news:{number}", data=b"x" * 500) for _ in range(7)])

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(publish, number)
            for copy in range(3):
                await hub.publish(new("news:mark", id=f"before-{copy}"))
                await backup.write(hub.database, tmp_path / f"copy{copy}.db")
            done = True

    for copy in range(3):
        report = check(str(tmp_path / f"copy{copy}.db"))
        assert report.problems == []
        assert report.events > 0
        async with open_database(str(tmp_path / f"copy{copy}.db")) as database:
            marks = await history_of(database, "news:mark")
            assert [id for _, id in marks] == [f"before-{number}" for number in range(copy + 1)]
            for number in range(4):
                assert len(await history_of(database, f"news:{number}")) % 7 == 0  # a batch is whole or not there
