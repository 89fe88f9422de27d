"""Streams over Socket.IO: what is replayed, what is live, what is refused, and how a client comes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio

from rtlite.endpoints.streamsockets import Pid, wanted
from rtlite.errors import InvalidRequest, Reason
from rtlite.hub.since import EventId
from rtlite.model import Position
from rtlite.protocols import engineio
from tests.servers import InProcess
from tests.transports.doors import Peer, frame, head, serving, tcp

NOW = 1_790_000_000_000


class Listener:
    """A client over a WebSocket, in the root namespace."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.pid = ""
        self.sid = ""

    async def event(self) -> list[Any]:
        """The next event: its name and arguments."""
        text = await self.peer.text()
        assert text[:2] == b"42", text
        return orjson.loads(text[2:])

    async def messages(self, count: int) -> list[Any]:
        """The data of the next messages."""
        events = [await self.event() for _ in range(count)]
        assert {event[0] for event in events} <= {"message"}, events
        return [event[1] for event in events]

    async def refused(self) -> str:
        """The code of the error; a disconnect comes behind it."""
        name, said = await self.event()
        assert name == "error" and said["message"]
        assert await self.peer.text() == b"41"
        return str(said["code"])


async def connect(server: InProcess, token: str, auth: dict[str, Any] | None = None, **query: str) -> Listener:
    peer = await tcp(server)
    pairs = "".join(f"&{name}={value}" for name, value in {"stream": "s", "token": token, **query}.items())
    answer = await peer.upgrade(f"/socket.io/?EIO=4&transport=websocket{pairs}")
    assert answer.status == 101
    assert (await peer.text())[:1] == b"0"
    listener = Listener(peer)
    await peer.send(frame(b"40" + (orjson.dumps(auth) if auth else b"")))
    text = await peer.text()
    assert text[:2] == b"40", text
    said = orjson.loads(text[2:])
    listener.sid, listener.pid = said["sid"], said.get("pid", "")
    return listener


async def stream(server: InProcess, *, history: bool = True, user: str = "ann") -> str:
    """A stream ``s``; returns its owner's key."""
    key = await server.key("stream", user)
    answer = await server.http(key).put("/streams/s", json={"storeHistory": history})
    assert answer.status_code in {200, 201}, answer.text
    return key


async def publish(server: InProcess, *data: Any, channel: str = "stream:s", event: str = "message") -> list[str]:
    """Publish these; returns the ids."""
    client = await server.operator()
    ids = []
    for value in data:
        answer = await client.post("/api/publish", json={"channel": channel, "event": event, "data": value})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    return ids


# --- what comes


async def test_a_message_is_the_data_as_published_and_its_id() -> None:
    async with serving() as server:
        key = await stream(server)
        listener = await connect(server, key)
        (id,) = await publish(server, {"a": ["€", 1.5, None]})
        assert await listener.event() == ["message", {"a": ["€", 1.5, None]}, id]


async def test_each_channel_is_heard_by_its_name_only() -> None:
    async with serving() as server:
        key = await stream(server)
        output, errors, own = [await connect(server, key, channel=name) for name in ("", "errors", "myChannel")]
        for number, name in enumerate(("stream:s", "stream:s:errors", "stream:s:myChannel", "stream:s")):
            await publish(server, number, channel=name)
        assert await output.messages(2) == [0, 3]
        assert await errors.messages(1) == [1]
        assert await own.messages(1) == [2]


async def test_a_stream_that_nobody_has_is_made_for_the_key_that_names_it_first() -> None:
    async with serving() as server:
        key = await server.key("stream", "ann")
        listener = await connect(server, key, stream="new")
        await publish(server, 1, channel="stream:new")
        assert await listener.messages(1) == [1]
        other = await connect(server, await server.key("stream", "bob"), stream="new")
        assert await other.refused() == "forbidden"


async def test_auth_may_say_what_the_query_says_and_counts_before_it() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1, 2, 3)
        listener = await connect(server, "wrong", {"token": key, "replay": True, "replayLimit": 2, "channel": ""})
        assert await listener.messages(2) == [2, 3]


async def test_an_event_that_was_published_by_another_name_keeps_it() -> None:
    async with serving() as server:
        listener = await connect(server, await stream(server))
        (id,) = await publish(server, {"code": 3}, event="exit")
        assert await listener.event() == ["exit", {"code": 3}, id]


