"""Frozen values that travel through every layer: events, positions, identities.

Nothing here does I/O or knows a protocol. The rules for names (channels, event
ids, event names) stand here too, so that every door refuses the same things.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

import attrs

from rtlite.errors import InvalidRequest

if TYPE_CHECKING:
    from attrs import frozen as light_frozen
else:
    # For what is made anew with each publish. Only mypy holds it frozen: to do so at run time, attrs makes
    # the first value of each field a call, which was 1.5 µs of a publish.
    light_frozen = partial(attrs.define, unsafe_hash=True)

MAX_CHANNEL: Final = 255
MAX_EVENT_ID: Final = 64
MAX_EVENT_NAME: Final = 128
MAX_USER: Final = 255
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
# Control characters, and lone surrogates, which no UTF-8 can hold.
_UNFIT_FOR_USERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_STREAM: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,63}")
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # the first two bits are 10
_POSITION: Final = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]{0,18})")


@attrs.frozen(slots=True)
class Position:
    """A place in a channel's history: after the event with this offset.

    ``epoch`` is eight random characters that change only when history was lost;
    ``offset`` counts a channel's events from 1, so 0 is the place before the first.
    As text, ``EPOCH-OFFSET``, it is legal in every header and URL.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read ``EPOCH-OFFSET``; ``None`` if the text is no position."""
        match = _POSITION.fullmatch(text)
        return cls(match[1], int(match[2])) if match and int(match[2]) < 2**62 else None


@light_frozen(slots=True)
class NewEvent:
    """An event as a publisher hands it in: not ordered and not stored yet.

    ``data`` is JSON text in UTF-8. ``id`` is the publisher's own, for safe retries, or
    ``None``, and then rtlite gives a UUIDv7.
    """

    channel: str
    name: str
    data: bytes
    id: str | None = None


@light_frozen(slots=True)
class Event:
    """A committed event: its place in its channel is fixed.

    ``timestamp`` is in milliseconds since 1970 (UTC); ``offset`` is 1, 2, … within the
    channel and epoch; ``sequence`` orders all stored events of the server and is 0 on
    channels without history.
    """

    id: str
    channel: str
    name: str
    data: bytes
    timestamp: int
    offset: int
    epoch: str
    sequence: int = 0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.offset)


@light_frozen(slots=True)
class Published:
    """What a publisher gets back. ``duplicate`` says that this id was there already."""

    event: Event
    duplicate: bool = False


@attrs.frozen(slots=True)
class Member:
    """A user who is present on a channel, however many connections it has there.

    ``data`` is JSON text, what the user says of itself; ``joined`` is in milliseconds since
    1970. Within the grace period after a dropped link there is no connection, and ``left``
    says since when (ms).
    """

    user: str
    data: bytes
    connections: int
    joined: int
    left: int | None = None


@attrs.frozen(slots=True)
class PresenceNotice:
    """What a watcher of a channel is told.

    ``action`` is ``join``, ``update`` or ``leave`` of one member, or ``list``: a page of all of
    them, in the order of their users, those past the user ``after``. ``next`` is the last user of a
    page that others follow.
    """

    channel: str
    action: str
    members: tuple[Member, ...]
    after: str | None = None
    next: str | None = None


class Kind(StrEnum):
    """What a credential is. Each kind of key has its own prefix."""

    BLOG = "blog"
    PROJECT = "project"
    STREAM = "stream"
    ADMIN = "admin"
    JWT = "jwt"
    ANONYMOUS = "anonymous"


class Role(StrEnum):
    """The ``role`` claim of a JWT."""

    USER = "user"
    CUSTOMER = "customer"
    COLLAB = "collab"
    ADMIN = "admin"


@attrs.frozen(slots=True, cache_hash=True)  # what it may is looked up by it
class Identity:
    """Who is asking, as the gate found out; grants decide what this may do.

    ``credential`` names the key's id (``key_…``) or the token's subject for lists and
    logs; it is never the secret. ``expires`` is in seconds since 1970, or ``None``.
    ``subscribe`` and ``publish`` are the channel patterns granted besides those that the
    kind has anyway; ``only`` narrows a ticket to the patterns it names.
    ``key`` is an API key that came beside a token: what it may comes on top.
    """

    kind: Kind
    user: str
    credential: str
    role: Role = Role.USER
    write: bool = False
    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    expires: float | None = None
    key: Identity | None = None

    def rests_on(self, credential: str) -> bool:
        """Whether this is over once that key or token is."""
        return credential == self.credential or (self.key is not None and credential == self.key.credential)


def new_epoch() -> str:
    """Eight random lower-case hexadecimal characters."""
    return secrets.token_hex(4)


def new_event_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): time-ordered, 74 random bits."""
    return new_event_ids(1)[0]


