from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.endpoints.sockets import connected
from tests.servers import InProcess
from tests.transports.doors import post, serving, tcp

NOTE = {"userId": "ann", "type": "order_update", "title": "Order Shipped"}


async def backend_of(server: InProcess) -> Any:
    return server.http(await server.key("project", "p", write=True))


async def told(server: InProcess, channel: str) -> list[tuple[str, Any]]:
    items = (await (await server.operator()).get(f"/api/channels/{channel}/history")).json()["items"]
    return [(item["event"], item["data"]) for item in items]


async def test_the_backend_notifies_and_the_user_reads() -> None:
    async with serving() as server:
        for client in (await backend_of(server), await server.operator()):
            more = {"message": "Your order #1234 has been shipped.", "actionUrl": "/orders/1234"}
            made = await client.post("/notifications", json=NOTE | more)
            assert made.status_code == 201
            whole = made.json()
            assert whole == NOTE | more | {"id": whole["id"], "read": False, "createdAt": whole["createdAt"]}
            assert (await told(server, "notifications:ann"))[-1] == ("notification.new", whole)
            ann = server.http(server.token("ann"))
            assert (await ann.get("/notifications?limit=1")).json()["items"] == [whole]
            read = await ann.post(f"/notifications/{whole['id']}/read")
            assert (read.status_code, read.json()) == (200, whole | {"read": True})
            assert (await ann.get("/notifications?unread=true")).json() == {"items": [], "next": None, "unread": 0}
            announced = {"id": whole["id"], "userId": "ann", "unread": 0}
            assert (await told(server, "notifications:ann"))[-1] == ("notification.read", announced)


async def test_all_are_marked_as_read_at_once() -> None:
    async with serving() as server:
        client = await backend_of(server)
        for _ in range(3):
            await client.post("/notifications", json=NOTE)
        await client.post("/notifications", json=NOTE | {"userId": "bob"})
        ann = server.http(server.token("ann"))
        assert (await ann.get("/notifications")).json()["unread"] == 3
        for marked in (3, 0):
            assert (await ann.post("/notifications/read-all")).json() == {"read": marked}
        assert (await told(server, "notifications:ann"))[3:] == [
            ("notification.read_all", {"userId": "ann", "unread": 0})
        ]
        assert (await server.http(server.token("bob")).get("/notifications")).json()["unread"] == 1


async def test_to_notify_again_is_safe() -> None:
    async with serving() as server:
        client = await backend_of(server)
        first = await client.post("/notifications", json=NOTE | {"id": "n"})
        again = await client.post("/notifications", json=NOTE | {"id": "n"})
        assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
        other = await client.post("/notifications", json=NOTE | {"id": "n", "userId": "bob"})
        assert (other.status_code, other.json()["code"]) == (409, "exists")


async def test_an_inbox_is_its_users_alone() -> None:
    async with serving() as server:
        await (await backend_of(server)).post("/notifications", json=NOTE | {"id": "n"})
        for secret in (
            server.token("bob"),
            server.token("bob", role="admin"),
            server.token("bob", subscribe=["*", "notifications:*"], publish=["*"]),
            await server.key("blog", "bob"),
            await server.key("project", "ann"),
            await server.key("stream", "ann"),
        ):
            client = server.http(secret)
            assert (await client.get("/notifications?userId=ann")).status_code == 403
            assert (await client.post("/notifications", json=NOTE)).status_code == 403
            for path in ("/notifications/n/read?userId=ann", "/notifications/read-all?userId=ann"):
                assert (await client.post(path)).status_code == 403
        for secret, user in ((server.token("bob"), "bob"), (await server.key("blog", "bob"), "bob")):
            client = server.http(secret)
            assert (await client.get("/notifications")).json()["items"] == []
            assert (await client.post("/notifications/n/read")).status_code == 404, user
            assert (await client.post("/notifications/read-all")).json() == {"read": 0}
        for path in ("/notifications/n/read", "/notifications/read-all", "/notifications"):
            assert (await server.http().post(path)).status_code == 401
        assert (await server.http(server.token("ann")).get("/notifications")).json()["unread"] == 1