async def test_what_the_client_emits_is_nothing() -> None:
    async with serving() as server:
        listener = await connect(server, await stream(server))
        await listener.peer.send(frame(b'421["message","x"]'))
        await publish(server, 1)
        assert await listener.messages(1) == [1]


async def test_who_leaves_hears_no_more_and_may_come_again() -> None:
    async with serving() as server:
        listener = await connect(server, await stream(server))
        (connection,) = server.running.server.connections
        assert connection.channels == ["stream:s"]
        await listener.peer.send(frame(b"41"), frame(b"40"))
        assert (await listener.peer.text())[:2] == b"40"
        assert connection.channels == ["stream:s"]
        await publish(server, "once", "more")
        assert await listener.messages(2) == ["once", "more"]


# --- replay


async def test_without_a_wish_nothing_is_replayed() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1, 2)
        listener = await connect(server, key)
        await publish(server, 3)
        assert await listener.messages(1) == [3]


async def test_what_was_missed_comes_first_and_then_what_is_live() -> None:
    async with serving() as server:
        key = await stream(server)
        ids = await publish(server, 1, 2, 3)
        by = {
            "replay": "2h",
            "replaySince": "1hour",
            "replayDate": "2024-03-26T15:24:57Z",
            "replayLimit": "100",
        }
        listeners = [await connect(server, key, **{name: value}) for name, value in by.items()]
        listeners += [await connect(server, key, replay=ids[0]), await connect(server, key, replayId=ids[0])]
        await publish(server, 4)
        for listener in listeners[:4]:
            assert await listener.messages(4) == [1, 2, 3, 4]
        for listener in listeners[4:]:
            assert await listener.messages(3) == [2, 3, 4]


async def test_a_limit_keeps_the_newest() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, *range(10))
        listener = await connect(server, key, replay="1h", replayLimit="3")
        await publish(server, "live")
        assert await listener.messages(4) == [7, 8, 9, "live"]
        none = await connect(server, key, replay="1h", replayLimit="0")
        await publish(server, "live")
        assert await none.messages(1) == ["live"]


async def test_more_than_the_server_replays_is_warned_of_before_the_newest_of_them() -> None:
    async with serving(max_replay=5) as server:
        key = await stream(server)
        await publish(server, *range(9))
        for query in ({"replay": "1h"}, {"replay": "1h", "replayLimit": "1000"}, {"replayLimit": "1000"}):
            listener = await connect(server, key, **query)
            name, said = await listener.event()
            assert (name, said["code"]) == ("warning", "replay_limit")
            assert await listener.messages(5) == [4, 5, 6, 7, 8]
        for query in ({"replay": "1h", "replayLimit": "5"}, {"replayLimit": "5"}):  # all that was asked for
            fits = await connect(server, key, **query)
            assert await fits.messages(5) == [4, 5, 6, 7, 8]


async def test_a_replay_of_a_stream_without_history_is_warned_of() -> None:
    async with serving() as server:
        key = await stream(server, history=False)
        await publish(server, 1)
        listener = await connect(server, key, replay="1h")
        name, said = await listener.event()
        assert (name, said["code"]) == ("warning", "no_history")
        await publish(server, 2)
        assert await listener.messages(1) == [2]


async def test_what_is_not_kept_any_more_is_warned_of() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1)
        listener = await connect(server, key, replayId="8006d38c-e838-11ee-9353-c87f546d0e60")
        name, said = await listener.event()
        assert (name, said["code"]) == ("warning", "replay_incomplete")
        assert await listener.messages(1) == [1]


async def test_of_what_is_not_kept_only_that_is_warned_of_which_was_asked_for() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, *range(9))
        await server.http(key).put("/streams/s", json={"retention": {"count": 3}})
        await server.running.server.hub.sweeper.sweep()
        for query in ({"replay": "1h", "replayLimit": "3"}, {"replayLimit": "3"}, {"replayLimit": "10000"}):
            assert await (await connect(server, key, **query)).messages(3) == [6, 7, 8]
        for query in ({"replay": "1h", "replayLimit": "4"}, {"replay": "1h"}):
            listener = await connect(server, key, **query)
            name, said = await listener.event()
            assert (name, said["code"]) == ("warning", "replay_incomplete")
            assert await listener.messages(3) == [6, 7, 8]