def new_event_ids(count: int) -> list[str]:
    """So many UUIDv7 of one moment: together they cost a third."""
    text, bits = f"{now_ms():012x}", os.urandom(10 * count).hex()
    start = f"{text[:8]}-{text[8:]}-7"
    return [
        f"{start}{bits[at : at + 3]}-{_VARIANT[bits[at + 3]]}{bits[at + 4 : at + 7]}-{bits[at + 8 : at + 20]}"
        for at in range(0, 20 * count, 20)
    ]


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=256)  # events of one batch have it in common
def rfc3339(timestamp: int) -> str:
    """Milliseconds since 1970 as RFC 3339, UTC, with milliseconds: ``2026-05-27T10:30:00.000Z``."""
    seconds, ms = divmod(timestamp, 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=256)  # and come in many to the second
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def kind_of(channel: str) -> str:
    """The part before the first colon: ``article`` of ``article:my-first-post``."""
    return channel.partition(":")[0]


def check_stream(id: str) -> str:
    """Return a stream's id, which stands in paths and in channels' names as it is.

    :raises InvalidRequest: unless it is 1 to 64 ASCII letters, digits and ``-_.~``, the last two not first.
    """
    if not _STREAM.fullmatch(id):
        raise InvalidRequest("stream: an id is 1 to 64 letters, digits and any of -_.~ (the last two not first)")
    return id


def stream_channel(stream: str, name: str = "") -> str:
    """The channel of a stream: its standard output, or the one that is called ``name`` (``errors``, say)."""
    return f"stream:{stream}:{name}" if name else f"stream:{stream}"


def stream_of(channel: str) -> str | None:
    """The id of the stream that ``channel`` is of; ``None`` if it is of none."""
    kind, _, rest = channel.partition(":")
    id = rest.partition(":")[0]
    return id if kind == "stream" and _STREAM.fullmatch(id) else None


def is_pattern(name: str) -> bool:
    """Whether a subscription names a whole kind (``changes:*``) and not one channel."""
    return name.endswith(":*")


def matches(pattern: str, channel: str) -> bool:
    """Whether ``pattern`` (a channel, ``kind:*``, or ``*``) covers ``channel``.

    A pattern covers a narrower pattern of its kind as well, so that a grant for
    ``changes:*`` allows subscribing to ``changes:*``.
    """
    return pattern in {channel, "*"} or (is_pattern(pattern) and channel.startswith(pattern[:-1]))


@lru_cache(maxsize=1024)  # publishers name the same few over and over
def check_channel(name: str) -> str:
    """Return ``name`` if one can publish to it.

    :raises InvalidRequest: unless it is 1 to 255 bytes of visible ASCII and no pattern.
    """
    if not 1 <= len(name) <= MAX_CHANNEL or not _VISIBLE.fullmatch(name):
        raise InvalidRequest(
            f"channel: 1 to {MAX_CHANNEL} visible ASCII characters are allowed", code="invalid_channel"
        )
    if is_pattern(name) or name == "*":
        raise InvalidRequest("channel: a pattern names many channels; name one", code="invalid_channel")
    return name


def check_pattern(name: str) -> str:
    """Return ``name`` if one can subscribe to it: a channel or ``kind:*``.

    :raises InvalidRequest: as :func:`check_channel`, and for a kind with a colon in it.
    """
    if is_pattern(name):
        check_channel(name[:-2] or "*")
        if ":" in name[:-2]:
            raise InvalidRequest("channel: a pattern is a kind and ':*', as in changes:*", code="invalid_channel")
        return name
    return check_channel(name)


def inbox_of(user: str, field: str = "user") -> str:
    """The channel of a user's own notifications. :raises InvalidRequest: the id cannot stand in a channel's name."""
    try:
        return check_channel(f"notifications:{user}" if user else "")
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{field}: the id of a user with notifications is visible ASCII, 241 characters at most, and not *"
        ) from error


def check_event_id(value: str) -> str:
    """Return a publisher's own event id. :raises InvalidRequest: unless 1–64 visible ASCII characters."""
    if not 1 <= len(value) <= MAX_EVENT_ID or not _VISIBLE.fullmatch(value):
        raise InvalidRequest(f"id: 1 to {MAX_EVENT_ID} visible ASCII characters are allowed")
    return value


@lru_cache(maxsize=1024)
def check_event_name(value: str) -> str:
    """Return an event's name. :raises InvalidRequest: unless 1–128 visible ASCII characters."""
    if not 1 <= len(value) <= MAX_EVENT_NAME or not _VISIBLE.fullmatch(value):
        raise InvalidRequest(f"event: 1 to {MAX_EVENT_NAME} visible ASCII characters are allowed")
    return value


def check_user(value: str) -> str:
    """Return a user's id (a key's owner, a token's ``sub``), compared exactly and never folded.

    :raises InvalidRequest: unless it is 1 to 255 characters without control characters.
    """
    if not 1 <= len(value) <= MAX_USER or _UNFIT_FOR_USERS.search(value):
        raise InvalidRequest(f"user: 1 to {MAX_USER} characters without control characters are allowed")
    return value
