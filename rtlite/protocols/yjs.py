"""Yjs over WebSocket, as y-websocket speaks it: sync, awareness, auth.

Source: ``PROTOCOL.md`` of y-protocols, and lib0's encoding. A message is::

    varUint 0: sync       varUint 0: step 1, and a state vector    what I have: tell me what I lack
                          varUint 1: step 2, and an update         the answer
                          varUint 2: update, and an update         an edit
    varUint 1: awareness  bytes of: varUint n, n × (varUint client, varUint clock, JSON)
    varUint 2: auth       varUint 0: permission denied, and a reason
    varUint 3: query      nothing: tell me everyone's awareness

``bytes`` and text are a varUint length and so many bytes. A varUint has seven bits a byte, the
lowest first, and is less than 2^53 (JavaScript's whole numbers). Several messages may stand in
one frame, as y-sync sends them. What is inside an update is not read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import attrs
import orjson

from rtlite.errors import InvalidRequest

SYNC: Final = 0
AWARENESS: Final = 1
AUTH: Final = 2
QUERY_AWARENESS: Final = 3
_STEP_1: Final = 0
_STEP_2: Final = 1
_UPDATE: Final = 2
_PERMISSION_DENIED: Final = 0
_MOST: Final = 2**53 - 1
_LONGEST: Final = 8  # bytes of a varUint up to that

NOTHING: Final = b"\x00\x00"
"""The update that changes nothing: no structs, no deletions."""
NOBODY: Final = b"\x00"
"""The state vector of an empty document."""


@attrs.frozen(slots=True)
class Step1:
    state: bytes


@attrs.frozen(slots=True)
class Step2:
    update: bytes


@attrs.frozen(slots=True)
class Update:
    update: bytes


@attrs.frozen(slots=True)
class State:
    """What one client says of itself. ``state`` is JSON text; ``None`` says that it is gone."""

    client: int
    clock: int
    state: bytes | None


@attrs.frozen(slots=True)
class Awareness:
    states: tuple[State, ...]


@attrs.frozen(slots=True)
class QueryAwareness:
    pass


Message = Step1 | Step2 | Update | Awareness | QueryAwareness


def decode(data: bytes) -> list[Message]:
    """What a client sent in one frame.

    :raises InvalidRequest: it is cut short, says more than it holds, or is of a type that clients do not send.
    """
    messages: list[Message] = []
    at = 0
    while at < len(data) or not messages:
        message, at = _decode(data, at)
        messages.append(message)
    return messages


def _decode(data: bytes, at: int) -> tuple[Message, int]:
    kind, at = read_uint(data, at)
    if kind == SYNC:
        step, at = read_uint(data, at)
        content, at = _read_bytes(data, at)
        if step == _UPDATE:
            return Update(content), at
        if step == _STEP_2:
            return Step2(content), at
        if step == _STEP_1:
            return Step1(content), at
        raise InvalidRequest("sync: no such step")
    if kind == AWARENESS:
        content, at = _read_bytes(data, at)
        return Awareness(tuple(_states(content))), at
    if kind == QUERY_AWARENESS:
        return QueryAwareness(), at
    raise InvalidRequest("no such message")


def step_1(state: bytes) -> bytes:
    """A message that asks for what ``state``, a state vector, lacks."""
    return b"\x00\x00" + _bytes(state)


def step_2(update: bytes) -> bytes:
    return b"\x00\x01" + _bytes(update)


def update(update: bytes) -> bytes:
    return b"\x00\x02" + _bytes(update)


def awareness(states: list[State]) -> bytes:
    """A message with these states; with none it changes nothing, and shows that we are here."""
    parts = [uint(len(states))]
    for state in states:
        parts += uint(state.client), uint(state.clock), _bytes(state.state or b"null")
    return b"\x01" + _bytes(b"".join(parts))


def permission_denied(reason: str) -> bytes:
    return b"\x02\x00" + _bytes(reason.encode())


def uint(value: int) -> bytes:
    """A varUint."""
    if value < 128:
        return value.to_bytes(1, "big")
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """A varUint, and where it ends. :raises InvalidRequest: it is cut short, or 2^53 or more."""
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = shift = 0
    for byte in data[at : at + _LONGEST]:
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            if value > _MOST:
                break
            return value, at
        shift += 7
    raise InvalidRequest("a number is cut short or too large")


def read_state(state: bytes) -> dict[int, int]:
    """A state vector: how much of each client is there. :raises InvalidRequest: it is none."""
    return dict(_pairs(state, 0))


def read_deletions(data: bytes) -> dict[int, int]:
    """The second part of an update: for each client, where its last deletion ends.

    :raises InvalidRequest: it is no set of deletions.
    """
    ends: dict[int, int] = {}
    clients, at = read_uint(data, 0)
    for _ in range(clients):
        client, at = read_uint(data, at)
        ranges, at = read_uint(data, at)
        for _ in range(ranges):
            clock, at = read_uint(data, at)
            length, at = read_uint(data, at)
            ends[client] = max(ends.get(client, 0), clock + length)
    return ends


def _pairs(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    count, at = read_uint(data, at)
    for _ in range(count):
        first, at = read_uint(data, at)
        second, at = read_uint(data, at)
        yield first, second


def _states(data: bytes) -> Iterator[State]:
    count, at = read_uint(data, 0)
    for _ in range(count):
        client, at = read_uint(data, at)
        clock, at = read_uint(data, at)
        text, at = _read_bytes(data, at)
        yield State(client, clock, None if text == b"null" else _checked(text))
    if at != len(data):
        raise InvalidRequest("awareness: more than it says")


def _checked(text: bytes) -> bytes:
    """``text``, if every client can read it: one that cannot would break at it, and blame us."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # which takes half a surrogate pair, as JavaScript does where a name is cut
            json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("awareness: a state is no JSON") from error
    return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _bytes(content: bytes) -> bytes:
    return uint(len(content)) + content


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_uint(data, at)
    end = at + length
    if end > len(data):
        raise InvalidRequest("a message is cut short")
    return data[at:end], end
