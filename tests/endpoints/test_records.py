from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import trio
import trio.testing

from rtlite.model import Identity, Kind
from tests.endpoints.sockets import connected
from tests.servers import InProcess
from tests.transports.doors import head, post, serving, tcp

MUG = {"name": "Blue mug", "price": 12.5, "stock": 40}


async def backend_of(server: InProcess) -> httpx.AsyncClient:
    return server.http(await server.key("project", "p", write=True))


async def told(server: InProcess, model: str = "product") -> list[tuple[str, Any]]:
    items = (await (await server.operator()).get(f"/api/channels/changes:{model}/history")).json()["items"]
    return [(item["event"], item["data"]) for item in items]


async def stocked(server: InProcess) -> httpx.AsyncClient:
    """A backend that has put ten products into the server."""
    backend = await backend_of(server)
    for number in range(10):
        data = {"name": f"n{number}", "price": number / 2, "kind": "ab"[number % 2], "code": str(number)}
        made = await backend.post(
            "/records/product", json={"data": data, "id": f"r{number}", "naturalKey": f"k{number}"}
        )
        assert made.status_code == 201
    return backend


async def ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/records/product?{query}")
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()["items"]]


# --- a record's life


async def test_a_records_life_over_http() -> None:
    async with serving() as server:
        for backend in (await backend_of(server), await server.operator()):
            made = await backend.post("/records/product", json={"naturalKey": "blue-mug", "data": MUG})
            record = made.json()
            assert (made.status_code, made.headers["etag"]) == (201, '"1"')
            assert list(record) == [
                "id", "modelKey", "naturalKey", "data", "version", "publishedVersion", "createdAt", "updatedAt",
            ]  # fmt: skip
            path = made.headers["location"]
            assert path == f"/records/product/{record['id']}"
            merged = await backend.patch(path, json={"data": {"price": 13, "stock": None}})
            assert (merged.status_code, merged.headers["etag"]) == (200, '"2"')
            assert merged.json()["data"] == {"name": "Blue mug", "price": 13}
            published = await backend.post(f"{path}/publish")
            assert (published.status_code, published.json()["publishedVersion"]) == (200, 2)
            replaced = await backend.put(path, json={"data": {"name": "Cup"}})
            assert replaced.json()["data"] == {"name": "Cup"}
            assert (await backend.get(path)).json() == replaced.json()
            shown = await backend.get(f"{path}?published=true")
            assert (shown.json()["data"], shown.headers["etag"]) == ({"name": "Blue mug", "price": 13}, '"2"')
            unpublished = await backend.post(f"{path}/unpublish")
            assert unpublished.json()["publishedVersion"] is None
            assert (await backend.get(f"{path}?published=true")).status_code == 404
            versions = (await backend.get(f"{path}/versions")).json()
            assert [item["version"] for item in versions["items"]] == [3, 2, 1]
            assert (await backend.get(f"{path}/versions/1")).json() == versions["items"][-1]
            assert (await backend.get(f"{path}/versions/4")).status_code == 404
            deleted = await backend.delete(path)
            assert (deleted.status_code, deleted.content) == (204, b"")
            assert (await backend.get(path)).json()["code"] == "not_found"
        names = ["CREATED", "UPDATED", "PUBLISHED", "UPDATED", "UNPUBLISHED", "DELETED"]
        assert [name for name, _ in await told(server)] == names * 2
        assert (await told(server))[0][1] == {"type": "CREATED", "record": (await told(server))[0][1]["record"]}
        assert (await told(server))[-1][1]["record"]["data"] == {"name": "Cup"}


@pytest.mark.parametrize("path", ["/ws", "/_events"])
async def test_who_listens_hears_of_a_change_and_resumes_after_one_it_missed(path: str) -> None:
    async with serving() as server:
        backend = await backend_of(server)
        client = await connected(server, path, server.token("ann"))
        await client.ask("subscribe", channel="changes:product")
        made = (await backend.post("/records/product", json={"data": MUG})).json()
        event = await client.hear()
        assert event["data"] == {"type": "CREATED", "record": made}
        position = (await (await server.operator()).get("/api/channels/changes:product/history")).json()["items"][0]
        await backend.patch(f"/records/product/{made['id']}", json={"data": {"price": 1}})
        late = await connected(server, path, server.token("bob"))
        await late.ask("subscribe", channel="changes:*", since="1h")
        assert [(await late.hear())["data"]["type"] for _ in range(2)] == ["CREATED", "UPDATED"]
        assert position["event"] == "CREATED"


