"""The blog's doors: who may do what, and what its WebSockets say. The source text's payloads are quoted in full."""

from __future__ import annotations

from urllib.parse import unquote

import orjson
import pytest
import trio

from rtlite.settings import KindSettings
from tests.servers import InProcess, running_server
from tests.transports.doors import CLOSE, Peer, frame, handshake, serving, tcp


async def with_article(server: InProcess, slug: str = "my-first-post", author: str = "alice") -> str:
    """Make an author and an article; returns the author's key."""
    key = await server.key("blog", author)
    answer = await server.http(key).post("/blog/v1/articles", json={"slug": slug, "title": "My First Post"})
    assert answer.status_code == 201, answer.text
    return key


async def open_socket(server: InProcess, path: str, channel: str, count: int = 1) -> Peer:
    peer = await tcp(server)
    assert (await peer.upgrade(path)).status == 101
    await server.subscribed(channel, count)
    return peer


async def said(peer: Peer) -> dict:
    return orjson.loads(await peer.text())


async def test_every_event_of_the_source_text_reaches_its_reader() -> None:
    async with serving(blog_milestones=(1,)) as server:
        key = await with_article(server)
        author = server.http(key)
        inbox = await open_socket(server, f"/blog/ws/notifications?token={key}", "notifications:alice")
        article = await open_socket(
            server, f"/blog/ws/articles/my-first-post?token={server.token('reader')}", "article:my-first-post"
        )
        path = "/blog/v1/articles/my-first-post"

        await author.post("/blog/v1/subscribers", json={"email": "reader@example.com"})
        event = await said(inbox)
        assert event == {
            "type": "new_subscriber",
            "subscriber": {"email": "reader@example.com", "subscribed_at": event["subscriber"]["subscribed_at"]},
        }

        await author.post(f"{path}/comments", json={"author": "reader123", "body": "Great article!"})
        event = await said(inbox)
        assert event["type"] == "new_comment" and event["articleSlug"] == "my-first-post"
        assert set(event["comment"]) == {"id", "body", "author", "createdAt"}
        assert (event["comment"]["author"], event["comment"]["body"]) == ("reader123", "Great article!")

        await author.post(f"{path}/reactions", json={"reaction": "👍"})
        event = await said(inbox)
        assert (event["type"], event["articleSlug"], event["reaction"]) == ("article_reaction", "my-first-post", "👍")
        event = await said(article)
        assert (event["type"], event["slug"], event["reactions"]) == ("reaction_update", "my-first-post", {"👍": 1})

        await server.http().post(f"{path}/views")
        event = await said(article)
        assert (event["type"], event["slug"], event["viewCount"]) == ("view_update", "my-first-post", 1)
        assert event["timestamp"].endswith("Z")
        event = await said(inbox)
        assert (event["type"], event["milestone"], event["viewCount"]) == ("milestone", 1, 1)


async def test_the_authors_events_are_the_authors_alone() -> None:
    async with serving() as server:
        key = await with_article(server)
        other = await server.key("blog", "bob")
        mine = await open_socket(server, f"/blog/ws/notifications?token={key}", "notifications:alice")
        his = await open_socket(server, f"/blog/ws/notifications?token={other}", "notifications:bob")
        await server.http(key).post("/blog/v1/articles/my-first-post/comments", json={"author": "r", "body": "x"})
        assert (await said(mine))["type"] == "new_comment"
        await server.http(other).post("/blog/v1/subscribers", json={"email": "r@example.com"})
        assert (await said(his))["type"] == "new_subscriber"  # the first thing he hears


@pytest.mark.parametrize("kind", ["project", "stream"])
async def test_other_kinds_of_keys_are_let_in_nowhere_here(kind: str) -> None:
    async with serving() as server:
        key = await server.key(kind, "alice")
        for path in ("/blog/ws/notifications", "/blog/ws/articles/a"):
            peer = await tcp(server)
            await peer.upgrade(f"{path}?token={key}")
            assert await peer.close_code() == 4403


@pytest.mark.parametrize("slug", ["a%20b", "%C3%A9", "*", "x" * 300, "%00"])
async def test_a_slug_that_is_no_channel_is_closed_with_4403_and_the_words_of_the_rest_api(slug: str) -> None:
    async with serving() as server:
        peer = await tcp(server)
        await peer.upgrade(f"/blog/ws/articles/{slug}?token={await server.key('admin', 'root')}")
        opcode, payload = await peer.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 4403)
        told = await (await server.operator()).post("/blog/v1/articles", json={"slug": unquote(slug), "title": "T"})
        assert told.status_code == 400
        assert payload[2:].decode() == told.json()["detail"]