async def test_who_may_read_an_inboxs_channel_may_see_the_inbox_and_mark_nothing() -> None:
    async with serving() as server:
        await (await backend_of(server)).post("/notifications", json=NOTE | {"id": "n"})
        helper = server.http(server.token("bob", subscribe=["notifications:ann"]))
        assert len((await helper.get("/notifications?userId=ann")).json()["items"]) == 1
        assert (await helper.post("/notifications/n/read?userId=ann")).status_code == 403


async def test_a_blog_keys_user_has_an_inbox_and_the_backend_has_everybodys() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        await backend.post("/notifications", json=NOTE | {"id": "n"})
        assert (await server.http(await server.key("blog", "ann")).get("/notifications")).json()["unread"] == 1
        missing = await backend.get("/notifications")
        assert (missing.status_code, missing.json()["detail"]) == (400, "userId: missing")
        assert (await backend.get("/notifications?userId=ann")).json()["unread"] == 1
        assert (await backend.post("/notifications/n/read?userId=ann")).json()["read"]
        assert (await backend.post("/notifications/n/read?userId=bob")).status_code == 404


async def test_an_inbox_keeps_so_many_and_comes_in_pages() -> None:
    async with serving(inbox_size=4, max_page=3) as server:
        client = await backend_of(server)
        ann = server.http(server.token("ann"))
        for id in "abcd":
            await client.post("/notifications", json=NOTE | {"id": id})
        await ann.post("/notifications/c/read")
        await client.post("/notifications", json=NOTE | {"id": "e"})
        first = (await ann.get("/notifications")).json()
        assert ([item["id"] for item in first["items"]], first["unread"]) == ([*"edb"], 4)
        second = (await ann.get(f"/notifications?after={first['next']}")).json()
        assert ([item["id"] for item in second["items"]], second["next"]) == (["a"], None)
        for query in ("limit=4", "limit=-1", "after=x", "unread=1", "userId=*"):
            refused = await ann.get(f"/notifications?{query}")
            assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (400, query.split("=")[0])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userId"),
        (NOTE | {"userId": 1}, "userId"),
        (NOTE | {"userId": "*"}, "userId"),
        (NOTE | {"type": ""}, "type"),
        (NOTE | {"title": None}, "title"),
        (NOTE | {"title": ""}, "title"),
        (NOTE | {"message": 5}, "message"),
        (NOTE | {"actionUrl": []}, "actionUrl"),
        (NOTE | {"title": "x" * 9000}, "title, message, actionUrl"),
        (NOTE | {"id": "a b"}, "id"),
    ],
)
async def test_what_is_wrong_with_a_notification_is_named(body: dict[str, Any], field: str) -> None:
    async with serving() as server:
        refused = await (await backend_of(server)).post("/notifications", json=body)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith(f"{field}:")


async def test_a_users_tabs_agree_on_what_is_read() -> None:
    async with serving() as server:
        client = await backend_of(server)
        token = server.token("ann")
        tabs = [await connected(server, "/ws", token) for _ in range(2)]
        for tab in tabs:
            await tab.ask("ping")
        await client.post("/notifications", json=NOTE | {"id": "n"})
        await server.http(token).post("/notifications/n/read")
        with trio.fail_after(5):
            for tab in tabs:
                assert [(await tab.hear())["type"] for _ in range(2)] == ["notification.new", "notification.read"]


async def test_to_notify_takes_the_lean_lane_and_counts_as_publishing() -> None:
    async with serving(publish_rate=1) as server:
        key = await server.key("project", "p", write=True)
        peer = await tcp(server)
        for status in (201, 429):
            await peer.send(post("/notifications", NOTE, X_Api_Key=key))
            assert (await peer.answer()).status == status
        metrics = (await (await server.operator()).get("/metrics")).text
        assert 'lane="lean",status="201"} 1.0' in metrics