async def test_an_id_or_natural_key_that_is_taken_is_told_apart() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        body = {"data": MUG, "id": "mug", "naturalKey": "blue-mug"}
        assert (await backend.post("/records/product", json=body)).status_code == 201
        again = await backend.post("/records/product", json=body)
        assert (again.status_code, again.json()["code"]) == (409, "exists")
        other = await backend.post("/records/product", json={**body, "id": "cup"})
        assert (other.status_code, other.json()["code"]) == (409, "natural_key_taken")
        assert len(await told(server)) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "data: missing"),
        ({"data": []}, "data: an object"),
        ({"data": "x"}, "data: an object"),
        ({"data": {}, "naturalKey": 5}, "naturalKey: a text"),
        ({"data": {}, "naturalKey": ""}, "naturalKey"),
        ({"data": {}, "id": "a/b"}, "id"),
        ({"data": {"a": "\0"}}, "data: a text or a name has a NUL"),
    ],
)
async def test_what_is_no_record_names_the_field(body: dict[str, Any], complaint: str) -> None:
    async with serving() as server:
        refused = await (await backend_of(server)).post("/records/product", json=body)
        assert refused.status_code == 400 and refused.json()["detail"].startswith(complaint), refused.text
        assert await told(server) == []


# --- which version is meant


async def test_a_change_for_another_version_is_refused_and_stores_nothing() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        await backend.post("/records/product", json={"data": MUG, "id": "r"})
        await backend.patch("/records/product/r", json={"data": {"price": 1}})
        path = "/records/product/r"
        for method, where in (
            ("PATCH", path),
            ("PUT", path),
            ("DELETE", path),
            ("POST", f"{path}/publish"),
            ("POST", f"{path}/unpublish"),
        ):
            body = {"data": {}} if method in {"PATCH", "PUT"} else {}
            outdated = await backend.request(method, where, json=body, headers={"If-Match": '"1"'})
            assert (outdated.status_code, outdated.json()["code"]) == (412, "version_conflict")
            in_body = await backend.request(method, f"{where}?version=1", json={**body, "version": 1})
            assert (in_body.status_code, in_body.json()["code"]) == (409, "version_conflict")
            assert in_body.json()["detail"] == "the record has version 2 by now"
            two = await backend.request(
                method, f"{where}?version=2", json={**body, "version": 2}, headers={"If-Match": '"1"'}
            )
            assert (two.status_code, two.json()["code"]) == (400, "invalid_request")
        assert [name for name, _ in await told(server)] == ["CREATED", "UPDATED"]


async def test_a_change_for_the_present_version_is_made() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        etag = (await backend.post("/records/product", json={"data": MUG, "id": "r"})).headers["etag"]
        etag = (await backend.patch("/records/product/r", json={"data": {}}, headers={"If-Match": etag})).headers[
            "etag"
        ]
        assert (await backend.put("/records/product/r", json={"data": {}, "version": 2})).status_code == 200
        assert (await backend.post("/records/product/r/publish", headers={"If-Match": '"3"'})).status_code == 200
        assert (await backend.post("/records/product/r/unpublish", headers={"If-Match": "*"})).status_code == 200
        assert (await backend.delete("/records/product/r?version=3", headers={"If-Match": '"3"'})).status_code == 204
        assert etag == '"2"'


@pytest.mark.parametrize(
    ("header", "status"),
    [("1", 400), ('"1", "2"', 400), ('"1', 400), ('W/"1"', 412), ('"x"', 412), ('""', 412), ('"-1"', 412)],
)
async def test_an_if_match_that_names_no_version_changes_nothing(header: str, status: int) -> None:
    async with serving() as server:
        backend = await backend_of(server)
        await backend.post("/records/product", json={"data": MUG, "id": "r"})
        refused = await backend.delete("/records/product/r", headers={"If-Match": header})
        assert (refused.status_code, refused.json()["detail"].startswith("If-Match")) == (status, True)
        assert (await backend.get("/records/product/r")).status_code == 200


# --- lists


