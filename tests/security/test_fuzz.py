"""Any input at all, where no other test has a property of its own for that parser.

Heads: ``tests/transports/test_head.py``; tokens, claims, headers with credentials: ``tests/auth``; positions
and ``since``: ``tests/test_model.py``, ``tests/hub/test_since.py``; logs: ``test_logs.py`` here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import orjson
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtlite.auth.tickets import Tickets
from rtlite.errors import InvalidRequest, StartError
from rtlite.model import Identity, Kind, check_channel
from rtlite.protocols import commands, eventchannels, jsonframes, sse
from rtlite.protocols.verbs import Publish
from rtlite.settings import Settings, declared, load
from tests.endpoints.sockets import scene as command_scene
from tests.security.scene import Scene, staged
from tests.transports.doors import BINARY, CLOSE, PING, PONG, TEXT, frame, handshake, head, open_door

ONE_SERVER = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with staged(publish_rate=0) as scene:
        yield scene


# --- frames, in any pieces

opcodes = st.sampled_from([0, TEXT, BINARY, CLOSE, PING, PONG]) | st.integers(0, 15)
frames = st.builds(
    frame,
    st.binary(max_size=200) | st.text(max_size=50).map(str.encode),
    opcodes,
    fin=st.booleans(),
    masked=st.sampled_from([True, True, True, False]),
)
streams = st.lists(frames | st.binary(max_size=20), max_size=12).map(b"".join)


@given(streams, st.lists(st.integers(1, 40), max_size=20), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_bytes_in_any_pieces_end_a_websocket_at_worst(data: bytes, cuts: list[int], together: bool) -> None:
    async def attack() -> None:
        async with open_door() as door:
            peer = door.connect()
            hand = handshake("/ws")
            pieces, rest = [], data
            for cut in cuts:
                pieces.append(rest[:cut])
                rest = rest[cut:]
            pieces = [hand + data] if together else [hand, *pieces, rest]
            try:
                for piece in pieces:
                    await peer.send(piece)
                await peer.stream.send_eof()  # type: ignore[attr-defined]
            except trio.BrokenResourceError:
                pass  # the server has ended it
            await peer.ended()
            assert door.faults() == 0
            assert len(door.connections) == 0
            newcomer = door.connect()
            await newcomer.send(head("GET /echo"))
            assert (await newcomer.answer()).status == 200

    trio.run(attack, clock=trio.testing.MockClock(autojump_threshold=0))


@given(
    st.lists(
        st.sampled_from([b"GET /echo", b" HTTP/1.1", b"\r\n", b"Host: a\r\n", b"\r\n\r\n"]) | st.binary(max_size=8),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=100)
def test_any_bytes_in_place_of_a_request_are_answered_or_ended(parts: list[bytes]) -> None:
    async def attack() -> None:
        async with open_door() as door:
            peer = door.connect()
            try:
                for part in parts:
                    await peer.send(part)
                await peer.stream.send_eof()  # type: ignore[attr-defined]
            except trio.BrokenResourceError:
                pass
            answer = await peer.ended()
            assert not answer or answer.startswith(b"HTTP/1.1 ")
            assert not answer.startswith(b"HTTP/1.1 5")
            assert door.faults() == 0

    trio.run(attack, clock=trio.testing.MockClock(autojump_threshold=0))


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=10))
@settings(deadline=None, max_examples=100)
def test_any_bytes_in_place_of_chunks_are_a_body_or_refused(data: bytes, cuts: list[int]) -> None:
    async def attack() -> None:
        async with open_door() as door:
            peer = door.connect()
            body = b"".join(b"%x\r\n%b\r\n" % (cut, data[:cut].ljust(cut)) for cut in cuts) + data
            await peer.send(head("POST /echo", Transfer_Encoding="chunked"), body, b"\r\n\r\n0\r\n\r\n")
            assert (await peer.answer()).status in {200, 400, 408}  # 408: the last chunk has not ended
            assert door.faults() == 0

    trio.run(attack, clock=trio.testing.MockClock(autojump_threshold=0))


# --- bodies

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip
names = st.sampled_from(["channel", "event", "data", "id", "events", "x"])
bodies = st.dictionaries(names, values | st.just("a:b"), max_size=5) | values
good = st.fixed_dictionaries({"channel": st.sampled_from(["fuzz:a", "fuzz:b"]), "event": st.just("e"), "data": values})


@given(values)
@ONE_SERVER
def test_any_data_comes_back_as_it_was_published(scene: Scene, value: Any) -> None:
    answer = scene.request("POST", "/api/publish", {"channel": "fuzz:data", "event": "e", "data": value})
    assert answer.status == 201
    (item,) = scene.request("GET", "/api/channels/fuzz:data/history?limit=1&order=desc").json["items"]
    assert item["data"] == orjson.loads(orjson.dumps(value))


@given(bodies)
@ONE_SERVER
def test_any_json_is_an_event_or_400(scene: Scene, body: Any) -> None:
    for path in ("/api/publish", "/api/publish/batch"):
        answer = scene.request("POST", path, orjson.dumps(body))
        assert answer.status in {200, 201, 400}
    assert scene.faults() == 0


@given(st.binary(max_size=200))
@ONE_SERVER
def test_any_bytes_are_an_event_or_400(scene: Scene, body: bytes) -> None:
    for path, content in (("/api/publish", "application/json"), ("/api/publish/batch", "application/x-ndjson")):
        answer = scene.request("POST", path, body, Content_Type=content)
        assert answer.status == 400 or not body.strip()
    assert scene.faults() == 0


@given(st.lists(good | bodies, max_size=8), st.booleans())
@ONE_SERVER
def test_a_batch_of_good_and_bad_events_is_stored_whole_or_not_at_all(
    scene: Scene, events: list[Any], lined: bool
) -> None:
    def stored() -> int:
        items = scene.request("GET", "/api/channels").json["items"]
        return sum(int(item["events"]) for item in items)

    before = stored()
    if lined:
        body, content = b"\n".join(map(orjson.dumps, events)), "application/x-ndjson"
    else:
        body, content = orjson.dumps({"events": events}), "application/json"
    answer = scene.request("POST", "/api/publish/batch", body, Content_Type=content)
    if answer.status == 201:
        receipts = answer.json["items"]
        fresh = len({(item["channel"], item["epoch"], item["offset"]) for item in receipts})
        assert len(receipts) == len(events)
        assert 0 <= stored() - before <= fresh  # an id that was there before is no new event
    else:
        assert answer.status == 400 and stored() == before


@given(
    st.text(max_size=40) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
    st.sampled_from(["asc", "desc"]),
)
@ONE_SERVER
def test_any_since_gives_a_page_or_400(scene: Scene, since: str, order: str) -> None:
    value = quote_from_bytes(since.encode("utf-8", "surrogatepass"), safe="")
    answer = scene.request("GET", f"/api/channels/fuzz:data/history?since={value}&order={order}&limit=5")
    assert answer.status in {200, 400}
    if answer.status == 200:
        assert len(answer.json["items"]) <= 5


@given(st.binary(max_size=60))
@ONE_SERVER
def test_any_path_segment_is_answered(scene: Scene, raw: bytes) -> None:
    segment = quote_from_bytes(raw, safe="") or "x"
    for path in (
        f"/api/channels/{segment}/history",
        f"/blog/v1/articles/{segment}",
        f"/{segment}",
        f"/api/keys?{segment}",
    ):
        with scene.door.connect() as line:
            assert scene.request("GET", path, line=line).status in {200, 400, 404}
    assert scene.faults() == 0


# --- commands over /ws and /_events

verbs = st.sampled_from(["subscribe", "unsubscribe", "publish", "presence", "auth", "ping"]) | st.text(max_size=5)
fields = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["live:a", "live:*", "other:a"]) | values,
        "since": st.sampled_from(["1h", "00000000-1"]) | values,
        "presence": st.sampled_from([True, "watch", {"a": 1}]) | values,
        "event": st.just("tick") | values,
        "data": values,
        "id": st.just("mine") | values,
        "eventId": st.just("mine") | values,
        "echo": st.booleans() | values,
        "action": st.sampled_from(["list", "join", "update", "leave"]) | values,
        "after": st.text(max_size=5) | values,
        "token": st.text(max_size=20) | values,
    },
)
nested = st.fixed_dictionaries({"type": verbs}, optional={"data": fields | values, "id": values})
flat = st.builds(lambda verb, given: given | {"type": verb}, verbs, fields)
commands_sent = (nested | flat | values).map(orjson.dumps) | st.binary(max_size=60)


@given(commands_sent | st.text(max_size=60))
@settings(max_examples=300)
def test_any_message_is_a_command_or_refused_in_a_few_words(message: bytes | str) -> None:
    text = message if isinstance(message, str) else message.decode("utf-8", "surrogateescape")
    for wording in (commands, eventchannels):
        try:
            request = wording.decode(text)
        except InvalidRequest as error:
            assert len(error.detail) < 200
            continue
        try:
            command = request.command()
        except InvalidRequest as error:
            assert len(error.detail) < 200
        else:
            assert orjson.loads(wording.reply("x", {}, request.id)).get("id") == request.id
            if isinstance(command, Publish):
                event = command.as_event()
                assert orjson.loads(event.data) == command.data and check_channel(event.channel)


@given(st.lists(commands_sent, min_size=1, max_size=10), st.sampled_from(["/ws", "/_events"]))
@settings(deadline=None, max_examples=60)
def test_any_messages_are_answered_one_by_one_and_the_connection_goes_on(sent: list[bytes], path: str) -> None:
    async def attack() -> None:
        async with command_scene(login_rate=0) as here:
            client = await here.client(path)
            for message in sent:
                await client.raw(message if is_text(message) else b"{")
            await client.say("ping", id="the last")
            with trio.fail_after(5):
                while (await client.hear()).get("id") != "the last":
                    pass
            assert here.door.faults() == here.metrics.faults._value.get() == 0

    trio.run(attack, clock=trio.testing.MockClock(autojump_threshold=0))


def is_text(message: bytes) -> bool:
    try:
        return bool(message.decode())
    except UnicodeDecodeError:  # of a text frame, that is an end with 1007, and another test's
        return False


@given(
    st.text(max_size=150) | st.text("az09- \t", max_size=150),
    st.sampled_from(["last-event-id", "lastEventId", "since"]),
)
def test_any_last_event_id_is_short_printable_and_as_it_was_sent_or_is_none(text: str, name: str) -> None:
    in_header = name == "last-event-id"
    place = sse.last_event_id({name: text} if in_header else {}, {} if in_header else {name: text})
    assert place in {None, "", text.strip(" ")}
    assert not place or (place.isascii() and place.isprintable() and len(place) <= sse.MAX_LAST_EVENT_ID)


# --- credentials, settings, names


@given(st.text(max_size=100))
def test_no_text_that_was_not_issued_is_a_ticket(text: str) -> None:
    tickets = Tickets(30)
    issued = tickets.issue(Identity(Kind.ADMIN, "a", "key_1"))
    assert tickets.redeem(text) is None and tickets.redeem(issued + text[:1] + "x") is None
    assert tickets.redeem(issued) is not None and tickets.redeem(issued) is None


toml_values = st.one_of(
    st.booleans().map(str).map(str.lower),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.text(max_size=20).map(lambda text: orjson.dumps(text).decode()),
    st.sampled_from(
        ["[]", "[1]", '["a"]', "{}", "{a = 1}", "1979-05-27", "07:32:00", "inf", "nan", "''", '"1MiB"', '"2h"']
    ),
)


@given(
    st.dictionaries(
        st.sampled_from([item.name for item in declared()] + ["nonsense", "channels"]), toml_values, max_size=4
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_settings_file_gives_settings_or_one_line(tmp_path: Path, entries: dict[str, str]) -> None:
    file = tmp_path / "rtlite.toml"
    file.write_text("".join(f"{name} = {value}\n" for name, value in entries.items()), "utf-8")
    try:
        loaded = load({}, {}, file)
    except StartError as error:
        assert "\n" not in str(error).strip() and len(str(error)) < 500
    else:
        assert isinstance(loaded.settings, Settings)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_a_settings_file_or_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rtlite.toml"
    file.write_bytes(content)
    try:
        load({}, {}, file)
    except StartError as error:
        assert os.fspath(file) in str(error) or "no such setting" in str(error)


@given(st.text(max_size=300))
def test_a_channels_name_that_is_taken_is_visible_ascii(name: str) -> None:
    try:
        assert check_channel(name) == name
    except InvalidRequest:
        return
    assert name.isascii() and name.isprintable() and " " not in name and 1 <= len(name) <= 255


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_json_or_refused(text: Any) -> None:
    try:
        value = jsonframes.parse(text)
    except InvalidRequest:
        return
    orjson.dumps(value)
