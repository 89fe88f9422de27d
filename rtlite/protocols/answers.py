"""What a client of a command socket is told, as types for the descriptions.

``/ws`` and ``/_events`` write the same answers in two shapes, as they do requests (:mod:`.verbs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict

from rtlite.protocols.jsonframes import MemberJson, Receipt
from rtlite.rules import Channel, Count, PositionText, Subscribable, Timestamp


class Connected(TypedDict):
    """First of all: the channel of the user's own notifications, and where it stands."""

    user: str
    channel: Channel | None
    position: PositionText | None
    recovered: bool


class Subscribed(TypedDict):
    """From here on events come; `recovered` is false if part of what `since` named is gone."""

    channel: Subscribable
    position: PositionText | None
    recovered: bool


class Unsubscribed(TypedDict):
    """No more events come. With a `reason` it was not asked for: the right to read the channel is gone."""

    channel: Subscribable
    reason: NotRequired[Literal["unauthorized"]]


class Published(Receipt):
    """The event is stored and on its way; `duplicate` says that its id was there already."""

    duplicate: NotRequired[bool]


class Authenticated(TypedDict):
    """The new credential has taken the place of the old one."""

    user: str
    expiresAt: Timestamp | None


class TokenExpiring(TypedDict):
    """Send `auth` with a new token within `expiresIn` seconds, or the connection is closed."""

    expiresIn: Count
    expiresAt: Timestamp | None


class Attended(TypedDict):
    """The user is there, or not any more."""

    channel: Channel


class PresenceNews(TypedDict):
    """Who came, changed or left."""

    action: Literal["join", "update", "leave"]
    member: MemberJson


class PresenceList(TypedDict):
    """Everyone who is there, page by page; the first page, without `after`, takes the place of all before."""

    action: Literal["list"]
    members: list[MemberJson]
    after: str | None
    next: str | None


class Failed(TypedDict):
    """Why something was not done. The connection goes on."""

    code: str
    message: str


class Pong(TypedDict):
    """The answer to a ping."""


ANSWERS: Final[Mapping[str, Any]] = {
    "subscribed": Subscribed,
    "unsubscribed": Unsubscribed,
    "published": Published,
    "authenticated": Authenticated,
    "token_expiring": TokenExpiring,
    "joined": Attended,
    "updated": Attended,
    "left": Attended,
    "pong": Pong,
}
