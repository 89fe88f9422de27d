"""What ``/ws`` and ``/_events`` do alike: commands and their answers, rates, credentials over time."""

from __future__ import annotations

import gc
import time
import weakref
from functools import partial
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from rtlite.domain.access import Access
from rtlite.errors import Overloaded, StorageFailed, StorageFull
from rtlite.model import Identity
from rtlite.settings import KindSettings
from rtlite.transports.websocket import WebSocket
from tests.endpoints.sockets import Client, Scene, connected, scene
from tests.transports.doors import TEXT, frame, serving, tcp

SOCKETS = pytest.mark.parametrize("path", ["/ws", "/_events"])


# --- commands


@SOCKETS
async def test_ping_is_answered_with_the_id_it_had(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        assert await client.ask("ping", id=7) == {"type": "pong", "id": 7}
        assert await client.ask("ping", id="a") == {"type": "pong", "id": "a"}
        assert await client.ask("ping") == {"type": "pong"}


@SOCKETS
async def test_what_is_no_command_is_an_error_that_repeats_nothing_of_it(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        for message in (
            "SECRET",
            '{"type":"SECRET"}',
            '{"type":"SECRET","id":1,"data":{"SECRET":"SECRET"}}',
            '{"type":["SECRET"]}',
            '["SECRET"]',
            '{"type":"subscribe","channel":"SECRET SECRET","data":{"channel":"SECRET SECRET"}}',
            '{"type":"subscribe","channel":{"SECRET":1},"data":{"channel":{"SECRET":1}}}',
            '{"type":"publish","channel":"SECRET","event":"SECRET SECRET","data":{"channel":"S","event":"SECRET S"}}',
            '{"type":"ping","id":{"SECRET":1}}',
            '{"type":"auth","token":"SECRET","data":{"token":"SECRET"}}',
            '{"type":"%s"}' % ("SECRET" * 10_000),
            "[" * 60_000,
        ):
            await client.raw(message)
            answer = await client.peer.text()
            assert b'"type":"error"' in answer, message
            # A channel that is one is named on /_events, so that a client knows which request failed.
            assert b"SECRET" not in answer.replace(b'"channel":"SECRET",', b""), answer
            assert len(answer) < 300
        assert (await client.ask("ping"))["type"] == "pong"


@SOCKETS
async def test_an_unknown_command_is_told_which_there_are(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        answer = await client.ask("dance", id=1)
        assert answer == {
            "type": "error",
            "code": "invalid_request",
            "message": "type: one of subscribe, unsubscribe, publish, presence, auth, ping is wanted",
            "id": 1,
        }


@SOCKETS
async def test_a_binary_message_is_an_error(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        await client.peer.send(frame(b'{"type":"ping"}', 2))
        assert (await client.answer())["message"] == "a text message is wanted"


@SOCKETS
@pytest.mark.parametrize(("command", "answered"), [("subscribe", "subscribed"), ("publish", "published")])
async def test_a_mistake_of_ours_in_one_command_is_logged_and_the_next_is_answered(
    path: str, command: str, answered: str, autojump_clock, monkeypatch, logs
) -> None:
    async with scene() as here:
        client = await here.client(path)

        async def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError("a secret detail")

        with monkeypatch.context() as broken:
            broken.setattr(here.hub, command, fail)
            answer = await client.ask(command, channel="live:a", event="tick", id=1)
        assert answer == {
            "type": "error",
            "code": "internal_error",
            "message": "the server made a mistake",
            "id": 1,
        } | ({} if client.nested else {"channel": "live:a"})
        assert (await client.ask(command, channel="live:a", event="tick"))["type"] == answered
        assert any("exc_info" in line for line in logs)
        assert here.metrics.faults._value.get() == 1


# --- publishing


@SOCKETS
async def test_a_publish_is_answered_once_it_is_stored_and_reaches_the_publisher_too(path: str) -> None:
    async with serving() as server:
        secret = server.token("u", subscribe=["news:a"], publish=["news:*"])
        client = await connected(server, path, secret)
        await client.ask("subscribe", channel="news:a")
        await client.say("publish", channel="news:a", event="tick", data={"n": 1}, event_id="mine", id=9)
        event, answer = await client.hear(), await client.answer()
        assert (event["channel"], event["data"], event["id"], event["offset"]) == ("news:a", {"n": 1}, "mine", 1)
        assert event["type" if client.nested else "event"] == "tick"
        stored = (await (await server.operator()).get("/api/channels/news:a/history")).json()["items"][0]
        assert answer == {
            "type": "published",
            "eventId": "mine",
            "channel": "news:a",
            "offset": 1,
            "epoch": stored["epoch"],
            "timestamp": event["timestamp"],
            "id": 9,
        }


@SOCKETS
async def test_a_whole_number_that_would_lose_digits_is_refused_and_the_socket_stays(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, server.token("u", subscribe=["news:a"], publish=["news:a"]))
        await client.ask("subscribe", channel="news:a")
        fields = '"channel":"news:a","event":"e","data":{"n":%d}'
        wording = f'{{"type":"publish","data":{{{fields}}}}}' if client.nested else f'{{"type":"publish",{fields}}}'
        await client.raw(wording % (2**64 + 1))
        refusal = await client.answer()
        assert (refusal["type"], refusal["code"]) == ("error", "invalid_request") and "64 bits" in refusal["message"]
        await client.raw(wording % (2**64 - 1))
        heard = [await client.hear(), await client.hear()]  # the event, and the answer
        assert {"n": 2**64 - 1} in [message.get("data") for message in heard]


async def test_over_ws_the_events_id_is_inside_data() -> None:
    async with serving(dev=True) as server:
        client = await connected(server, "/ws", server.token("u"))
        await client.raw('{"type":"publish","data":{"channel":"news:a","event":"e","id":"mine"},"id":"req"}')
        answer = await client.hear()
        assert (answer["data"]["id"], answer["id"]) == ("mine", "req")


@SOCKETS
async def test_the_same_event_id_again_gives_the_first_result_and_delivers_nothing(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, server.token("u", subscribe=["news:a"], publish=["news:a"]))
        await client.ask("subscribe", channel="news:a")
        await client.say("publish", channel="news:a", event="tick", event_id="once")
        await client.hear()
        first = await client.answer()
        again = await client.ask("publish", channel="news:a", event="tick", event_id="once")
        assert again == first | {"duplicate": True}


@SOCKETS
@pytest.mark.parametrize("history", [True, False])
async def test_without_an_echo_everyone_but_the_publishing_connection_gets_the_event(path: str, history: bool) -> None:
    async with serving(channels={"news": KindSettings(history=history)}) as server:
        secret = server.token("u", subscribe=["news:*"], publish=["news:a"])
        author, other = await connected(server, path, secret), await connected(server, path, secret)
        for client in (author, other):
            await client.ask("subscribe", channel="news:a")
            await client.ask("subscribe", channel="news:*")
        answer = await author.ask("publish", channel="news:a", event="tick", data=1, echo=False)
        assert answer["type"] == "published"
        assert (await author.ask("ping"))["type"] == "pong"
        assert [(await other.hear())["data"] for _ in range(2)] == [1, 1]
        await other.say("publish", channel="news:a", event="tick", data=2)
        assert [(await author.hear())["data"] for _ in range(2)] == [2, 2]


@SOCKETS
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"channel": "other:a", "event": "e"}, "unauthorized"),
        ({"channel": "notifications:u", "event": "e"}, "unauthorized"),
        ({"channel": "news:*", "event": "e"}, "invalid_request"),
        ({"channel": "news:a"}, "invalid_request"),
        ({"channel": "news:a", "event": ""}, "invalid_request"),
        ({"channel": "news:a", "event": "e", "event_id": "x" * 65}, "invalid_request"),
        ({"channel": "x" * 300, "event": "e"}, "invalid_request"),
    ],
)
async def test_what_may_not_be_published_is_an_error_and_stores_nothing(
    path: str, fields: dict[str, Any], code: str
) -> None:
    async with serving() as server:
        client = await connected(server, path, server.token("u", publish=["news:*"]))
        answer = await client.ask("publish", id=1, **fields)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", code, 1)
        assert (await (await server.operator()).get("/api/channels")).json()["items"] == []


