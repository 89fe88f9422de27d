import sqlite3

import attrs
import pytest

from rtlite.model import Kind
from rtlite.store import keys
from rtlite.store.database import open_database
from rtlite.store.keys import Key

OLD = Key("key_000000000001", "mbk_abcd", Kind.BLOG, "ann", "laptop", False, created=1000)
NEW = Key("key_000000000002", "pk_live_abcd", Kind.PROJECT, "site", "", True, created=2000, expires=9000)


async def test_keys_come_back_as_they_were_stored_oldest_first():
    async with open_database(":memory:") as database:
        await database.write(lambda connection: keys.insert(connection, NEW, b"2" * 32))
        await database.write(lambda connection: keys.insert(connection, OLD, b"1" * 32))
        assert await database.read(keys.all) == [(b"1" * 32, OLD), (b"2" * 32, NEW)]


async def test_a_digest_or_an_id_cannot_be_stored_twice():
    async with open_database(":memory:") as database:
        await database.write(lambda connection: keys.insert(connection, OLD, b"1" * 32))
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(lambda connection: keys.insert(connection, NEW, b"1" * 32))
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(lambda connection: keys.insert(connection, OLD, b"2" * 32))


async def test_a_key_is_revoked_once_and_keeps_the_first_time():
    async with open_database(":memory:") as database:
        await database.write(lambda connection: keys.insert(connection, OLD, b"1" * 32))
        assert await database.write(lambda connection: keys.revoke(connection, OLD.id, 5000))
        assert not await database.write(lambda connection: keys.revoke(connection, OLD.id, 6000))
        assert await database.read(keys.all) == [(b"1" * 32, attrs.evolve(OLD, revoked=5000))]


async def test_revoking_an_unknown_key_changes_nothing():
    async with open_database(":memory:") as database:
        await database.write(lambda connection: keys.insert(connection, OLD, b"1" * 32))
        assert not await database.write(lambda connection: keys.revoke(connection, "key_x' OR '1'='1", 5000))
        assert await database.read(keys.all) == [(b"1" * 32, OLD)]


async def test_the_time_of_last_use_never_goes_back_and_unknown_keys_are_left_out():
    async with open_database(":memory:") as database:
        await database.write(lambda connection: keys.insert(connection, OLD, b"1" * 32))
        await database.write(lambda connection: keys.touch(connection, {OLD.id: 7000, "key_gone": 1}))
        await database.write(lambda connection: keys.touch(connection, {OLD.id: 6000}))
        assert await database.read(keys.all) == [(b"1" * 32, attrs.evolve(OLD, last_used=7000))]


def test_a_key_is_in_force_until_it_expires_or_is_revoked():
    assert OLD.in_force(10**15)
    assert NEW.in_force(8999)
    assert not NEW.in_force(9000)
    assert not attrs.evolve(OLD, revoked=1).in_force(0)


def test_a_key_is_shown_with_readable_times():
    assert attrs.evolve(NEW, last_used=3000).as_json() == {
        "id": "key_000000000002",
        "prefix": "pk_live_abcd",
        "kind": "project",
        "user": "site",
        "name": "",
        "write": True,
        "created": "1970-01-01T00:00:02.000Z",
        "expires": "1970-01-01T00:00:09.000Z",
        "last_used": "1970-01-01T00:00:03.000Z",
        "revoked": None,
    }
