"""``/graphql/ws`` message by message: who is let in, what an operation says, how a connection ends.

The table of the protocol itself is in ``tests/protocols/test_graphqlws.py``; here a client meets it.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from rtlite.errors import Reason
from rtlite.model import Kind
from tests.endpoints.graphqlclients import CHANGES, PATH, TICKS, GraphQLClient, graphql_scene
from tests.protocols.test_graphqlws import messages, values
from tests.transports.doors import BINARY, CLOSE, TEXT, frame

QUERY = '{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}'


def tick(id: str, data: Any = 1) -> dict[str, Any]:
    """The result of a tick, without its position."""
    return {"id": id, "type": "next", "payload": {"data": {"event": {"event": "tick", "data": data}}}}


async def heard(client: GraphQLClient) -> dict[str, Any]:
    """The next message, without the position in it."""
    message = await client.hear()
    if message["type"] == "next":
        message["payload"].pop("extensions", None)  # in a kind without history there is no place
    return message


def code_of(message: dict[str, Any]) -> str:
    """Of an ``error``."""
    assert message["type"] == "error"
    (error,) = message["payload"]
    return str(error["extensions"]["code"])


# --- the handshake


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("", None),
        ("graphql-ws", "graphql-ws"),
        ("soap", None),
        ("Graphql-Transport-WS", None),
        ("graphql-ws, graphql-transport-ws", "graphql-transport-ws"),
    ],
)
async def test_who_speaks_another_protocol_is_told_by_4406(offered: str, chosen: str | None, autojump_clock) -> None:
    """As the server of npm's graphql-ws does; but the old protocol is chosen before, or a browser would see no code."""
    async with graphql_scene() as scene:
        client = GraphQLClient(scene.door.connect())
        answer = await client.peer.upgrade(PATH, Sec_WebSocket_Protocol=offered)
        assert (answer.status, answer.headers.get("sec-websocket-protocol")) == (101, chosen)
        if chosen == "graphql-transport-ws":
            await client.say("ping")
            assert await client.hear() == {"type": "pong"}
        else:
            assert await client.ended() == ([], 4406, "Subprotocol not acceptable")


async def test_who_says_nothing_is_closed_after_three_seconds(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        before = trio.current_time()
        assert await client.ended() == ([], 4408, "Connection initialisation timeout")
        assert trio.current_time() - before == pytest.approx(3.0)


async def test_other_messages_do_not_put_the_initialisation_off(autojump_clock) -> None:
    async with graphql_scene(graphql_init_timeout=10.0) as scene:
        client = await scene.stranger()
        for _ in range(9):
            await client.say("ping")
            assert await client.hear() == {"type": "pong"}
            await trio.sleep(1)
        assert await client.closed() == 4408
        client = await scene.stranger()
        await trio.sleep(9)
        await client.init(authorization=scene.token())
        await trio.sleep(1000)  # and later nobody waits for it any more
        assert await client.settled() == []


async def test_an_initialisation_at_the_last_moment_is_answered(autojump_clock) -> None:
    async with graphql_scene(command_rate=1, command_burst=1) as scene:
        client = await scene.stranger()
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}
        await trio.sleep(0.5)
        for _ in range(2):  # so fast that they are read slowly: the second at 2 s
            await client.say("ping")
        await client.say("connection_init", payload={"authorization": scene.token()})  # read at 2 s, looked at at 3 s
        for _ in range(2):
            assert await client.hear() == {"type": "pong"}
        assert (await client.hear())["type"] == "connection_ack"
        assert trio.current_time() == pytest.approx(3.0)