@pytest.mark.parametrize("user", ["*", "Ann Lee"])
async def test_a_user_whose_name_is_no_channels_is_closed_with_4403(user: str) -> None:
    """By the name ``*``, it would hear of everyone."""
    async with serving() as server:
        peer = await tcp(server)
        await peer.upgrade(f"/blog/ws/notifications?token={server.token(user)}")
        opcode, payload = await peer.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 4403)
        assert payload[2:].startswith(b"user: ")


async def test_a_slug_that_is_not_utf8_is_refused_before_the_handshake() -> None:
    async with serving() as server:
        peer = await tcp(server)
        await peer.send(handshake("/blog/ws/articles/%ff"))
        assert (await peer.answer()).code == "bad_request"


async def test_a_client_that_resumes_is_greeted_and_gets_what_it_missed() -> None:
    async with serving() as server:
        key = await with_article(server)
        author = server.http(key)
        for number in range(3):
            await author.post("/blog/v1/articles/my-first-post/comments", json={"author": "r", "body": f"{number}"})
        peer = await open_socket(server, f"/blog/ws/notifications?token={key}&since=1h", "notifications:alice")
        hello = await said(peer)
        assert (hello["type"], hello["recovered"]) == ("connected", True)
        events = [await said(peer) for _ in range(3)]
        assert [event["comment"]["body"] for event in events] == ["0", "1", "2"]
        again = await tcp(server)
        await again.upgrade(f"/blog/ws/notifications?token={key}&since={events[1]['position']}")
        assert await said(again) == {"type": "connected", "position": events[1]["position"], "recovered": True}
        assert await said(again) == events[2]
        lost = await tcp(server)
        await lost.upgrade(f"/blog/ws/notifications?token={key}&since=00000000-1")
        assert (await said(lost))["recovered"] is False
        assert (await said(lost))["comment"]["body"] == "0"


@pytest.mark.parametrize("since", ["a%20b", "", "x" * 65, "2020-13-45", "%00"])
async def test_a_since_that_cannot_be_read_is_closed_with_1008_and_is_no_fault(since: str, logs) -> None:
    async with serving() as server:
        key = await server.key("blog", "alice")
        peer = await tcp(server)
        await peer.upgrade(f"/blog/ws/notifications?token={key}&since={since}")
        assert await peer.close_code() == 1008
        assert server.running.server.metrics.faults._value.get() == 0
    assert not any("exc_info" in line for line in logs)


async def test_what_a_client_sends_is_read_and_ignored() -> None:
    async with serving() as server:
        key = await with_article(server)
        peer = await open_socket(server, f"/blog/ws/notifications?token={key}", "notifications:alice")
        await peer.send(frame("hello"), frame(b"\0", 2), frame("{"))
        await server.http(key).post("/blog/v1/articles/my-first-post/comments", json={"author": "r", "body": "x"})
        assert (await said(peer))["type"] == "new_comment"


async def test_a_client_that_floods_is_closed_with_1008() -> None:
    async with serving(command_rate=10, command_burst=20) as server:
        key = await server.key("blog", "alice")
        peer = await open_socket(server, f"/blog/ws/notifications?token={key}", "notifications:alice")
        await peer.send(frame("x") * 100)
        assert await peer.close_code() == 1008


async def test_a_dead_reader_on_a_channel_without_history_is_told_4408_when_it_reads_again() -> None:
    async with serving(channels={"article": KindSettings(history=False)}, outbox=65536) as server:
        admin = await server.key("admin", "root")
        peer = await tcp(server, receive_buffer=4096)
        await peer.upgrade(f"/blog/ws/articles/a?token={admin}")
        await server.subscribed("article:a")
        client = server.http(admin)
        dropped = server.running.server.metrics.dropped._value
        while not dropped.get():
            await client.post("/api/publish", json={"channel": "article:a", "event": "e", "data": "x" * 50_000})
        assert await peer.close_code() == 4408


# --- REST


