"""Engine.IO's packets and payloads, as the protocol's text shows them."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.protocols import engineio


def test_the_handshake_is_the_protocols_in_milliseconds_and_bytes() -> None:
    packet = engineio.handshake("lv_VI97HAXpY6yYWAAAC", ["websocket"], 25.0, 20.0, 1_000_000)
    assert packet[:1] == b"0"
    assert orjson.loads(packet[1:]) == {
        "sid": "lv_VI97HAXpY6yYWAAAC",
        "upgrades": ["websocket"],
        "pingInterval": 25_000,
        "pingTimeout": 20_000,
        "maxPayload": 1_000_000,
    }


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        ("4hello", ("4", "hello")),
        ("4", ("4", "")),
        ("2probe", ("2", "probe")),
        ("5", ("5", "")),
        (b"\x01\x02", ("4", b"\x01\x02")),
    ],
)
def test_a_packet_is_a_digit_and_its_data(message: str | bytes, packet: tuple[str, str | bytes]) -> None:
    assert engineio.decode(message) == packet


@pytest.mark.parametrize("message", ["", "7", "a", "abc", "٤hello", " 4", "\x1e"])
def test_what_does_not_begin_with_a_type_is_no_packet(message: str) -> None:
    with pytest.raises(InvalidRequest):
        engineio.decode(message)


def test_a_payload_holds_several_packets_and_binary_as_base64() -> None:
    assert (
        engineio.encode_payload([(b"4hello", False), (b"2", False), (b"\1\2\3\4", True)]) == b"4hello\x1e2\x1ebAQIDBA=="
    )
    assert engineio.decode_payload(b"4hello\x1e2\x1ebAQIDBA==", 16) == ["4hello", "2", b"\1\2\3\4"]
    assert engineio.decode_payload("4€".encode(), 16) == ["4€"]


@pytest.mark.parametrize(
    "body",
    [b"", b"\x1e", b"4a\x1e", b"4a\x1e\x1e4b", b"b!", b"bAQI", b"bAQIDBA==\n", b"4\xff", b"\x1e".join([b"4"] * 17)],
)
def test_a_payload_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        engineio.decode_payload(body, 16)


def test_sixteen_packets_are_a_payload() -> None:
    assert len(engineio.decode_payload(b"\x1e".join([b"4"] * 16), 16)) == 16


def test_eight_megabytes_of_separators_take_less_than_50_ms() -> None:
    body = b"\x1e" * 8_000_000
    started = time.thread_time()
    with pytest.raises(InvalidRequest):
        engineio.decode_payload(body, 16)
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({}, engineio.UNKNOWN_TRANSPORT),
        ({"EIO": "4"}, engineio.UNKNOWN_TRANSPORT),
        ({"EIO": "4", "transport": "abc"}, engineio.UNKNOWN_TRANSPORT),
        ({"transport": "polling"}, engineio.UNSUPPORTED_VERSION),
        ({"EIO": "3", "transport": "polling"}, engineio.UNSUPPORTED_VERSION),
        ({"EIO": "abc", "transport": "polling"}, engineio.UNSUPPORTED_VERSION),
        ({"EIO": "4", "transport": "polling"}, engineio.BAD_REQUEST),
        ({"EIO": "4", "transport": "websocket"}, None),
    ],
)
def test_a_handshake_of_another_protocol_is_refused_by_number(
    query: dict[str, str], refusal: engineio.Refusal | None
) -> None:
    assert engineio.refuse(query, engineio.WEBSOCKET) == refusal


@given(st.binary(max_size=200) | st.lists(st.binary(max_size=10), max_size=20).map(b"\x1e".join))
def test_any_body_is_packets_or_refused(body: bytes) -> None:
    try:
        packets = engineio.decode_payload(body, 16)
    except InvalidRequest:
        return
    assert 1 <= len(packets) <= 16


@given(st.lists(st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"])) | st.binary(), min_size=1))
def test_whatever_is_put_into_a_payload_comes_out_of_it(data: list[str | bytes]) -> None:
    packets = [(b"4" + item.encode(), False) if isinstance(item, str) else (item, True) for item in data]
    found = engineio.decode_payload(engineio.encode_payload(packets), 1000)
    assert found == ["4" + item if isinstance(item, str) else item for item in data]
