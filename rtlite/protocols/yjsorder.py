"""Updates of Yjs that come before what they build on: what of one can be added now, and what is to wait.

Yjs keeps what it cannot add yet, and adds it later. Yrs means to, but loses some of it on the way. So
it is only ever given what lacks nothing. A struct lacks something if an earlier one of its client is
not known, or its neighbours or its parent are not; a deletion lacks what of its range is not known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf

import attrs

from rtlite.errors import InvalidRequest
from rtlite.protocols.yjs import NOTHING, uint
from rtlite.protocols.yjsupdates import Contents, Id, Range, Struct, structs


@attrs.frozen
class Split:
    """An update in two.

    :ivar now: what lacks nothing; :data:`yjs.NOTHING` if there is no such part.
    :ivar later: the rest, likewise.
    :ivar lacks: what the rest waits for. Once one of these is known, it may have become less.
    """

    now: bytes
    later: bytes
    lacks: Sequence[Id]


def split(update: bytes, known: Mapping[int, int]) -> Split:
    """Split an update by what is known: so much of each client.

    What is known already, and stands before what is not, is in neither part.

    :raises InvalidRequest: it is no update.
    """
    found, deletions = structs(update)
    runs: dict[int, list[Struct]] = defaultdict(list)
    for struct in found:
        runs[struct.client].append(struct)
    for run in runs.values():
        run.sort(key=lambda struct: struct.clock)  # a client may stand in it twice
    reached, lacks = _follow(runs, known)
    now, later = [], []
    for client, run in runs.items():
        now.append([s for s in run if not s.skip and known.get(client, 0) < s.end <= reached[client]])
        rest = [s for s in run if s.end > reached[client]]
        while rest and rest[0].skip:
            del rest[0]
        later.append(rest)
    sure, unsure = [], []
    for client, clock, end in deletions:
        there = reached.get(client, known.get(client, 0))
        if clock < there:
            sure.append(Range(client, clock, min(end, there)))
        if end > there:
            unsure.append(Range(client, max(clock, there), end))
            lacks.append(Id(client, max(clock, there)))
    return Split(_encode(update, now, sure), _encode(update, later, unsure), lacks)


class Extent:
    """What an update covers: of each client so much, and of that these are deleted."""

    def __init__(self, ends: Mapping[int, int], deletions: Iterable[Range]) -> None:
        self._ends = ends
        self._deleted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for client, clock, end in sorted(deletions):
            ranges = self._deleted[client]
            if ranges and clock <= ranges[-1][1]:
                ranges[-1] = ranges[-1][0], max(end, ranges[-1][1])
            else:
                ranges.append((clock, end))

    def covers(self, contents: Contents) -> bool:
        """Whether all that an update inserts and deletes is in here."""
        return all(end <= self._ends.get(client, 0) for client, end in contents.ends.items()) and all(
            self._deletes(deletion) for deletion in contents.deletions
        )

    def _deletes(self, deletion: Range) -> bool:
        ranges = self._deleted.get(deletion.client, [])
        place = bisect_right(ranges, (deletion.clock, inf)) - 1
        return place >= 0 and deletion.end <= ranges[place][1]


def _follow(runs: Mapping[int, list[Struct]], known: Mapping[int, int]) -> tuple[dict[int, int], list[Id]]:
    """How much of each client is known once all is added that can be, and what the rest lacks."""
    reached = {client: known.get(client, 0) for client in runs}
    places = dict.fromkeys(runs, 0)
    lacking: dict[int, Id] = {}
    waiting: dict[int, list[tuple[int, int]]] = defaultdict(list)  # for a client: which clock, and who does
    todo = list(runs)
    while todo:
        client = todo.pop()
        run, place = runs[client], places[client]
        lacking.pop(client, None)
        while place < len(run):
            lacks = _lacks(run[place], reached, known)
            if lacks is not None:
                lacking[client] = lacks
                heappush(waiting[lacks.client], (lacks.clock, client))
                break
            reached[client] = max(reached[client], run[place].end)
            place += 1
        places[client] = place
        while waiting[client] and waiting[client][0][0] < reached[client]:
            todo.append(heappop(waiting[client])[1])
    return reached, list(lacking.values())


def _lacks(struct: Struct, reached: Mapping[int, int], known: Mapping[int, int]) -> Id | None:
    there = reached[struct.client]
    if struct.end <= there:
        return None
    if struct.skip or struct.clock > there:
        return Id(struct.client, there)
    for needed in struct.needs:
        if needed.clock >= reached.get(needed.client, known.get(needed.client, 0)):
            return needed
    return None


def _encode(update: bytes, runs: Iterable[list[Struct]], deletions: Iterable[Range]) -> bytes:
    runs = [run for run in runs if run]
    ranges: dict[int, list[Range]] = defaultdict(list)
    for deletion in deletions:
        ranges[deletion.client].append(deletion)
    if not runs and not ranges:
        return NOTHING
    parts = [uint(len(runs))]
    for run in runs:
        filled = list(_filled(update, run))
        parts += uint(len(filled)), uint(run[0].client), uint(run[0].clock), *filled
    parts.append(uint(len(ranges)))
    for client, of_client in ranges.items():
        parts += uint(client), uint(len(of_client))
        for _, clock, end in of_client:
            parts += uint(clock), uint(end - clock)
    return b"".join(parts)


def _filled(update: bytes, run: list[Struct]) -> Iterable[bytes]:
    """The structs' bytes, one behind the other in clock."""
    clock = run[0].clock
    for struct in run:
        if struct.clock < clock:
            raise InvalidRequest("an update tells the same insertion twice")
        if struct.clock > clock:
            yield b"\x0a" + uint(struct.clock - clock)  # a skip
        yield update[struct.start : struct.stop]
        clock = struct.end
