"""Subscriptions of ``/graphql/ws`` on a whole server: what was missed, slow readers, many subscribers, rights."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio

from rtlite.model import NewEvent
from tests.endpoints.graphqlclients import CHANGES, TICKS, GraphQLClient, graphql_client
from tests.servers import InProcess
from tests.transports.doors import serving, tcp

JOBS = "subscription ($id: ID, $since: String) { jobProgress(jobId: $id, since: $since) { id status progress } }"
INBOX = "subscription ($since: String) { notificationReceived(since: $since) { title userId } }"


async def publish(server: InProcess, channel: str, data: Any, name: str = "tick") -> str:
    """Returns the event's place in its channel."""
    hub = server.running.server.hub
    return str((await hub.publish(NewEvent(channel, name, orjson.dumps(data)))).event.position)


async def publish_all(server: InProcess, channel: str, numbers: range, size: int = 0) -> None:
    padding = "x" * size
    events = [NewEvent(channel, "tick", orjson.dumps({"n": number, "padding": padding})) for number in numbers]
    for start in range(0, len(events), 200):
        await server.running.server.hub.publish_all(events[start : start + 200])


async def numbers(client: GraphQLClient, count: int, id: str = "1") -> list[int]:
    """The numbers in the next results, whose positions are those of the events."""
    found = []
    for _ in range(count):
        message = await client.hear()
        assert (message["id"], message["type"]) == (id, "next"), message
        number = message["payload"]["data"]["event"]["data"]["n"]
        assert message["payload"]["extensions"]["position"].endswith(f"-{number}")
        found.append(number)
    return found


def shared(server: InProcess) -> Any:
    """What executes the subscriptions of all connections."""
    (route,) = [route for route in server.running.server.websocket_routes if route.pattern == "/graphql/ws"]
    return route.endpoint.__self__.executions  # type: ignore[attr-defined]


async def admin(server: InProcess, receive_buffer: int = 0) -> GraphQLClient:
    return await graphql_client(server, receive_buffer, apiKey=await server.key("admin", "operator"))


# --- since


async def test_what_was_missed_comes_first_and_then_what_happens() -> None:
    async with serving() as server:
        client = await admin(server)
        await publish_all(server, "room:a", range(1, 4))
        await client.begin("1", TICKS, channel="room:a", since="1h")
        assert await numbers(client, 3) == [1, 2, 3]
        await publish_all(server, "room:a", range(4, 6))
        assert await numbers(client, 2) == [4, 5]


async def test_a_subscription_goes_on_behind_the_position_of_any_result() -> None:
    async with serving() as server:
        client = await admin(server)
        await client.begin("1", TICKS, channel="room:a", since="1h")
        await client.settled()
        await publish_all(server, "room:a", range(1, 11))
        positions = [(await client.hear())["payload"]["extensions"]["position"] for _ in range(10)]
        for number, position in enumerate(positions, 1):
            await client.say("complete", id="1")
            await client.begin("1", TICKS, channel="room:a", since=position)
            assert await numbers(client, 10 - number) == list(range(number + 1, 11))
            assert await client.settled() == []


@pytest.mark.parametrize("form", ["position", "event", "age", "time", "now"])
async def test_since_is_any_place_in_history(form: str) -> None:
    async with serving() as server:
        position = await publish(server, "room:a", {"n": 1})
        await server.running.server.hub.publish(NewEvent("room:a", "tick", b'{"n":2}', "my-id"))
        await trio.sleep(0.002)  # times are in milliseconds
        client = GraphQLClient(await tcp(server))
        await client.peer.upgrade("/graphql/ws", Sec_WebSocket_Protocol="graphql-transport-ws")
        now = (await client.init(apiKey=await server.key("admin", "operator")))["now"]
        forms = {"position": position, "event": "my-id", "age": "2 hours", "time": "2020-01-01", "now": now}
        await publish(server, "room:a", {"n": 3})
        await client.begin("1", TICKS, channel="room:a", since=forms[form])
        await publish(server, "room:a", {"n": 4})
        first = {"position": 2, "event": 3, "age": 1, "time": 1, "now": 3}[form]
        assert await numbers(client, 5 - first) == list(range(first, 5))


