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

from collections.abc import Iterable
from typing import Final, NamedTuple

import attrs

from rtlite.errors import InvalidRequest
from rtlite.protocols.yjs import read_uint
from rtlite.protocols.yjsvalues import bytes_end, decoded, json_end, piece, text_end, value_end

_GC, _DELETED, _JSON, _BINARY, _STRING, _EMBED, _FORMAT, _TYPE, _ANY, _DOC, _SKIP = range(11)
_ORIGIN: Final = 0x80
_RIGHT_ORIGIN: Final = 0x40
_PARENT_SUB: Final = 0x20
_NAMED_TYPES: Final = frozenset({3, 5})  # an XML element and a hook have a name
_TYPES: Final = range(7)
_MOST: Final = 2**53 - 1


class Id(NamedTuple):
    """Which of a client's insertions, counted from 0."""

    client: int
    clock: int


class Range(NamedTuple):
    """So much of what a client inserted: from ``clock`` up to, and without, ``end``."""

    client: int
    clock: int
    end: int


class Struct(NamedTuple):
    """A struct: what it covers, where its bytes are, and what it builds on.

    ``skip``: it is none, but stands for what the update lacks.
    """

    client: int
    clock: int
    end: int
    skip: bool
    start: int
    stop: int
    needs: tuple[Id, ...]


@attrs.define(slots=True)
class Contents:
    """What an update tells, in short.

    :ivar types: shared types that it makes: they can be nested no deeper than there are.
    :ivar starts: the clock of each client's first struct. :ivar ends: where its last ends.
    :ivar needs: of each client, the newest insertion that a struct builds on; a struct's own client counts
        only where it builds on what does not come before it.
    :ivar gaps: whether clocks are missing between the structs of one client.
    """

    types: int = 0
    starts: dict[int, int] = attrs.field(factory=dict)
    ends: dict[int, int] = attrs.field(factory=dict)
    needs: dict[int, int] = attrs.field(factory=dict)
    deletions: list[Range] = attrs.field(factory=list)
    gaps: bool = False

    def follows(self, known: dict[int, int]) -> bool:
        """Whether it surely lacks nothing where so much of each client is known."""
        return (
            not self.gaps
            and all(clock <= known.get(client, 0) for client, clock in self.starts.items())
            and all(clock < known.get(client, 0) for client, clock in self.needs.items())
            and all(end <= max(known.get(client, 0), self.ends.get(client, 0)) for client, _, end in self.deletions)
        )


def check(update: bytes) -> Contents:
    """What is in ``update``.

    :raises InvalidRequest: it is no update, or one that Yjs does not make.
    """
    return _read(update, None)


def structs(update: bytes) -> tuple[list[Struct], list[Range]]:
    """All of an update, one by one: what it inserts, and what it deletes. :raises InvalidRequest: as above."""
    found: list[Struct] = []
    return found, _read(update, found).deletions


def _read(update: bytes, found: list[Struct] | None) -> Contents:
    contents = Contents()
    try:
        at = _structs(update, contents, found)
        contents.deletions = list(_deletions(update, at))
    except IndexError as error:
        raise InvalidRequest("an update is cut short") from error
    return contents


def _structs(data: bytes, contents: Contents, found: list[Struct] | None) -> int:
    clients, at = read_uint(data, 0)
    for _ in range(clients):
        count, at = read_uint(data, at)
        client, at = read_uint(data, at)
        clock, at = read_uint(data, at)
        if not count:
            raise InvalidRequest("an update has a client without structs")
        if client in contents.starts:
            contents.gaps = True
        contents.starts.setdefault(client, clock)
        for _ in range(count):
            kind = data[at] & 31
            ids: list[Id] = []
            start = at
            length, at = _struct(data, at, ids)
            for needed in ids:
                if needed.client != client or needed.clock >= clock:
                    contents.needs[needed.client] = max(needed.clock, contents.needs.get(needed.client, 0))
            contents.types += kind == _TYPE
            contents.gaps |= kind == _SKIP
            end = clock + length
            if not length or end > _MOST:
                raise InvalidRequest("an update has a struct of no length")
            if found is not None:
                found.append(Struct(client, clock, end, kind == _SKIP, start, at, tuple(ids)))
            clock = end
        contents.ends[client] = max(clock, contents.ends.get(client, 0))
    return at