@SOCKETS
@pytest.mark.parametrize("refusal", [StorageFull("full"), StorageFailed("broken"), Overloaded("busy")])
async def test_a_publish_that_storage_refuses_has_the_same_code_as_over_http(
    path: str, refusal: Any, autojump_clock, monkeypatch
) -> None:
    async with scene() as here:
        client = await here.client(path)

        async def refuse(*_: Any, **__: Any) -> Any:
            raise refusal

        monkeypatch.setattr(here.hub.committer, "publish", refuse)
        answer = await client.ask("publish", channel="live:a", event="e", id=1)
        assert (answer["code"], answer["message"], answer["id"]) == (refusal.code, refusal.detail, 1)


# --- rates


@SOCKETS
async def test_one_command_too_many_is_refused_and_the_next_is_run_in_time(path: str, autojump_clock) -> None:
    async with scene(command_rate=10, command_burst=5) as here:
        client = await here.client(path)
        answers = [await client.ask("ping", id=number) for number in range(7)]
        assert [answer["type"] for answer in answers] == ["pong"] * 5 + ["error"] * 2
        assert (answers[5]["code"], answers[5]["id"]) == ("rate_limited", 5)
        await trio.sleep(0.1)
        assert (await client.ask("ping"))["type"] == "pong"


@SOCKETS
async def test_who_goes_on_and_on_above_the_rate_is_closed_with_1008(path: str, autojump_clock) -> None:
    async with scene(command_rate=10, command_burst=5) as here:
        client = await here.client(path)
        await client.peer.send(frame('{"type":"ping"}') * 50)
        messages, code = await client.ended()
        assert code == 1008
        assert [message["type"] for message in messages][:10] == ["pong"] * 5 + ["error"] * 5


