from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest
import trio

from rtlite.auth.tickets import PREFIX
from tests.servers import ServerProcess, running_server
from tests.transports.doors import Peer, close_frame, serving, tcp


async def history(client, channel: str) -> list[dict]:
    return (await client.get(f"/api/channels/{channel}/history")).json()["items"]


# --- publish


async def test_an_event_is_published_once_and_answered_with_its_place() -> None:
    async with running_server() as server:
        client = await server.operator()
        first = await client.post("/api/publish", json={"channel": "news:a", "event": "e", "data": {"x": [1, None]}})
        assert first.status_code == 201
        receipt = first.json()
        assert list(receipt) == ["id", "channel", "offset", "epoch", "timestamp"]
        assert (receipt["channel"], receipt["offset"]) == ("news:a", 1)
        (event,) = await history(client, "news:a")
        assert event["data"] == {"x": [1, None]} and event["id"] == receipt["id"]


async def test_the_same_id_again_is_answered_200_with_the_first_result_and_delivers_nothing() -> None:
    async with running_server() as server:
        client = await server.operator()
        body = {"channel": "news:a", "event": "e", "data": 1, "id": "order-7"}
        first = await client.post("/api/publish", json=body)
        again = await client.post("/api/publish", json={**body, "data": 2})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert [event["data"] for event in await history(client, "news:a")] == [1]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "channel"),
        ({"channel": "a:b"}, "event"),
        ({"channel": 5, "event": "e"}, "channel: a text is wanted"),
        ({"channel": "a:b", "event": None}, "event"),
        ({"channel": "a:b", "event": "e", "id": 7}, "id"),
        ({"channel": "a:b", "event": "e", "id": ""}, "id"),
        ({"channel": "a:b", "event": "e", "id": "x" * 65}, "id"),
        ({"channel": "a:b", "event": "two words"}, "event"),
        ({"channel": "a:b", "event": ""}, "event"),
        ({"channel": "", "event": "e"}, "channel"),
        ({"channel": "a:*", "event": "e"}, "channel"),
        ({"channel": "*", "event": "e"}, "channel"),
        ({"channel": "a b", "event": "e"}, "channel"),
        ({"channel": "a:é", "event": "e"}, "channel"),
        ({"channel": "a" * 256, "event": "e"}, "channel"),
        ({"channel": "a:\0", "event": "e"}, "channel"),
        ([], "object"),
        ("x", "object"),
        (None, "object"),
    ],
)
async def test_a_malformed_event_is_400_and_names_the_field(body, complaint: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).post("/api/publish", content=orjson.dumps(body))
        assert answer.status_code == 400
        assert complaint in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"channel":"a:b","event":"e","data":NaN}',
        b'{"channel":"a:b","event":"e","data":Infinity}',
        b'{"channel":"a:b","event":"e","data":' + b"9" * 5000 + b"}",
        b'{"channel":"a:b","event":"e","data":"\\ud800"}',
        b'{"channel":"a:b","event":"\\ud800"}',
        b'{"channel":"a:b","event":"e","data":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"channel":"a:b","event":"e","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"channel":"a:b","event":"e","data":1e999}',
    ],
    ids=range(11),
)
async def test_hostile_json_is_400_and_the_server_lives(body: bytes) -> None:
    async with running_server() as server:
        client = await server.operator()
        for path in ("/api/publish", "/api/publish/batch", "/api/keys"):
            assert (await client.post(path, content=body)).status_code == 400
        assert await history(client, "a:b") == []


@pytest.mark.parametrize("depth", [100, 250])
async def test_nested_data_comes_back_as_it_went_in(depth: int) -> None:
    async with running_server() as server:
        client = await server.operator()
        nested = b"[" * depth + b"]" * depth
        body = b'{"channel":"a:b","event":"e","data":' + nested + b"}"
        assert (await client.post("/api/publish", content=body)).status_code == 201
        answer = await client.get("/api/channels/a:b/history")
        assert nested in answer.content


