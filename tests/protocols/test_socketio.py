"""Socket.IO's packets, as the protocol's text shows them, and what is none."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.model import Event
from rtlite.protocols import socketio
from rtlite.protocols.socketio import Assembler, Packet, Type, encode

EVENT = Event("id-1", "stream:dw:errors", "message", b'{"a":"\xe2\x82\xac"}', 1_790_000_000_000, 7, "abcdefgh", 3)


def assembling(limit: int = 100) -> Assembler:
    return Assembler(10, limit, {"/", "/admin"}.__contains__)


def decoded(*messages: str | bytes) -> Packet | None:
    assembler = assembling()
    packets = [assembler.feed(message) for message in messages]
    assert packets[:-1] == [None] * (len(messages) - 1)
    return packets[-1]


WHOLE: list[tuple[Packet, list[str | bytes]]] = [
    (Packet(Type.CONNECT), ["0"]),
    (Packet(Type.CONNECT, "/admin", {"sid": "oSO0OpakMV_3jnilAAAA"}), ['0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}']),
    (Packet(Type.EVENT, "/", ["foo"]), ['2["foo"]']),
    (Packet(Type.EVENT, "/admin", ["bar"]), ['2/admin,["bar"]']),
    (Packet(Type.EVENT, "/", ["foo"], 12), ['212["foo"]']),
    (Packet(Type.EVENT, "/admin", ["project:delete", 123], 456), ['2/admin,456["project:delete",123]']),
    (Packet(Type.ACK, "/admin", ["bar"], 13), ['3/admin,13["bar"]']),
    (Packet(Type.ACK, "/", [], 0), ["30[]"]),
    (Packet(Type.DISCONNECT, "/admin"), ["1/admin,"]),
    (
        Packet(Type.EVENT, "/", ["baz", b"\1\2\3\4"]),
        ['51-["baz",{"_placeholder":true,"num":0}]', b"\1\2\3\4"],
    ),
    (
        Packet(Type.EVENT, "/admin", ["baz", {"a": [b"\1"]}, b""], 5),
        [
            '52-/admin,5["baz",{"a":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":1}]',
            b"\1",
            b"",
        ],
    ),
    (Packet(Type.ACK, "/", [b"\1"], 15), ['61-15[{"_placeholder":true,"num":0}]', b"\1"]),
]


@pytest.mark.parametrize(("packet", "messages"), WHOLE)
def test_a_packet_is_its_messages(packet: Packet, messages: list[str | bytes]) -> None:
    text, *attachments = encode(packet)
    assert [text.decode(), *attachments] == ["4" + str(messages[0]), *messages[1:]]
    assert decoded(*messages) == packet


def test_the_last_comma_may_be_missing_where_nothing_follows() -> None:
    assert decoded("1/admin") == Packet(Type.DISCONNECT, "/admin")
    assert decoded("0/admin") == Packet(Type.CONNECT, "/admin")


def test_an_error_at_connecting_is_ours_to_send() -> None:
    assert encode(Packet(Type.CONNECT_ERROR, "/a", {"message": "no"})) == [b'44/a,{"message":"no"}']


BROKEN: list[str] = [
    "",
    "7",
    "abc",
    "4{}",
    '0["a"]',
    "01",
    '1["a"]',
    "2",
    "2{}",
    "2[]",
    "2[1]",
    "2[null]",
    "21",
    '2abc["message"]',
    '2["message"',
    '2["connect"]',
    '2["disconnect"]',
    '2["connect_error"]',
    '2["newListener",1]',
    "3[]",
    "31{}",
    '50-["x"]',
    '5["x"]',
    '21-["x"]',
    '511-["x"]',
    '599999-["x"]',
    '5-1-["x"]',
    "2" + '["a",' + "[" * 200 + "]" * 200 + "]",
    "2" + '["a",' + '{"a":' * 200 + "1" + "}" * 200 + "]",
    '2["a",NaN]',
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_breaks_the_format_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decoded(text)


@pytest.mark.parametrize(
    "placeholder",
    ['"num":1', '"num":-1', '"num":true', '"num":"0"', '"num":0.5', '"num":null', '"x":0'],
)
def test_a_placeholder_names_an_attachment_that_came(placeholder: str) -> None:
    with pytest.raises(InvalidRequest):
        decoded(f'51-["x",{{"_placeholder":true,{placeholder}}}]', b"1")


def test_an_attachment_stands_in_one_place_only() -> None:
    twice = ",".join(['{"_placeholder":true,"num":0}'] * 2)
    with pytest.raises(InvalidRequest):
        decoded(f'51-["x",{twice}]', b"1")


def test_a_placeholder_in_a_plain_packet_is_data() -> None:
    assert decoded('2["x",{"_placeholder":true,"num":0}]') == Packet(
        Type.EVENT, "/", ["x", {"_placeholder": True, "num": 0}]
    )


def test_attachments_come_in_turn() -> None:
    assembler = assembling()
    with pytest.raises(InvalidRequest):
        assembler.feed(b"1")  # of no packet
    assert assembler.feed('52-["x"]') is None
    assert assembler.waiting
    assert assembler.feed(b"1") is None
    with pytest.raises(InvalidRequest):
        assembler.feed('2["y"]')  # one is missing


def test_nothing_is_kept_for_a_namespace_that_is_not_connected() -> None:
    assembler = assembling()
    with pytest.raises(InvalidRequest):
        assembler.feed('51-/strangers,["x",{"_placeholder":true,"num":0}]')
    assert not assembler.waiting


def test_the_attachments_of_a_packet_are_bounded_together() -> None:
    assembler = assembling(limit=10)
    assembler.feed('53-["x"]')
    assembler.feed(b"12345")
    assembler.feed(b"12345")
    with pytest.raises(InvalidRequest):
        assembler.feed(b"1")


def test_a_streams_message_is_the_data_as_published_and_its_id() -> None:
    assert socketio.message(EVENT) == '42["message",{"a":"€"},"id-1"]'.encode()


def test_with_metadata_the_data_stands_among_what_else_is_known() -> None:
    text = socketio.message_whole(EVENT, "dw", "errors", replayed=True)
    name, known, id = orjson.loads(text[2:])
    assert (name, id) == ("message", "id-1")
    assert known == {
        "id": "id-1",
        "stream": "dw",
        "channel": "errors",
        "timestamp": "2026-09-21T14:13:20.000Z",
        "offset": 7,
        "replayed": True,
        "data": {"a": "€"},
    }


@pytest.mark.parametrize(
    ("name", "heard"), [("exit", "exit"), ("connect", "message"), ("error", "message"), ("warning", "message")]
)
def test_another_event_keeps_its_name_unless_clients_give_it_a_meaning(name: str, heard: str) -> None:
    event: Any = Event("i", "stream:s", name, b"1", 0, 1, "abcdefgh")
    assert orjson.loads(socketio.message(event)[2:])[0] == heard


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.lists(_JSON, max_size=4), id=st.none() | st.integers(0, 10**15 - 1))
def test_whatever_is_encoded_is_decoded(data: list[Any], id: int | None) -> None:
    packet = Packet(Type.EVENT, "/admin", ["message", *data], id)
    text, *attachments = encode(packet)
    assembler = assembling(limit=1000)
    try:
        packets = [assembler.feed(message) for message in (text[1:].decode(), *attachments)]
    except InvalidRequest:
        assert len(attachments) > 10
    else:
        assert packets[-1] == packet


@given(
    st.lists(st.text(max_size=30) | st.binary(max_size=30) | st.sampled_from([str(m[0]) for _, m in WHOLE]), max_size=5)
)
def test_any_messages_are_packets_or_refused(messages: list[str | bytes]) -> None:
    assembler = assembling()
    for message in messages:
        try:
            packet = assembler.feed(message)
        except InvalidRequest:
            return
        assert packet is None or isinstance(packet, Packet)


@given(st.from_regex(r"[0-6]([0-9]+-)?(/[a-z?]*,?)?[0-9]*(\[\"[a-z]*\".*\]|\{.*\})?", fullmatch=True))
def test_what_looks_like_a_packet_is_one_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assembling().feed(text)
