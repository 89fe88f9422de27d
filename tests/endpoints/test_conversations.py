from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.endpoints.sockets import Client, connected
from tests.servers import InProcess
from tests.transports.doors import head, serving, tcp

MESSAGES = "/conversations/c/messages"


@asynccontextmanager
async def conversing(*members: str, **settings: Any) -> AsyncIterator[InProcess]:
    """A server with these members of conversation ``c``; who begins with ``-`` may only read."""
    async with serving(**settings) as server:
        backend = await server.operator()
        for member in members:
            path = f"/conversations/c/members/{member.removeprefix('-')}"
            assert (await backend.put(path, json={"write": not member.startswith("-")})).status_code == 201
        yield server


async def remove(server: InProcess, member: str) -> None:
    assert (await (await server.operator()).delete(f"/conversations/c/members/{member}")).status_code == 204


async def told(server: InProcess, channel: str) -> list[tuple[str, Any]]:
    items = (await (await server.operator()).get(f"/api/channels/{channel}/history")).json()["items"]
    return [(item["event"], item["data"]) for item in items]


# --- members


async def test_the_backend_adds_lists_and_removes_members() -> None:
    async with serving() as server:
        for backend in (await server.operator(), server.http(await server.key("project", "p", write=True))):
            added = await backend.put("/conversations/c/members/ann")
            assert added.status_code == 201
            assert added.json() == {"user": "ann", "write": True, "added": added.json()["added"]}
            changed = await backend.put("/conversations/c/members/ann", json={"write": False})
            assert (changed.status_code, changed.json()) == (200, {**added.json(), "write": False})
            listed = await backend.get("/conversations/c/members")
            assert listed.json() == {"items": [changed.json()], "next": None}
            for _ in range(2):
                assert (await backend.delete("/conversations/c/members/ann")).status_code == 204
            assert (await backend.get("/conversations/c/members")).json()["items"] == []


async def test_nobody_but_the_backend_manages_members() -> None:
    async with conversing("ann") as server:
        backend_ticket = (await (await server.operator()).post("/api/tickets")).json()["ticket"]
        assert (await server.http(backend_ticket).put("/conversations/c/members/bob")).status_code == 201
        secrets = [
            await server.key("blog", "ann"),
            await server.key("project", "ann"),
            await server.key("stream", "ann"),
            server.token("ann"),
            server.token("root", role="admin"),
            server.token("ann", publish=["*"], subscribe=["conversation:*"]),
        ]
        for secret in secrets:
            client = server.http(secret)
            assert (await client.put("/conversations/c/members/eve")).status_code == 403
            assert (await client.delete("/conversations/c/members/bob")).status_code == 403
        assert (await server.http().put("/conversations/c/members/eve")).status_code == 401
        listed = (await (await server.operator()).get("/conversations/c/members")).json()["items"]
        assert [member["user"] for member in listed] == ["ann", "bob"]


async def test_who_reads_a_conversation_sees_who_is_in_it() -> None:
    async with conversing("ann", "-bob") as server:
        for secret, status in (
            (server.token("ann"), 200),
            (server.token("bob"), 200),
            (server.token("cy", subscribe=["conversation:c"]), 200),
            (server.token("cy"), 403),
            (server.token("cy", role="admin"), 403),
            (await server.key("project", "ann"), 403),
            (await server.key("blog", "ann"), 403),
        ):
            assert (await server.http(secret).get("/conversations/c/members")).status_code == status


async def test_a_members_name_may_be_any_users() -> None:
    async with conversing("an%20n%2Fé") as server:
        listed = (await (await server.operator()).get("/conversations/c/members")).json()["items"]
        assert [member["user"] for member in listed] == ["an n/é"]
        assert (await server.http(server.token("an n/é")).get("/conversations/c/members")).status_code == 200


# --- messages


async def test_a_member_posts_as_itself() -> None:
    async with conversing("ann") as server:
        client = server.http(server.token("ann"))
        posted = await client.post(MESSAGES, json={"content": "Hello there!"})
        assert posted.status_code == 201
        assert list(posted.json()) == ["id", "channel", "offset", "epoch", "timestamp"]
        named = await client.post(MESSAGES, json={"content": "Again", "sender_id": "ann"})
        assert (named.status_code, named.json()["offset"]) == (201, 2)
        refused = await client.post(MESSAGES, json={"content": "x", "sender_id": "bob"})
        assert (refused.status_code, refused.json()["detail"]) == (403, "sender_id: a user posts as itself")
        assert await told(server, "conversation:c") == [
            ("chat_message", {"conversation_id": "c", "sender_id": "ann", "content": "Hello there!"}),
            ("chat_message", {"conversation_id": "c", "sender_id": "ann", "content": "Again"}),
        ]


async def test_the_backend_says_whose_message_it_is_and_needs_no_members() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "p", write=True))
        assert (await backend.post(MESSAGES, json={"content": "x"})).json()["detail"] == "sender_id: missing"
        assert (await backend.post(MESSAGES, json={"content": "x", "sender_id": "user-456"})).status_code == 201
        ((_, data),) = await told(server, "conversation:c")
        assert data["sender_id"] == "user-456"


