from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio

from rtlite.store import jobs as tables
from tests.endpoints.sockets import connected
from tests.servers import InProcess
from tests.transports.doors import head, post, serving, tcp


async def backend_of(server: InProcess) -> Any:
    return server.http(await server.key("project", "p", write=True))


async def told(server: InProcess, channel: str) -> list[tuple[str, Any]]:
    items = (await (await server.operator()).get(f"/api/channels/{channel}/history")).json()["items"]
    return [(item["event"], item["data"]) for item in items]


async def ids(client: Any, query: str = "") -> list[str]:
    answer = await client.get(f"/jobs{query}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


async def test_a_jobs_life_over_http() -> None:
    async with serving() as server:
        for client in (await backend_of(server), await server.operator()):
            made = await client.post("/jobs", json={"type": "import", "userId": "ann"})
            assert made.status_code == 201
            job = made.json()
            assert list(job) == [
                "id", "type", "status", "progress", "userId", "result", "error", "createdAt", "updatedAt",
            ]  # fmt: skip
            assert (job["type"], job["status"], job["progress"], job["userId"]) == ("import", "pending", None, "ann")
            path = f"/jobs/{job['id']}"
            running = await client.patch(path, json={"progress": 40})
            assert (running.status_code, running.json()["status"], running.json()["progress"]) == (200, "running", 40)
            done = (await client.patch(path, json={"status": "completed", "result": {"imported": 120}})).json()
            assert (done["progress"], done["result"]) == (100, {"imported": 120})
            assert (await client.get(path)).json() == done
            assert [name for name, _ in await told(server, f"jobs:{job['id']}")] == [
                "job.created",
                "job.progress",
                "job.completed",
            ]
            assert (await told(server, f"jobs:{job['id']}"))[-1][1] == done
            late = await client.patch(path, json={"progress": 50})
            assert (late.status_code, late.json()["code"]) == (409, "job_over")


async def test_the_end_of_a_job_is_in_its_users_inbox() -> None:
    async with serving() as server:
        client = await backend_of(server)
        await client.post("/jobs", json={"type": "import", "userId": "ann", "id": "j"})
        await client.patch("/jobs/j", json={"status": "failed", "error": "the file is empty"})
        listed = (await server.http(server.token("ann")).get("/notifications")).json()
        assert listed["unread"] == 1
        [notification] = listed["items"]
        assert (notification["type"], notification["title"]) == ("job_failed", "import: failed")
        assert (notification["message"], notification["actionUrl"]) == ("the file is empty", "/jobs/j")


async def test_to_create_a_job_again_is_safe() -> None:
    async with serving() as server:
        client = await backend_of(server)
        first = await client.post("/jobs", json={"type": "import", "id": "j"})
        again = await client.post("/jobs", json={"type": "import", "id": "j"})
        assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
        other = await client.post("/jobs", json={"type": "export", "id": "j"})
        assert (other.status_code, other.json()["code"]) == (409, "exists")


async def test_nobody_but_the_backend_makes_or_changes_jobs() -> None:
    async with serving() as server:
        await (await backend_of(server)).post("/jobs", json={"type": "import", "userId": "ann", "id": "j"})
        for secret in (
            server.token("ann"),
            server.token("ann", role="admin"),
            server.token("ann", publish=["*"], subscribe=["*"]),
            await server.key("project", "ann"),
            await server.key("blog", "ann"),
            await server.key("stream", "ann"),
        ):
            client = server.http(secret)
            assert (await client.post("/jobs", json={"type": "import"})).status_code == 403
            assert (await client.patch("/jobs/j", json={"progress": 1})).status_code == 403
        assert (await server.http().post("/jobs", json={"type": "import"})).status_code == 401
        assert await ids(await server.operator()) == ["j"]
        assert [name for name, _ in await told(server, "jobs:j")] == ["job.created"]


async def test_users_see_their_own_jobs_and_editors_and_the_project_see_all() -> None:
    async with serving() as server:
        client = await backend_of(server)
        for id, user in (("a", "ann"), ("b", "bob"), ("c", None), ("d", "ann")):
            await client.post("/jobs", json={"type": "import", "userId": user, "id": id})
        ann = server.http(server.token("ann"))
        assert await ids(ann) == await ids(ann, "?userId=ann") == ["d", "a"]
        assert (await ann.get("/jobs?userId=bob")).status_code == 403
        assert (await ann.get("/jobs/a")).json()["userId"] == "ann"
        for other in ("b", "c", "none"):
            assert (await ann.get(f"/jobs/{other}")).status_code == 403
        for secret in (
            server.token("ed", role="collab"),
            server.token("ed", subscribe=["jobs:*"]),
            await server.key("project", "p"),
            await server.key("admin", "root"),
        ):
            everything = server.http(secret)
            assert await ids(everything) == [*"dcba"]
            assert await ids(everything, "?userId=bob") == ["b"]
            assert (await everything.get("/jobs/c")).status_code == 200
            assert (await everything.get("/jobs/none")).status_code == 404
        for secret in (await server.key("blog", "ann"), await server.key("stream", "ann")):
            assert (await server.http(secret).get("/jobs")).status_code == 403
            assert (await server.http(secret).get("/jobs/a")).status_code == 403


async def test_lists_are_filtered_and_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(max_page=3) as server:
        client = await backend_of(server)
        for id in "abcde":
            await client.post("/jobs", json={"type": "import", "id": id})
        await client.patch("/jobs/b", json={"status": "running"})
        assert await ids(client, "?status=running") == ["b"]
        first = (await client.get("/jobs")).json()
        assert [job["id"] for job in first["items"]] == [*"edc"]
        second = (await client.get(f"/jobs?after={first['next']}&limit=2")).json()
        assert ([job["id"] for job in second["items"]], second["next"]) == ([*"ba"], None)
        for query in ("limit=4", "limit=0", "limit=x", "after=x", "status=done"):
            refused = await client.get(f"/jobs?{query}")
            assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (400, query.split("=")[0])
        monkeypatch.setattr(tables, "PAGE_BYTES", 8)
        for id in "de":
            await client.patch(f"/jobs/{id}", json={"result": "12345"})
        cut = (await client.get("/jobs")).json()
        assert [job["id"] for job in cut["items"]] == ["e"]
        assert await ids(client, f"?after={cut['next']}") == [*"dcb"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": 5}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": "import", "userId": "*"}, "userId"),
        ({"type": "import", "id": "*"}, "id"),
    ],
)
async def test_what_is_wrong_with_a_new_job_is_named(body: dict[str, Any], field: str) -> None:
    async with serving() as server:
        refused = await (await backend_of(server)).post("/jobs", json=body)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith(f"{field}:")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"progress": 101}, "progress"),
        ({"progress": True}, "progress"),
        ({"progress": "40"}, "progress"),
        ({"status": "done"}, "status"),
        ({"status": 1}, "status"),
        ({"error": {}}, "error"),
        ({"result": "x" * 70_000}, "result, error"),
    ],
)
async def test_what_is_wrong_with_a_change_is_named(body: dict[str, Any], field: str) -> None:
    async with serving() as server:
        client = await backend_of(server)
        await client.post("/jobs", json={"type": "import", "id": "j"})
        refused = await client.patch("/jobs/j", json=body)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith(f"{field}:")
        assert (await client.patch("/jobs/none", json={"progress": 1})).status_code == 404