# --- what closes a connection, and with which code


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([QUERY], 4401),
        (["hello"], 4400),
        (['{"type":"start"}'], 4400),
        (['{"type":"connection_init","payload":[]}'], 4400),
        (["{}" + "x" * 20_000], 1009),
        (["INIT", "hello"], 4400),
        (["INIT", '{"type":"connection_ack"}'], 4400),
        (["INIT", '{"type":"subscribe","id":"1"}'], 4400),
        (["INIT", QUERY.replace('"1"', f'"{"x" * 129}"')], 4400),
        (["INIT", "INIT"], 4429),
        (["INIT", "TICKS", "TICKS"], 4409),
    ],
)
async def test_what_may_not_come_closes_with_the_protocols_code(sent: list[str], code: int, autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        for message in sent:
            if message == "INIT":
                await client.say("connection_init", payload={"authorization": scene.token()})
            elif message == "TICKS":
                await client.begin("1", TICKS, channel="live:a")
            else:
                await client.raw(message)
        said, closed, _ = await client.ended()
        assert closed == code
        assert [message["type"] for message in said] == ["connection_ack"] * ("INIT" in sent)
        assert scene.door.faults() == 0


async def test_a_binary_message_is_none(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        await client.peer.send(frame(b'{"type":"ping"}', BINARY))
        assert await client.closed() == 4400


async def test_a_message_of_more_than_a_megabyte_closes_with_1009(autojump_clock) -> None:
    async with graphql_scene(max_message=1000) as scene:
        client = await scene.client()
        await client.raw("x" * 1001)
        assert await client.closed() == 1009


async def test_a_strangers_message_is_not_even_taken_in_beyond_16_kib(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        for _ in range(16):
            await client.peer.send(frame("x" * 1024, TEXT if not _ else 0, fin=False))
        await client.peer.send(frame("x", 0, fin=False))
        assert await client.closed() == 1009
        client = await scene.client()
        long = "#" * 20_000 + "\n{ __typename }"
        assert (await client.ask("1", long))["data"] == {"__typename": "Query"}


async def test_a_client_that_never_pongs_is_closed(autojump_clock) -> None:
    async with graphql_scene(ping_interval=20.0, pong_timeout=10.0) as scene:
        client = await scene.client()
        before = trio.current_time()
        assert await client.closed() == 1001
        assert trio.current_time() - before == pytest.approx(30.0)


# --- who connects


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"apiKey": "pk_live_nobody"},
        {"apiKey": 5},
        {"apiKey": None, "authorization": ""},
        {"authorization": "Bearer x.y.z"},
        {"authorization": ["Bearer"]},
        {"authorization": "Bearer TOKEN", "apiKey": "pk_live_nobody"},
        {"authorization": "x", "apiKey": "rtk_test"},
        {"token": "rtk_test"},
    ],
)
async def test_who_shows_nothing_that_holds_is_closed_with_4403(payload: dict[str, Any], autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        text = orjson.dumps({"type": "connection_init", "payload": payload}).decode()
        await client.raw(text.replace("TOKEN", scene.token()))
        assert await client.closed() == 4403


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "{}", " Bearer  {} "])
async def test_a_token_comes_with_the_word_bearer_or_without(form: str, autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        said = await client.init(authorization=form.format(scene.token(user="ann")))
        assert said["user"] == "ann"


async def test_the_acknowledgement_says_who_one_is_until_when_and_what_time_it_is(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        said = await client.init(apiKey="rtk_test")
        assert (said["user"], said["expiresAt"]) == ("root", None)
        assert said.keys() == {"user", "expiresAt", "now"}
        said = await (await scene.stranger()).init(authorization=scene.token())
        assert said["now"] < said["expiresAt"] and said["now"].endswith("Z")


async def test_what_the_handshake_says_counts_where_the_message_says_nothing(autojump_clock) -> None:
    async with graphql_scene() as scene:
        token = scene.token(user="ann")
        for query, headers in (
            (f"?token={token}", {}),
            ("", {"Authorization": f"Bearer {token}"}),
            ("", {"X_Api_Key": token}),
            (f"?apiKey={token}", {}),
        ):
            said = await (await scene.stranger(query, **headers)).init()
            assert said["user"] == "ann"
        other = scene.token(user="bob")
        said = await (await scene.stranger(f"?token={token}")).init(authorization=other)
        assert said["user"] == "bob"


async def test_a_key_and_a_token_may_come_in_different_ways(autojump_clock) -> None:
    async with graphql_scene() as scene:
        key = (await scene.door.gate._keyring.create(Kind.PROJECT, "shop", secret="pk_live_test"))[1]
        token = scene.token(user="ann", subscribe=())
        for query, headers, payload in (
            ("", {}, {"apiKey": key, "authorization": f"Bearer {token}"}),
            (f"?token={token}", {}, {"apiKey": key}),
            (f"?apiKey={key}", {}, {"authorization": token}),
            ("", {"Authorization": f"Bearer {token}"}, {"apiKey": key}),
            ("", {"X_Api_Key": key}, {"authorization": token}),
        ):
            client = await scene.stranger(query, **headers)
            assert (await client.init(**payload))["user"] == "ann"
            await client.begin("own", "subscription { notificationReceived { id } }")
            await client.begin("jobs", "subscription { jobProgress { id } }")  # the key's right
            assert await client.settled() == []


async def test_too_many_failures_from_one_address_close_with_4429(autojump_clock) -> None:
    async with graphql_scene(login_rate=2) as scene:
        for code in (4403, 4403, 4429):
            client = await scene.stranger()
            await client.say("connection_init", payload={"apiKey": "pk_live_guess"})
            assert await client.closed() == code


async def test_a_connection_ends_with_4403_when_its_token_expires(autojump_clock) -> None:
    """A client of npm's graphql-ws comes back after this code, and asks for a new token."""
    async with graphql_scene(jwt_leeway=0.0) as scene:
        client = await scene.client(scene.token(ttl=60))
        before = trio.current_time()
        assert await client.closed() == 4403
        assert 58 < trio.current_time() - before <= 60


async def test_a_connection_ends_with_4403_when_its_key_is_revoked(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.stranger()
        await client.init(apiKey="rtk_test")
        (listed,) = scene.door.connections
        assert listed.identity is not None
        scene.door.connections.end_credential(listed.identity.credential, Reason.REVOKED)
        assert await client.closed() == 4403


# --- ping and pong


async def test_a_ping_is_answered_with_what_it_held_before_and_after_the_initialisation(autojump_clock) -> None:
    async with graphql_scene() as scene:
        for client in (await scene.stranger(), await scene.client()):
            await client.say("ping", payload={"at": [1]})
            assert await client.hear() == {"type": "pong", "payload": {"at": [1]}}
            await client.say("ping", payload=None)
            assert await client.hear() == {"type": "pong"}
            await client.say("pong", payload={"unasked": True})
            assert await client.settled() == []


# --- queries and mutations


async def test_a_query_is_answered_once_and_complete(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        assert await client.ask("1", "{ __typename }") == {"data": {"__typename": "Query"}}
        assert await client.ask("1", "mutation { __typename }") == {"data": {"__typename": "Mutation"}}


async def test_the_operation_that_is_named_is_run_with_its_variables(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        query = "query A($yes: Boolean!) { __typename @include(if: $yes) other: __typename } query B { __typename }"
        for yes, keys in ((True, {"__typename", "other"}), (False, {"other"})):
            payload = {"query": query, "operationName": "A", "variables": {"yes": yes}, "extensions": {"x": 1}}
            await client.say("subscribe", id="1", payload=payload)
            assert (await client.hear())["payload"]["data"].keys() == keys
            assert await client.hear() == {"id": "1", "type": "complete"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "syntax_error"),
        ("{", "syntax_error"),
        ("{ nothing }", "invalid_query"),
        ("query ($a: Int!) { __typename a: unreadCount(userId: $a) }", "invalid_query"),
        ("{ a { " * 40 + "b" + " } }" * 40, "query_too_costly"),
        ("fragment A on Query { ...A } { ...A }", "invalid_query"),
        ("#" * 100_000, "query_too_costly"),
        ('subscription { event(channel: "live:a") { id } notificationReceived { id } }', "invalid_query"),
        ("subscription { __typename }", "invalid_query"),
        ("subscription { event { id } }", "invalid_query"),
        ("subscription ($c: String!) { event(channel: $c) { id } }", "invalid_variables"),
        ('subscription { event(channel: "live:a") @skip(if: true) { id } }', "invalid_query"),
        ('subscription { event(channel: "*") { id } }', "invalid_channel"),
        ('subscription { event(channel: "") { id } }', "invalid_channel"),
        ('subscription { event(channel: "a b") { id } }', "invalid_channel"),
        ('subscription { event(channel: "live:a", since: "") { id } }', "invalid_request"),
        ('subscription { event(channel: "live:a", since: "next week") { id } }', "invalid_request"),
        ('subscription { event(channel: "other:a") { id } }', "forbidden"),
        ('subscription { event(channel: "notifications:someone") { id } }', "forbidden"),
        ("subscription { jobProgress { id } }", "forbidden"),
        ('subscription { recordChanged(modelKey: "a", filter: 5) { type } }', "invalid_filter"),
        ('subscription { recordChanged(modelKey: "a b") { type } }', "invalid_channel"),
    ],
)
async def test_what_cannot_be_run_is_an_error_of_its_operation_and_of_nothing_else(
    query: str, code: str, autojump_clock
) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("good", TICKS, channel="live:a")
        await client.begin("1", query)
        message = await client.hear()
        assert (message["id"], code_of(message)) == ("1", code)
        assert await client.settled() == []  # an error is final: nothing says "complete" behind it
        await client.begin("1", TICKS, channel="live:a")  # and the id is free again
        assert await client.settled() == []
        await scene.publish()
        assert {(await client.hear())["id"] for _ in range(2)} == {"good", "1"}
        assert scene.metrics.faults._value.get() == 0


async def test_our_own_mistake_is_an_error_of_its_operation_and_is_logged(autojump_clock, logs: list[Any]) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()

        async def fail(*_: Any) -> Any:
            raise RuntimeError("the secret of the house")

        scene.sockets.answer = fail
        await client.begin("1", "{ __typename }")
        message = await client.hear()
        assert code_of(message) == "internal_error"
        assert "secret" not in str(message)
        assert scene.metrics.faults._value.get() == 1
        assert [entry for entry in logs if entry.get("exc_info")]
        assert await client.settled() == []


# --- subscriptions


async def test_a_subscription_says_nothing_until_something_happens(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("a", TICKS, channel="live:a")
        assert await client.settled() == []
        for number in range(3):
            await scene.publish(data=number)
        await scene.publish("live:b")
        assert [await heard(client) for _ in range(3)] == [tick("a", number) for number in range(3)]
        assert await client.settled() == []


async def test_several_operations_go_on_side_by_side_and_each_ends_for_itself(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("a", TICKS, channel="live:a")
        await client.begin("b", TICKS, channel="live:b")
        await client.begin("all", TICKS, channel="live:*")
        await client.settled()
        await scene.publish("live:a")
        assert {(await heard(client))["id"] for _ in range(2)} == {"a", "all"}
        await client.say("complete", id="all")
        await client.say("complete", id="all")
        await client.say("complete", id="never begun")
        assert await client.settled() == []
        await scene.publish("live:a")
        await scene.publish("live:b")
        assert [await heard(client), await heard(client)] == [tick("a"), tick("b")]
        assert await client.settled() == []


async def test_an_id_can_be_used_again_once_it_is_complete(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        for channel in ("live:a", "live:b"):
            await client.begin("1", TICKS, channel=channel)
            await client.settled()
            await scene.publish(channel, data=channel)
            assert await heard(client) == tick("1", channel)
            await client.say("complete", id="1")
        assert await client.settled() == []
        await scene.publish("live:a")
        await scene.publish("live:b")
        assert await client.settled() == []
        (listed,) = scene.door.connections
        assert listed.channels == []
        assert scene.hub.fanout.topics == {}
        assert len(scene.sockets.executions) == 0


async def test_what_is_listened_to_is_listed(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("1", TICKS, channel="live:a")
        await client.begin("2", TICKS, channel="live:a")
        await client.begin("3", CHANGES, modelKey="product")
        await client.settled()
        (listed,) = scene.door.connections
        assert (listed.protocol, listed.channels) == ("graphql", ["live:a", "live:a", "changes:product"])
        await client.say("complete", id="1")
        await client.settled()
        assert listed.channels == ["live:a", "changes:product"]


@pytest.mark.parametrize("id", ["1", "x" * 128, "ä€😀", '"\\\n', "a" * 60 + "ß", '"type":"next"', "\u00ff\u00ff\u00ff"])
async def test_any_id_stands_in_the_results_as_the_client_wrote_it(id: str, autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin(id, TICKS, channel="live:a")
        await client.settled()
        for size in (0, 10, 40, 125, 65_000, 65_400, 70_000):
            await scene.publish(data="x" * size)
            assert await heard(client) == tick(id, "x" * size)


async def test_more_subscriptions_than_allowed_are_refused_one_by_one(autojump_clock) -> None:
    async with graphql_scene(max_channels=2) as scene:
        client = await scene.client()
        await client.begin("1", TICKS, channel="live:a")
        await client.begin("2", TICKS, channel="live:a")
        await client.begin("3", TICKS, channel="live:a")
        assert code_of(await client.hear()) == "too_many"
        assert (await client.ask("4", "{ __typename }"))["data"] == {"__typename": "Query"}
        await client.say("complete", id="1")
        await client.begin("3", TICKS, channel="live:a")
        assert await client.settled() == []


async def test_the_documents_of_a_connections_subscriptions_take_so_much_memory_at_most(autojump_clock) -> None:
    wide = 'subscription { event(channel: "live:a") { ' + "id channel event " * 14 + "} }"
    async with graphql_scene(graphql_held=40_000) as scene:
        client = await scene.client()
        await client.begin("1", wide)
        await client.begin("2", wide + " ")
        await client.begin("3", wide + "  ")
        (refused,) = await client.settled()
        assert refused["id"] == "3" and code_of(refused) == "too_many"
        await client.say("complete", id="1")
        await client.begin("3", wide + "  ")
        assert await client.settled() == []


async def test_who_sends_too_fast_is_read_more_slowly(autojump_clock) -> None:
    """A client that comes back subscribes to everything at once, and nothing of it is refused."""
    async with graphql_scene(command_rate=10, command_burst=20, user_command_rate=0) as scene:
        client = await scene.client()
        before = trio.current_time()
        for number in range(60):
            await client.begin(str(number), TICKS, channel="live:a")
        assert await client.settled() == []
        assert trio.current_time() - before == pytest.approx(4.2, abs=0.2)


async def test_the_connections_of_a_user_share_a_rate(autojump_clock) -> None:
    async with graphql_scene(user_command_rate=10) as scene:
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                client = await scene.client(scene.token(user="ann"))
                nursery.start_soon(burst, client, 25)
        assert trio.current_time() - before > 7
        before = trio.current_time()
        await burst(await scene.client(scene.token(user="bob")), 15)
        assert trio.current_time() == before


async def burst(client: GraphQLClient, count: int) -> None:
    for _ in range(count):
        await client.say("ping")
    for _ in range(count):
        await client.hear()


async def test_a_right_that_is_taken_away_ends_its_operations_with_an_error(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client, other = await scene.client(scene.token(user="ann")), await scene.client(scene.token(user="bob"))
        for each in (client, other):
            await each.begin("1", TICKS, channel="live:a")
            await each.begin("2", TICKS, channel="live:b")
            await each.begin("3", TICKS, channel="live:a")
            await each.settled()
        assert scene.door.connections.drop("live:a", lambda identity: identity.user == "ann") == 1
        for id in ("1", "3"):
            message = await client.hear()
            assert (message["id"], code_of(message)) == (id, "forbidden")
        await scene.publish("live:a")
        await scene.publish("live:b")
        assert await heard(client) == tick("2")
        assert await client.settled() == []
        assert len(await other.settled()) == 3
        await client.begin("1", TICKS, channel="live:b")
        assert await client.settled() == []


@pytest.mark.parametrize("moment", ["before it is asked again", "after it was asked again"])
async def test_a_right_that_is_taken_away_while_one_subscribes_ends_the_operation(moment: str, autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        access, asked = scene.sockets.sessions._access, 0
        may_read = access.may_read

        async def slow(identity: Any, channel: str) -> bool:
            nonlocal asked
            allowed = await may_read(identity, channel)
            asked += 1
            if asked == 2:
                if moment.startswith("after"):
                    scene.door.connections.drop("live:a", lambda _: True)
                else:
                    allowed = False
                    scene.door.connections.drop("live:a", lambda _: True)
            return allowed

        access.may_read = slow  # type: ignore[method-assign]
        await client.begin("1", TICKS, channel="live:a")
        (message,) = await client.settled()
        assert code_of(message) == "forbidden"
        await scene.publish("live:a")
        assert await client.settled() == []
        assert scene.hub.fanout.topics == {}
        (listed,) = scene.door.connections
        assert (listed.channels, listed.coming) == ([], ())


async def test_one_who_does_not_read_a_channel_without_history_is_closed_as_too_slow(autojump_clock) -> None:
    async with graphql_scene(outbox=20_000) as scene:
        client = await scene.client()
        await client.begin("1", TICKS, channel="live:a")
        await client.settled()
        for _ in range(40):
            await scene.publish(data="x" * 10_000)
        _, code, text = await client.ended()
        assert (code, text) == (4408, "reader too slow")


async def test_since_where_nothing_is_kept_says_so_first(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("1", TICKS, channel="live:a", since="2h")
        message = await client.hear()
        assert (message["id"], message["type"]) == ("1", "next")
        (error,) = message["payload"]["errors"]
        assert message["payload"]["data"] is None
        assert error["extensions"] == {"code": "history_lost"}
        here = message["payload"]["extensions"]["position"]
        await client.begin("2", TICKS, channel="live:a", since=here)
        assert await client.settled() == []
        await scene.publish()
        assert [(await heard(client))["id"] for _ in range(2)] == ["1", "2"]


async def test_the_end_of_a_connection_leaves_nothing_behind(autojump_clock) -> None:
    async with graphql_scene() as scene:
        client = await scene.client()
        await client.begin("1", TICKS, channel="live:a")
        await client.begin("2", CHANGES, modelKey="product")
        await client.settled()
        assert len(scene.sockets.executions) == 2
        await client.peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert scene.hub.fanout.topics == {}
        assert len(scene.sockets.executions) == 0
        assert len(scene.door.connections) == 0


# --- any input

QUERIES = [
    TICKS,
    CHANGES,
    "{ __typename }",
    "{ __schema { types { name } } }",
    "subscription { jobProgress { id } }",
    "{",
]
FROM_THE_SERVER = {"connection_ack", "next", "error", "complete", "pong"}
requests = st.builds(
    lambda id, query, variables: orjson.dumps(
        {"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}}
    ).decode(),
    st.sampled_from(["1", "2", "ä"]),
    st.sampled_from(QUERIES) | st.text(max_size=40) | st.text('{}()$:!.@ aeidtq"#', max_size=60),
    st.dictionaries(st.sampled_from(["channel", "modelKey", "filter", "since"]), values, max_size=4)
    | st.fixed_dictionaries({"channel": st.sampled_from(["live:a", "live:*", "other:a", "*", ""])}),
)


@given(st.lists(requests | messages, max_size=12), st.booleans())
@settings(max_examples=60)
def test_any_messages_are_answered_or_end_the_connection_and_disturb_nobody(
    sent: list[str | bytes], known: bool
) -> None:
    async def attack() -> None:
        async with graphql_scene(login_rate=0) as scene:
            neighbour = await scene.client()
            await neighbour.begin("1", TICKS, channel="live:b")
            client = await (scene.client() if known else scene.stranger())
            try:
                for message in sent:
                    await client.peer.send(frame(message) if isinstance(message, str) else frame(message, BINARY))
                await client.say("ping", payload={"last": 1})
            except trio.BrokenResourceError:
                pass  # it has ended already
            await scene.publish("live:a")
            opcode = TEXT
            while opcode != CLOSE:
                opcode, payload = await client.peer.frame()
                if opcode == TEXT and b'{"last":1}' in payload:
                    break
                assert opcode != TEXT or orjson.loads(payload)["type"] in FROM_THE_SERVER
            else:
                assert int.from_bytes(payload[:2], "big") in {4400, 4401, 4403, 4409, 4429}
            await scene.publish("live:b")
            assert await heard(neighbour) == tick("1")
            assert scene.door.faults() == scene.metrics.faults._value.get() == 0

    trio.run(attack, clock=trio.testing.MockClock(autojump_threshold=0))