async def test_who_may_publish_is_decided_per_channel() -> None:
    async with running_server() as server:
        token = server.token("u", publish=["chat:*"])
        reader = await server.key("project", "p")
        writer = await server.key("project", "p", write=True)
        for secret, channel, status in [
            (token, "chat:a", 201),
            (token, "news:a", 403),
            (reader, "changes:a", 403),
            (writer, "changes:a", 201),
            (await server.key("blog", "b"), "article:a", 403),
            ("mbk_wrong", "chat:a", 401),
        ]:
            body = {"channel": channel, "event": "e"}
            answer = await server.http(secret).post("/api/publish", json=body)
            assert answer.status_code == status, (secret, channel)
            batch = await server.http(secret).post("/api/publish/batch", json={"events": [body]})
            assert batch.status_code == status


async def test_publishing_is_limited_per_key_and_says_so() -> None:
    async with running_server(publish_rate=5) as server:
        client, other = await server.operator(), await server.operator()
        answers = [await client.post("/api/publish", json={"channel": "a:b", "event": "e"}) for _ in range(7)]
        assert [answer.status_code for answer in answers].count(201) in {5, 6}
        refused = answers[-1]
        assert refused.status_code == 429 and refused.json()["code"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-ratelimit-limit"] == "5" and refused.headers["x-ratelimit-remaining"] == "0"
        assert int(refused.headers["x-ratelimit-reset"]) >= 1
        assert answers[0].headers["x-ratelimit-remaining"] == "4"
        assert (await other.post("/api/publish", json={"channel": "a:b", "event": "e"})).status_code == 201


# --- batch


async def test_a_batch_is_stored_whole_and_in_order_as_json_and_as_ndjson() -> None:
    async with running_server() as server:
        client = await server.operator()
        events = [{"channel": f"c:{number % 2}", "event": "e", "data": number} for number in range(6)]
        answer = await client.post("/api/publish/batch", json={"events": events})
        assert answer.status_code == 201
        assert [item["offset"] for item in answer.json()["items"]] == [1, 1, 2, 2, 3, 3]
        lines = b"\n".join(map(orjson.dumps, events)) + b"\n\n"
        answer = await client.post(
            "/api/publish/batch", content=lines, headers={"content-type": "application/x-ndjson; charset=utf-8"}
        )
        assert [item["offset"] for item in answer.json()["items"]] == [4, 4, 5, 5, 6, 6]
        assert [event["data"] for event in await history(client, "c:1")] == [1, 3, 5, 1, 3, 5]


@pytest.mark.parametrize(
    "bad", [{"channel": "a:b"}, 5, {"channel": "a:*", "event": "e"}, {"channel": "a:b", "event": 1}]
)
@pytest.mark.parametrize("ndjson", [False, True])
async def test_one_bad_event_in_a_batch_and_none_is_stored(bad, ndjson: bool) -> None:
    async with running_server() as server:
        client = await server.operator()
        events = [{"channel": "a:b", "event": "e"}, {"channel": "a:c", "event": "e"}, bad]
        content = b"\n".join(map(orjson.dumps, events)) if ndjson else orjson.dumps({"events": events})
        kind = "application/x-ndjson" if ndjson else "application/json"
        answer = await client.post("/api/publish/batch", content=content, headers={"content-type": kind})
        assert answer.status_code == 400 and answer.json()["detail"].startswith("events[2]: ")
        assert (await client.get("/api/channels")).json()["items"] == []


async def test_a_batch_that_may_not_publish_one_event_stores_none() -> None:
    async with running_server() as server:
        client = server.http(server.token("u", publish=["chat:*"]))
        events = [{"channel": "chat:a", "event": "e"}, {"channel": "news:a", "event": "e"}]
        assert (await client.post("/api/publish/batch", json={"events": events})).status_code == 403
        assert (await (await server.operator()).get("/api/channels")).json()["items"] == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"events": {}}', b'{"events": "x"}', b"5"])
async def test_a_batch_without_a_list_is_400(body: bytes) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).post("/api/publish/batch", content=body)
        assert answer.status_code == 400 and "events" in answer.json()["detail"]