@pytest.mark.parametrize("name", ["replay", "replaySince", "replayDate"])
@pytest.mark.parametrize("word", ["yesterday", "1week", "2.5h"])
async def test_a_word_that_is_no_age_and_no_messages_id_is_refused_by_name(name: str, word: str) -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1)
        listener = await connect(server, key, **{name: word})
        event, said = await listener.event()
        assert (event, said["code"]) == ("error", "invalid_request")
        assert said["message"].startswith(f"{name}: ")
        client = await server.operator()
        for id in (word, "job-17"):
            event = {"channel": "stream:s", "event": "message", "data": id, "id": id}
            assert (await client.post("/api/publish", json=event)).status_code == 201
        assert await (await connect(server, key, **{name: word})).messages(1) == ["job-17"]  # an id of one's own


async def test_an_id_of_ones_own_that_is_gone_is_warned_of() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1)
        for query in ({"replay": "job-17"}, {"replayId": "yesterday"}):
            listener = await connect(server, key, **query)
            name, said = await listener.event()
            assert (name, said["code"]) == ("warning", "replay_incomplete")
            assert await listener.messages(1) == [1]


async def test_metadata_says_what_was_replayed() -> None:
    async with serving() as server:
        key = await stream(server)
        (first,) = await publish(server, {"n": 1}, channel="stream:s:errors")
        listener = await connect(server, key, channel="errors", replay="1h", includeMetadata="true")
        (second,) = await publish(server, {"n": 2}, channel="stream:s:errors")
        for number, id, replayed in ((1, first, True), (2, second, False)):
            name, known, last = await listener.event()
            timestamp = known.pop("timestamp")
            assert (name, last) == ("message", id)
            assert timestamp.endswith("Z")
            assert known == {
                "id": id,
                "stream": "s",
                "channel": "errors",
                "offset": number,
                "replayed": replayed,
                "data": {"n": number},
            }


# --- polling


class Poller:
    """A client that polls, over one connection."""

    def __init__(self, peer: Peer, key: str) -> None:
        self.peer = peer
        self.target = f"/socket.io/?EIO=4&transport=polling&stream=s&token={key}"

    async def connect(self) -> None:
        (opened,) = await self.poll()
        self.target += "&sid=" + orjson.loads(opened[1:])["sid"]
        await self.peer.send(head(f"POST {self.target}", Content_Length="2") + b"40")
        assert (await self.peer.answer()).body == b"ok"
        (welcome,) = await self.poll()
        assert welcome.startswith('40{"sid"')

    async def poll(self) -> list[str]:
        await self.peer.send(head(f"GET {self.target}"))
        answer = await self.peer.answer()
        assert answer.status == 200, answer
        return [str(packet) for packet in engineio.decode_payload(answer.body, 100_000)]

    async def events(self, count: int) -> list[Any]:
        packets: list[str] = []
        while len(packets) < count:
            packets += await self.poll()
        return [orjson.loads(packet[2:]) for packet in packets if packet[:2] == "42"]


async def poller(server: InProcess, key: str) -> Poller:
    client = Poller(await tcp(server), key)
    await client.connect()
    return client


async def test_who_polls_slowly_gets_the_rest_from_history_in_order() -> None:
    async with serving(outbox=20_000) as server:
        client = await poller(server, await stream(server))
        await publish(server, *({"n": number, "pad": "x" * 1000} for number in range(200)))
        heard = await client.events(200)
        assert [event[1]["n"] for event in heard] == list(range(200))


async def test_who_polls_too_slowly_where_nothing_is_kept_is_told_and_closed() -> None:
    async with serving(outbox=20_000) as server:
        client = await poller(server, await stream(server, history=False))
        await publish(server, *("x" * 1000 for _ in range(50)))
        assert await client.events(1) == [["error", {"code": "too_slow", "message": "reader too slow"}]]
        assert await client.poll() == ["1"]