async def test_who_may_not_post_is_refused_and_nothing_is_stored() -> None:
    async with conversing("-bob") as server:
        for secret in (
            server.token("bob"),
            server.token("cy"),
            server.token("cy", role="admin"),
            await server.key("blog", "bob"),
            await server.key("project", "bob"),
            await server.key("stream", "bob"),
        ):
            body = {"content": "x", "sender_id": "bob"} if not secret.startswith("ey") else {"content": "x"}
            assert (await server.http(secret).post(MESSAGES, json=body)).status_code == 403
        assert (await server.http().post(MESSAGES, json={"content": "x"})).status_code == 401
        assert await told(server, "conversation:c") == []


async def test_the_same_id_again_is_the_same_message() -> None:
    async with conversing("ann") as server:
        client = server.http(server.token("ann"))
        first = await client.post(MESSAGES, json={"content": "x", "id": "m1"})
        again = await client.post(MESSAGES, json={"content": "x", "id": "m1"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert len(await told(server, "conversation:c")) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [({}, "content"), ({"content": ""}, "content"), ({"content": 5}, "content"), ({"content": "x", "id": ""}, "id")],
)
async def test_a_message_that_is_none_names_the_field(body: dict[str, Any], complaint: str) -> None:
    async with conversing("ann") as server:
        answer = await server.http(server.token("ann")).post(MESSAGES, json=body)
        assert answer.status_code == 400 and answer.json()["detail"].startswith(complaint)


async def test_a_member_publishes_to_its_conversation_like_to_any_channel_but_never_as_another() -> None:
    async with conversing("ann", "-bob") as server:
        ann, bob = server.http(server.token("ann")), server.http(server.token("bob"))
        typing = {"channel": "conversation:c", "event": "typing"}
        assert (await ann.post("/api/publish", json=typing)).status_code == 201
        assert (await bob.post("/api/publish", json=typing)).status_code == 403
        forged = {"channel": "conversation:c", "event": "chat_message", "data": {"sender_id": "bob", "content": "x"}}
        assert (await ann.post("/api/publish", json=forged)).status_code == 403
        assert (await ann.post("/api/publish/batch", json={"events": [typing, forged]})).status_code == 403
        assert (await ann.post("/api/publish/batch", json={"events": [typing, typing]})).status_code == 201
        assert [name for name, _ in await told(server, "conversation:c")] == ["typing"] * 3


# --- what a membership opens, and what its end closes


@pytest.mark.parametrize("path", ["/ws", "/_events"])
async def test_a_member_hears_what_is_said_from_where_it_left_off(path: str) -> None:
    async with conversing("-bob") as server:
        backend = await server.operator()
        for content in ("missed", "heard"):
            await backend.post(MESSAGES, json={"content": content, "sender_id": "ann"})
        history = (await server.http(server.token("bob")).get("/api/channels/conversation:c/history")).json()["items"]
        client = await connected(server, path, server.token("bob"))
        since = f"{history[0]['epoch']}-{history[0]['offset']}"
        assert (await client.ask("subscribe", channel="conversation:c", since=since))["type"] == "subscribed"
        event = await client.hear()
        assert event["data"] == {"conversation_id": "c", "sender_id": "ann", "content": "heard"}


@pytest.mark.parametrize("path", ["/ws", "/_events"])
async def test_who_is_removed_hears_nothing_that_is_said_afterwards(path: str) -> None:
    async with conversing("bob", "cy") as server:
        backend = await server.operator()
        bob, cy = [await connected(server, path, server.token(user)) for user in ("bob", "cy")]
        for client in (bob, cy):
            await client.ask("subscribe", channel="conversation:c")
        await remove(server, "bob")
        await backend.post(MESSAGES, json={"content": "he is gone", "sender_id": "cy"})
        ended = await bob.answer()
        assert (ended["type"], ended["channel"], ended["reason"]) == ("unsubscribed", "conversation:c", "unauthorized")
        assert (await bob.ask("ping"))["type"] == "pong"  # the connection lasts, and nothing came before
        assert (await bob.ask("subscribe", channel="conversation:c"))["code"] == "unauthorized"
        assert (await cy.hear())["data"]["content"] == "he is gone"


@pytest.mark.parametrize("path", ["/sse/conversation:c?", "/sse?channel=article:a&channel=conversation:c&"])
async def test_a_stream_of_who_is_removed_ends_and_says_why(path: str) -> None:
    async with conversing("bob") as server:
        peer = await tcp(server)
        await peer.send(head(f"GET {path}presence=1&token={server.token('bob')}"))
        await peer.until(b"event: connected\n")
        await remove(server, "bob")
        await (await server.operator()).post(MESSAGES, json={"content": "he is gone", "sender_id": "cy"})
        rest = await peer.ended()
        present = await (await server.operator()).get("/api/channels/conversation:c/presence")
        assert present.json()["items"] == []
        assert b"event: closed\n" in rest and b'"code":"forbidden"' in rest and b"gone" not in rest
        again = await tcp(server)
        await again.send(head(f"GET {path}token={server.token('bob')}"))
        assert (await again.answer()).status == 403  # at which an EventSource gives up


async def test_who_is_removed_is_not_there_any_more_and_does_not_see_who_is() -> None:
    async with conversing("bob", "cy") as server:
        bob, cy = [await connected(server, "/_events", server.token(user)) for user in ("bob", "cy")]
        await cy.ask("subscribe", channel="conversation:c", presence="watch")
        await bob.ask("subscribe", channel="conversation:c", presence=True)
        await remove(server, "bob")
        while (left := await cy.hear()).get("action") != "leave":
            pass
        assert left["member"]["user"] == "bob"
        await cy.ask("presence", channel="conversation:c", action="join")
        while (message := await bob.hear())["type"] != "unsubscribed":
            assert message.get("member", {}).get("user") != "cy"
        assert (await bob.ask("ping"))["type"] == "pong"
        assert (await bob.ask("presence", channel="conversation:c", action="list"))["code"] == "unauthorized"
        assert (await bob.ask("presence", channel="conversation:c", action="join"))["type"] == "error"


async def test_who_is_removed_reads_no_history_and_posts_no_more() -> None:
    async with conversing("bob") as server:
        await remove(server, "bob")
        client = server.http(server.token("bob"))
        assert (await client.get("/api/channels/conversation:c/history")).status_code == 403
        assert (await client.post(MESSAGES, json={"content": "x"})).status_code == 403


async def test_a_poll_that_waits_while_its_user_is_removed_gets_nothing() -> None:
    async with conversing("bob") as server:
        client, backend = server.http(server.token("bob")), await server.operator()
        answers = []

        async def poll() -> None:
            answers.append(await client.get("/api/channels/conversation:c/history?wait=10s"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            with trio.fail_after(5):
                while "conversation:c" not in server.running.server.hub.fanout.topics:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            await remove(server, "bob")
            await backend.post(MESSAGES, json={"content": "he is gone", "sender_id": "cy"})
        assert answers[0].status_code == 403 and "gone" not in answers[0].text


async def test_a_right_that_is_taken_away_while_a_subscription_begins_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal comes between the look at the rights and the entry in the list where it looks."""
    async with serving() as server:
        asked = []

        async def may_read(identity: object, channel: str) -> bool:
            asked.append(channel)
            return len(asked) == 1

        monkeypatch.setattr(server.running.server.access, "may_read", may_read)
        peer = await tcp(server)
        await peer.upgrade("/blog/ws/articles/a?token=" + await server.key("blog", "ann"))
        assert await peer.close_code() == 4403
        asked.clear()
        client = Client(await tcp(server), "/_events")
        await client.peer.upgrade("/_events?token=" + server.token("ann"))
        assert (await client.ask("subscribe", channel="conversation:c"))["code"] == "unauthorized"


# --- status


async def test_a_status_is_an_event_on_the_channel_of_what_has_it() -> None:
    async with serving() as server:
        update = {"entity_type": "task", "entity_id": "task-789", "status": "completed"}
        posted = await server.http(await server.key("project", "p", write=True)).post("/status", json=update)
        assert (posted.status_code, posted.json()["channel"]) == (201, "task:task-789")
        assert await told(server, "task:task-789") == [("status_update", update)]


async def test_a_status_is_told_by_who_may_publish_there() -> None:
    async with conversing("ann") as server:
        update = {"entity_type": "task", "entity_id": "1", "status": "done"}
        for secret, status in (
            (await server.key("admin", "a"), 201),
            (server.token("ann", publish=["task:1"]), 201),
            (server.token("ann", publish=["task:2"]), 403),
            (server.token("ann", role="admin"), 403),
            (await server.key("blog", "ann"), 403),
            (await server.key("project", "ann"), 403),
            (await server.key("stream", "ann"), 403),
        ):
            assert (await server.http(secret).post("/status", json=update)).status_code == status
        assert (await server.http().post("/status", json=update)).status_code == 401
        of_conversation = {**update, "entity_type": "conversation", "entity_id": "c"}
        assert (await server.http(server.token("ann")).post("/status", json=of_conversation)).status_code == 201


@pytest.mark.parametrize("field", ["entity_type", "entity_id", "status"])
async def test_a_status_that_is_none_names_the_field(field: str) -> None:
    async with serving() as server:
        update: dict[str, Any] = {"entity_type": "task", "entity_id": "1", "status": "done"}
        for wrong in ({**update, field: ""}, {**update, field: 5}, {k: v for k, v in update.items() if k != field}):
            answer = await (await server.operator()).post("/status", json=wrong)
            assert answer.status_code == 400 and answer.json()["detail"].startswith(field)