@SOCKETS
async def test_who_makes_pauses_may_exceed_the_rate_again_and_again(path: str, autojump_clock) -> None:
    async with scene(command_rate=10, command_burst=5) as here:
        client = await here.client(path)
        for _ in range(10):
            for number in range(9):
                assert (await client.ask("ping"))["type"] == ("pong" if number < 5 else "error")
            await trio.sleep(1)


async def test_a_user_has_one_rate_over_all_connections_and_others_do_not_feel_it(autojump_clock) -> None:
    async with scene(user_command_rate=10, command_rate=0) as here:
        clients = [await here.client(path, here.token(user="greedy")) for path in ("/ws", "/_events", "/_events")]
        answers = [(await clients[number % 3].ask("ping"))["type"] for number in range(24)]
        assert answers == ["pong"] * 20 + ["error"] * 4
        assert (await (await here.client("/_events", here.token(user="other"))).ask("ping"))["type"] == "pong"
        await trio.sleep(0.1)
        assert (await clients[0].ask("ping"))["type"] == "pong"


async def test_a_key_is_no_user_whoever_embeds_it(autojump_clock) -> None:
    async with scene(user_command_rate=1, command_rate=0) as here:
        client = await here.client("/_events", "rtk_test")
        assert {(await client.ask("ping"))["type"] for _ in range(50)} == {"pong"}


async def test_who_does_not_read_the_answers_is_not_served_any_more() -> None:
    """Answers wait for room, so commands wait for answers."""
    async with serving(command_rate=0, user_command_rate=0, outbox=65_536) as server:
        peer = await tcp(server, receive_buffer=4096)
        await peer.upgrade(f"/_events?token={server.token('u')}")
        with trio.move_on_after(1.0) as patience:  # 14 MB do not fit into what the kernel holds
            await peer.send(frame(orjson.dumps({"type": "ping", "id": "x" * 100})) * 100_000)
        (listed,) = server.running.server.connections
        assert patience.cancelled_caught
        assert 0 < listed.outbox.queued <= 65_536


# --- credentials over time


