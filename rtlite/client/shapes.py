"""What a server's answers hold, as they are on the wire."""

from __future__ import annotations

from typing import Any, TypedDict


class Receipt(TypedDict):
    """What a publisher gets back: where the event stands in its channel."""

    id: str
    channel: str
    offset: int
    epoch: str
    timestamp: str


class Event(TypedDict):
    """One event. ``position`` is the place after it, to resume from (``since``): ``None`` where none is kept.

    ``data`` is any JSON value; ``timestamp`` is RFC 3339 in UTC.
    """

    id: str
    channel: str
    event: str
    data: Any
    timestamp: str
    offset: int
    position: str | None


class HistoryPage(TypedDict):
    """Events of one channel. ``next`` is where the following page begins; going forwards it is always there.

    ``recovered`` is false if part of what ``since`` named is gone; going backwards the server does not say it.
    """

    items: list[Event]
    next: str | None
    recovered: bool
