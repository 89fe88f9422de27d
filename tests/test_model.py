from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlite import model
from rtlite.errors import InvalidRequest
from rtlite.model import Event, Position, matches, new_event_id, rfc3339

CHECKS = [model.check_channel, model.check_pattern, model.check_event_id, model.check_event_name, model.check_user]


@pytest.mark.parametrize("check", CHECKS)
@given(st.text(max_size=300))
@example("a" * 255)
@example("a" * 256)
@example("\ud800")
@example("kind:*")
@example("")
def test_any_text_passes_as_it_is_or_is_refused(check: Callable[[str], str], text: str) -> None:
    try:
        assert check(text) == text
    except InvalidRequest as refusal:
        assert refusal.status == 400
        return
    text.encode()  # nothing that passes can fail later on its way into bytes or the database
    assert 1 <= len(text) <= 255 and "\0" not in text and "\n" not in text
    if check is not model.check_user:
        assert text.isascii() and " " not in text


@pytest.mark.parametrize("name", ["a", "news:a", "a:b:c", "__proto__", "../x", "%00", "a:*b", "*a", "**", "a:**"])
def test_odd_names_are_plain_data(name: str) -> None:
    assert model.check_channel(name) == name


@pytest.mark.parametrize("name", ["", "*", "a:*", ":*", "a b", "a\0", "é", "a\n", "a" * 256])
def test_these_are_no_channels(name: str) -> None:
    with pytest.raises(InvalidRequest):
        model.check_channel(name)


@pytest.mark.parametrize(
    ("name", "fine"), [("a:*", True), ("a", True), ("*", False), (":*", False), ("a:b:*", False), ("é:*", False)]
)
def test_a_pattern_is_a_channel_or_a_whole_kind(name: str, fine: bool) -> None:
    if fine:
        assert model.check_pattern(name) == name
    else:
        with pytest.raises(InvalidRequest):
            model.check_pattern(name)


@pytest.mark.parametrize(
    ("pattern", "channel", "covered"),
    [
        ("a:b", "a:b", True),
        ("a:b", "a:bc", False),
        ("a:*", "a:b", True),
        ("a:*", "a:", True),
        ("a:*", "ab:c", False),
        ("a:*", "a", False),
        ("a:*", "a:*", True),
        ("*", "a:b", True),
        ("*", "a:*", True),
        ("a:b", "a:*", False),
    ],
)
def test_what_a_pattern_covers(pattern: str, channel: str, covered: bool) -> None:
    assert matches(pattern, channel) is covered


@given(st.text(max_size=30))
@example("abcdef12-0")
@example("abcdef12-9999999999999999999")
def test_a_position_is_read_back_as_it_was_written_or_is_none(text: str) -> None:
    position = Position.parse(text)
    assert position is None or str(position) == text


@given(st.integers(0, 2**62 - 1))
def test_every_position_can_be_written_and_read(offset: int) -> None:
    position = Position(model.new_epoch(), offset)
    assert Position.parse(str(position)) == position


def test_ids_are_uuid7_and_unique() -> None:
    ids = [new_event_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id) for id in ids)
    assert all(model.check_event_id(id) for id in ids)
    assert ids[0][:8] <= ids[-1][:8]


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(timestamp: int, text: str) -> None:
    assert rfc3339(timestamp) == text


def test_values_are_frozen() -> None:
    position = Position("abcdefgh", 1)
    with pytest.raises(AttributeError):
        position.offset = 2  # type: ignore[misc]


def test_events_are_values_though_they_are_light() -> None:
    event, same = (Event("i", "c", "n", b"1", 0, 1, "e") for _ in range(2))
    assert (event, hash(event)) == (same, hash(same))