async def test_a_batch_has_limits_of_its_own() -> None:
    async with running_server(max_body=1000, max_batch=5000, max_batch_events=3) as server:
        client = await server.operator()
        event = {"channel": "a:b", "event": "e", "data": "x" * 900}
        assert (await client.post("/api/publish/batch", json={"events": [event] * 3})).status_code == 201
        small = {"channel": "a:b", "event": "e"}
        assert (await client.post("/api/publish/batch", json={"events": [small] * 4})).status_code == 400
        assert (await client.post("/api/publish/batch", json={"events": [event] * 6})).status_code == 413
        assert (await client.post("/api/publish/batch", json={"events": []})).json() == {"items": []}


async def test_an_id_within_a_batch_is_stored_once() -> None:
    async with running_server() as server:
        client = await server.operator()
        event = {"channel": "a:b", "event": "e", "id": "same"}
        items = (await client.post("/api/publish/batch", json={"events": [event, event]})).json()["items"]
        assert items[0] == items[1]
        assert len(await history(client, "a:b")) == 1


# --- channels and connections


async def test_channels_are_listed_by_prefix_with_what_they_hold() -> None:
    async with running_server() as server:
        client = await server.operator()
        for channel in ("b:1", "a:2", "a:1", "a:1"):
            await client.post("/api/publish", json={"channel": channel, "event": "e", "data": "x"})
        items = (await client.get("/api/channels?prefix=a:")).json()["items"]
        assert [(item["channel"], item["events"], item["subscribers"]) for item in items] == [
            ("a:1", 2, 0),
            ("a:2", 1, 0),
        ]
        assert (await client.get("/api/channels?after=a:1")).json()["items"][0]["channel"] == "a:2"
        for odd in ("%25", "_", "'", "%00", "*"):
            assert (await client.get(f"/api/channels?prefix={odd}")).json()["items"] == []


async def test_a_connection_is_listed_and_can_be_closed() -> None:
    async with serving() as server:
        client = await server.operator()
        peer = await tcp(server)
        await peer.upgrade("/blog/ws/notifications", X_Api_Key=await server.key("blog", "alice"))
        await server.subscribed("notifications:alice")
        (item,) = (await client.get("/api/connections")).json()["items"]
        assert (item["protocol"], item["user"], item["channels"]) == ("blog", "alice", ["notifications:alice"])
        assert item["credential"].startswith("key_") and item["address"] == "127.0.0.1"
        assert (await client.delete(f"/api/connections/{item['id']}")).status_code == 204
        assert await peer.close_code() == 1000
        await peer.send(close_frame())
        await peer.ended()
        assert (await client.get("/api/connections")).json()["items"] == []
        assert (await client.delete(f"/api/connections/{item['id']}")).json()["code"] == "not_found"


# --- keys and tokens


async def test_a_key_is_made_shown_once_listed_without_its_secret_and_revoked() -> None:
    async with serving() as server:
        client = await server.operator()
        made = await client.post(
            "/api/keys", json={"kind": "blog", "user": "alice", "name": "laptop", "expires": "30d"}
        )
        assert made.status_code == 201
        secret = made.json()["key"]
        assert secret.startswith("mbk_") and len(secret) > 40
        listed = await client.get("/api/keys")
        assert secret not in listed.text
        peer = await tcp(server)
        await peer.upgrade(f"/blog/ws/notifications?token={secret}")
        assert (await client.delete(f"/api/keys/{made.json()['id']}")).json()["revoked"]
        assert await peer.close_code() == 1008
        again = await tcp(server)
        await again.upgrade(f"/blog/ws/notifications?token={secret}")
        assert await again.close_code() == 4401
        assert (await client.delete("/api/keys/key_none")).status_code == 404


async def test_a_whole_number_is_delivered_as_it_came_or_refused() -> None:
    async with running_server() as server:
        client = await server.operator()
        one = '{"channel":"news:a","event":"e","data":{"n":%d}}'
        lines = {"Content-Type": "application/x-ndjson"}
        for number, status in ((2**64 + 1, 400), (-(2**63) - 1, 400), (2**64 - 1, 201), (2**53 + 1, 201)):
            for answer in (
                await client.post("/api/publish", content=one % number),
                await client.post("/api/publish/batch", content=f'{{"events":[{one % number}]}}'),
                await client.post("/api/publish/batch", content=f"{one % number}\n", headers=lines),
                await client.post("/streams/s/messages", content=str(number)),
                await client.post("/records/product", content=f'{{"data":{{"n":{number}}}}}'),
            ):
                assert answer.status_code == status, answer.text
                assert status == 201 or answer.json()["code"] == "invalid_json"
        kept = (await client.get("/api/channels/news:a/history")).json()["items"]
        assert [event["data"]["n"] for event in kept] == [2**64 - 1] * 3 + [2**53 + 1] * 3