async def test_head_and_preflights_are_answered_without_a_session() -> None:
    async with serving(allowed_origins=("https://good.example",)) as server:
        peer = await tcp(server)
        for path in ("/socket.io/?EIO=4&transport=polling", "/socket.io"):
            await peer.send(head(f"HEAD {path}"))
            assert (await peer.answer(bodiless=True)).status == 400
            asked = {"Origin": "https://good.example", "Access_Control_Request_Method": "POST"}
            await peer.send(head(f"OPTIONS {path}", **asked))
            answer = await peer.answer()
            assert (answer.status, answer.headers["allow"]) == (204, "GET, POST")
            assert answer.headers["access-control-allow-origin"] == "https://good.example"
        assert not len(server.running.server.connections)


async def test_a_stop_waits_for_no_poll_and_tells_those_that_wait() -> None:
    async with serving(shutdown_timeout=5.0) as server:
        key = await stream(server)
        waits, absent = await poller(server, key), await poller(server, key)
        await waits.peer.send(head(f"GET {waits.target}"))
        started = trio.current_time()
        server.running.stop()
        assert (await waits.peer.answer()).body == b"1"
        await absent.peer.ended()
        assert trio.current_time() - started < 1


# --- refusals


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"token": ""}, "unauthorized"),
        ({"token": "rts_wrong"}, "unauthorized"),
        ({"stream": "another"}, "forbidden"),
        ({"stream": ""}, "invalid_request"),
        ({"stream": "a/b"}, "invalid_request"),
        ({"channel": "*"}, "invalid_channel"),
        ({"replay": "%00"}, "invalid_request"),
        ({"replayDate": "2024-99-99"}, "invalid_request"),
        ({"replayLimit": "-1"}, "invalid_request"),
        ({"replayId": "x" * 65}, "invalid_request"),
    ],
)
async def test_what_is_refused_is_an_error_event_and_then_a_disconnect(query: dict[str, str], code: str) -> None:
    async with serving() as server:
        key = await stream(server)
        other = await server.key("stream", "bob")
        await server.http(other).put("/streams/another", json={})
        listener = await connect(server, **{"token": key, **query})
        assert await listener.refused() == code


async def test_a_token_without_the_right_is_refused_and_one_with_it_is_not() -> None:
    async with serving() as server:
        await stream(server)
        assert await (await connect(server, server.token("u"))).refused() == "forbidden"
        listener = await connect(server, server.token("u", subscribe=["stream:s"]))
        await publish(server, 1)
        assert await listener.messages(1) == [1]


async def test_a_credential_that_ends_is_an_error_event_and_a_disconnect() -> None:
    async with serving() as server:
        key = await stream(server)
        listener = await connect(server, key)
        await server.revoke(key)
        assert await listener.refused() == "revoked"
        assert await listener.peer.close_code() == 4401


async def test_a_stream_that_begins_to_keep_history_is_reconnected_to() -> None:
    async with serving() as server:
        key = await stream(server, history=False)
        listener = await connect(server, key)
        await server.http(key).put("/streams/s", json={"storeHistory": True})
        name, said = await listener.event()
        assert (name, said["code"]) == ("error", "reconfigured")
        assert await listener.peer.close_code() == 1012  # no disconnect: the client comes back


# --- recovery


async def test_recovery_is_for_who_asks_for_it_on_a_stream_with_history() -> None:
    async with serving() as server:
        key = await stream(server)
        assert not (await connect(server, key)).pid
        assert (await connect(server, key, recovery="true")).pid
        await server.http(key).put("/streams/s", json={"storeHistory": False})
        assert not (await connect(server, key, recovery="true")).pid


async def test_a_client_goes_on_behind_the_last_message_that_it_got() -> None:
    async with serving() as server:
        key = await stream(server)
        first = await connect(server, key, recovery="true")
        ids = await publish(server, 1, 2, 3)
        assert await first.messages(3) == [1, 2, 3]
        again = await connect(server, key, {"pid": first.pid, "offset": ids[1]}, recovery="true", replay="1h")
        assert (again.pid, again.sid) == (first.pid, first.sid)
        await publish(server, 4)
        assert await again.messages(2) == [3, 4]  # and not the replay that its query asks for


async def test_a_client_that_had_no_message_yet_misses_none() -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, "before")
        first = await connect(server, key, recovery="true")
        await publish(server, 1, 2)
        again = await connect(server, key, {"pid": first.pid}, recovery="true")
        assert again.pid == first.pid
        assert await again.messages(2) == [1, 2]


