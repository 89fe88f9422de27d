"""Characters that take two places in a text, as JavaScript counts, and edits that part one: half an emoji deleted, say.

Yjs then puts U+FFFD in place of each half. Yrs puts it in one place only, so that what it tells others
of the text is too short. An update in which the two stand already is the same to both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from rtlite.protocols.yjs import read_uint, uint
from rtlite.protocols.yjsupdates import Id, origins, structs, text_at

_FOUR_BYTES: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
_HALVES: Final = "\ufffd\ufffd"
_CHUNK: Final = 15  # bits of a clock


class Places:
    """A set of places that takes a bit for each, where they are dense."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[int, int], bytearray] = defaultdict(lambda: bytearray(1 << (_CHUNK - 3)))

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __contains__(self, place: Id) -> bool:
        chunk = self._chunks.get((place.client, place.clock >> _CHUNK))
        return chunk is not None and bool(chunk[(place.clock >> 3) & 0xFFF] & 1 << (place.clock & 7))

    def add(self, place: Id) -> None:
        self._chunks[place.client, place.clock >> _CHUNK][(place.clock >> 3) & 0xFFF] |= 1 << (place.clock & 7)

    def discard(self, place: Id) -> None:
        if place in self:
            self._chunks[place.client, place.clock >> _CHUNK][(place.clock >> 3) & 0xFFF] &= ~(1 << (place.clock & 7))


def may_have_pairs(update: bytes) -> bool:
    """Whether there can be such a character in it; mostly, there is one."""
    return _FOUR_BYTES.search(update) is not None


def pairs(update: bytes) -> Iterator[Id]:
    """The second half of each such character that an update inserts. :raises InvalidRequest: it is no update."""
    found: list[Id] = []

    def note(half: Id) -> bool:
        found.append(half)
        return False

    _rewritten(update, note)
    return iter(found)


def borders(update: bytes) -> set[Id]:
    """Where an update parts what was one: each place is the first of what then stands behind. :raises: as above."""
    found, deletions = structs(update)
    places: set[Id] = set()
    for struct in found:
        left, right = origins(update, struct)
        if left is not None:
            places.add(Id(left.client, left.clock + 1))
        if right is not None:
            places.add(right)
    for client, clock, end in deletions:
        places |= {Id(client, clock), Id(client, end)}
    return places


def parted(update: bytes, halves: set[Id]) -> bytes:
    """The same with U+FFFD twice in place of the characters whose second halves these are. :raises: as above."""
    return _rewritten(update, halves.__contains__)


def _rewritten(update: bytes, parts: Callable[[Id], bool]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for struct in structs(update)[0]:
        at = None if struct.skip else text_at(update, struct)
        if at is None or not may_have_pairs(update[at : struct.stop]):
            continue
        begin = read_uint(update, at)[1]
        clock = struct.clock
        text: list[str] = []
        for character in update[begin : struct.stop].decode():
            two = character > "\uffff"
            text.append(_HALVES if two and parts(Id(struct.client, clock + 1)) else character)
            clock += 1 + two
        content = "".join(text).encode()
        pieces += update[done:at], uint(len(content)), content
        done = struct.stop
    return b"".join([*pieces, update[done:]])