async def test_a_list_comes_page_by_page() -> None:
    async with serving() as server:
        backend = await stocked(server)
        seen, query = [], "limit=4"
        while True:
            answer = (await backend.get(f"/records/product?{query}")).json()
            seen.append([record["id"] for record in answer["items"]])
            if answer["next"] is None:
                break
            query = f"limit=4&after={quote(answer['next'])}"
        assert seen == [["r0", "r1", "r2", "r3"], ["r4", "r5", "r6", "r7"], ["r8", "r9"]]
        assert (await backend.get("/records/nothing-yet")).json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[price][gt]=3.5", "r8 r9"),
        ("filter[data.price][gte]=1&filter[data.price][lt]=2", "r2 r3"),
        ("filter[kind]=b&filter[price][lte]=1.5", "r1 r3"),
        ("filter[name][contains]=n9", "r9"),
        ('filter[name][contains]="9"', "r9"),
        ("filter[name][in]=n1,n2,none", "r1 r2"),
        ('filter[code][in]=["1","2",3]', "r1 r2"),
        ("filter[code]=4", ""),
        ('filter[code]="4"', "r4"),
        ("filter[kind][ne]=a&filter[price][gt]=3", "r7 r9"),
        ("filter[absent]=null&limit=2", "r0 r1"),
        ('filter={"price":{"gt":3.5}}', "r8 r9"),
        ('filter={"kind":"b"}&filter[price][gt]=3', "r7 r9"),
        ("orderBy=-price&limit=2", "r9 r8"),
        ("orderBy=-createdAt&limit=2", "r9 r8"),
        ("orderBy=data.name&limit=2", "r0 r1"),
        ("orderBy=-naturalKey&filter[kind]=a&limit=2", "r8 r6"),
        ("naturalKey=k3", "r3"),
        ("naturalKey=k33", ""),
        ("published=true", "r5"),
        ("published=true&filter[kind]=b", "r5"),
        ("published=true&naturalKey=k4", ""),
    ],
)
async def test_a_list_is_filtered_and_in_order(query: str, found: str) -> None:
    async with serving() as server:
        backend = await stocked(server)
        await backend.post("/records/product/r5/publish")
        encoded = quote(query, safe="=&-.")
        assert await ids(backend, encoded) == found.split()
        if "{" not in query and '"' not in query:  # as a browser's address bar sends it
            peer = await tcp(server)
            await peer.send(head(f"GET /records/product?{query}&token={server.token('ann')}"))
            answer = await peer.answer()
            assert [record["id"] for record in orjson.loads(answer.body)["items"]] == found.split()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("filter=5", "invalid_filter"),
        ("filter={", "invalid_filter"),
        ("filter[price]gt=5", "invalid_filter"),
        ("filter[price][above]=5", "invalid_filter"),
        ("filter[]=5", "invalid_filter"),
        ("filter.price=5", "invalid_filter"),
        ("filter[price][gt]=null", "invalid_filter"),
        ("filter[a b]=5", "invalid_filter"),
        ("filter[price][in]=[1", "invalid_filter"),
        ("orderBy=a b", "invalid_field"),
        ("orderBy=price; DROP TABLE records", "invalid_field"),
        ("after=x", "invalid_cursor"),
        ("limit=0", "invalid_request"),
        ("published=maybe", "invalid_request"),
    ],
)
async def test_a_list_that_cannot_be_read_says_what_is_wrong(query: str, code: str) -> None:
    async with serving() as server:
        backend = await stocked(server)
        refused = await backend.get(f"/records/product?{quote(query, safe='=&')}")
        assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text


async def test_what_no_index_serves_says_so_and_an_index_helps() -> None:
    async with serving(record_scan=5) as server:
        backend = await stocked(server)
        refused = await backend.get("/records/product?filter[kind]=a")
        assert (refused.status_code, refused.json()["code"]) == (400, "index_needed")
        assert (await backend.put("/models/product", json={"indexes": ["kind"]})).status_code == 200
        assert await ids(backend, "filter[kind]=a") == ["r0", "r2", "r4", "r6", "r8"]


# --- who may


async def test_only_the_backend_writes() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        await backend.post("/records/product", json={"data": MUG, "id": "r"})
        ticket = (await backend.post("/api/tickets")).json()["ticket"]
        assert (await server.http(ticket).delete("/records/product/none")).status_code == 404  # it is the backend's
        operator = Identity(Kind.ADMIN, "o", "key_1")
        for secret in (
            await server.key("blog", "p"),
            await server.key("project", "p"),
            await server.key("stream", "p"),
            server.token("p", role="admin"),
            server.token("p", publish=["*"]),
            None,  # a ticket narrowed to the changes, which is used once
        ):
            for method, path in (
                ("POST", ""),
                ("PATCH", "/r"),
                ("PUT", "/r"),
                ("DELETE", "/r"),
                ("POST", "/r/publish"),
                ("POST", "/r/unpublish"),
            ):
                ticket = server.running.server.tickets.issue(operator, only=("changes:*",))
                client = server.http(secret or ticket)
                answer = await client.request(method, f"/records/product{path}", json={"data": {}})
                assert answer.status_code == 403, (secret, method, path)
        assert (await server.http().post("/records/product", json={"data": {}})).status_code == 401
        assert [name for name, _ in await told(server)] == ["CREATED"]


