from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest, TooLarge
from rtlite.protocols import lines
from rtlite.protocols.lines import Lines


def cut(*pieces: bytes, limit: int = 100) -> list[bytes]:
    found = Lines(limit)
    return [line for piece in pieces for line in found.feed(piece)] + list(found.feed_eof())


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a\r\n\r\nb\r\n"], [b"a", b"", b"b"]),
        ([b"a\r", b"\nb"], [b"a", b"b"]),
        ([b"\n\n"], [b"", b""]),
        ([b"a", b"", b"b", b"\n", b"c"], [b"ab", b"c"]),
        ([b"a\rb\n"], [b"a\rb"]),
        ([b"\xff\x00\n"], [b"\xff\x00"]),
        ([], []),
        ([b""], []),
    ],
)
def test_lines_end_with_a_newline_or_with_the_body(pieces: list[bytes], expected: list[bytes]) -> None:
    assert cut(*pieces) == expected


@given(st.lists(st.binary(max_size=20)))
def test_where_a_body_is_cut_into_pieces_makes_no_difference(pieces: list[bytes]) -> None:
    assert cut(*pieces, limit=1000) == cut(b"".join(pieces), limit=1000)


@pytest.mark.parametrize(
    "pieces", [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"a\n" + b"x" * 11 + b"\n"], [b"x" * 10 + b"\n", b"x" * 11]]
)
def test_a_line_over_the_limit_is_refused_before_it_is_whole(pieces: list[bytes]) -> None:
    with pytest.raises(TooLarge, match="10 bytes"):
        cut(*pieces, limit=10)
    assert cut(b"x" * 10, b"\n", limit=10) == [b"x" * 10]


def test_a_line_that_comes_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    begun, found = time.thread_time(), Lines(10**6)
    for _ in range(400_000):
        assert not list(found.feed(b"x"))
    assert time.thread_time() - begun < 2
    assert list(found.feed_eof()) == [b"x" * 400_000]


def test_text_becomes_json_whatever_bytes_it_has() -> None:
    assert lines.text(b'say "hi"\t\xc3\xa9\xff\x00') == '"say \\"hi\\"\\té\ufffd\\u0000"'.encode()
    assert lines.text(b"") == b'""'


def test_json_is_written_as_we_write_it_and_blank_lines_say_nothing() -> None:
    assert lines.ndjson(b' {"a" : [1, "\\u00e9"],\r"b":null}') == '{"a":[1,"é"],"b":null}'.encode()
    assert lines.ndjson(b"") is lines.ndjson(b" \t") is None
    assert lines.ndjson(b"42") == b"42"


@pytest.mark.parametrize("line", [b"{", b"a", b"NaN", b'"\\ud800"', b'"\xff"', b"1 2", b"[" * 1000 + b"]" * 1000])
def test_what_is_not_json_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        lines.ndjson(line)
    assert caught.value.code == "invalid_json"
