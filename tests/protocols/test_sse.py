"""Server-sent events as bytes. What an EventSource makes of them is asked of the decoder of our own client."""

from __future__ import annotations

import orjson
import pytest

from rtlite.model import Event
from rtlite.protocols import sse
from rtlite.protocols.eventsource import Decoder, Incoming

EVENT = Event("e1", "changes:product", "UPDATED", b'{"a":1}', 1_800_000_000_000, 7, "5f0c2a91", 90)


def read(data: bytes) -> list[Incoming]:
    return list(Decoder().feed(data))


def test_an_event_is_an_id_and_a_line_of_data() -> None:
    assert sse.of_channel_plain(EVENT) == (
        b'id: 5f0c2a91-7\ndata: {"channel":"changes:product","event":"UPDATED","data":{"a":1}}\n\n'
    )


def test_of_many_channels_the_id_counts_commits_and_what_is_not_kept_has_none() -> None:
    assert sse.of_many_plain(EVENT).startswith(b"id: 5f0c2a91-90\n")
    passing = Event("e2", "typing:1", "typing", b"1", 0, 3, "00000000", 0)
    assert sse.of_many_plain(passing) == b'data: {"channel":"typing:1","event":"typing","data":1}\n\n'
    assert sse.of_channel_plain(passing).startswith(b"id: 00000000-3\n")


def test_with_metadata_an_event_tells_its_id_offset_and_time_as_well() -> None:
    whole = b',"id":"e1","offset":7,"timestamp":"2027-01-15T08:00:00.000Z"}\n\n'
    assert sse.of_channel_whole_plain(EVENT) == sse.of_channel_plain(EVENT).replace(b"}\n\n", whole)
    assert sse.of_many_whole_plain(EVENT) == sse.of_many_plain(EVENT).replace(b"}\n\n", whole)


@pytest.mark.parametrize(
    ("framed", "plain"),
    [
        ("of_channel", "of_channel_plain"),
        ("of_many", "of_many_plain"),
        ("of_channel_whole", "of_channel_whole_plain"),
        ("of_many_whole", "of_many_whole_plain"),
    ],
)
def test_over_http_1_1_an_event_is_one_chunk(framed: str, plain: str) -> None:
    body = getattr(sse, plain)(EVENT)
    assert getattr(sse, framed)(EVENT) == b"%x\r\n" % len(body) + body + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b'{\n  "a": 1\n}',
        b'{"a":\r1}',
        b'{"a":\r\n\r\n1}',
        b'{"a":1\n\nid: 9\nevent: closed\ndata: {}\n\n}',
        b"1\n",
        b"\r1",
    ],
)
def test_line_ends_in_data_start_no_field(data: bytes) -> None:
    (event,) = read(sse.message(data, id="x-1"))
    assert (event.name, event.id) == ("message", "x-1")
    assert event.data.split("\n") == data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")


def test_names_that_look_like_fields_stay_in_the_data() -> None:
    event = Event("e", "a:\\nid:9", 'x"\\nretry:1', '"\u2028\u2029\x7f"'.encode(), 0, 1, "5f0c2a91", 1)
    (seen,) = read(sse.of_channel_plain(event))
    assert orjson.loads(seen.data) == {"channel": "a:\\nid:9", "event": 'x"\\nretry:1', "data": "\u2028\u2029\x7f"}
    assert (seen.name, seen.id) == ("message", "5f0c2a91-1")


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\n", "x\r\ndata: y"])
@pytest.mark.parametrize("field", ["id", "event"])
def test_a_field_with_a_line_end_or_nul_is_not_made(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match=field):
        sse.message(b"1", **{field: bad})


def test_the_last_message_says_why_and_when_to_come_back() -> None:
    data = sse.closed("stopping", "server is stopping", 1.2345, stop=False)
    why = '"code":"stopping","message":"server is stopping"'
    assert data.decode() == f'retry: 1234\nevent: closed\ndata: {{"event":"closed","data":{{{why}}},{why}}}\n\n'
    decoder = Decoder("5f0c2a91-7")
    list(decoder.feed(data))
    assert (decoder.last_id, decoder.retry) == ("5f0c2a91-7", 1234)


def test_who_is_to_stop_comes_back_with_an_id_that_no_event_has() -> None:
    decoder = Decoder("5f0c2a91-7")
    list(decoder.feed(sse.closed("closed_by_operator", "x", None, stop=True)))
    assert decoder.last_id == sse.STOP_ID
    assert sse.last_event_id({"last-event-id": sse.STOP_ID}, {}) == sse.STOP_ID


def test_a_heartbeat_is_no_event() -> None:
    assert read(sse.HEARTBEAT + sse.message(b"1") + sse.HEARTBEAT) == [Incoming("message", "1", None)]


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, {}, None),
        ({"last-event-id": ""}, {}, None),
        ({"last-event-id": "a-1"}, {"lastEventId": "b-2", "since": "c-3"}, "a-1"),
        ({"last-event-id": " "}, {"lastEventId": "b-2", "since": "c-3"}, "b-2"),
        ({}, {"last_event_id": "b-2", "since": "c-3"}, "b-2"),
        ({}, {"since": "2026-05-27 10:30"}, "2026-05-27 10:30"),
        ({}, {"lastEventId": "x" * 128}, "x" * 128),
        ({}, {"lastEventId": "x" * 129}, ""),
        ({"last-event-id": "x" * 129}, {"since": "c-3"}, ""),
        ({}, {"since": "a\nb"}, ""),
        ({}, {"since": "a\0"}, ""),
        ({}, {"since": "ü"}, ""),
    ],
)
def test_where_a_client_left_off(headers: dict, query: dict, expected: str | None) -> None:
    assert sse.last_event_id(headers, query) == expected
