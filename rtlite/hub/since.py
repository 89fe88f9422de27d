"""The places in history a reader can name: a position, an event's id, an age, a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from rtlite.errors import InvalidRequest
from rtlite.model import Position, check_event_id

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGE: Final = re.compile(r"([0-9]{1,9})\s*([a-z]+)")
_UNITS: Final = {
    name: seconds
    for names, seconds in (
        ("s sec second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hour hours", 3600),
        ("d day days", 86_400),
    )
    for name in names.split()
}
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)


@attrs.frozen
class EventId:
    """The place after the event with this id."""

    id: str


Since = Position | EventId | int
"""A whole number is a time: milliseconds since 1970, and events from then on are wanted."""


def parse_since(text: str, now: int) -> Since:
    """Read what a client gave as ``since``.

    Accepted are ``EPOCH-OFFSET``, an age such as ``90s``, ``15min``, ``2h``, ``7 days``, an
    ISO 8601 date or time (UTC unless it says otherwise), and else an event's id.

    :param now: milliseconds since 1970, which ages count back from.
    :raises InvalidRequest: the text can be none of these.
    """
    text = text.strip()
    if (position := Position.parse(text)) is not None:
        return position
    if (age := _AGE.fullmatch(text.lower())) is not None and age[2] in _UNITS:
        return max(0, now - int(age[1]) * _UNITS[age[2]] * 1000)
    if _ISO.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
        except (ValueError, OverflowError) as error:
            raise InvalidRequest(f"since: no such time: {error}") from error
    try:
        return EventId(check_event_id(text))
    except InvalidRequest as error:
        raise InvalidRequest(
            "since: a position, an event id, an age such as 2h, or an ISO 8601 time is wanted"
        ) from error