async def test_a_kind_goes_on_behind_a_position_too_whatever_the_channel() -> None:
    async with serving() as server:
        client = await admin(server)
        await client.begin("all", TICKS, channel="room:*")
        await client.settled()
        for number in range(6):
            await publish(server, f"room:{number % 2}", number)
        heard = [await client.hear() for _ in range(6)]
        assert [message["payload"]["data"]["event"]["data"] for message in heard] == list(range(6))
        for number, message in enumerate(heard):
            await client.say("complete", id="all")
            position = message["payload"]["extensions"]["position"]
            await client.begin("all", TICKS, channel="room:*", since=position)
            rest = [(await client.hear())["payload"] for _ in range(5 - number)]
            assert rest == [message["payload"] for message in heard[number + 1 :]]
        assert await client.settled() == []


async def test_what_is_not_kept_any_more_is_said_to_be_missing_and_the_rest_follows() -> None:
    async with serving(max_replay=3) as server:
        client = await admin(server)
        await publish_all(server, "room:a", range(1, 8))
        await client.begin("1", TICKS, channel="room:a", since="1h")
        message = await client.hear()
        assert message["type"] == "next" and message["payload"]["data"] is None
        (error,) = message["payload"]["errors"]
        assert error["extensions"]["code"] == "history_lost"
        assert message["payload"]["extensions"]["position"].endswith("-4")
        assert await numbers(client, 3) == [5, 6, 7]
        await client.begin("2", TICKS, channel="room:a", since="00000000-2")  # of a history that is lost
        assert (await client.hear())["payload"]["errors"][0]["extensions"]["code"] == "history_lost"
        assert await numbers(client, 3, "2") == [5, 6, 7]


async def test_complete_stops_a_replay_at_once() -> None:
    """A megabyte and a half waits; of it comes what the kernel and the outbox held when the client said so."""
    async with serving(outbox=64 * 1024, send_buffer=8 * 1024) as server:
        await publish_all(server, "room:a", range(1, 1501), size=1000)
        client = await admin(server, receive_buffer=4096)
        await client.begin("1", TICKS, channel="room:a", since="1h")
        assert await numbers(client, 1) == [1]
        await client.say("complete", id="1")
        rest = await client.settled()
        assert all(message["id"] == "1" and message["type"] == "next" for message in rest)
        assert len(rest) < 200  # of 1,500
        topics = server.running.server.hub.fanout.topics
        assert topics == {}
        await publish(server, "room:a", {"n": 1501})
        await client.begin("1", TICKS, channel="room:a")
        assert await client.settled() == []
        assert await publish(server, "room:a", {"n": 1502}) and await numbers(client, 1) == [1502]


async def test_a_client_that_does_not_read_begins_nothing_more() -> None:
    """Subscriptions that are begun and completed without reading would pile up pages of history."""
    async with serving(outbox=64 * 1024, send_buffer=8 * 1024, command_rate=0, user_command_rate=0) as server:
        await publish_all(server, "room:a", range(1, 601), size=1000)
        client = await admin(server, receive_buffer=4096)
        for number in range(1, 30):
            await client.begin(str(number), TICKS, channel="room:a", since="1h")
            await client.say("complete", id=str(number))
        await trio.sleep(0.3)
        (listed,) = server.running.server.connections
        assert len(listed.channels) + len(listed.coming) <= 1
        assert listed.outbox.queued <= 64 * 1024


async def test_a_slow_reader_gets_everything_from_history_as_many_ids_as_it_has() -> None:
    async with serving(outbox=64 * 1024, send_buffer=8 * 1024) as server:
        client = await admin(server, receive_buffer=4096)
        ids = ("1", "a longer one", "ä")
        for id in ids:
            await client.begin(id, TICKS, channel="room:a")
        await client.settled()
        await publish_all(server, "room:a", range(1, 501), size=1000)  # half a megabyte three times, unread
        assert server.running.server.metrics.spilled._value.get() > 0
        found: dict[str, list[int]] = {id: [] for id in ids}
        while any(len(numbers) < 500 for numbers in found.values()):
            message = await client.hear()
            number = message["payload"]["data"]["event"]["data"]["n"]
            assert message["payload"]["extensions"]["position"].endswith(f"-{number}")
            found[message["id"]].append(number)
        assert found == {id: list(range(1, 501)) for id in ids}
        await publish_all(server, "room:a", range(501, 503))
        rest = [await client.hear() for _ in range(6)]
        assert sorted(message["id"] for message in rest) == sorted(ids * 2)