# --- own jobs, at every door


async def test_a_user_reads_its_own_job_at_every_door_and_nobody_elses() -> None:
    async with serving() as server:
        client = await backend_of(server)
        for id, user in (("a", "ann"), ("b", "bob")):
            await client.post("/jobs", json={"type": "import", "userId": user, "id": id})
        token = server.token("ann")
        ann = server.http(token)
        for channel, allowed in (("jobs:a", True), ("jobs:b", False), ("jobs:c", False), ("jobs:*", False)):
            for path in ("/ws", "/_events"):
                socket = await connected(server, path, token)
                answer = await socket.ask("subscribe", channel=channel)
                assert (answer["type"] == "subscribed") == allowed, answer
            stream = await tcp(server)
            await stream.send(head(f"GET /sse/{channel}", Authorization=f"Bearer {token}"))
            assert (await stream.answer(streaming=True)).status == (200 if allowed else 403)
            if channel != "jobs:*":
                status = 200 if allowed else 403
                assert (await ann.get(f"/api/channels/{channel}/history")).status_code == status
                assert (await ann.get(f"/api/channels/{channel}/presence")).status_code == status
        refused = await connected(server, "/ws", token)
        assert (await refused.ask("publish", channel="jobs:a", event="job.progress", payload={}))["type"] == "error"