@SOCKETS
@pytest.mark.parametrize("leeway", [0.0, 10.0])
async def test_a_token_that_expires_is_told_before_and_its_connection_ends_with_4401(
    path: str, leeway: float, autojump_clock
) -> None:
    async with scene(jwt_leeway=leeway) as here:
        start = trio.current_time()
        client = await here.client(path, here.token(ttl=60))
        warning = await client.answer()
        assert 28 <= trio.current_time() - start <= 30.5
        assert (warning["type"], warning["expiresIn"]) == ("token_expiring", 30)
        assert warning["expiresAt"].endswith(".000Z")
        messages, code = await client.ended()
        assert 58 + leeway <= trio.current_time() - start <= 60.5 + leeway
        assert code == 4401
        (message,) = messages
        assert (message["data"] if client.nested else message)["code"] == "unauthorized"


@SOCKETS
async def test_a_token_with_less_time_than_the_warning_is_told_at_once(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path, here.token(ttl=20))
        warning = await client.answer()
        assert (warning["type"], warning["expiresIn"]) in {("token_expiring", 19), ("token_expiring", 20)}


@SOCKETS
@pytest.mark.parametrize("jump", [3600, -3600])
async def test_a_wall_clock_that_jumps_drops_and_immortalises_nobody(
    path: str, jump: float, autojump_clock, monkeypatch
) -> None:
    async with scene(jwt_leeway=0.0) as here:
        start, real = trio.current_time(), time.time
        client = await here.client(path, here.token(ttl=600))
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        await trio.sleep(500)
        assert (await client.ask("ping"))["type"] == "pong"
        assert (await client.answer())["expiresIn"] == 30
        assert (await client.ended())[1] == 4401
        assert 598 <= trio.current_time() - start <= 600.5


async def test_a_revoked_key_is_told_and_closed_with_4401() -> None:
    async with serving() as server:
        key = await server.key("project", "p")
        client = await connected(server, "/_events", key)
        await server.revoke(key)
        messages, code = await client.ended()
        assert ([message["code"] for message in messages], code) == (["unauthorized"], 4401)


@SOCKETS
async def test_a_fresh_token_of_the_same_user_takes_the_place_of_the_old(path: str, autojump_clock) -> None:
    async with scene(jwt_leeway=0.0) as here:
        start = trio.current_time()
        client = await here.client(path, here.token(ttl=60))
        await client.ask("subscribe", channel="live:a")
        assert (await client.answer())["type"] == "token_expiring"
        answer = await client.ask("auth", token=here.token(ttl=180), id=1)
        assert (answer["type"], answer["user"], answer["id"]) == ("authenticated", "u", 1)
        assert answer["expiresAt"].endswith("Z")
        await trio.sleep(100)
        await here.publish()
        assert (await client.hear())["data"] == 1
        assert (await client.answer())["type"] == "token_expiring"
        assert (await client.ended())[1] == 4401
        # The wall clock does not jump along, so for a token no time has passed when it is signed.
        assert 28 + 178 <= trio.current_time() - start <= 30 + 181


async def test_what_a_fresh_token_does_not_cover_ends_with_a_notice(autojump_clock) -> None:
    for path in ("/ws", "/_events"):
        async with scene() as here:
            client = await here.client(path)
            for channel in ("live:a", "live:b", "live:*"):
                await client.ask("subscribe", channel=channel)
            answer = await client.ask("auth", token=here.token(subscribe=("live:a",)))
            assert answer["type"] == "authenticated"
            ended = [await client.answer() for _ in range(2)]
            assert [(notice["type"], notice["channel"], notice["reason"]) for notice in ended] == [
                ("unsubscribed", "live:b", "unauthorized"),
                ("unsubscribed", "live:*", "unauthorized"),
            ]
            await here.publish("live:b")
            await here.publish("live:a")
            assert (await client.hear())["channel"] == "live:a"
            assert (await client.ask("subscribe", channel="live:b"))["code"] == "unauthorized"