# --- many subscribers


async def test_an_event_is_executed_once_however_many_have_the_subscription() -> None:
    async with serving(login_rate=0, max_connections=1000) as server:
        key = await server.key("project", "shop", write=True)
        clients = []
        for number in range(500):
            client = await graphql_client(server, apiKey=key)
            since = None if number % 2 else "1h"
            await client.begin(str(number), CHANGES, modelKey="product", filter={"price": {"gt": 5}}, since=since)
            clients.append(client)
        for client in clients:
            assert await client.settled() == []
        before = shared(server).count
        assert len(shared(server)) == 1
        backend = server.http(key)
        for price in (9, 1, 8):
            answer = await backend.post("/records/product", json={"data": {"price": price}})
            assert answer.status_code == 201
        for number, client in enumerate(clients):
            for price in (9, 8):
                message = await client.hear()
                assert message["id"] == str(number)
                assert message["payload"]["data"]["recordChanged"]["record"]["data"] == {"price": price}
        assert shared(server).count - before == 2


async def test_those_who_replay_the_same_share_what_was_executed() -> None:
    async with serving() as server:
        key = await server.key("admin", "operator")
        await publish_all(server, "room:a", range(1, 21))
        clients = [await graphql_client(server, apiKey=key) for _ in range(10)]
        for client in clients:
            await client.begin("1", TICKS, channel="room:a", since="1h")
        for client in clients:
            assert await numbers(client, 20) == list(range(1, 21))
        assert shared(server).count == 20


# --- what is told


async def test_changes_jobs_and_notifications_are_told_as_they_happen() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "shop", write=True))
        client = await graphql_client(server, authorization=server.token("ann"))
        await client.begin("changes", CHANGES, modelKey="product")
        await client.begin("inbox", INBOX)
        job = (await backend.post("/jobs", json={"type": "import", "userId": "ann"})).json()
        await client.begin("job", JOBS, id=job["id"])
        assert await client.settled() == []

        record = (await backend.post("/records/product", json={"data": {"price": 1}})).json()
        assert (await client.hear())["payload"]["data"] == {
            "recordChanged": {"type": "CREATED", "record": {"id": record["id"], "data": {"price": 1}}}
        }
        await backend.patch(f"/jobs/{job['id']}", json={"status": "running", "progress": 50})
        assert (await client.hear())["payload"]["data"] == {
            "jobProgress": {"id": job["id"], "status": "running", "progress": 50.0}
        }
        note = {"userId": "ann", "type": "order_update", "title": "Order Shipped"}
        await backend.post("/notifications", json=note)
        message = await client.hear()
        assert message["id"] == "inbox"
        assert message["payload"]["data"] == {"notificationReceived": {"title": "Order Shipped", "userId": "ann"}}
        me = server.http(server.token("ann"))
        assert (await me.post("/notifications/read-all")).is_success  # notification.read_all is no arrival
        assert await client.settled() == []


async def test_the_end_of_a_job_completes_the_subscription_to_it() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "shop", write=True))
        job = (await backend.post("/jobs", json={"type": "import", "userId": "ann"})).json()["id"]
        client = await graphql_client(server, authorization=server.token("ann"))
        for since in (None, "1h"):  # as it happens, and from history
            await client.begin("1", JOBS, id=job, since=since)
            if since is None:
                await client.settled()
                await backend.patch(f"/jobs/{job}", json={"status": "running"})
                await backend.patch(f"/jobs/{job}", json={"status": "completed"})
            heard = [await client.hear() for _ in range(3 if since is None else 4)]
            told = ["running", "completed"] if since is None else ["pending", "running", "completed"]
            assert [message["payload"]["data"]["jobProgress"]["status"] for message in heard[:-1]] == told
            assert heard[-1] == {"id": "1", "type": "complete"}
            assert await client.settled() == []
            (listed,) = server.running.server.connections
            assert listed.channels == []
            assert server.running.server.hub.fanout.topics == {}