async def test_whoever_may_read_the_changes_reads_the_records() -> None:
    async with serving() as server:
        backend = await stocked(server)
        await backend.put("/models/product", json={"private": False})
        paths = ("", "/r1", "/r1/versions", "/r1/versions/1")
        for secret, status in (
            (server.token("ann"), 200),
            (server.token("ann", role="customer"), 200),
            (await server.key("project", "p"), 200),
            (await server.key("blog", "ann"), 403),
            (await server.key("stream", "ann"), 403),
            (None, 401),
        ):
            for path in paths:
                assert (await server.http(secret).get(f"/records/product{path}")).status_code == status, path


async def test_a_private_models_records_are_not_for_everyone() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        await backend.put("/models/secret", json={"private": True})
        await backend.post("/records/secret", json={"data": MUG, "id": "s"})
        for secret, status in (
            (server.token("ann"), 403),
            (server.token("ann", subscribe=["changes:*"]), 403),
            (await server.key("project", "p"), 403),
            (server.token("ann", subscribe=["changes:secret"]), 200),
            (server.token("ed", role="collab"), 200),
            (server.token("ed", role="admin"), 200),
        ):
            client = server.http(secret)
            for path in ("/records/secret", "/records/secret/s", "/records/secret/s?published=false"):
                assert (await client.get(path)).status_code == status
            assert (await client.get("/api/channels/changes:secret/history")).status_code == status
            # A pattern is allowed as a whole, or not at all.
            peer = await connected(server, "/_events", secret)
            answer = await peer.ask("subscribe", channel="changes:*")
            assert answer["type"] == ("subscribed" if status == 200 else "error"), answer
            answer = await peer.ask("subscribe", channel="changes:product")
            assert answer["type"] == "subscribed"


@pytest.mark.parametrize("path", ["/ws", "/_events"])
@pytest.mark.parametrize("channel", ["changes:secret", "changes:*"])
async def test_who_listens_when_a_model_becomes_private_hears_nothing_from_then_on(path: str, channel: str) -> None:
    async with serving() as server:
        backend = await backend_of(server)
        ann, ed = [await connected(server, path, server.token(*who)) for who in (("ann",), ("ed", 3600.0, "collab"))]
        for client in (ann, ed):
            await client.ask("subscribe", channel=channel)
        await backend.post("/records/secret", json={"data": {"n": 1}})
        assert (await ann.hear())["data"]["record"]["data"] == {"n": 1}
        await ed.hear()
        await backend.put("/models/secret", json={"private": True})
        await backend.post("/records/secret", json={"data": {"n": 2}})
        ended = await ann.answer()
        assert (ended["type"], ended["channel"], ended["reason"]) == ("unsubscribed", channel, "unauthorized")
        assert (await ann.ask("ping"))["type"] == "pong"  # and nothing came before
        assert (await ed.hear())["data"]["record"]["data"] == {"n": 2}
        await backend.put("/models/secret", json={"private": False})
        assert (await ann.ask("subscribe", channel=channel))["type"] == "subscribed"


async def test_an_event_stream_of_a_model_that_becomes_private_ends_and_says_why() -> None:
    async with serving() as server:
        backend = await backend_of(server)
        peer = await tcp(server)
        await peer.send(head(f"GET /sse/changes:*?apiKey={await server.key('project', 'p')}"))
        await peer.until(b"event: connected\n")
        await backend.put("/models/secret", json={"private": True})
        await backend.post("/records/secret", json={"data": {"text": "confidential"}})
        rest = await peer.ended()
        assert b"event: closed\n" in rest and b'"code":"forbidden"' in rest and b"confidential" not in rest


async def test_a_poll_that_waits_while_a_model_becomes_private_gets_nothing() -> None:
    async with serving() as server:
        client, backend = server.http(server.token("ann")), await backend_of(server)
        answers = []

        async def poll() -> None:
            answers.append(await client.get("/api/channels/changes:secret/history?wait=10s"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            with trio.fail_after(5):
                while "changes:secret" not in server.running.server.hub.fanout.topics:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            await backend.put("/models/secret", json={"private": True})
            await backend.post("/records/secret", json={"data": {"text": "confidential"}})
        assert answers[0].status_code == 403 and "confidential" not in answers[0].text


async def test_records_are_written_in_the_lean_lane_too() -> None:
    async with serving() as server:
        key = await server.key("project", "p", write=True)
        peer = await tcp(server)
        await peer.send(post("/records/product", {"data": MUG, "id": "r"}, X_Api_Key=key))
        made = await peer.answer()
        assert (made.status, orjson.loads(made.body)["id"]) == (201, "r")
        assert server.running.server.metrics.requests.labels("lean", "201")._value.get() == 1