async def test_the_public_id_does_not_give_the_private_one_away() -> None:
    pid = Pid.parse("a" * 20 + ".abcdefgh-7")
    assert pid is not None and str(pid) == "a" * 20 + ".abcdefgh-7"
    assert "aaaa" not in pid.sid and len(pid.sid) == 20


@pytest.mark.parametrize("pid", ["", "x", "a" * 20, "a" * 20 + ".", "a" * 20 + ".abcdefgh", "a.abcdefgh-1", "é" * 9])
def test_what_is_no_private_id(pid: str) -> None:
    assert Pid.parse(pid) is None


@pytest.mark.parametrize(
    "auth",
    [
        {"offset": "unknown"},
        {"offset": "two words"},
        {"pid": "nonsense"},
        {"pid": "a" * 20 + ".aaaaaaaa-0"},
    ],
)
async def test_who_cannot_go_on_starts_anew_with_another_private_id(auth: dict[str, str]) -> None:
    async with serving() as server:
        key = await stream(server)
        await publish(server, 1)
        first = await connect(server, key, recovery="true")
        again = await connect(server, key, {"pid": first.pid, **auth}, recovery="true", replay="1h")
        assert again.pid and again.pid != first.pid
        assert await again.messages(1) == [1]


async def test_who_lost_the_right_while_away_gets_nothing_of_what_it_missed() -> None:
    async with serving() as server:
        await stream(server)
        may, may_not = server.token("u", subscribe=["stream:s"]), server.token("u")
        first = await connect(server, may, recovery="true")
        await publish(server, "missed")
        again = await connect(server, may_not, {"pid": first.pid}, recovery="true", replay="1h")
        assert not again.pid
        assert await again.refused() == "forbidden"


# --- what may be asked for


def ask(**query: str) -> Any:
    return wanted({"stream": "s", **query}, {}, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((f"2{unit}", 2) for unit in ("s", "sec", "second", "seconds")),
        *((f"2 {unit}", 120) for unit in ("m", "min", "mins", "minute", "minutes")),
        *((f"1{unit}", 3600) for unit in ("h", "hour", "hours")),
        *((f"3{unit}", 3 * 86_400) for unit in ("d", "day", "days")),
    ],
)
def test_an_age_has_every_unit_of_the_text(text: str, seconds: int) -> None:
    for name in ("replay", "replaySince", "replayDate"):
        assert ask(**{name: text}).since == NOW - seconds * 1000


def test_a_replay_is_a_time_an_id_or_a_position() -> None:
    assert ask(replay="2024-03-26T15:24:57Z").since == 1_711_466_697_000
    assert ask(replay="8006d38c-e838-11ee-9353-c87f546d0e60").since == EventId("8006d38c-e838-11ee-9353-c87f546d0e60")
    assert ask(replay="abcdefgh-7").since == ask(replayId="abcdefgh-7").since == Position("abcdefgh", 7)
    assert ask(replayId="2h").since == EventId("2h")  # an id of the publisher's own
    assert ask(replay="true").since == 0
    for nothing in ("", "false", "0"):
        assert ask(replay=nothing).since is None


def test_of_several_places_the_id_counts_first_and_replay_last() -> None:
    assert ask(replay="1h", replaySince="2h", replayId="x").since == EventId("x")
    assert ask(replay="1h", replaySince="2h").since == NOW - 7_200_000


@pytest.mark.parametrize("nothing", ["undefined", "null"])
def test_what_javascript_writes_for_a_missing_value_is_none(nothing: str) -> None:
    """``io(host, {query: {channel: undefined}})`` sends ``channel=undefined``."""
    names = ("channel", "replay", "replayId", "replaySince", "replayDate", "replayLimit", "includeMetadata", "recovery")
    assert ask(**dict.fromkeys(names, nothing)) == ask()
    with pytest.raises(InvalidRequest, match="stream"):
        ask(stream=nothing)


def test_what_else_stands_in_auth_is_not_for_us() -> None:
    assert wanted({"stream": "s"}, {"user": {"name": "Ann"}, "version": 1.5}, NOW) == ask()


def test_what_is_no_text_number_or_boolean_in_auth_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="replay"):
        wanted({"stream": "s"}, {"replay": {"a": 1}}, NOW)
    assert wanted({"stream": "s"}, {"replay": None}, NOW).since is None


def test_every_reason_says_something() -> None:
    assert all(reason.value.text or reason is Reason.NORMAL for reason in Reason)
