"""The blog's rules on a real hub and database; the clock is the test's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio

from rtlite.domain import blog as module
from rtlite.domain.blog import Blog
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store import events
from rtlite.store.database import Database, open_database

HOUR = 3_600_000
NOON = 1_800_000_000_000 // HOUR * HOUR


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


class Bench(Blog):
    """A blog, and a look at what it announced."""

    database: Database
    clock: Clock

    async def announced(self, channel: str) -> list[tuple[str, dict[str, Any]]]:
        found = await self.database.read(lambda connection: events.read_channel(connection, channel, 0, 10_000, 2**40))
        return [(event.name, orjson.loads(event.data)) for event in found]

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return await self.database.read(lambda connection: connection.execute(statement).fetchall())


@asynccontextmanager
async def opened(monkeypatch: pytest.MonkeyPatch, path: object = ":memory:", **settings: Any) -> AsyncIterator[Bench]:
    clock = Clock()
    monkeypatch.setattr(module, "now_ms", clock)
    chosen = Settings(**settings)
    async with open_database(str(path), "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, Metrics())
        await nursery.start(hub.run)
        blog = Bench(hub, database, chosen)
        blog.database, blog.clock = database, clock
        yield blog
        nursery.cancel_scope.cancel()


async def test_an_article_is_made_found_and_listed(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        made = await blog.create_article("my-first.post~1_", "Héllo", "alice")
        assert made == {
            "slug": "my-first.post~1_",
            "title": "Héllo",
            "author": "alice",
            "viewCount": 0,
            "reactions": {},
            "createdAt": "2027-01-15T08:00:00.000Z",
        }
        assert await blog.article("my-first.post~1_") == made
        assert (await blog.articles(""))[0] == [made]
        with pytest.raises(Conflict):
            await blog.create_article("my-first.post~1_", "Other", "bob")
        with pytest.raises(NotFound):
            await blog.article("none")


@pytest.mark.parametrize("slug", ["", "-a", "a b", "a/b", "é", "a\n", "x" * 201, "a:b", "..", "*", "a?", "a%20"])
async def test_a_slug_that_cannot_stand_in_a_url_or_channel_is_refused(slug: str, monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        with pytest.raises(InvalidRequest, match="slug"):
            await blog.create_article(slug, "T", "alice")


@pytest.mark.parametrize(
    ("title", "author", "field"),
    [
        ("", "a", "title"),
        ("  ", "a", "title"),
        ("x" * 301, "a", "title"),
        ("T", "", "author"),
        ("T", "é", "author"),
        ("T", "*", "author"),
    ],
)
async def test_a_title_and_an_author_have_rules(title: str, author: str, field: str, monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        with pytest.raises(InvalidRequest, match=field):
            await blog.create_article("a", title, author)


async def test_pages_follow_each_other(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    async with opened(monkeypatch) as blog:
        for number in range(7):
            await blog.create_article(f"a{number}", "T", "alice")
            await blog.comment("a0", "reader", f"comment {number}")
            await blog.subscribe("alice", f"r{number}@example.com")
        for list_page, key in (
            (blog.articles, "slug"),
            (lambda after: blog.comments("a0", after), "body"),
            (lambda after: blog.subscribers("alice", after), "email"),
        ):
            seen, after = [], ""
            while after is not None:
                items, after = await list_page(after)
                seen += [item[key] for item in items]
            assert len(seen) == len(set(seen)) == 7


# --- views


async def test_a_visitor_counts_once_an_hour_and_article(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        for slug in ("a", "b"):
            await blog.create_article(slug, "T", "alice")
        assert await blog.view("a", "v1") == {"slug": "a", "viewCount": 1, "counted": True}
        assert await blog.view("a", "v1") == {"slug": "a", "viewCount": 1, "counted": False}
        assert (await blog.view("a", "v2"))["viewCount"] == 2
        assert (await blog.view("b", "v1"))["counted"]
        blog.clock.now += HOUR - 1
        assert not (await blog.view("a", "v1"))["counted"]
        blog.clock.now += 1
        assert (await blog.view("a", "v1"))["viewCount"] == 3
        updates = await blog.announced("article:a")
        assert [(name, data["viewCount"]) for name, data in updates] == [("view_update", count) for count in (1, 2, 3)]
        assert updates[0][1] == {"slug": "a", "viewCount": 1, "timestamp": "2027-01-15T08:00:00.000Z"}


async def test_nothing_that_leads_back_to_a_visitor_is_kept(monkeypatch, tmp_path) -> None:
    path = tmp_path / "rtlite.db"
    async with opened(monkeypatch, path) as blog:
        await blog.create_article("a", "T", "alice")
        await blog.view("a", "203.0.113.99\nMozilla/5.0 canary")
        await blog.react("a", "👍", "203.0.113.99\nMozilla/5.0 canary")
        first_salt = await blog.rows("SELECT salt FROM visit_salts")
        blog.clock.now += HOUR
        await blog.view("a", "someone else")
        assert first_salt[0] not in await blog.rows("SELECT salt FROM visit_salts")
        assert len(await blog.rows("SELECT * FROM visits")) == 1
        stored = path.read_bytes() + path.with_name("rtlite.db-wal").read_bytes()
    assert b"203.0.113.99" not in stored and b"canary" not in stored


async def test_counters_are_exact_under_fifty_concurrent_viewers(monkeypatch) -> None:
    async with opened(monkeypatch, blog_milestones=(10, 50, 100)) as blog:
        await blog.create_article("a", "T", "alice")
        async with trio.open_nursery() as nursery:
            for number in range(50):
                for _ in range(3):  # each comes back twice
                    nursery.start_soon(blog.view, "a", f"v{number}")
        assert (await blog.article("a"))["viewCount"] == 50
        counts = [data["viewCount"] for _, data in await blog.announced("article:a")]
        assert counts == list(range(1, 51))
        assert [data["milestone"] for _, data in await blog.announced("notifications:alice")] == [10, 50]


async def test_a_milestone_reaches_the_author_once(monkeypatch) -> None:
    async with opened(monkeypatch, blog_milestones=(2, 3)) as blog:
        await blog.create_article("a", "T", "alice")
        for number in range(5):
            await blog.view("a", f"v{number}")
        stamp = "2027-01-15T08:00:00.000Z"
        assert await blog.announced("notifications:alice") == [
            ("milestone", {"articleSlug": "a", "milestone": 2, "viewCount": 2, "timestamp": stamp}),
            ("milestone", {"articleSlug": "a", "milestone": 3, "viewCount": 3, "timestamp": stamp}),
        ]


async def test_milestones_may_be_switched_off(monkeypatch) -> None:
    async with opened(monkeypatch, blog_milestones=()) as blog:
        await blog.create_article("a", "T", "alice")
        await blog.view("a", "v")
        assert await blog.announced("notifications:alice") == []


async def test_what_concerns_no_article_is_refused_and_leaves_nothing(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        for call in (
            blog.view("none", "v"),
            blog.react("none", "👍", "user:u"),
            blog.comment("none", "a", "b"),
            blog.comments("none", ""),
        ):
            with pytest.raises(NotFound):
                await call
        assert await blog.rows("SELECT * FROM events") == []


# --- reactions


async def test_a_reaction_is_added_once_and_withdrawn_once(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "T", "alice")
        steps = [
            ("👍", "user:bob", False, {"👍": 1}, True),
            ("👍", "user:bob", False, {"👍": 1}, False),
            ("❤️", "user:bob", False, {"❤️": 1, "👍": 1}, True),
            ("👍", "address\nbrowser", False, {"❤️": 1, "👍": 2}, True),
            ("👍", "user:bob", True, {"❤️": 1, "👍": 1}, True),
            ("👍", "user:bob", True, {"❤️": 1, "👍": 1}, False),
            ("❤️", "user:bob", True, {"👍": 1}, True),
        ]
        for reaction, reactor, remove, counts, changed in steps:
            answer = await blog.react("a", reaction, reactor, remove=remove)
            assert answer == {"slug": "a", "reactions": counts, "changed": changed}
        assert (await blog.article("a"))["reactions"] == {"👍": 1}
        updates = [data["reactions"] for name, data in await blog.announced("article:a") if name == "reaction_update"]
        assert updates == [counts for _, _, _, counts, changed in steps if changed]
        told = await blog.announced("notifications:alice")
        assert [(name, data["reaction"], data["count"]) for name, data in told] == [
            ("article_reaction", "👍", 1),
            ("article_reaction", "❤️", 1),
            ("article_reaction", "👍", 2),
        ]


async def test_a_visitor_cannot_pose_as_a_user(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "T", "alice")
        await blog.react("a", "x", "user:bob")
        assert not (await blog.react("a", "x", "named\nuser:bob", remove=True))["changed"]


@pytest.mark.parametrize("reaction", ["", "two words", "x" * 33, "a\nb", 'a"b', "a\\b", "\x7f"])
async def test_a_reaction_is_a_short_word(reaction: str, monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "T", "alice")
        with pytest.raises(InvalidRequest, match="reaction"):
            await blog.react("a", reaction, "user:u")


async def test_an_article_has_64_kinds_of_reactions_at_most(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "A", "alice")
        for number in range(64):
            await blog.react("a", f"kind-{number}", "user:reader")
        with pytest.raises(Conflict):
            await blog.react("a", "one-more", "user:reader")
        assert len((await blog.article("a"))["reactions"]) == 64
        assert (await blog.react("a", "kind-0", "user:another"))["reactions"]["kind-0"] == 2


async def test_fifty_concurrent_reactions_are_counted_exactly(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "T", "alice")
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(blog.react, "a", "x", f"user:{number}")
        assert (await blog.article("a"))["reactions"] == {"x": 50}
        assert [data["reactions"]["x"] for _, data in await blog.announced("article:a")] == list(range(1, 51))


# --- comments and subscribers


async def test_a_comment_is_kept_and_told_to_the_author(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        await blog.create_article("a", "T", "alice")
        comment = await blog.comment("a", "Bob <b>", "Nice & good")
        assert comment["author"] == "Bob <b>" and comment["createdAt"] == "2027-01-15T08:00:00.000Z"
        assert (await blog.comments("a", ""))[0] == [comment]
        assert await blog.announced("notifications:alice") == [
            ("new_comment", {"articleSlug": "a", "comment": comment})
        ]
        for author, body in (("", "b"), ("a", ""), ("a" * 201, "b"), ("a", "b" * 10_001)):
            with pytest.raises(InvalidRequest):
                await blog.comment("a", author, body)


async def test_a_subscriber_is_added_once_and_told_to_the_owner(monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        subscriber, new = await blog.subscribe("alice", "Reader@EXAMPLE.com")
        assert (subscriber["email"], new) == ("Reader@example.com", True)
        assert (await blog.subscribe("alice", "Reader@example.com"))[1] is False
        assert (await blog.subscribe("bob", "Reader@example.com"))[1] is True
        assert await blog.announced("notifications:alice") == [("new_subscriber", {"subscriber": subscriber})]
        assert (await blog.subscribers("alice", ""))[0] == [subscriber]


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@",
        "@b.com",
        "a b@c.com",
        "a@b",
        "a@b..com",
        "a@-b.com",
        "a\n@b.com",
        "a@b.com\r\nBcc: x@y.z",
        "a@[127.0.0.1]",
        "\0@b.com",
    ],
)
async def test_what_is_no_address_is_refused(email: str, monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        with pytest.raises(InvalidRequest, match="email"):
            await blog.subscribe("alice", email)
        assert await blog.announced("notifications:alice") == []


@pytest.mark.parametrize(
    "email", ["a" * 1_000_000, "a@" + "b." * 400_000 + "com", "a@" + "ä" * 300_000 + ".com", '"' * 900_000]
)
async def test_a_giant_address_holds_nobody_up(email: str, monkeypatch) -> None:
    async with opened(monkeypatch) as blog:
        before = time.thread_time()
        with pytest.raises(InvalidRequest, match="email"):
            await blog.subscribe("alice", email)
        assert time.thread_time() - before < 0.05