async def test_a_list_of_keys_says_which_may_write() -> None:
    async with running_server() as server:
        client = await server.operator()
        wanted = [{"kind": kind} for kind in ("admin", "blog", "stream", "project")]
        made = [await client.post("/api/keys", json={**body, "user": "u"}) for body in wanted]
        made.append(await client.post("/api/keys", json={"kind": "project", "user": "u", "scope": "write"}))
        writes = {item["id"]: item["write"] for item in (await client.get("/api/keys")).json()["items"]}
        for answer, may in zip(made, (True, True, True, False, True), strict=True):
            assert answer.json()["write"] is writes[answer.json()["id"]] is may


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "jwt", "user": "a"}, "kind"),
        ({"kind": "anonymous", "user": "a"}, "kind"),
        ({"kind": "blog"}, "user"),
        ({"kind": "blog", "user": ""}, "user"),
        ({"kind": "blog", "user": "a\nb"}, "user"),
        ({"kind": "blog", "user": "a", "expires": "soon"}, "expires"),
        ({"kind": "blog", "user": "a", "expires": "0s"}, "expires"),
        ({"kind": "blog", "user": "a", "scope": "write"}, "write"),
        ({"kind": "project", "user": "a", "scope": "all"}, "scope"),
        ({"kind": "blog", "user": "a", "name": 5}, "name"),
        ({"kind": "blog", "user": "a", "test": "yes"}, "test"),
    ],
)
async def test_a_malformed_key_is_400_and_names_the_field(body: dict, field: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).post("/api/keys", json=body)
        assert answer.status_code == 400 and field in answer.json()["detail"]


async def test_a_token_is_signed_and_works() -> None:
    async with running_server() as server:
        client = await server.operator()
        answer = await client.post("/api/tokens", json={"user": "u", "ttl": "5m", "publish": ["chat:*"]})
        assert answer.status_code == 201 and answer.json()["expiresIn"] == 300
        mine = server.http(answer.json()["token"])
        assert (await mine.post("/api/publish", json={"channel": "chat:a", "event": "e"})).status_code == 201
        assert (await mine.get("/api/keys")).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user"),
        ({"user": "u", "role": "root"}, "role"),
        ({"user": "u", "ttl": "0s"}, "ttl"),
        ({"user": "u", "ttl": "100w"}, "ttl"),
        ({"user": "u", "ttl": 60}, "ttl"),
        ({"user": "u", "subscribe": "chat:a"}, "subscribe"),
        ({"user": "u", "subscribe": {"chat:a": 1}}, "subscribe"),
        ({"user": "u", "subscribe": ["a b"]}, "channel"),
        ({"user": "u", "publish": [5]}, "publish[0]"),
        ({"user": "u", "publish": ["a:b"] * 200}, "publish"),
    ],
)
async def test_a_malformed_token_is_400_and_names_the_field(body: dict, field: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).post("/api/tokens", json=body)
        assert answer.status_code == 400 and field in answer.json()["detail"], answer.text


async def test_connections_come_by_pages_and_are_found_by_what_they_are() -> None:
    async with serving() as server:
        client, users = await server.operator(), ["ann", "bob", "ann", "cem", "ann"]
        for number, user in enumerate(users):
            peer = await tcp(server)
            await peer.upgrade(f"/blog/ws/articles/a{number}", X_Api_Key=await server.key("blog", user))
            await server.subscribed(f"article:a{number}")
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = (await client.get(f"/api/connections?limit=2&after={after}")).json()
            assert page["total"] == 5 and len(page["items"]) <= 2
            seen += [item["user"] for item in page["items"]]
            after = page["next"]
        assert seen == users
        whole = (await client.get("/api/connections")).json()
        assert [item["user"] for item in whole["items"]] == users and whole["next"] is None
        for text, found in (("ann", 3), ("article:a3", 1), ("blog", 5), ("127.0.0.1", 5), ("dora", 0)):
            page = (await client.get("/api/connections", params={"filter": text, "limit": 1})).json()
            assert (page["total"], len(page["items"])) == (found, min(found, 1))
        for wrong in ("limit=0", "limit=x", "limit=1001", "after=x", "after=con_x_"):
            assert (await client.get(f"/api/connections?{wrong}")).status_code == 400