async def test_a_user_hears_how_its_job_goes_on_and_is_told_of_the_end() -> None:
    async with serving() as server:
        client = await backend_of(server)
        await client.post("/jobs", json={"type": "import", "userId": "ann", "id": "j"})
        socket = await connected(server, "/ws", server.token("ann"))
        assert (await socket.ask("subscribe", channel="jobs:j"))["type"] == "subscribed"
        await client.patch("/jobs/j", json={"progress": 40})
        await client.patch("/jobs/j", json={"status": "completed"})
        with trio.fail_after(5):
            heard = [await socket.hear() for _ in range(3)]
        assert [(event["channel"], event["type"]) for event in heard] == [
            ("jobs:j", "job.progress"),
            ("jobs:j", "job.completed"),
            ("notifications:ann", "notification.new"),
        ]


async def test_a_user_hears_no_more_of_a_job_that_is_forgotten_and_its_stream_ends() -> None:
    async with serving(job_count=0) as server:
        client = await backend_of(server)
        await client.post("/jobs", json={"type": "import", "userId": "ann", "id": "j"})
        token = server.token("ann")
        socket = await connected(server, "/_events", token)
        assert (await socket.ask("subscribe", channel="jobs:j"))["type"] == "subscribed"
        stream = await tcp(server)
        await stream.send(head("GET /sse/jobs:j", Authorization=f"Bearer {token}"))
        await stream.until(b"event: connected")
        await client.patch("/jobs/j", json={"status": "cancelled"})
        await server.running.server.hub.sweeper.sweep()
        with trio.fail_after(5):
            assert (await socket.hear())["event"] == "job.cancelled"
            assert await socket.answer() == {"type": "unsubscribed", "channel": "jobs:j", "reason": "unauthorized"}
            assert b"event: closed" in await stream.ended()
        await client.post("/jobs", json={"type": "import", "userId": "bob", "id": "j"})
        assert (await socket.ask("subscribe", channel="jobs:j"))["type"] == "error"
        assert (await server.http(token).get("/api/channels/jobs:j/history")).status_code == 403


# --- the lean lane


async def test_what_is_hot_takes_the_lean_lane() -> None:
    async with serving() as server:
        key = await server.key("project", "p", write=True)
        peer = await tcp(server)
        await peer.send(post("/jobs", {"type": "import", "id": "j"}, X_Api_Key=key))
        assert (await peer.answer()).status == 201
        body = orjson.dumps({"progress": 40})
        await peer.send(head("PATCH /jobs/j", Content_Length=str(len(body)), X_Api_Key=key) + body)
        answer = await peer.answer()
        assert (answer.status, answer.json["progress"]) == (200, 40)
        assert "x-ratelimit-limit" in answer.headers  # it counts towards the publish rate
        metrics = (await (await server.operator()).get("/metrics")).text
        assert 'lane="lean",status="200"} 1.0' in metrics
        assert 'lane="lean",status="201"} 1.0' in metrics
