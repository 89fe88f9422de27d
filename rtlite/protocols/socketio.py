"""Socket.IO 5 as text and bytes: packets, their attachments, the rules of what may come when.

Source: the Socket.IO protocol, revision 5. A packet is the data of an Engine.IO message::

    type [attachments -] [/namespace ,] [id] [json]

    0/admin,{"token":"…"}                                CONNECT to a namespace
    2["message",{"a":1}]                                 EVENT
    212["question"]  then  312["answer"]                 EVENT that wants an ACK, and the ACK
    51-["file",{"_placeholder":true,"num":0}]            BINARY_EVENT; one binary message follows
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import attrs
import orjson

from rtlite.errors import InvalidRequest
from rtlite.model import Event, rfc3339
from rtlite.protocols import jsonframes

_PACKET: Final = re.compile(
    r"([0-6])(?:([0-9]{1,5})-)?(?:(/[^,\x00-\x1f]{0,255})(?:,|$))?([0-9]{1,15})?(.*)", re.DOTALL
)
MAX_DEPTH: Final = 100
"""Levels of lists and objects in what a client sends: attachments are looked for in all of them."""

RESERVED: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Names of events that are the clients' own; a packet that carries one is malformed."""

_OURS: Final = RESERVED | {"error", "warning"}


class Type(IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_PLAIN: Final = {Type.BINARY_EVENT: Type.EVENT, Type.BINARY_ACK: Type.ACK}
_BINARY: Final = {plain: binary for binary, plain in _PLAIN.items()}
_FROM_CLIENTS: Final = frozenset(Type) - {Type.CONNECT_ERROR}


@attrs.frozen
class Packet:
    """A whole packet. ``data`` holds ``bytes`` where there were attachments, so that no type needs a binary twin."""

    type: Type
    namespace: str = "/"
    data: Any = None
    id: int | None = None


def encode(packet: Packet) -> list[bytes]:
    """A packet as messages of Engine.IO: the first is text (with its type), what follows are attachments."""
    attachments: list[bytes] = []
    data = _take_out(packet.data, attachments)
    type = _BINARY[packet.type] if attachments else packet.type
    head = f"4{type.value}"
    if attachments:
        head += f"{len(attachments)}-"
    if packet.namespace != "/":
        head += f"{packet.namespace},"
    if packet.id is not None:
        head += str(packet.id)
    return [head.encode() + (b"" if data is None else orjson.dumps(data)), *attachments]


def _take_out(value: Any, attachments: list[bytes]) -> Any:
    """``value`` with placeholders for its ``bytes``, which go to ``attachments``."""
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, dict):
        return {name: _take_out(item, attachments) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_out(item, attachments) for item in value]
    return value


class Assembler:
    """Makes packets of messages: fed one after the other, it gives a packet when it is whole.

    :param most: attachments that a packet may have, and :param limit: bytes that they may have together.
    :param awaited: whether packets of a namespace may come now; nothing is kept of one that may not.
    """

    def __init__(self, most: int, limit: int, awaited: Callable[[str], bool]) -> None:
        self._most = most
        self._limit = limit
        self._awaited = awaited
        self._begun: Packet | None = None
        self._missing = 0
        self._attachments: list[bytes] = []

    @property
    def waiting(self) -> bool:
        """Whether attachments of a packet are still to come."""
        return self._begun is not None

    def feed(self, message: str | bytes) -> Packet | None:
        """Take the data of one Engine.IO message.

        :raises InvalidRequest: it breaks the format, or comes out of turn.
        """
        if isinstance(message, bytes):
            return self._attach(message)
        if self._begun is not None:
            raise InvalidRequest("an attachment is missing")
        packet, attachments = _decode(message, self._most)
        if not attachments:
            return _checked(packet)
        if not self._awaited(packet.namespace):
            raise InvalidRequest("this namespace is not connected")
        self._begun, self._missing = packet, attachments
        return None

    def _attach(self, data: bytes) -> Packet | None:
        if self._begun is None:
            raise InvalidRequest("an attachment of no packet")
        self._attachments.append(data)
        if sum(map(len, self._attachments)) > self._limit:
            raise InvalidRequest(f"the attachments of a packet have {self._limit} bytes at most")
        if len(self._attachments) < self._missing:
            return None
        packet, attachments = self._begun, list[bytes | None](self._attachments)
        self._begun, self._attachments = None, []
        return _checked(attrs.evolve(packet, data=_put_back(packet.data, attachments)))


def _decode(text: str, most: int) -> tuple[Packet, int]:
    """A packet, and how many attachments are still to come."""
    match = _PACKET.fullmatch(text)
    if match is None:
        raise InvalidRequest("this is no packet")
    type = Type(int(match[1]))
    if type not in _FROM_CLIENTS:
        raise InvalidRequest("a client sends no such packet")
    attachments = int(match[2] or 0)
    if (type in _PLAIN) != (attachments > 0) or (match[2] is not None and not attachments) or attachments > most:
        raise InvalidRequest(f"binary packets, and no others, have attachments, {most} at most")
    data = jsonframes.parse(match[5]) if match[5] else None
    if match[5].count("[") + match[5].count("{") > MAX_DEPTH:
        _check_depth(data)
    id = None if match[4] is None else int(match[4])
    return Packet(_PLAIN.get(type, type), match[3] or "/", data, id), attachments


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise InvalidRequest(f"lists and objects stand in {MAX_DEPTH} levels at most")


def _put_back(value: Any, attachments: list[bytes | None]) -> Any:
    """``value`` with the attachments in place of the placeholders.

    Each is used once: named a thousand times, a megabyte would go out as a gigabyte.
    """
    if isinstance(value, list):
        return [_put_back(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is not True:
        return {name: _put_back(item, attachments) for name, item in value.items()}
    number = value.get("num")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(attachments):
        raise InvalidRequest("a placeholder of no attachment")
    if (attachment := attachments[number]) is None:
        raise InvalidRequest("two placeholders of one attachment")
    attachments[number] = None
    return attachment


def _checked(packet: Packet) -> Packet:
    """The packet, if what it carries is what its type has."""
    data = packet.data
    if packet.type is Type.CONNECT:
        fits = packet.id is None and (data is None or isinstance(data, dict))
    elif packet.type is Type.DISCONNECT:
        fits = packet.id is None and data is None
    elif packet.type is Type.ACK:
        fits = packet.id is not None and isinstance(data, list)
    else:
        fits = isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED
    if not fits:
        raise InvalidRequest("the packet carries what its type does not have")
    return packet


def message(event: Event) -> bytes:
    """An event of a stream as a packet of the root namespace: its name, the data as published, its id."""
    return b"42[%b,%b,%b]" % (orjson.dumps(_name(event)), event.data, orjson.dumps(event.id))


def message_whole(event: Event, stream: str, channel: str, *, replayed: bool) -> bytes:
    """As :func:`message`, but the data stands among what else is known of it."""
    known = orjson.dumps(
        {
            "id": event.id,
            "stream": stream,
            "channel": channel,
            "timestamp": rfc3339(event.timestamp),
            "offset": event.offset,
            "replayed": replayed,
            "data": orjson.Fragment(event.data),
        }
    )
    return b"42[%b,%b,%b]" % (orjson.dumps(_name(event)), known, orjson.dumps(event.id))


def _name(event: Event) -> str:
    return "message" if event.name in _OURS else event.name