async def test_who_may_write() -> None:
    async with running_server() as server:
        alice = await with_article(server)
        bob, admin = await server.key("blog", "bob"), await server.key("admin", "root")
        article = {"slug": "other", "title": "T"}
        for secret, body, status in [
            (None, article, 401),
            ("mbk_wrong", article, 401),
            (await server.key("project", "alice", write=True), article, 403),
            (await server.key("stream", "alice"), article, 403),
            (server.token("alice", role="admin"), article, 403),
            (bob, {**article, "author": "alice"}, 403),
            (bob, {**article, "author": "bob"}, 201),
            (bob, article, 409),
            (admin, {"slug": "third", "title": "T", "author": "alice"}, 201),
            (alice, {"slug": "my-first-post", "title": "T"}, 409),
        ]:
            answer = await server.http(secret).post("/blog/v1/articles", json=body)
            assert answer.status_code == status, (body, answer.text)
        assert (await server.http().get("/blog/v1/articles/other")).json()["author"] == "bob"
        for path, body in [
            ("/blog/v1/subscribers", {"email": "r@example.com"}),
            ("/blog/v1/articles/my-first-post/comments", {"author": "r", "body": "x"}),
        ]:
            assert (await server.http().post(path, json=body)).status_code == 401
            assert (await server.http(server.token("u")).post(path, json=body)).status_code == 403
        answer = await server.http(bob).post("/blog/v1/subscribers", json={"email": "r@example.com", "user": "alice"})
        assert answer.status_code == 403
        assert (await server.http(bob).get("/blog/v1/subscribers")).json()["items"] == []
        assert (await server.http().get("/blog/v1/subscribers")).status_code == 401


async def test_anyone_may_read_view_and_react() -> None:
    async with running_server() as server:
        await with_article(server)
        anyone, path = server.http(), "/blog/v1/articles/my-first-post"
        assert (await anyone.get("/blog/v1/articles")).json()["items"][0]["slug"] == "my-first-post"
        assert (await anyone.post(f"{path}/views", json={})).json()["viewCount"] == 1
        assert (await anyone.post(f"{path}/views")).json() == {
            "slug": "my-first-post",
            "viewCount": 1,
            "counted": False,
        }
        assert (await anyone.post(f"{path}/reactions", json={"reaction": "x"})).json()["reactions"] == {"x": 1}
        assert (await anyone.post(f"{path}/reactions", json={"reaction": "x"})).json()["changed"] is False
        removed = await anyone.post(f"{path}/reactions", json={"reaction": "x", "remove": True})
        assert removed.json()["reactions"] == {}
        assert (await anyone.get(f"{path}/comments")).json() == {"items": [], "next": None}
        assert (await anyone.post("/blog/v1/articles/none/views")).status_code == 404


async def test_browsers_at_one_address_are_different_visitors() -> None:
    async with running_server() as server:
        await with_article(server)
        for agent, count in (("a", 1), ("b", 2), ("a", 2)):
            answer = await server.http(user_agent=agent).post("/blog/v1/articles/my-first-post/views")
            assert answer.json()["viewCount"] == count


async def test_only_a_blogs_own_key_may_say_who_the_visitor_is() -> None:
    """Else anyone counts as any number of visitors."""
    async with running_server(anonymous_rate=1000) as server:
        key = await with_article(server)
        path = "/blog/v1/articles/my-first-post"

        async def views(client, query: str = "") -> int:
            for number in range(3):
                await client.post(f"{path}/views{query}", json={"visitor": f"v{number}"})
            return (await client.get(path)).json()["viewCount"]

        assert await views(server.http()) == 1
        assert await views(server.http(server.token("u"))) == 1
        assert await views(server.http(await server.key("project", "p"))) == 1
        for number in range(3):
            ticket = (await server.http().post(f"{path}/ticket")).json()["ticket"]
            await server.http(ticket).post(f"{path}/views", json={"visitor": f"v{number}"})
        assert (await server.http().get(path)).json()["viewCount"] == 1
        assert await views(server.http(key)) == 4


