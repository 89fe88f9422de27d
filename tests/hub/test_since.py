"""What a client may give as ``since``."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.hub.since import EventId, parse_since
from rtlite.model import Position, rfc3339

NOW = 1_800_000_000_000


@given(st.text() | st.from_regex(r"[0-9]{1,6}-?[0-9:TZ.+-]{0,20}[a-z]{0,8}", fullmatch=True))
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+23:59")
@example("2026-02-30")
@example("٢٠٢٦-٠٥-٢٧")
@example("999999999 days")
@example("aaaaaaaa-9999999999999999999")
def test_any_text_gives_a_since_or_an_invalid_request(text):
    try:
        since = parse_since(text, NOW)
    except InvalidRequest as error:
        assert error.detail.startswith("since: ")
    else:
        assert isinstance(since, Position | EventId) or since >= 0


@given(st.integers(0, 253_402_300_799_999))
def test_timestamp_as_events_show_it_is_read_back_exactly(timestamp):
    assert parse_since(rfc3339(timestamp), NOW) == timestamp


@given(st.from_regex(r"[a-z0-9]{8}", fullmatch=True), st.integers(0, 10**18))
def test_position_is_read_back_exactly(epoch, offset):
    position = Position(epoch, offset)

    assert parse_since(str(position), NOW) == position


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15min", 900), ("15 minutes", 900), ("2h", 7200), ("7 days", 604_800), ("1D", 86_400), ("0s", 0)],
)
def test_age_counts_back_from_now(text, seconds):
    assert parse_since(text, NOW) == NOW - seconds * 1000


def test_age_older_than_the_epoch_is_the_epoch():
    assert parse_since("999999999d", NOW) == 0


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-05-27", 1_779_840_000_000),
        ("2026-05-27T10:30", 1_779_877_800_000),
        ("2026-05-27 10:30:00.5", 1_779_877_800_500),
        ("2026-05-27t10:30:00z", 1_779_877_800_000),
        ("2026-05-27T12:30:00+02:00", 1_779_877_800_000),
        ("1969-01-01", 0),
    ],
)
def test_iso_time_is_utc_unless_it_says_otherwise(text, milliseconds):
    assert parse_since(text, NOW) == milliseconds


def test_anything_else_visible_is_an_event_id():
    assert parse_since("01890f3e-aaaa-7bbb-8ccc-000000000000", NOW) == EventId("01890f3e-aaaa-7bbb-8ccc-000000000000")
