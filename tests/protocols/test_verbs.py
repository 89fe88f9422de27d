"""What every door that takes events says of the same fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtlite.errors import InvalidRequest
from rtlite.model import NewEvent
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Publication, Request, event_in


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel": None},
        {"channel": ""},
        {"channel": "jobs:*"},
        {"event": None},
        {"event": "a b"},
        {"id": ""},
        {"id": "x" * 65},
        {"data": nested(500)},
    ],
    ids=lambda wrong: "".join(wrong),
)
def test_an_event_is_refused_in_the_same_words_over_http_and_by_command(wrong: dict[str, object]) -> None:
    fields = {"channel": "a:b", "event": "e", "data": 1, "id": "i"} | wrong
    with pytest.raises(InvalidRequest) as over_http:
        jsonframes.structure(fields, Publication).as_event()
    with pytest.raises(InvalidRequest) as by_command:
        Request("publish", fields).command().as_event()  # type: ignore[union-attr]
    assert (over_http.value.detail, over_http.value.code) == (by_command.value.detail, by_command.value.code)


def test_an_event_is_the_same_by_both() -> None:
    fields = {"channel": "a:b", "event": "e", "data": {"n": 1}, "id": "i"}
    event = NewEvent("a:b", "e", b'{"n":1}', "i")
    assert jsonframes.structure(fields, Publication).as_event() == event
    assert Request("publish", fields).command().as_event() == event  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body",
    [
        b'{"channel":"a:b","event":"e","data":{"x":[1,null,"\\u00e9"]}}',
        b'{"channel":"a:b","event":"e"}',
        b'{"channel":"a:b","event":"e","data":1,"id":"mine","more":2}',
        b'{"channel":"a:b","event":"e","id":null}',
        b'{"channel":"a:b","event":"e","id":7}',
        b'{"channel":"a:b","event":"e","id":""}',
        b'{"channel":"a:*","event":"e"}',
        b'{"channel":"a b","event":""}',
        b'{"channel":"a:b","event":""}',
        b'{"channel":"a:b"}',
        b'{"channel":7,"event":"e"}',
        b'{"channel":"a:b","event":["e"]}',
        b'{"channel":"a:b","event":"e","data":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"channel":"a:b","event":"e","data":NaN}',
        b"[]",
        b"7",
        b"{",
        b"",
    ],
)
def test_the_quick_way_to_read_an_event_answers_as_the_other(body: bytes) -> None:
    def told(read: Callable[[], NewEvent]) -> object:
        try:
            return read()
        except InvalidRequest as error:
            return (error.code, error.detail)

    assert told(lambda: event_in(body)) == told(lambda: jsonframes.decode(body, Publication).as_event())
