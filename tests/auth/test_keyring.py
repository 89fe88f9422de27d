import io
import json
import logging
import re
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from rtlite import log
from rtlite.auth.keyring import PREFIXES, Keyring, identity_of
from rtlite.errors import InvalidRequest, NotFound, StorageFailed
from rtlite.model import Identity, Kind
from rtlite.store.database import open_database


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def opened(path=":memory:", clock=None):
    async with open_database(str(path)) as database:
        keyring = Keyring(database, now=clock or Clock())
        await keyring.load()
        yield keyring


@pytest.mark.parametrize(
    ("kind", "live", "prefix"),
    [
        (Kind.BLOG, True, "mbk_"),
        (Kind.PROJECT, True, "pk_live_"),
        (Kind.PROJECT, False, "pk_test_"),
        (Kind.STREAM, True, "rts_"),
        (Kind.ADMIN, True, "rtk_"),
    ],
)
async def test_a_new_key_has_its_kinds_prefix_and_256_random_bits(kind, live, prefix):
    async with opened() as keyring:
        key, secret = await keyring.create(kind, "ann", live=live)
        assert re.fullmatch(re.escape(prefix) + r"[\w-]{43}", secret, re.ASCII)
        assert prefix in PREFIXES
        assert re.fullmatch(r"key_[0-9a-f]{12}", key.id)
        assert key.prefix == secret[: len(prefix) + 4]
        assert keyring.find(secret) is not None


async def test_a_key_shows_neither_its_secret_nor_its_digest():
    async with opened() as keyring:
        key, secret = await keyring.create(Kind.BLOG, "ann", name="laptop")
        shown = json.dumps(key.as_json()) + repr(key)
        assert secret[8:] not in shown
        assert set(key.as_json()) == {
            "id", "prefix", "kind", "user", "name", "write", "created", "expires", "last_used", "revoked",
        }  # fmt: skip


async def test_keys_survive_a_restart(tmp_path):
    async with opened(tmp_path / "a.db") as keyring:
        _, secret = await keyring.create(Kind.PROJECT, "site", name="n", write=True, expires_in=60)
        before = keyring.list()
    async with opened(tmp_path / "a.db") as keyring:
        assert keyring.list() == before
        found = keyring.find(secret)
        assert found is not None
        assert (found.user, found.write) == ("site", True)


async def test_the_file_and_its_wal_never_hold_a_clear_key(tmp_path):
    async with opened(tmp_path / "a.db") as keyring:
        secrets = [
            (await keyring.create(kind, "ann"))[1] for kind in (Kind.BLOG, Kind.PROJECT, Kind.STREAM, Kind.ADMIN)
        ]
        key_id = keyring.list()[0].id
        for secret in secrets:
            keyring.find(secret)
        await keyring.flush_last_used()
        await keyring.revoke(key_id)
        while_open = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        assert while_open["a.db-wal"]
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for content in (*while_open.values(), *after.values()):
        for secret in secrets:
            assert secret.encode() not in content
            assert secret.split("_", 1)[1].removeprefix("live_")[4:].encode() not in content  # without what is shown


