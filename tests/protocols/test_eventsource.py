"""The HTML standard's rules for event streams, 9.2.6, and its own examples."""

from __future__ import annotations

import pytest

from rtlite.protocols import eventsource
from rtlite.protocols.eventsource import BrokenStream, Decoder, Incoming


def events(*pieces: bytes) -> list[tuple[str, str, str | None]]:
    decoder = Decoder()
    found: list[Incoming] = [event for piece in pieces for event in decoder.feed(piece)]
    return [(event.name, event.data, event.id) for event in found]


def test_lines_of_data_are_one_text():
    assert events(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [("message", "YHOO\n+2\n10", None)]


def test_the_standards_stream_of_four_blocks_is_three_events():
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert events(stream) == [
        ("message", "first event", "1"),
        ("message", "second event", ""),
        ("message", " third event", ""),
    ]


def test_empty_data_is_an_event_and_no_data_is_none():
    assert events(b"data\n\ndata\ndata\n\ndata:") == [("message", "", None), ("message", "\n", None)]
    assert events(b"event: ping\n\nid: 1\n\n") == []


def test_a_name_holds_for_one_event_and_an_id_until_the_next():
    assert events(b"event: connected\nid: 7\ndata: a\n\ndata: b\n\n") == [
        ("connected", "a", "7"),
        ("message", "b", "7"),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_kind_of_line_end_counts_however_the_bytes_are_cut(end):
    stream = end.join([b"id: 1", b"data: a", b"data: b", b"", b"event: x", "data: é€😀".encode(), b"", b""])
    wanted = [("message", "a\nb", "1"), ("x", "é€😀", "1")]
    assert events(stream) == wanted
    assert events(*(bytes([byte]) for byte in stream)) == wanted
    for cut in range(len(stream)):
        assert events(stream[:cut], stream[cut:]) == wanted


def test_a_mark_of_byte_order_is_left_out_at_the_beginning_only():
    assert events(b"\xef\xbb\xbfdata: a\n\n") == [("message", "a", None)]
    assert events(b"\xef", b"\xbb\xbfdata: a\n\n", b"\xef\xbb\xbfdata: b\n\n") == [("message", "a", None)]


def test_an_id_with_nul_and_fields_it_does_not_know_are_ignored():
    assert events(b"id: 1\nid: 2\0\nData: x\nfoo: bar\ndata: a\n\n") == [("message", "a", "1")]


def test_what_no_empty_line_follows_is_no_event_and_moves_nothing():
    decoder = Decoder("before")
    assert list(decoder.feed(b"id: 2\ndata: a\n")) == []
    assert decoder.last_id == "before"


def test_a_comment_alone_is_nothing():
    assert events(b": heartbeat\n\n" * 3) == []


def test_the_time_to_wait_is_taken_if_it_is_a_number():
    decoder = Decoder()
    assert decoder.retry is None
    for line, wanted in ((b"retry: 3000\n", 3000), (b"retry: soon\n", 3000), (b"retry: -1\n", 3000), (b"retry:5\n", 5)):
        assert list(decoder.feed(line)) == []
        assert decoder.retry == wanted


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 60, b"x" * 60, b"data: xxxxxxxx\n" * 8])
def test_an_event_without_end_is_refused(monkeypatch, flood):
    monkeypatch.setattr(eventsource, "MAX_EVENT", 50)
    with pytest.raises(BrokenStream):
        list(Decoder().feed(flood))
    assert len(events(b"data: xxxxxxxx\n\n" * 8)) == 8
