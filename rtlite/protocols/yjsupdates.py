"""What is inside an update of Yjs, checked before the CRDT sees it.

Source: ``UpdateDecoder.js`` and the ``Content*.js`` of Yjs 13, and lib0's ``decoding.readAny``. An
update (version 1) is the structs of each client, and then what is deleted::

    varUint clients × (varUint structs, varUint client, varUint clock, structs × struct)
    varUint clients × (varUint client, varUint ranges, ranges × (varUint clock, varUint length))

Yrs decodes more than Yjs writes: it takes structs of no length, which break it later, or whoever
reads the document then; and it follows values as deep as they are nested, beyond the end of its
stack. Both are refused here. So is what Yjs cannot read at all.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from rtlite.errors import InvalidRequest
from rtlite.protocols.yjs import read_uint

_GC, _DELETED, _JSON, _BINARY, _STRING, _EMBED, _FORMAT, _TYPE, _ANY, _DOC, _SKIP = range(11)
_ORIGIN: Final = 0x80
_RIGHT_ORIGIN: Final = 0x40
_PARENT_SUB: Final = 0x20
_NAMED_TYPES: Final = frozenset({3, 5})  # an XML element and a hook have a name
_TYPES: Final = range(7)
_MOST: Final = 2**53 - 1
_MAX_DEPTH: Final = 100
_FIXED: Final = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}
"""Values by their first byte, and the bytes that follow: undefined, null, floats, bigint, false, true."""


def check(update: bytes) -> int:
    """How many shared types ``update`` makes: they can be nested no deeper than there are.

    :raises InvalidRequest: it is no update, or one that Yjs does not make.
    """
    try:
        types, at = _structs(update)
        _deletions(update, at)
    except IndexError as error:
        raise InvalidRequest("an update is cut short") from error
    return types


def _structs(data: bytes) -> tuple[int, int]:
    types = 0
    clients, at = read_uint(data, 0)
    for _ in range(clients):
        count, at = read_uint(data, at)
        _, at = read_uint(data, at)
        clock, at = read_uint(data, at)
        if not count:
            raise InvalidRequest("an update has a client without structs")
        for _ in range(count):
            kind = data[at] & 31
            length, at = _struct(data, at)
            types += kind == _TYPE
            clock += length
            if not length or clock > _MOST:
                raise InvalidRequest("an update has a struct of no length")
    return types, at


def _struct(data: bytes, at: int) -> tuple[int, int]:
    """How much of its client's clock a struct takes, and where it ends."""
    info = data[at]
    at += 1
    kind = info & 31
    if kind in {_GC, _SKIP}:
        if info != kind:
            raise InvalidRequest("an update has a struct that Yjs does not know")
        return read_uint(data, at)
    if info & _ORIGIN:
        at = _id(data, at)
    if info & _RIGHT_ORIGIN:
        at = _id(data, at)
    if not info & (_ORIGIN | _RIGHT_ORIGIN):
        root, at = read_uint(data, at)
        at = _text(data, at) if root else _id(data, at)
        if info & _PARENT_SUB:
            at = _text(data, at)
    if kind == _STRING:
        size, at = read_uint(data, at)
        text = _piece(data, at, size)
        return len(text) if text.isascii() else len(_decoded(text).encode("utf-16-le")) // 2, at + size
    return _content(kind, data, at)


def _content(kind: int, data: bytes, at: int) -> tuple[int, int]:
    if kind == _DELETED:
        return read_uint(data, at)
    if kind in {_JSON, _ANY}:
        count, at = read_uint(data, at)
        for _ in range(count):
            at = _value(data, at) if kind == _ANY else _json(data, at)
        return count, at
    if kind == _BINARY:
        return 1, _bytes(data, at)
    if kind == _EMBED:
        return 1, _json(data, at)
    if kind == _FORMAT:
        return 1, _json(data, _text(data, at))
    if kind == _TYPE:
        type, at = read_uint(data, at)
        if type not in _TYPES:
            raise InvalidRequest("an update has a type that Yjs does not know")
        return 1, _text(data, at) if type in _NAMED_TYPES else at
    if kind == _DOC:
        return 1, _value(data, _text(data, at))
    raise InvalidRequest("an update has a content that Yjs does not know")


def _deletions(data: bytes, at: int) -> None:
    clients, at = read_uint(data, at)
    for _ in range(clients):
        _, at = read_uint(data, at)
        ranges, at = read_uint(data, at)
        for _ in range(ranges):
            clock, at = read_uint(data, at)
            length, at = read_uint(data, at)
            if not length or clock + length > _MOST:
                raise InvalidRequest("an update deletes nothing, or what cannot be")
    if at != len(data):
        raise InvalidRequest("an update is longer than it says")


def _value(data: bytes, at: int) -> int:
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
            at = _text(data, at)
        kind = data[at]
        at += 1
        if (fixed := _FIXED.get(kind)) is not None:
            _piece(data, at, fixed)
            at += fixed
        elif kind == 125:
            at = _int(data, at)
        elif kind == 119:
            at = _text(data, at)
        elif kind == 116:
            at = _bytes(data, at)
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


def _json(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    text = _piece(data, at, size)
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


def _id(data: bytes, at: int) -> int:
    _, at = read_uint(data, at)
    _, at = read_uint(data, at)
    return at


def _text(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    text = _piece(data, at, size)
    if not text.isascii():
        _decoded(text)
    return at + size


def _bytes(data: bytes, at: int) -> int:
    size, at = read_uint(data, at)
    _piece(data, at, size)
    return at + size


def _piece(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise InvalidRequest("an update is cut short")
    return data[at : at + size]


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("an update has a text that is no UTF-8") from error