def origins(update: bytes, struct: Struct) -> tuple[Id | None, Id | None]:
    """What a struct was put behind, and what before."""
    info = update[struct.start]
    left = struct.needs[0] if info & _ORIGIN else None
    return left, struct.needs[left is not None] if info & _RIGHT_ORIGIN else None


def text_at(update: bytes, struct: Struct) -> int | None:
    """Where the text of a struct begins, by its length in bytes; ``None`` if it has none."""
    if update[struct.start] & 31 != _STRING:
        return None
    return _neighbours(update[struct.start], update, struct.start + 1, [])


def _struct(data: bytes, at: int, ids: list[Id]) -> tuple[int, int]:
    """How much of its client's clock a struct takes, and where it ends; ``ids`` gets what it builds on."""
    info = data[at]
    at += 1
    kind = info & 31
    if kind in {_GC, _SKIP}:
        if info != kind:
            raise InvalidRequest("an update has a struct that Yjs does not know")
        return read_uint(data, at)
    at = _neighbours(info, data, at, ids)
    if kind == _STRING:
        size, at = read_uint(data, at)
        text = piece(data, at, size)
        return len(text) if text.isascii() else len(decoded(text).encode("utf-16-le")) // 2, at + size
    return _content(kind, data, at)


def _neighbours(info: int, data: bytes, at: int, ids: list[Id]) -> int:
    """What a struct stands between, or in; returns where its content begins."""
    if info & _ORIGIN:
        at = _id(data, at, ids)
    if info & _RIGHT_ORIGIN:
        at = _id(data, at, ids)
    if not info & (_ORIGIN | _RIGHT_ORIGIN):
        root, at = read_uint(data, at)
        at = text_end(data, at) if root else _id(data, at, ids)
        if info & _PARENT_SUB:
            at = text_end(data, at)
    return at


def _content(kind: int, data: bytes, at: int) -> tuple[int, int]:
    if kind == _DELETED:
        return read_uint(data, at)
    if kind in {_JSON, _ANY}:
        count, at = read_uint(data, at)
        for _ in range(count):
            at = value_end(data, at) if kind == _ANY else json_end(data, at)
        return count, at
    if kind == _BINARY:
        return 1, bytes_end(data, at)
    if kind == _EMBED:
        return 1, json_end(data, at)
    if kind == _FORMAT:
        return 1, json_end(data, text_end(data, at))
    if kind == _TYPE:
        type, at = read_uint(data, at)
        if type not in _TYPES:
            raise InvalidRequest("an update has a type that Yjs does not know")
        return 1, text_end(data, at) if type in _NAMED_TYPES else at
    if kind == _DOC:
        return 1, value_end(data, text_end(data, at))
    raise InvalidRequest("an update has a content that Yjs does not know")


def _deletions(data: bytes, at: int) -> Iterable[Range]:
    clients, at = read_uint(data, at)
    for _ in range(clients):
        client, at = read_uint(data, at)
        ranges, at = read_uint(data, at)
        for _ in range(ranges):
            clock, at = read_uint(data, at)
            length, at = read_uint(data, at)
            if not length or clock + length > _MOST:
                raise InvalidRequest("an update deletes nothing, or what cannot be")
            yield Range(client, clock, clock + length)
    if at != len(data):
        raise InvalidRequest("an update is longer than it says")


def _id(data: bytes, at: int, ids: list[Id]) -> int:
    client, at = read_uint(data, at)
    clock, at = read_uint(data, at)
    ids.append(Id(client, clock))
    return at