OPERATORS = [
    ("GET", "/api/channels"),
    ("GET", "/api/connections"),
    ("DELETE", "/api/connections/x"),
    ("GET", "/api/keys"),
    ("POST", "/api/keys"),
    ("DELETE", "/api/keys/x"),
    ("POST", "/api/tokens"),
    ("POST", "/api/backup"),
    ("GET", "/metrics"),
    ("GET", "/api/disconnects"),
    ("HEAD", "/api/live"),
    ("GET", "/api/webhooks"),
    ("GET", "/api/samples"),
]


@pytest.mark.parametrize(("method", "path"), OPERATORS)
async def test_the_operators_calls_are_closed_to_everyone_else(method: str, path: str) -> None:
    async with running_server() as server:
        assert (await server.http().request(method, path)).status_code == 401
        for secret in (
            await server.key("blog", "b"),
            await server.key("project", "p", write=True),
            await server.key("stream", "s"),
            server.token("u", role="admin"),
        ):
            answer = await server.http(secret).request(method, path)
            assert answer.status_code == 403
            assert method == "HEAD" or answer.json()["code"] == "forbidden"


async def test_a_backup_is_made_through_the_control_socket_only() -> None:
    async with running_server() as server:
        client = await server.operator()
        assert (await client.post("/api/backup", json={"file": "/tmp/x"})).status_code == 403


# --- tickets


async def test_a_ticket_works_once_and_stands_for_its_credential() -> None:
    async with serving() as server:
        key = await server.key("blog", "alice")
        answer = await server.http(key).post("/api/tickets")
        assert answer.status_code == 201 and answer.json()["expiresIn"] == 30
        ticket = answer.json()["ticket"]
        first, second = await tcp(server), await tcp(server)
        await first.upgrade(f"/blog/ws/notifications?token={ticket}", Origin="https://anyone.example")
        await server.subscribed("notifications:alice")
        await second.upgrade(f"/blog/ws/notifications?token={ticket}")
        assert await second.close_code() == 4401
        await server.revoke(key)
        assert await first.close_code() == 1008


async def test_a_ticket_ends_after_its_lifetime_and_with_its_key() -> None:
    async with running_server(ticket_lifetime=0.05) as server:
        key = await server.key("admin", "root")
        ticket = (await server.http(key).post("/api/tickets")).json()["ticket"]
        deadline = time.monotonic() + 0.06
        while time.monotonic() < deadline:
            await trio.lowlevel.checkpoint()
        assert (await server.http(ticket).get("/api/keys")).status_code == 401
    async with running_server() as server:
        key = await server.key("admin", "root")
        ticket = (await server.http(key).post("/api/tickets")).json()["ticket"]
        await server.revoke(key)
        assert (await server.http(ticket).get("/api/keys")).status_code == 401


@pytest.mark.parametrize("how", ["header", "api key", "query", "both"])
async def test_a_ticket_buys_no_other_ticket(how: str) -> None:
    """Else whoever finds a URL within 30 s holds its credential for good."""
    async with running_server() as server:
        ticket = (await (await server.operator()).post("/api/tickets")).json()["ticket"]
        assert ticket.startswith(PREFIX)
        client = server.http()
        if how == "query":
            answer = await client.post(f"/api/tickets?token={ticket}")
        elif how == "header":
            answer = await server.http(ticket).post("/api/tickets")
        elif how == "api key":
            answer = await client.post("/api/tickets", headers={"X-Api-Key": ticket})
        else:
            answer = await server.http(ticket).post("/api/tickets?token=rtk_x")
        assert answer.status_code == 403, answer.text


async def test_a_ticket_needs_a_credential() -> None:
    async with running_server() as server:
        assert (await server.http().post("/api/tickets")).status_code == 401