@SOCKETS
async def test_a_right_that_is_taken_away_while_the_token_is_renewed_is_gone(
    path: str, autojump_clock, monkeypatch
) -> None:
    """Who removes a member looks for connections by their credential in the list."""
    async with scene() as here:
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a")

        async def may_read(self: Access, identity: Identity, channel: str) -> bool:
            here.door.connections.drop(channel, lambda it: it.subscribe == identity.subscribe)
            return True  # it held a moment ago

        monkeypatch.setattr(Access, "may_read", may_read)
        await client.say("auth", token=here.token(subscribe=()))
        told = []
        while (answer := await client.answer())["type"] != "authenticated":
            told.append((answer["type"], answer["channel"], answer["reason"]))
        assert ("unsubscribed", "live:a", "unauthorized") in told
        await here.publish()
        assert (await client.ask("ping"))["type"] == "pong"


@SOCKETS
async def test_a_token_whose_rights_nobody_can_tell_is_not_taken(path: str, autojump_clock, monkeypatch) -> None:
    async with scene() as here:
        client = await here.client(path, here.token(ttl=100))
        await client.ask("subscribe", channel="live:a")
        with monkeypatch.context() as patched:

            async def may_read(*_: object) -> bool:
                raise StorageFailed("the database refused")

            patched.setattr(Access, "may_read", may_read)
            assert (await client.ask("auth", token=here.token(ttl=3600)))["code"] == "storage_failed"
        await here.publish()
        assert (await client.hear())["channel"] == "live:a"
        messages, code = await client.ended()
        assert ([message["type"] for message in messages], code) == (["token_expiring", "error"], 4401)


class _Text(str):
    """A message that can be watched."""


@SOCKETS
async def test_while_the_next_command_is_waited_for_the_last_one_is_not_held(
    path: str, autojump_clock, monkeypatch
) -> None:
    """10,000 connections that once said a megabyte would hold 10 GB."""
    said: list[weakref.ref[_Text]] = []
    receive = WebSocket.receive

    async def watched(self: WebSocket) -> str:
        text = _Text(await receive(self))
        said.append(weakref.ref(text))
        return text

    monkeypatch.setattr(WebSocket, "receive", watched)
    async with scene() as here:
        client = await here.client(path)
        assert (await client.ask("ping"))["type"] == "error"  # the parser takes no text of a kind of its own
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert [text() for text in said] == [None]


def others(here: Scene) -> list[str]:
    return [here.token(user="another"), "rtk_test", here.token() + "x", "mbk_wrong", "x"]


@SOCKETS
async def test_another_users_or_a_wrong_token_is_refused_and_the_old_one_stays(path: str, autojump_clock) -> None:
    async with scene(jwt_leeway=0.0) as here:
        client = await here.client(path, here.token(ttl=60))
        for number, token in enumerate(others(here)):
            answer = await client.ask("auth", token=token, id=number)
            assert (answer["type"], answer["code"], answer["id"]) == ("error", "unauthorized", number)
        assert (await client.ask("subscribe", channel="live:a"))["type"] == "subscribed"
        assert (await client.answer())["type"] == "token_expiring"
        assert (await client.ended())[1] == 4401


@SOCKETS
async def test_wrong_tokens_in_band_count_as_failed_logins(path: str, autojump_clock) -> None:
    async with scene(login_rate=3) as here:
        client = await here.client(path)
        codes = [(await client.ask("auth", token=f"wrong{number}"))["code"] for number in range(5)]
        assert codes == ["unauthorized"] * 3 + ["rate_limited"] * 2
        assert (await client.ask("auth", token=here.token()))["code"] == "rate_limited"
        assert (await client.ask("ping"))["type"] == "pong"


# --- at the door

UNAUTHORIZED = ("unauthorized", "credential missing or invalid")


def told(message: dict[str, Any]) -> tuple[str, str]:
    """The code and the text of an error, in either shape."""
    assert message["type"] == "error"
    return message["data"]["code"], message["data"]["message"]


@SOCKETS
@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=mbk_wrong", "?apiKey=pk_live_wrong"])
async def test_without_a_valid_credential_it_is_closed_with_4401_and_nothing_is_held(
    path: str, query: str, autojump_clock
) -> None:
    """There is no waiting for a credential in a message: none is read."""
    async with scene() as here:
        peer = here.door.connect()
        assert (await peer.upgrade(path + query)).status == 101
        await peer.send(frame(orjson.dumps({"type": "auth", "token": here.token(), "data": {"token": here.token()}})))
        messages, code = await Client(peer, path).ended()
        assert ([told(message) for message in messages], code) == ([UNAUTHORIZED], 4401)
        assert here.hub.fanout.topics == {}


