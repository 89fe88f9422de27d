"""Values as lib0 encodes them inside an update of Yjs: where each ends, once it is known to be one.

Source: lib0's ``decoding.readAny``. Every function returns the offset behind the value, and raises
:class:`InvalidRequest` where it is none, or is nested deeper than Yrs can follow.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from rtlite.errors import InvalidRequest
from rtlite.protocols.yjs import read_uint

_MAX_DEPTH: Final = 100
_FIXED: Final = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}
"""Values by their first byte, and the bytes that follow: undefined, null, floats, bigint, false, true."""


def value_end(data: bytes, at: int) -> int:
    """Where a value of any kind ends."""
    left = [1]  # at each level, the values that are still to come
    keyed = [False]
    while left:
        if not left[-1]:
            left.pop()
            keyed.pop()
            continue
        left[-1] -= 1
        if keyed[-1]:
            at = text_end(data, at)
        kind = data[at]
        at += 1
        if (fixed := _FIXED.get(kind)) is not None:
            piece(data, at, fixed)
            at += fixed
        elif kind == 125:
            at = _int(data, at)
        elif kind == 119:
            at = text_end(data, at)
        elif kind == 116:
            at = bytes_end(data, at)
        elif kind in {117, 118}:
            count, at = read_uint(data, at)
            left.append(count)
            keyed.append(kind == 118)
            if len(left) > _MAX_DEPTH:
                raise InvalidRequest("an update has a value that is nested too deep")
        else:
            raise InvalidRequest("an update has a value of no kind")
    return at


def _int(data: bytes, at: int) -> int:
    """Where a varInt ends; its first byte has a sign besides."""
    end = at + 9
    while data[at] & 0x80:
        at += 1
        if at == end:
            raise InvalidRequest("an update has a number that is too large")
    return at + 1


def json_end(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    text = piece(data, at, size)
    if text != b"undefined":
        try:
            if text.count(b"[") + text.count(b"{") > _MAX_DEPTH:
                _check_depth(text)
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest("an update has a content that is no JSON") from error
    return at + size


def _check_depth(text: bytes) -> None:
    try:
        stack = [json.loads(text)]
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("an update has a content that is no JSON, or nested too deep") from error
    for _ in range(_MAX_DEPTH):
        stack = [
            inner
            for value in stack
            if isinstance(value, list | dict)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if stack:
        raise InvalidRequest("an update has a content that is nested too deep")


def text_end(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    text = piece(data, at, size)
    if not text.isascii():
        decoded(text)
    return at + size


def bytes_end(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    piece(data, at, size)
    return at + size


def piece(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise InvalidRequest("an update is cut short")
    return data[at : at + size]


def decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("an update has a text that is no UTF-8") from error
