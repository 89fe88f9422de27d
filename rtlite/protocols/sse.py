"""Server-Sent Events as bytes: fields, framing, and where a client left off.

Source: the WHATWG HTML standard, section 9.2 (fields, ``Last-Event-ID``); RFC 9112,
section 7.1 (chunks). A message is lines of ``name: value`` and an empty line::

    id: 5f0c2a91-7
    data: {"channel":"changes:product","event":"UPDATED","data":{…}}

Over HTTP/1.1 each message is one chunk, so that the framed bytes are the same for every
reader and are made once; to a reader of HTTP/1.0 they go as they are, in encodings of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict

import orjson

from rtlite.model import Event, Position, rfc3339
from rtlite.rules import Channel, EventId, EventName, Offset, PositionText, Subscribable, Timestamp

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
MAX_LAST_EVENT_ID: Final = 128
STOP_ID: Final = "closed by the operator"
"""The last id of a stream that an operator ended. No event and no position has it: they hold no spaces."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_SOURCES: Final = ("lastEventId", "last_event_id", "since")


class Start(TypedDict):
    """Who listens, from where, and whether all that was missed follows."""

    userId: str
    position: PositionText | None
    recovered: bool


class Connected(Start):
    """First of all (`event: connected`): who listens to what, from where, and whether all that was missed follows."""

    channel: NotRequired[Subscribable]
    channels: NotRequired[list[Subscribable]]
    event: Literal["connected"]
    data: Start


class Told(TypedDict):
    """An event, as `onmessage` gets it; the last three with `includeMetadata`."""

    channel: Channel
    event: EventName
    data: Any
    id: NotRequired[EventId]
    offset: NotRequired[Offset]
    timestamp: NotRequired[Timestamp]


class Why(TypedDict):
    """Why a stream ends."""

    code: str
    message: str


class Closed(Why):
    """Last of all (`event: closed`): why the stream ends."""

    event: Literal["closed"]
    data: Why


Framing = Callable[[bytes], bytes]


def chunked(payload: bytes) -> bytes:
    """One chunk of an HTTP/1.1 body. Empty bytes would end the body: :data:`LAST_CHUNK` is for that."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def plain(payload: bytes) -> bytes:
    """The body of an HTTP/1.0 answer, which ends with the connection."""
    return payload


LAST_CHUNK: Final = b"0\r\n\r\n"
HEARTBEAT: Final = b": heartbeat\n\n"


def message(data: bytes, *, event: str = "", id: str = "", retry: int | None = None) -> bytes:
    """One message, ready to be framed.

    :param data: UTF-8; each of its lines is a line of the message, so none can begin a field.
    :param event: what ``addEventListener`` is given; without one, ``onmessage`` gets it.
    :param id: what the client sends back as ``Last-Event-ID`` when it reconnects.
    :param retry: milliseconds before it does.
    :raises ValueError: ``event`` or ``id`` holds a line end or NUL.
    """
    head = b"" if retry is None else b"retry: %d\n" % retry
    for name, value in (("event", event), ("id", id)):
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"{name}: a line end or NUL would end the field")
        if value:
            head += f"{name}: {value}\n".encode()
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"%bdata: %b\n\n" % (head, data)


def json_message(value: Any, **fields: Any) -> bytes:
    """As :func:`message`, with data that is JSON."""
    return message(orjson.dumps(value), **fields)


def news(event: str, said: dict[str, Any], about: Mapping[str, Any] | None = None, **fields: Any) -> bytes:
    """What the stream says of itself, in the form of an event.

    A client that reads a stream by itself hands whatever has data to one function, which looks for ``event`` and
    ``data``. So what is ``said`` stands in ``data``, and beside it for who listens by the event's name.

    :param about: the channels. :param fields: as of :func:`message`.
    """
    return json_message({**(about or {}), "event": event, "data": said, **said}, event=event, **fields)


def closed(code: str, text: str, retry: float | None, *, stop: bool) -> bytes:
    """The last message of a stream: why it ends, and when to come back.

    It has no id, so that the client resumes where it was; unless it is to ``stop``.

    :param retry: seconds.
    """
    return news(
        "closed",
        {"code": code, "message": text},
        id=STOP_ID if stop else "",
        retry=None if retry is None else round(retry * 1000),
    )


def data_of(event: Event, more: bytes = b"") -> bytes:
    """The data of an event's message."""
    names = orjson.dumps(event.channel), orjson.dumps(event.name)
    return b'{"channel":%b,"event":%b,"data":%b%b}' % (*names, event.data, more)


def _event(event: Event, place: int | None, more: bytes = b"") -> bytes:
    return message(data_of(event, more), id="" if place is None else str(Position(event.epoch, place)))


def of_channel(event: Event) -> bytes:
    """An event to who listens to its channel alone: its id is the channel's position."""
    return chunked(_event(event, event.offset))


def of_many(event: Event) -> bytes:
    """An event to who listens to several channels: its id is a place in the order of them all, if it is kept."""
    return chunked(_event(event, event.sequence or None))


def of_channel_plain(event: Event) -> bytes:
    """As :func:`of_channel`, for HTTP/1.0."""
    return _event(event, event.offset)


def of_many_plain(event: Event) -> bytes:
    """As :func:`of_many`, for HTTP/1.0."""
    return _event(event, event.sequence or None)


def _metadata(event: Event) -> bytes:
    fields = orjson.dumps(event.id), event.offset, rfc3339(event.timestamp).encode()
    return b',"id":%b,"offset":%d,"timestamp":"%b"' % fields


def of_channel_whole(event: Event) -> bytes:
    """As :func:`of_channel`, with the event's id, offset and time in its data, as ``/_events`` has them."""
    return chunked(_event(event, event.offset, _metadata(event)))


def of_many_whole(event: Event) -> bytes:
    """As :func:`of_many`, with the event's id, offset and time in its data."""
    return chunked(_event(event, event.sequence or None, _metadata(event)))


def of_channel_whole_plain(event: Event) -> bytes:
    """As :func:`of_channel_whole`, for HTTP/1.0."""
    return _event(event, event.offset, _metadata(event))


def of_many_whole_plain(event: Event) -> bytes:
    """As :func:`of_many_whole`, for HTTP/1.0."""
    return _event(event, event.sequence or None, _metadata(event))


def last_event_id(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Where the client left off, as it says; ``None`` if it does not, and empty if that cannot be read.

    The ``Last-Event-ID`` header wins: a browser sends it when it reconnects, with the same
    URL as at first. In the query it is ``lastEventId``, ``last_event_id`` (as polyfills
    write it) or ``since``. At most 128 printable ASCII characters.

    :param headers: by lower-case names; :param query: the decoded query of the URL.
    """
    candidates = (headers.get("last-event-id", ""), *(query.get(name, "") for name in _SOURCES))
    given = next((text for candidate in candidates if (text := candidate.strip(" "))), None)
    if given is None:
        return None
    return given if len(given) <= MAX_LAST_EVENT_ID and _PRINTABLE.fullmatch(given) else ""