@pytest.mark.parametrize(
    ("path", "kind", "allowed"),
    [
        ("/ws", "blog", False),
        ("/ws", "project", False),
        ("/ws", "stream", False),
        ("/ws", "admin", False),
        ("/_events", "blog", False),
        ("/_events", "project", True),
        ("/_events", "stream", False),
        ("/_events", "admin", True),
    ],
)
async def test_which_kinds_of_keys_are_let_in(path: str, kind: str, allowed: bool) -> None:
    async with serving() as server:
        peer = await tcp(server)
        await peer.upgrade(f"{path}?apiKey={await server.key(kind, 'u')}")
        if allowed:
            await peer.send(frame('{"type":"ping"}'))
            assert (await Client(peer, path).answer())["type"] == "pong"
        else:
            messages, code = await Client(peer, path).ended()
            assert ([told(message) for message in messages], code) == ([("unauthorized", "not allowed")], 4403)


@SOCKETS
async def test_a_ticket_of_a_token_opens_it_and_reads_no_more_than_it_names(path: str) -> None:
    async with serving() as server:
        identity = server.running.server.tokens.verify(server.token("u", subscribe=["news:*"]))
        ticket = server.running.server.tickets.issue(identity, only=("news:a",))
        client = await connected(server, path, ticket)
        assert (await client.ask("subscribe", channel="news:a"))["type"] == "subscribed"
        for channel in ("news:b", "news:*", "notifications:u"):
            assert (await client.ask("subscribe", channel=channel))["code"] == "unauthorized"


@SOCKETS
async def test_a_reader_too_slow_on_a_channel_without_history_is_closed_with_4408(path: str) -> None:
    async with serving(channels={"live": KindSettings(history=False)}, outbox=65_536) as server:
        peer = await tcp(server, receive_buffer=4096)
        await peer.upgrade(f"{path}?token={server.token('u', subscribe=['live:a'])}")
        await peer.send(frame(orjson.dumps({"type": "subscribe", "channel": "live:a", "data": {"channel": "live:a"}})))
        await server.subscribed("live:a")
        admin = await server.operator()
        dropped = server.running.server.metrics.dropped._value
        while not dropped.get():
            await admin.post("/api/publish", json={"channel": "live:a", "event": "e", "data": "x" * 50_000})
        assert await peer.close_code() == 4408


@SOCKETS
async def test_the_operator_closes_with_1000_and_a_stop_with_1001(path: str) -> None:
    async with serving() as server:
        first, second = [await connected(server, path, server.token(user)) for user in ("a", "b")]
        admin = await server.operator()
        (mine,) = [item for item in (await admin.get("/api/connections")).json()["items"] if item["user"] == "a"]
        await admin.delete(f"/api/connections/{mine['id']}")
        assert (await first.ended())[1] == 1000
        server.running.stop()
        assert (await second.ended())[1] == 1001


@SOCKETS
async def test_a_message_over_the_limit_is_closed_with_1009(path: str, autojump_clock) -> None:
    async with scene(max_message=1000) as here:
        client = await here.client(path)
        await client.peer.send(frame("x" * 1001, TEXT))
        assert (await client.ended())[1] == 1009


@SOCKETS
async def test_commands_of_many_clients_at_once_are_each_answered_with_their_own_ids(path: str) -> None:
    async with serving(user_command_rate=0) as server:
        secret = server.token("u", publish=["news:*"])

        async def talk(number: int) -> None:
            client = await connected(server, path, secret)
            for turn in range(20):
                await client.say("publish", channel=f"news:{number}", event="e", id=f"{number}.{turn}")
            answers = [await client.answer() for _ in range(20)]
            assert [answer["offset"] for answer in answers] == list(range(1, 21))
            assert [answer["id"] for answer in answers] == [f"{number}.{turn}" for turn in range(20)]

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(partial(talk, number))
