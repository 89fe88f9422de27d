"""Engine.IO 4 as text and bytes: packets, payloads of several packets, the handshake, refusals.

Source: the Engine.IO protocol, revision 4. A packet is a digit and its data; over a
WebSocket it is one text message, and binary data is one binary message without a digit.
A body of HTTP holds several packets::

    4hello RS 4world RS bAQIDBA==        (RS is 0x1E; b is base64 of binary data)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import orjson

from rtlite.errors import InvalidRequest

OPEN: Final = "0"
CLOSE: Final = "1"
PING: Final = "2"
PONG: Final = "3"
MESSAGE: Final = "4"
UPGRADE: Final = "5"
NOOP: Final = "6"
PROBE: Final = PING + "probe"
PROBED: Final = PONG + "probe"
REVISION: Final = "4"
POLLING: Final = "polling"
WEBSOCKET: Final = "websocket"

_SEPARATOR: Final = b"\x1e"
_TYPES: Final = frozenset("0123456")


@attrs.frozen
class Refusal:
    """Why a request is no part of a session: the protocol's number and words."""

    code: int
    message: str

    def encode(self) -> bytes:
        return orjson.dumps({"code": self.code, "message": self.message})


UNKNOWN_TRANSPORT: Final = Refusal(0, "Transport unknown")
UNKNOWN_SID: Final = Refusal(1, "Session ID unknown")
BAD_METHOD: Final = Refusal(2, "Bad handshake method")
BAD_REQUEST: Final = Refusal(3, "Bad request")
FORBIDDEN: Final = Refusal(4, "Forbidden")
UNSUPPORTED_VERSION: Final = Refusal(5, "Unsupported protocol version")


def handshake(sid: str, upgrades: list[str], interval: float, timeout: float, max_payload: int) -> bytes:
    """The open packet. Times are in seconds (in the packet, in milliseconds), ``max_payload`` in bytes."""
    return OPEN.encode() + orjson.dumps(
        {
            "sid": sid,
            "upgrades": upgrades,
            "pingInterval": round(interval * 1000),
            "pingTimeout": round(timeout * 1000),
            "maxPayload": max_payload,
        }
    )


def decode(message: str | bytes) -> tuple[str, str | bytes]:
    """A packet's type and data, from one message of a WebSocket or one part of a payload.

    :raises InvalidRequest: there is no such type.
    """
    if isinstance(message, bytes):
        return MESSAGE, message
    if message[:1] not in _TYPES or not message:
        raise InvalidRequest("a packet begins with its type, 0 to 6")
    return message[0], message[1:]


def encode_payload(packets: Iterable[tuple[bytes, bool]]) -> bytes:
    """The body of an answer to a poll, of packets as they would go over a WebSocket; ``True`` marks binary data."""
    return _SEPARATOR.join(b"b" + base64.b64encode(data) if binary else data for data, binary in packets)


def decode_payload(body: bytes, most: int) -> list[str | bytes]:
    """The packets of a body, as they would come over a WebSocket.

    :param most: how many there may be; they are counted before anything is split.
    :raises InvalidRequest: there are more, or one is not UTF-8, not base64, or empty.
    """
    if body.count(_SEPARATOR) >= most:
        raise InvalidRequest(f"a payload has {most} packets at most")
    packets: list[str | bytes] = []
    for part in body.split(_SEPARATOR):
        try:
            packets.append(base64.b64decode(part[1:], validate=True) if part[:1] == b"b" else part.decode())
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidRequest("a packet of the payload cannot be read") from error
        if not part:
            raise InvalidRequest("a packet of the payload is empty")
    return packets


def refuse(query: Mapping[str, str], transport: str | None = None) -> Refusal | None:
    """Why a request's query fits no session, or ``None``.

    :param transport: what the request itself shows: a WebSocket's handshake cannot ask for polling.
    """
    wanted = query.get("transport")
    if wanted not in {POLLING, WEBSOCKET}:
        return UNKNOWN_TRANSPORT
    if query.get("EIO") != REVISION:
        return UNSUPPORTED_VERSION
    if transport is not None and wanted != transport:
        return BAD_REQUEST
    return None