async def test_a_subscription_to_a_job_that_is_over_tells_what_it_came_to_and_completes() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "shop", write=True))
        job = (await backend.post("/jobs", json={"type": "import", "userId": "ann"})).json()["id"]
        await backend.patch(f"/jobs/{job}", json={"status": "failed", "progress": 30})
        client = await graphql_client(server, authorization=server.token("ann"))
        await client.begin("1", JOBS, id=job)
        state = {"jobProgress": {"id": job, "status": "failed", "progress": 30.0}}
        assert await client.hear() == {"id": "1", "type": "next", "payload": {"data": state}}
        assert await client.hear() == {"id": "1", "type": "complete"}
        (listed,) = server.running.server.connections
        assert (listed.channels, server.running.server.hub.fanout.topics) == ([], {})


async def test_all_jobs_are_told_to_who_may_read_them_all() -> None:
    async with serving() as server:
        key = await server.key("project", "shop", write=True)
        backend, client = server.http(key), await graphql_client(server, apiKey=key)
        await client.begin("1", JOBS)
        await client.settled()
        ids = [(await backend.post("/jobs", json={"type": "import"})).json()["id"] for _ in range(2)]
        heard = [await client.hear() for _ in range(2)]
        assert [message["payload"]["data"]["jobProgress"]["id"] for message in heard] == ids
        await client.begin("2", JOBS, since=heard[0]["payload"]["extensions"]["position"])
        assert (await client.hear())["payload"] == heard[1]["payload"]


async def test_what_someone_else_publishes_to_a_models_channel_disturbs_nobody() -> None:
    async with serving() as server:
        key = await server.key("project", "shop", write=True)
        client = await graphql_client(server, apiKey=key)
        await client.begin("1", CHANGES, modelKey="product")
        await client.begin("any", TICKS, channel="changes:product")
        await client.settled()
        for name, data in (("noise", None), ("UPDATED", "text"), ("UPDATED", {"record": {"id": 1}})):
            await publish(server, "changes:product", data, name)
        await server.http(key).post("/records/product", json={"data": {"price": 1}})
        heard = [await client.hear() for _ in range(5)]
        assert sorted(message["id"] for message in heard) == ["1", "any", "any", "any", "any"]
        assert server.running.server.metrics.faults._value.get() == 0
        await client.begin("again", CHANGES, modelKey="product", since="1h")
        assert (await client.hear())["payload"]["data"]["recordChanged"]["type"] == "CREATED"


# --- rights


async def test_a_token_hears_its_own_inbox_and_its_own_jobs_only() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "shop", write=True))
        job = (await backend.post("/jobs", json={"type": "import", "userId": "ann"})).json()["id"]
        for user, allowed in (("ann", True), ("bob", False)):
            client = await graphql_client(server, authorization=server.token(user))
            await client.begin("1", JOBS, id=job)
            await client.begin("2", JOBS)
            heard = await client.settled()
            assert [message["id"] for message in heard] == (["2"] if allowed else ["1", "2"])
            assert {message["payload"][0]["extensions"]["code"] for message in heard} == {"forbidden"}
        client = await graphql_client(server, apiKey=await server.key("project", "shop"))
        await client.begin("1", INBOX)
        (message,) = await client.settled()
        assert message["payload"][0]["extensions"]["code"] == "forbidden"


async def test_a_model_that_becomes_private_ends_the_subscriptions_of_those_who_may_not_read_it() -> None:
    async with serving() as server:
        operator = await server.operator()
        ann = await graphql_client(server, authorization=server.token("ann"))
        editor = await graphql_client(server, authorization=server.token("ed", role="collab"))
        for client in (ann, editor):
            await client.begin("product", CHANGES, modelKey="product")
            await client.begin("all", TICKS, channel="changes:*")
            await client.begin("other", CHANGES, modelKey="other")
            await client.settled()
        answer = await operator.put("/models/product", json={"private": True})
        assert answer.is_success, answer.text
        heard = [await ann.hear() for _ in range(2)]
        assert {message["id"] for message in heard} == {"product", "all"}
        assert {message["payload"][0]["extensions"]["code"] for message in heard} == {"forbidden"}
        for model in ("product", "other"):
            assert (await operator.post(f"/records/{model}", json={"data": {}})).status_code == 201
        assert (await ann.hear())["id"] == "other"
        assert await ann.settled() == []
        assert len(await editor.settled()) == 4
        await ann.begin("product", CHANGES, modelKey="product")
        (message,) = await ann.settled()
        assert message["type"] == "error"


