"""JSON in and out: typed commands from text, events as text.

Decoding is strict. NaN, lone surrogates, numbers and nesting out of range are refused, as are
whole numbers that would lose digits; a value of the wrong type is an error that names the field. Unknown fields are
ignored, as clients of the source texts send more than they need; of two equal names the
last counts.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, TypedDict, TypeVar, get_origin

import attrs
import cattrs
import orjson
from cattrs.cols import list_structure_factory
from cattrs.errors import ClassValidationError, IterableValidationError
from cattrs.gen import make_dict_structure_fn

from rtlite.errors import InvalidRequest
from rtlite.model import Event, Member, PresenceNotice, rfc3339
from rtlite.rules import Channel, EventId, EventName, Offset, Rule, Timestamp, User

T = TypeVar("T")
Epoch = Annotated[str, Rule(pattern="^[a-z0-9]{8}$", description="Changes only when history was lost.")]


class Receipt(TypedDict):
    """What a publisher is told of its event."""

    id: EventId
    channel: Channel
    offset: Offset
    epoch: Epoch
    timestamp: Timestamp


class EventJson(TypedDict):
    """An event as the history has it."""

    id: EventId
    channel: Channel
    event: EventName
    data: Any
    timestamp: Timestamp
    offset: Offset
    epoch: Epoch


class MemberJson(TypedDict):
    """Who is present on a channel, with what it says of itself."""

    user: User
    data: Any
    connections: int
    joined: Timestamp


def _exactly(kind: type) -> Any:
    def check(value: Any, _: Any) -> Any:
        if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
            return value
        raise TypeError(f"{_NAMES[kind]} is wanted")

    return check


_NAMES: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
MAX_CONTAINERS: Final = 50_000
"""A megabyte of brackets alone takes the parser and Python's collector half a second. Those in texts count too."""
LARGE: Final = b"+" if b"+" in orjson.dumps(1e19) else b"e"
"""In the text of every float from 1e16 on, and of few other values: ``1e+19``."""
_AS_ZERO: Final = bytes(ord("0") if chr(byte) in "0123456789" else byte for byte in range(256))
_LONG_RUN: Final = b"0" * 19  # of digits: no shorter number is past 64 bits
_LONG: Final = re.compile(rb"-?[0-9][-+.0-9eE]{18,}")
_converter = cattrs.Converter()
for _kind in (str, int, bool):
    _converter.register_structure_hook(_kind, _exactly(_kind))


def _listing(wanted: Any) -> Any:
    """cattrs would take anything it can iterate over: the letters of a text, the names of an object."""
    plain = list_structure_factory(wanted, _converter)

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"{_NAMES[list]} is wanted")
        return plain(value, wanted)

    return check


def _is_listing(wanted: Any) -> bool:
    return get_origin(wanted) is list


_converter.register_structure_hook_factory(_is_listing, _listing)


def _object(wanted: Any) -> Any:
    """cattrs would look for the fields in a text as well, and find none of those that need not be there."""
    plain = make_dict_structure_fn(wanted, _converter)

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"{_NAMES[dict]} is wanted")
        return plain(value, wanted)

    return check


_converter.register_structure_hook_factory(attrs.has, _object)


def parse(data: bytes | str, what: str = "the body") -> Any:
    """A JSON value.

    :param what: it is the text of, in what is said of it.
    :raises InvalidRequest: the text is not JSON, has very many lists and objects, or a whole number that would change.
    """
    value = parse_loosely(data, what)
    check_whole_numbers(data)
    return value


def parse_loosely(data: bytes | str, what: str = "the body") -> Any:
    """As :func:`parse`, but whole numbers past 64 bits become floats, which have :data:`LARGE` in them when written."""
    if len(data) > MAX_CONTAINERS:
        brackets = (data.count("[") + data.count("{")) if isinstance(data, str) else data.count(b"[") + data.count(b"{")
        if brackets > MAX_CONTAINERS:
            raise InvalidRequest(f"more than {MAX_CONTAINERS} lists and objects", code="invalid_json")
    try:
        return orjson.loads(data)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON", code="invalid_json") from error