# --- guessing, and secrets


async def test_failed_logins_of_an_address_are_throttled_over_all_doors() -> None:
    async with serving(login_rate=5) as server:
        good = await server.key("admin", "root")
        for number in range(3):
            assert (await server.http(f"rtk_{number}").get("/api/keys")).status_code == 401
        for number in range(2):
            peer = await tcp(server)
            await peer.upgrade(f"/blog/ws/notifications?token=mbk_{number}")
            assert await peer.close_code() == 4401
        answer = await server.http("rtk_x").get("/api/keys")
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert (await server.http(good).get("/api/keys")).status_code == 429  # guessing on is useless
        assert (await server.http().get("/healthz")).status_code == 200


async def test_an_unknown_and_a_wrong_credential_look_the_same() -> None:
    async with running_server() as server:
        expired = await server.key("admin", "root", expires_in=0.001)
        revoked = await server.key("admin", "root")
        await server.revoke(revoked)
        await trio.sleep(0.01)
        answers = {
            (answer.status_code, answer.text, answer.headers["www-authenticate"])
            for secret in (expired, revoked, "rtk_unknown", "eyJhbGciOiJub25lIn0.e30.", "nonsense")
            for answer in [await server.http(secret).get("/api/keys")]
        }
        assert len(answers) == 1


async def test_no_secret_is_in_any_log_line_nor_in_the_database(tmp_path: Path) -> None:
    """Presented in every way, also percent-encoded, good and bad, and in what fails."""
    async with ServerProcess(tmp_path / "rtlite.db") as server:
        assert server.admin_key is not None
        admin = server.http(server.admin_key)
        good = (await admin.post("/api/keys", json={"kind": "blog", "user": "alice"})).json()["key"]
        token = (await admin.post("/api/tokens", json={"user": "u"})).json()["token"]
        ticket = (await admin.post("/api/tickets")).json()["ticket"]
        bad = ["mbk_canary-0123456789", "rtk_canary_0123456789", "eyJcanary.eyJcanary.canary", "canary-of-no-kind"]
        for secret in (good, token, ticket, *bad):
            encoded = "".join(f"%{byte:02X}" for byte in secret.encode())
            for shown in (secret, encoded):
                for path in (
                    f"/api/keys?token={shown}",
                    f"/x?apiKey={shown}",
                    f"/{shown}",
                    f"/api/channels/{shown}/history",
                ):
                    await server.http().get(path)
                peer = await tcp(server)
                await peer.upgrade(f"/blog/ws/notifications?token={shown}&since=%20")
                await trio.aclose_forcefully(peer.stream)
            await server.http(secret).post("/api/publish", content=b"{")
            await server.http().post("/api/publish", headers={"X-Api-Key": secret}, json={"channel": secret})
            raw = await tcp(server)
            await raw.send(b"GET /?token=" + secret.encode() + b" HTTP/1.1\r\nbroken\r\n\r\n")
            await raw.answer()
            await trio.aclose_forcefully(raw.stream)
        await server.terminate()
        logged = server.log.read_bytes().replace(server.admin_key.encode(), b"")  # shown once, at the first start
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path != server.log)
    for secret in (good, token, ticket, *bad):
        encoded = "".join(f"%{byte:02X}" for byte in secret.encode())
        assert secret.encode() not in logged + stored and encoded.encode() not in logged
    assert b"canary" not in logged and server.admin_key.encode() not in stored
    assert b"login refused" in logged


async def test_no_secret_is_in_any_answer_or_metric() -> None:
    async with serving() as server:
        client = await server.operator()
        canary = await server.key("blog", "alice")
        peer = await tcp(server)
        await peer.upgrade(f"/blog/ws/notifications?token={canary}")
        await server.subscribed("notifications:alice")
        for path in ("/api/keys", "/api/connections", "/api/channels", "/metrics", "/healthz"):
            assert canary not in (await client.get(path)).text
        for path in (f"/nowhere/{canary}", f"/api/keys?token={canary}", f"/api/channels/{canary}/history"):
            assert canary not in (await server.http().get(path)).text
        assert isinstance(peer, Peer)