async def test_a_member_who_is_removed_hears_that_it_is_and_nothing_more() -> None:
    async with serving() as server:
        operator = await server.operator()
        assert (await operator.put("/conversations/c/members/ann", json={})).is_success
        client = await graphql_client(server, authorization=server.token("ann"))
        await client.begin("1", TICKS, channel="conversation:c", since="1h")
        await client.settled()
        assert (await operator.delete("/conversations/c/members/ann")).is_success
        message = await client.hear()
        assert (message["id"], message["type"]) == ("1", "error")
        await publish(server, "conversation:c", 1)
        assert await client.settled() == []


async def test_a_key_that_is_revoked_closes_with_4403_also_beside_a_token() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        for payload in ({"apiKey": key}, {"apiKey": key, "authorization": server.token("ann")}):
            client = await graphql_client(server, **payload)
            await client.begin("1", CHANGES, modelKey="product")
            await client.settled()
            if len(payload) == 2:
                await server.revoke(key)
                assert await client.closed() == 4403


# --- queries and mutations


async def test_queries_and_mutations_are_answered_over_the_socket_as_over_http() -> None:
    async with serving() as server:
        key = await server.key("project", "shop", write=True)
        client = await graphql_client(server, apiKey=key)
        made = await client.ask(
            "1", 'mutation ($d: JSON!) { createRecord(modelKey: "product", data: $d) { id version } }', d={"price": 1}
        )
        id = made["data"]["createRecord"]["id"]
        query = 'query ($id: ID!) { record(modelKey: "product", id: $id) { data } }'
        assert await client.ask("1", query, id=id) == {"data": {"record": {"data": {"price": 1}}}}
        over_http = await server.http(key).post("/graphql", json={"query": query, "variables": {"id": id}})
        assert over_http.json() == {"data": {"record": {"data": {"price": 1}}}}


async def test_an_error_of_a_field_is_in_the_result() -> None:
    async with serving() as server:
        client = await graphql_client(server, authorization=server.token("ann"))
        answer = await client.ask("1", 'mutation { createRecord(modelKey: "product", data: {}) { id } }')
        assert answer["data"] == {"createRecord": None}
        (error,) = answer["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["createRecord"], "forbidden")


async def test_a_change_that_a_client_makes_reaches_its_own_subscription() -> None:
    async with serving() as server:
        client = await graphql_client(server, apiKey=await server.key("project", "shop", write=True))
        await client.begin("changes", CHANGES, modelKey="product")
        await client.settled()
        await client.begin("make", 'mutation { createRecord(modelKey: "product", data: {}) { id } }')
        heard = [await client.hear() for _ in range(3)]
        assert sorted((message["id"], message["type"]) for message in heard) == [
            ("changes", "next"),
            ("make", "complete"),
            ("make", "next"),
        ]


async def test_the_position_of_a_channel_is_a_place_to_begin_with() -> None:
    async with serving() as server:
        client = await admin(server)
        await publish_all(server, "room:a", range(1, 3))
        here = (await client.ask("1", '{ position(channel: "room:a") }'))["data"]["position"]
        await publish_all(server, "room:a", range(3, 5))
        await client.begin("1", TICKS, channel="room:a", since=here)
        assert await numbers(client, 2) == [3, 4]


async def test_a_page_of_another_origin_is_not_let_in() -> None:
    async with serving() as server:
        for origin, status in (("https://elsewhere.example", 403), ("http://localhost", 101)):
            peer = await tcp(server)  # whose host is called test
            answer = await peer.upgrade("/graphql/ws", Sec_WebSocket_Protocol="graphql-transport-ws", Origin=origin)
            assert answer.status == status