def check_whole_numbers(data: bytes | str) -> None:
    """Whether what became a float may: browsers write ``1e20`` as a whole number.

    :param data: JSON. :raises InvalidRequest: the float has not the value of the number, also when it is written again.
    """
    text = data.encode() if isinstance(data, str) else data
    # Where 19 digits stand in a row, three of every sixth byte do: that is soon seen of most.
    if b"000" not in text[::6].translate(_AS_ZERO) or _LONG_RUN not in text.translate(_AS_ZERO):
        return
    quotes = end = 0
    for found in _LONG.finditer(text):
        between = text[end : found.start()].replace(rb"\\", b"").replace(rb"\"", b"")
        quotes, end = quotes + between.count(b'"'), found.end()
        if quotes % 2 == 0 and found[0].removeprefix(b"-").isdigit():
            number = int(found[0])
            if not -(2**63) <= number < 2**64 and number not in {float(number), Decimal(repr(float(number)))}:
                raise InvalidRequest("a whole number past 64 bits would change; send it as a text", code="invalid_json")


def decode(data: bytes | str, wanted: type[T]) -> T:
    """An instance of an attrs class from JSON text (an empty body counts as ``{}``).

    :raises InvalidRequest: the text is not JSON, or a field is missing or of the wrong type.
    """
    return structure(parse(data) if data else {}, wanted)


def structure(value: Any, wanted: type[T]) -> T:
    """As :func:`decode`, from a value that is parsed already."""
    if not isinstance(value, dict):
        raise InvalidRequest("an object is wanted")
    try:
        return _converter.structure(value, wanted)
    except (ClassValidationError, IterableValidationError) as error:
        raise InvalidRequest(_first_complaint(error)) from error


def _first_complaint(error: BaseException, path: str = "") -> str:
    """The first field that is wrong, and how, from cattrs' group of errors."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        inner = error.exceptions[0]
        for note in getattr(inner, "__notes__", ()):
            name = getattr(note, "name", None)
            index = getattr(note, "index", None)
            if name is not None:
                path = f"{path}.{name}" if path else str(name)
            elif index is not None:
                path = f"{path}[{index}]"
        return _first_complaint(inner, path)
    if isinstance(error, KeyError):
        return f"{path}: missing"
    text = str(error) if isinstance(error, TypeError | ValueError) and "is wanted" in str(error) else "wrong type"
    return f"{path}: {text}" if path else text


def flat(event: Event) -> bytes:
    """The blog's shape: ``{"type": name, …the fields of data}``.

    Data that is no object, or has a ``type`` of its own, goes under ``data``.
    """
    return b'{"type":' + orjson.dumps(event.name) + _fields(event.data, ("type",)) + b"}"


def flat_with_position(event: Event) -> bytes:
    """As :func:`flat`, and the event's ``position`` first, for clients that asked to resume.

    So data with a ``position`` of its own goes under ``data`` as well.
    """
    return b'{"position":"%b","type":%b%b}' % (
        str(event.position).encode(),
        orjson.dumps(event.name),
        _fields(event.data, ("type", "position")),
    )


def _fields(data: bytes, taken: tuple[str, ...]) -> bytes:
    """The fields of an object, ready to follow those ``taken``; anything else as a field ``data``."""
    if data == b"{}":
        return b""
    if not data.startswith(b"{"):
        return b',"data":' + data
    # Without an escape a name is written in one way only, so that most data need not be parsed.
    suspected = b"\\u" in data or any(b'"%b"' % name.encode() in data for name in taken)
    if suspected and not orjson.loads(data).keys().isdisjoint(taken):
        return b',"data":' + data
    return b"," + data[1:-1]


def presence(notice: PresenceNotice) -> dict[str, Any]:
    """``{"action", "member"}``, or of a list ``{"action", "members", "after", "next"}``.

    The first page of a list has no ``after``, and takes the place of all that a client knew.
    """
    members = [member(item) for item in notice.members]
    if notice.action == "list":
        return {"action": notice.action, "members": members, "after": notice.after, "next": notice.next}
    return {"action": notice.action, "member": members[0]}


def member(item: Member) -> MemberJson:
    """A member of a channel, as watchers and the list over HTTP show it."""
    return {
        "user": item.user,
        "data": orjson.Fragment(item.data),
        "connections": item.connections,
        "joined": rfc3339(item.joined),
    }


def receipt(event: Event) -> Receipt:
    """What a publisher is told of its event."""
    return {
        "id": event.id,
        "channel": event.channel,
        "offset": event.offset,
        "epoch": event.epoch,
        "timestamp": rfc3339(event.timestamp),
    }


def whole(event: Event) -> EventJson:
    """Everything about an event, as history and the command line show it."""
    return {
        "id": event.id,
        "channel": event.channel,
        "event": event.name,
        "data": orjson.Fragment(event.data),
        "timestamp": rfc3339(event.timestamp),
        "offset": event.offset,
        "epoch": event.epoch,
    }