@pytest.fixture
def logged():
    """What is logged meanwhile, as JSON lines."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    log.configure(out, level=logging.DEBUG)
    yield out
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


async def test_no_log_line_holds_a_clear_key(logged):
    async with opened() as keyring:
        keyring.on_revoked.append(lambda key_id: 1 / 0)
        key, secret = await keyring.create(Kind.BLOG, "ann")
        await keyring.revoke(key.id)
    assert "ZeroDivisionError" in logged.getvalue()
    assert secret[8:] not in logged.getvalue()


async def test_an_unknown_a_cut_and_a_longer_secret_find_nothing():
    async with opened() as keyring:
        _, secret = await keyring.create(Kind.BLOG, "ann")
        for wrong in ("", "mbk_", secret[:-1], secret + "x", secret.upper(), secret + "\0", " " + secret, "mbk_\ud800"):
            assert keyring.find(wrong) is None


async def test_a_revoked_key_finds_nothing_at_once_and_after_a_restart(tmp_path):
    clock = Clock()
    async with opened(tmp_path / "a.db", clock) as keyring:
        key, secret = await keyring.create(Kind.BLOG, "ann")
        clock.seconds += 5
        revoked = await keyring.revoke(key.id)
        assert revoked.revoked == key.created + 5000
        assert keyring.find(secret) is None
    async with opened(tmp_path / "a.db", clock) as keyring:
        assert keyring.find(secret) is None
        assert [key.revoked for key in keyring.list()] == [revoked.revoked]


async def test_an_expired_key_finds_nothing_from_its_last_moment_on():
    clock = Clock()
    async with opened(clock=clock) as keyring:
        _, secret = await keyring.create(Kind.BLOG, "ann", expires_in=60)
        clock.seconds += 59.9
        assert keyring.find(secret) is not None
        clock.seconds += 0.1
        assert keyring.find(secret) is None


async def test_listeners_hear_of_a_revocation_once_it_is_stored_and_only_once():
    async with opened() as keyring:
        key, secret = await keyring.create(Kind.BLOG, "ann")
        heard = []
        keyring.on_revoked.append(lambda key_id: heard.append((key_id, keyring.find(secret))))
        first = await keyring.revoke(key.id)
        assert heard == [(key.id, None)]
        assert await keyring.revoke(key.id) == first
        assert len(heard) == 1


async def test_a_failing_listener_does_not_keep_the_others_from_hearing(logged):
    async with opened() as keyring:
        key, _ = await keyring.create(Kind.BLOG, "ann")
        heard = []
        keyring.on_revoked += [lambda key_id: 1 / 0, heard.append]
        await keyring.revoke(key.id)
        assert heard == [key.id]


async def test_revoking_an_unknown_key_says_so():
    async with opened() as keyring:
        with pytest.raises(NotFound):
            await keyring.revoke("key_000000000000")


async def test_a_key_whose_storing_failed_does_not_hold(monkeypatch):
    async with opened() as keyring:
        old, secret = await keyring.create(Kind.BLOG, "ann")

        async def fails(work, **_):
            raise StorageFailed("no")

        monkeypatch.setattr(keyring._database, "write", fails)
        with pytest.raises(StorageFailed):
            await keyring.create(Kind.BLOG, "bob")
        with pytest.raises(StorageFailed):
            await keyring.revoke(old.id)
        assert [key.user for key in keyring.list()] == ["ann"]
        assert keyring.find(secret) is not None


async def test_a_dev_credential_works_and_is_never_stored(tmp_path):
    async with opened(tmp_path / "a.db") as keyring:
        key, secret = await keyring.create(Kind.ADMIN, "dev", secret="rtk_dev")
        assert secret == "rtk_dev"
        assert key.prefix == "rtk_"
        assert keyring.find("rtk_dev") == key
        await keyring.flush_last_used()
        other, _ = await keyring.create(Kind.BLOG, "dev", secret="mbk_dev")
        await keyring.revoke(other.id)
        assert keyring.find("mbk_dev") is None
    async with opened(tmp_path / "a.db") as keyring:
        assert keyring.find("rtk_dev") is None
        assert keyring.list() == ()


@pytest.mark.parametrize("user", ["a b", "é", "*", "a:*", "x" * 242])
async def test_a_blog_key_is_for_a_user_whose_notifications_have_a_channel_and_older_ones_hold(tmp_path, user):
    async with opened(tmp_path / "a.db") as keyring:
        with pytest.raises(InvalidRequest, match=r"^user: "):
            await keyring.create(Kind.BLOG, user)
        await keyring.create(Kind.PROJECT, user)
        older, secret = await keyring.create(Kind.BLOG, "older")
        change = "UPDATE keys SET user = ? WHERE id = ?"
        await keyring._database.write(lambda connection: connection.execute(change, (user, older.id)).rowcount)
    async with opened(tmp_path / "a.db") as keyring:
        assert keyring.find(secret).user == user


async def test_a_key_in_memory_alone_works_and_is_stored_once_it_is_kept(tmp_path):
    async with opened(tmp_path / "a.db") as keyring:
        await keyring.create(Kind.BLOG, "never", store=False)
        key, secret = await keyring.create(Kind.ADMIN, "ann", store=False)
        assert keyring.find(secret) == key
        await keyring.keep(key.id)
        gone, _ = await keyring.create(Kind.ADMIN, "bob", store=False)
        await keyring.revoke(gone.id)
        await keyring.keep(gone.id)
    async with opened(tmp_path / "a.db") as keyring:
        assert keyring.find(secret).user == "ann"
        assert {key.user: key.revoked is None for key in keyring.list()} == {"ann": True, "bob": False}


async def test_last_use_is_shown_at_once_and_stored_when_flushed(tmp_path):
    clock = Clock()
    async with opened(tmp_path / "a.db", clock) as keyring:
        _, secret = await keyring.create(Kind.BLOG, "ann")
        assert keyring.list()[0].last_used is None
        clock.seconds += 10
        keyring.find(secret)
        assert keyring.list()[0].last_used == int(clock.seconds * 1000)
        await keyring.flush_last_used()
        await keyring.flush_last_used()
    async with opened(tmp_path / "a.db", clock) as keyring:
        assert keyring.list()[0].last_used == int(clock.seconds * 1000)


async def test_last_uses_that_could_not_be_stored_are_kept_for_the_next_flush(monkeypatch):
    async with opened() as keyring:
        _, secret = await keyring.create(Kind.BLOG, "ann")
        keyring.find(secret)
        write = keyring._database.write

        async def fails(work, **_):
            raise StorageFailed("no")

        monkeypatch.setattr(keyring._database, "write", fails)
        with pytest.raises(StorageFailed):
            await keyring.flush_last_used()
        calls = []

        async def counted(work):
            calls.append(work)
            await write(work)

        monkeypatch.setattr(keyring._database, "write", counted)
        await keyring.flush_last_used()
        await keyring.flush_last_used()
        assert len(calls) == 1


async def test_a_use_during_a_flush_is_not_lost(monkeypatch):
    clock = Clock()
    async with opened(clock=clock) as keyring:
        _, secret = await keyring.create(Kind.BLOG, "ann")
        keyring.find(secret)
        write = keyring._database.write

        async def slow(work):
            await write(work)
            clock.seconds += 1
            keyring.find(secret)

        monkeypatch.setattr(keyring._database, "write", slow)
        await keyring.flush_last_used()
        assert keyring.list()[0].last_used == int(clock.seconds * 1000)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": Kind.JWT},
        {"kind": Kind.ANONYMOUS},
        {"write": True},
        {"user": ""},
        {"user": "a\nb"},
        {"user": "x" * 256},
        {"user": "\ud800"},
        {"name": "a\x1b[2J"},
        {"name": "x" * 129},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": float("nan")},
        {"expires_in": float("inf")},
        {"expires_in": 1e12},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_and_not_kept(given):
    async with opened() as keyring:
        with pytest.raises(InvalidRequest):
            await keyring.create(**{"kind": Kind.BLOG, "user": "ann", **given})
        assert keyring.list() == ()


async def test_a_key_becomes_an_identity_that_names_the_key_and_its_end():
    async with opened() as keyring:
        key, _ = await keyring.create(Kind.PROJECT, "site", write=True, expires_in=60)
        assert identity_of(key) == Identity(
            kind=Kind.PROJECT, user="site", credential=key.id, write=True, expires=1_700_000_060.0
        )


async def test_keys_made_at_the_same_time_all_hold():
    async with opened() as keyring:
        secrets = []

        async def make(user):
            secrets.append((await keyring.create(Kind.BLOG, user))[1])

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(make, f"user{number}")
        assert len(keyring.list()) == 20
        assert all(keyring.find(secret) for secret in secrets)