async def test_anonymous_visits_are_limited_per_address() -> None:
    async with running_server(anonymous_rate=5) as server:
        await with_article(server)
        client = server.http()
        answers = [await client.post("/blog/v1/articles/my-first-post/views") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].headers["x-ratelimit-limit"] == "5"
        assert (await client.get("/blog/v1/articles/my-first-post")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/blog/v1/articles", {"title": "T"}, "slug"),
        ("/blog/v1/articles", {"slug": 5, "title": "T"}, "slug"),
        ("/blog/v1/articles", {"slug": "a"}, "title"),
        ("/blog/v1/articles", [], "object"),
        ("/blog/v1/articles/my-first-post/reactions", {}, "reaction"),
        ("/blog/v1/articles/my-first-post/reactions", {"reaction": "x", "remove": "yes"}, "remove"),
        ("/blog/v1/articles/my-first-post/comments", {"author": "a"}, "body"),
        ("/blog/v1/articles/my-first-post/views", {"visitor": 5}, "visitor"),
        ("/blog/v1/subscribers", {}, "email"),
        ("/blog/v1/subscribers", {"email": "no address"}, "email"),
    ],
)
async def test_a_malformed_body_is_400_and_names_the_field(path: str, body, field: str) -> None:
    async with running_server() as server:
        answer = await server.http(await with_article(server)).post(path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert field in answer.json()["detail"]


async def test_pages_of_any_origin_may_read_and_count_but_not_write() -> None:
    async with running_server() as server:
        key = await with_article(server)
        page = server.http(origin="https://any.example")
        path = "/blog/v1/articles/my-first-post"
        for method, url in [
            ("GET", path),
            ("POST", f"{path}/views"),
            ("POST", f"{path}/ticket"),
            ("GET", "/blog/embed.js"),
        ]:
            answer = await page.request(method, url)
            assert answer.is_success and answer.headers["access-control-allow-origin"] == "*", url
        answer = await page.post("/blog/v1/subscribers", json={"email": "r@e.com"}, headers={"X-Api-Key": key})
        assert "access-control-allow-origin" not in answer.headers


# --- article tickets


async def test_an_anonymous_ticket_opens_that_article_and_nothing_else() -> None:
    async with serving() as server:
        await with_article(server)
        await with_article(server, "other", "bob")

        async def ticket() -> str:
            answer = await server.http().post("/blog/v1/articles/my-first-post/ticket")
            assert (answer.status_code, answer.json()["expiresIn"]) == (201, 30)
            return answer.json()["ticket"]

        for path in ("/blog/ws/articles/other", "/blog/ws/notifications"):
            peer = await tcp(server)
            await peer.upgrade(f"{path}?token={await ticket()}")
            assert await peer.close_code() == 4403
        assert (await server.http(await ticket()).get("/api/channels/article:other/history")).status_code == 403
        assert (await server.http(await ticket()).get("/api/channels/article:my-first-post/history")).status_code == 200
        peer = await open_socket(
            server, f"/blog/ws/articles/my-first-post?token={await ticket()}", "article:my-first-post"
        )
        await server.http().post("/blog/v1/articles/my-first-post/views")
        assert (await said(peer))["type"] == "view_update"
        assert (await server.http().post("/blog/v1/articles/none/ticket")).status_code == 404


@pytest.mark.parametrize("kind", ["blog", "admin"])
async def test_an_article_ticket_of_a_key_is_no_key(kind: str) -> None:
    """It stands in a page's URL, and must not write in the author's name."""
    async with running_server() as server:
        key = await with_article(server)
        if kind == "admin":
            key = await server.key("admin", "root")

        async def ticket() -> str:
            return (await server.http(key).post("/blog/v1/articles/my-first-post/ticket")).json()["ticket"]

        for method, path, body in [
            ("POST", "/blog/v1/articles", {"slug": "x", "title": "T"}),
            ("POST", "/blog/v1/articles/my-first-post/comments", {"author": "a", "body": "b"}),
            ("POST", "/blog/v1/subscribers", {"email": "r@example.com"}),
            ("GET", "/blog/v1/subscribers", None),
            ("POST", "/api/publish", {"channel": "article:my-first-post", "event": "e"}),
            ("POST", "/api/tickets", None),
            ("GET", "/api/keys", None),
            ("POST", "/api/tokens", {"user": "u"}),
        ]:
            answer = await server.http(await ticket()).request(method, path, json=body)
            assert answer.status_code == 403, (path, answer.text)


async def test_a_hundred_concurrent_views_over_http_are_counted_exactly() -> None:
    async with running_server() as server:
        key = await with_article(server)
        client = server.http(key)
        path = "/blog/v1/articles/my-first-post"
        async with trio.open_nursery() as nursery:
            for number in range(50):
                for _ in range(2):
                    nursery.start_soon(lambda n=number: client.post(f"{path}/views", json={"visitor": f"v{n}"}))
        assert (await client.get(path)).json()["viewCount"] == 50
