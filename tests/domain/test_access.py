"""What a membership gives beyond the table of grants, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from rtlite.domain.access import Access
from rtlite.domain.models import Models
from rtlite.domain.streams import Streams
from rtlite.errors import Conflict, Forbidden, InvalidRequest
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind, Role
from rtlite.settings import Settings
from rtlite.store.conversations import Member, put_member
from rtlite.store.database import open_database
from rtlite.store.jobs import Job, insert
from rtlite.transports.connections import Connections

ANN = Identity(Kind.JWT, "ann", "jwt:ann")


class Unread:
    """A database that nobody may ask."""

    async def read(self, work: Any) -> Any:
        raise AssertionError("the database was read")


def access_on(database: Any) -> Access:
    settings, metrics = Settings(), Metrics()
    hub = Hub(database, settings, metrics)
    models = Models(hub, database, Connections(1, metrics), settings)
    return Access(database, settings, Streams(hub, database, settings), models)


@asynccontextmanager
async def access_with(*members: Member) -> AsyncIterator[Access]:
    """Those are in conversation ``c``."""
    async with open_database(":memory:", "normal") as database:
        for member in members:
            await database.write(lambda connection, member=member: put_member(connection, "c", member))
        yield access_on(database)


async def test_a_member_reads_its_conversation_and_no_other() -> None:
    async with access_with(Member("ann", False, 0)) as access:
        assert await access.may_read(ANN, "conversation:c")
        for channel in ("conversation:d", "conversation:C", "conversation:", "conversation:c:d", "conversation:*", "c"):
            assert not await access.may_read(ANN, channel), channel
        assert not await access.may_read(attrs.evolve(ANN, user="Ann"), "conversation:c")


@pytest.mark.parametrize("write", [False, True])
async def test_a_member_writes_if_it_may_post(write: bool) -> None:
    async with access_with(Member("ann", write, 0)) as access:
        assert await access.may_write(ANN, "conversation:c", "typing", None) == write
        assert not await access.may_write(ANN, "conversation:d", "typing", None)
        assert not await access.may_write(ANN, "conversation:*", "typing", None)


@pytest.mark.parametrize("data", [{"sender_id": "bob"}, {"sender_id": None}, {"sender_id": ["ann"]}, {}, "ann", None])
async def test_a_member_cannot_speak_for_another(data: object) -> None:
    async with access_with(Member("ann", True, 0)) as access:
        assert not await access.may_write(ANN, "conversation:c", "chat_message", data)
        assert await access.may_write(ANN, "conversation:c", "chat_message", {"sender_id": "ann"})


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.JWT, Kind.ADMIN}])
async def test_a_key_whose_user_has_a_members_name_is_no_member(kind: Kind) -> None:
    async with access_with(Member("ann", True, 0)) as access:
        key = attrs.evolve(ANN, kind=kind)
        assert not await access.may_read(key, "conversation:c")
        assert not await access.may_write(key, "conversation:c", "typing", None)


async def test_a_narrowed_ticket_reaches_only_the_conversations_it_names() -> None:
    async with access_with(Member("ann", True, 0)) as access:
        for only, allowed in (((), False), (("conversation:d",), False), (("conversation:c",), True)):
            ticket = attrs.evolve(ANN, only=only)
            assert await access.may_read(ticket, "conversation:c") == allowed
            assert await access.may_write(ticket, "conversation:c", "typing", None) == allowed


async def test_for_a_batch_each_membership_is_read_once() -> None:
    async with access_with(Member("ann", True, 0)) as access:
        read: dict[str, Member | None] = {}
        assert await access.may_write(ANN, "conversation:c", "typing", None, read=read)
        assert not await access.may_write(ANN, "conversation:d", "typing", None, read=read)
        access._database = Unread()  # type: ignore[assignment]
        assert await access.may_write(ANN, "conversation:c", "typing", None, read=read)
        assert not await access.may_write(ANN, "conversation:c", "chat_message", {"sender_id": "bob"}, read=read)
        assert not await access.may_write(ANN, "conversation:d", "typing", None, read=read)


async def test_a_role_is_no_membership() -> None:
    async with access_with() as access:
        for role in Role:
            assert not await access.may_read(attrs.evolve(ANN, role=role), "conversation:c")


async def test_what_the_table_decides_reads_nothing() -> None:
    database = Unread()
    access = access_on(database)
    named = attrs.evolve(ANN, subscribe=("conversation:c",), publish=("conversation:c",))
    assert await access.may_read(named, "conversation:c")
    assert await access.may_write(named, "conversation:c", "typing", None)
    assert await access.may_read(ANN, "article:a")
    assert not await access.may_read(ANN, "jobs:*")
    assert not await access.may_write(ANN, "article:a", "e", None)
    assert not await access.may_read(ANN, "conversation:*")


# --- streams

STREAM_KEY = Identity(Kind.STREAM, "ann", "key_1")


@asynccontextmanager
async def access_to_streams(**settings: Any) -> AsyncIterator[tuple[Access, Streams]]:
    """Ann has stream ``a``, Bob has ``b``."""
    chosen = Settings(**settings)
    async with open_database(":memory:", "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, Metrics())
        await nursery.start(hub.run)
        streams = Streams(hub, database, chosen)
        await streams.claim("a", "ann")
        await streams.claim("b", "bob")
        yield Access(database, chosen, streams, Models(hub, database, Connections(1, Metrics()), chosen)), streams
        nursery.cancel_scope.cancel()


async def test_a_stream_key_reads_and_writes_every_channel_of_its_users_streams_and_no_other() -> None:
    async with access_to_streams() as (access, _):
        for channel in ("stream:a", "stream:a:errors", "stream:a:x:y"):
            assert await access.may_read(STREAM_KEY, channel)
            assert await access.may_write(STREAM_KEY, channel, "message", None)
        for channel in ("stream:b", "stream:b:errors", "stream:*", "stream:a:*", "stream:", "streams:a", "news:a", "*"):
            assert not await access.may_read(STREAM_KEY, channel), channel
            assert not await access.may_write(STREAM_KEY, channel, "message", None), channel


async def test_to_ask_to_write_makes_a_stream_and_to_ask_to_read_does_not() -> None:
    async with access_to_streams() as (access, streams):
        assert not await access.may_read(STREAM_KEY, "stream:new")
        assert streams.find("new") is None
        assert await access.may_write(STREAM_KEY, "stream:new:errors", "message", None)
        found = streams.find("new")
        assert found is not None and found.owner == "ann"
        assert await access.may_read(STREAM_KEY, "stream:new")
        assert not await access.may_write(attrs.evolve(STREAM_KEY, user="bob"), "stream:new", "message", None)


async def test_nobody_but_a_stream_key_owns_or_makes_streams() -> None:
    async with access_to_streams() as (access, streams):
        for kind in set(Kind) - {Kind.STREAM, Kind.ADMIN}:
            identity = attrs.evolve(STREAM_KEY, kind=kind)
            for channel in ("stream:a", "stream:new"):
                assert not await access.may_read(identity, channel)
                assert not await access.may_write(identity, channel, "message", None)
        assert streams.find("new") is None


async def test_a_narrowed_ticket_of_a_stream_key_reaches_and_makes_only_what_it_names() -> None:
    async with access_to_streams() as (access, streams):
        ticket = attrs.evolve(STREAM_KEY, only=("stream:a:errors",))
        assert await access.may_read(ticket, "stream:a:errors")
        for channel in ("stream:a", "stream:new"):
            assert not await access.may_write(ticket, channel, "message", None)
        assert streams.find("new") is None


async def test_who_has_too_many_streams_is_told_so() -> None:
    async with access_to_streams(max_streams=1) as (access, _):
        assert await access.may_write(STREAM_KEY, "stream:a", "message", None)
        with pytest.raises(Conflict, match="1 streams at most"):
            await access.may_write(STREAM_KEY, "stream:new", "message", None)


# --- jobs and inboxes


@asynccontextmanager
async def access_with_jobs(**owners: str | None) -> AsyncIterator[Access]:
    """Those jobs, of those users."""
    async with open_database(":memory:", "normal") as database:
        for job in [Job(id, "import", user=user) for id, user in owners.items()]:
            await database.write(lambda connection, job=job: insert(connection, job))
        yield access_on(database)


async def test_a_token_reads_its_users_jobs_and_no_others() -> None:
    async with access_with_jobs(a="ann", b="bob", c=None) as access:
        assert await access.may_read(ANN, "jobs:a")
        for channel in ("jobs:b", "jobs:c", "jobs:d", "jobs:A", "jobs:", "jobs:*", "jobs:a:*", "jobs", "xjobs:a", "a"):
            assert not await access.may_read(ANN, channel), channel
        for user in ("Ann", ""):
            assert not await access.may_read(attrs.evolve(ANN, user=user), "jobs:a")
        assert not await access.may_write(ANN, "jobs:a", "job.progress", None)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.JWT, Kind.ADMIN, Kind.PROJECT}])
async def test_a_key_whose_user_has_a_jobs_name_does_not_read_it(kind: Kind) -> None:
    async with access_with_jobs(a="ann") as access:
        assert not await access.may_read(attrs.evolve(ANN, kind=kind), "jobs:a")


async def test_a_narrowed_ticket_reads_only_the_jobs_it_names() -> None:
    async with access_with_jobs(a="ann", b="bob") as access:
        for only, allowed in (((), False), (("jobs:b",), False), (("jobs:a",), True), (("jobs:*",), True)):
            ticket = attrs.evolve(ANN, only=only)
            assert await access.may_read(ticket, "jobs:a") == allowed
            assert not await access.may_read(ticket, "jobs:b")


ADMIN = Identity(Kind.ADMIN, "root", "key_1")
PROJECT = Identity(Kind.PROJECT, "ann", "key_2")
BACKEND = attrs.evolve(PROJECT, write=True)
BLOG_KEY = Identity(Kind.BLOG, "ann", "key_3")
REFUSED = "refused"


def answer(ask: Any, *arguments: Any, **more: Any) -> Any:
    try:
        return ask(*arguments, **more)
    except (Forbidden, InvalidRequest):
        return REFUSED


@pytest.mark.parametrize(
    ("identity", "all", "own", "others"),
    [
        (ANN, "ann", "ann", REFUSED),
        (attrs.evolve(ANN, subscribe=("jobs:b",)), "ann", "ann", REFUSED),
        (attrs.evolve(ANN, subscribe=("jobs:*",)), None, "ann", "bob"),
        (attrs.evolve(ANN, role=Role.COLLAB), None, "ann", "bob"),
        (attrs.evolve(ANN, role=Role.ADMIN), None, "ann", "bob"),
        (attrs.evolve(ANN, only=("jobs:a",)), REFUSED, REFUSED, REFUSED),
        (attrs.evolve(ANN, only=("jobs:*",)), "ann", "ann", REFUSED),
        (ADMIN, None, "ann", "bob"),
        (attrs.evolve(ADMIN, only=("article:a",)), REFUSED, REFUSED, REFUSED),
        (PROJECT, None, "ann", "bob"),
        (BACKEND, None, "ann", "bob"),
        (BLOG_KEY, REFUSED, REFUSED, REFUSED),
        (STREAM_KEY, REFUSED, REFUSED, REFUSED),
    ],
)
async def test_whose_jobs_are_listed(identity: Identity, all: Any, own: Any, others: Any) -> None:
    async with access_with() as access:
        assert [answer(access.whose_jobs, identity, user) for user in (None, "ann", "bob")] == [all, own, others]


@pytest.mark.parametrize(
    ("identity", "seen", "marked"),
    [
        (ANN, ["ann", "ann", REFUSED], ["ann", "ann", REFUSED]),
        (attrs.evolve(ANN, role=Role.ADMIN), ["ann", "ann", REFUSED], ["ann", "ann", REFUSED]),
        (attrs.evolve(ANN, subscribe=("notifications:bob",)), ["ann", "ann", "bob"], ["ann", "ann", REFUSED]),
        (attrs.evolve(ANN, subscribe=("*",)), ["ann", "ann", REFUSED], ["ann", "ann", REFUSED]),
        (attrs.evolve(ANN, only=("article:a",)), [REFUSED] * 3, [REFUSED] * 3),
        (attrs.evolve(ANN, only=("notifications:ann",)), ["ann", "ann", REFUSED], ["ann", "ann", REFUSED]),
        (BLOG_KEY, ["ann", "ann", REFUSED], ["ann", "ann", REFUSED]),
        (ADMIN, [REFUSED, "ann", "bob"], [REFUSED, "ann", "bob"]),
        (BACKEND, [REFUSED, "ann", "bob"], [REFUSED, "ann", "bob"]),
        (attrs.evolve(BACKEND, only=("article:a",)), [REFUSED] * 3, [REFUSED] * 3),
        (attrs.evolve(ADMIN, only=("notifications:bob",)), [REFUSED, REFUSED, "bob"], [REFUSED] * 3),
        (PROJECT, [REFUSED] * 3, [REFUSED] * 3),
        (STREAM_KEY, [REFUSED] * 3, [REFUSED] * 3),
    ],
)
async def test_whose_inbox_is_seen_and_marked(identity: Identity, seen: list[str], marked: list[str]) -> None:
    async with access_with() as access:
        users = (None, "ann", "bob")
        assert [answer(access.whose_inbox, identity, user) for user in users] == seen
        assert [answer(access.whose_inbox, identity, user, own=True) for user in users] == marked
        for user in ("", "*", "Zo\u00eb", "x" * 250):
            with pytest.raises(InvalidRequest, match=r"^userId"):
                access.whose_inbox(ADMIN, user)
