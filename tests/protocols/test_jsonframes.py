from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.model import Event
from rtlite.protocols import jsonframes


@attrs.frozen
class Inner:
    name: str


@attrs.frozen
class Wanted:
    text: str
    number: int = 0
    flag: bool = False
    maybe: str | None = None
    anything: Any = None
    names: list[str] = attrs.field(factory=list)
    inners: list[Inner] = attrs.field(factory=list)


def event(data: bytes, name: str = "tick") -> Event:
    return Event("id-1", "news:a", name, data, 1_700_000_000_123, 7, "abcdef12")


def test_a_whole_command_is_decoded_and_unknown_fields_are_ignored() -> None:
    text = (
        b'{"text":"a","number":3,"flag":true,"maybe":"b","anything":[1],"names":["x"],"inners":[{"name":"n"}],"more":1}'
    )
    assert jsonframes.decode(text, Wanted) == Wanted("a", 3, True, "b", [1], ["x"], [Inner("n")])


def test_defaults_stand_in_for_what_is_missing() -> None:
    assert jsonframes.decode('{"text":"a","maybe":null}', Wanted) == Wanted("a")


def test_of_two_equal_names_the_last_counts() -> None:
    assert jsonframes.decode('{"text":"a","text":"b"}', Wanted).text == "b"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({}, "text: missing"),
        ({"text": None}, "text: a text is wanted"),
        ({"text": 5}, "text: a text is wanted"),
        ({"text": ["a"]}, "text: a text is wanted"),
        ({"text": "a", "number": "5"}, "number: a whole number is wanted"),
        ({"text": "a", "number": 5.0}, "number: a whole number is wanted"),
        ({"text": "a", "number": True}, "number: a whole number is wanted"),
        ({"text": "a", "flag": 1}, "flag: true or false is wanted"),
        ({"text": "a", "flag": "yes"}, "flag: true or false is wanted"),
        ({"text": "a", "maybe": 1}, "maybe: a text is wanted"),
        ({"text": "a", "names": "xyz"}, "names: a list is wanted"),
        ({"text": "a", "names": {"x": 1}}, "names: a list is wanted"),
        ({"text": "a", "names": None}, "names: a list is wanted"),
        ({"text": "a", "names": 5}, "names: a list is wanted"),
        ({"text": "a", "names": ["x", 5]}, "names[1]: a text is wanted"),
        ({"text": "a", "inners": [{"name": "n"}, {}]}, "inners[1].name: missing"),
        ({"text": "a", "inners": [{"name": 5}]}, "inners[0].name: a text is wanted"),
        ([], "an object is wanted"),
        ("text", "an object is wanted"),
        (None, "an object is wanted"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_repeated(value: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        jsonframes.decode(orjson.dumps(value), Wanted)
    assert refusal.value.detail == complaint


@pytest.mark.parametrize(
    "text", [b"{", b"\xff", b"NaN", b"[Infinity]", b'"\\ud800"', b"[" * 50_000, b"9" * 5000, b"'a'", b"\x00"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        jsonframes.decode(text, Wanted)
    assert refusal.value.code == "invalid_json" or text == b"9" * 5000


LOSES = [2**64 + 1, -(2**63) - 1, 2**200 + 1, 10**22 + 1, -(10**19) - 1]
KEEPS = [
    2**64 - 1,
    -(2**63),
    2**53 + 1,
    2**64,
    10**20,
    -(2**70),
    10**300,
    18446744073709552000,
]  # the last is JavaScript's 2**64
OTHERS = [
    "0.12345678901234567890123",
    "18446744073709551617.0",
    "1.8446744073709551617e19",
    '"18446744073709551617"',
    r'"a \" 18446744073709551617 \\"',
    r'{"18446744073709551617": "\u0031" }',
]
AROUND = ["%s", '{"data":{"n":%s}}', r'["\"", "\\", [1,%s]]', r'{"a\\":"1\"", "b" : %s }', "\n%s\n", '["é%%", %s]']


def same(was: Any, now: Any) -> bool:
    """Whether a number is what it was, or what a browser writes for the double nearest to it."""
    return bool(was == now) or (isinstance(now, float) and Decimal(repr(now)) == was)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("written", [str, str.encode])
def test_a_whole_number_past_64_bits_keeps_its_digits_or_is_refused(around: str, written: Any) -> None:
    for number in LOSES:
        with pytest.raises(InvalidRequest, match="past 64 bits") as refusal:
            jsonframes.parse(written(around % number))
        assert refusal.value.code == "invalid_json"
    for other in [*KEEPS, *OTHERS]:
        jsonframes.parse(written(around % other))
    for number in KEEPS:
        assert same(number, jsonframes.parse(written(str(number))))


_WHOLE = st.integers() | st.integers(-(2**70), 2**70) | st.integers(10**18, 10**21)
_OTHER = st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.text('\\"0123456789')


@given(st.lists(_WHOLE | _OTHER), st.booleans())
def test_no_whole_number_changes_silently(values: list[Any], ascii_only: bool) -> None:
    text = json.dumps(values, ensure_ascii=ascii_only)
    try:
        found = jsonframes.parse(text)
    except InvalidRequest:
        assert any(isinstance(value, int) and not same(value, float(value)) for value in values)
    else:
        assert all(same(was, now) for was, now in zip(values, found, strict=True))


def test_an_empty_body_counts_as_an_empty_object() -> None:
    with pytest.raises(InvalidRequest, match="text: missing"):
        jsonframes.decode(b"", Wanted)


_NAMES = st.sampled_from(["text", "names", "inners", "name", "flag"]) | st.text()
_PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
_JSON = st.recursive(
    _PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_any_bytes_are_an_instance_or_refused(data: bytes | str) -> None:
    try:
        assert isinstance(jsonframes.decode(data, Wanted), Wanted)
    except InvalidRequest as refusal:
        assert refusal.detail


@given(_JSON)
def test_any_json_is_an_instance_or_refused(value: Any) -> None:
    try:
        decoded = jsonframes.structure(value, Wanted)
    except InvalidRequest as refusal:
        assert refusal.detail
    else:
        assert isinstance(value, dict) and value["text"] == decoded.text
        assert all(isinstance(name, str) for name in decoded.names)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"{}", b'{"type":"tick"}'),
        (b'{"a":1,"b":[2]}', b'{"type":"tick","a":1,"b":[2]}'),
        (b'{"type":"mine","a":1}', b'{"type":"tick","data":{"type":"mine","a":1}}'),
        (b'{"a":{"type":1}}', b'{"type":"tick","a":{"type":1}}'),
        (b'{"position":3}', b'{"type":"tick","position":3}'),
        (b"[1,2]", b'{"type":"tick","data":[1,2]}'),
        (b'"text"', b'{"type":"tick","data":"text"}'),
        (b"null", b'{"type":"tick","data":null}'),
    ],
)
def test_the_blogs_shape(data: bytes, shown: bytes) -> None:
    assert jsonframes.flat(event(data)) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"{}", b'{"position":"abcdef12-7","type":"tick"}'),
        (b'{"a":1}', b'{"position":"abcdef12-7","type":"tick","a":1}'),
        (b'{"position":3}', b'{"position":"abcdef12-7","type":"tick","data":{"position":3}}'),
        (b"5", b'{"position":"abcdef12-7","type":"tick","data":5}'),
    ],
)
def test_the_blogs_shape_with_a_position_that_no_data_can_hide(data: bytes, shown: bytes) -> None:
    assert jsonframes.flat_with_position(event(data)) == shown


@given(_JSON)
def test_every_shape_is_json_that_holds_the_data(value: Any) -> None:
    happened = event(orjson.dumps(value), 'a"b')
    for encode in (jsonframes.flat, jsonframes.flat_with_position):
        shown = orjson.loads(encode(happened))
        assert shown["type"] == 'a"b'
        if "data" in shown and not (isinstance(value, dict) and "data" in value):
            assert shown["data"] == value
    whole = orjson.loads(orjson.dumps(jsonframes.whole(happened)))
    assert whole["data"] == value and whole["offset"] == 7 and whole["timestamp"] == "2023-11-14T22:13:20.123Z"


@attrs.frozen
class Bounds:
    age: str | None = None


@attrs.frozen
class Holder:
    inner: Bounds | None = None


@pytest.mark.parametrize("wrong", [b'"7d"', b"[]", b'["age"]', b"5", b"true", b'""'])
def test_what_is_no_object_is_none_though_all_its_fields_may_be_missing(wrong: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^inner: an object is wanted$"):
        jsonframes.decode(b'{"inner": %b}' % wrong, Holder)
    assert jsonframes.decode(b'{"inner": {"age": "7d"}}', Holder) == Holder(Bounds("7d"))
