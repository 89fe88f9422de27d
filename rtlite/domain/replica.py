"""A document in memory: what the CRDT (pycrdt, which is Yrs) does for a room.

Everything is called from one task at a time, but not always from the same thread. pycrdt holds
the interpreter while it works: 3 µs for an edit, some 40 ms for a MiB of many small ones. What it
gets has passed :mod:`rtlite.protocols.yjsupdates`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs

from rtlite.domain.waiting import Waiting
from rtlite.errors import InvalidRequest, Overloaded
from rtlite.later import later
from rtlite.protocols import yjs, yjsupdates
from rtlite.protocols.yjsorder import Extent, Split, split
from rtlite.protocols.yjspairs import Places, borders, may_have_pairs, pairs, parted
from rtlite.protocols.yjsupdates import Contents, Id
from rtlite.store.documents import Log

if TYPE_CHECKING:
    import pycrdt
else:
    pycrdt = later("pycrdt")

_GROUP: Final = 256  # updates that take about a millisecond
_SHALLOW: Final = 2_000  # 10,000 levels are fine on a stack of 8 MiB


class Broken(Exception):  # a state, as the name says
    """The replica failed in the middle of a change: it is to be made anew from what is stored."""


@attrs.define
class Added:
    """What came of an update.

    :ivar now: what is in the document now, as updates of which each builds on those before it.
    :ivar later: what waits for what it builds on; ``None`` if nothing does, or the same waits already.
    :ivar mended: whether characters were replaced that an update parted: what is stored of the document
        has them still, and is to be replaced by what is in the replica.
    """

    now: list[bytes] = attrs.field(factory=list)
    later: bytes | None = None
    mended: bool = False

    def __bool__(self) -> bool:
        return bool(self.now) or self.later is not None


class Replica:
    """One document. It collects what was deleted as Yjs does.

    The CRDT is only given what lacks nothing: Yrs loses some of what it has to keep for later. What
    comes before what it builds on waits here.

    :ivar types: how many shared types were ever made in it, so that they are nested no deeper; infinite if unknown.
    :ivar made: of those, how many since it was made of what is stored.
    """

    def __init__(self) -> None:
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self._known: dict[int, int] = {}
        self._waiting = Waiting()
        self._pairs = Places()
        self.types = 0.0
        self.made = 0

    @property
    def deep(self) -> bool:
        """Whether changes belong on a deep stack."""
        return self.types > _SHALLOW

    @property
    def waiting(self) -> list[bytes]:
        """What waits for what it builds on."""
        return list(self._waiting)

    def is_easy(self, update: bytes, contents: Contents) -> bool:
        """Whether an update lacks nothing, and parts no character: it then only takes what its length does."""
        return contents.follows(self._known) and not self._parts(update)

    @classmethod
    def load(cls, log: Log) -> Replica:
        """From what is stored, in order. For a thread with a deep stack: the loop runs on beside it.

        Each update was looked through when it came. To do so again takes longer than all else; see :func:`count_types`.

        :raises Broken: it cannot be read.
        """
        replica = cls()
        try:
            for start in range(0, len(log.updates), _GROUP):
                with replica._doc.transaction():
                    for update in log.updates[start : start + _GROUP]:
                        replica._apply(update)
                        if may_have_pairs(update):
                            replica._note_pairs(update)
                time.sleep(0)  # let the loop have the interpreter now, and not after the 5 ms of its own accord
                replica.types = inf
            replica._known = yjs.read_state(replica.state())
            for update in log.waiting:
                replica.add(update)
        except InvalidRequest as error:
            raise Broken("an update that is stored does not decode") from error
        return replica

    def add(self, update: bytes, contents: Contents | None = None, *, retold: bool = False, most: float = inf) -> Added:
        """Add an edit, and what waited for it.

        :param contents: what :func:`yjsupdates.check` says of it. :param retold: whether it may tell what is
            known, as an answer to our step 1 does with all deletions; only what is new in it then counts.
        :param most: bytes of updates that may wait.
        :raises InvalidRequest: it is no update. :raises Overloaded: too much waits. Nothing is changed then.
        :raises Broken: see there.
        """
        contents = contents or yjsupdates.check(update)
        parts = None if contents.follows(self._known) else split(update, self._known)
        added = Added()
        if parts is None:
            further = self._include(update, contents, added, retold)
        else:
            if parts.later != yjs.NOTHING and parts.later not in self._waiting:
                if self._waiting.size + self._waiting.weight(parts.later) > most:
                    raise Overloaded("too many edits wait for earlier ones")
                added.later = parts.later
            further = self._include_part(parts, added, retold)
        while further and self._waiting.size:
            client = further.pop()
            for waited in self._waiting.due(client, self._known[client]):
                further += self._include_part(split(waited, self._known), added, True)
        return added

    def _include_part(self, parts: Split, added: Added, retold: bool) -> list[int]:
        further: list[int] = []
        if parts.now != yjs.NOTHING:
            further = self._include(parts.now, yjsupdates.check(parts.now), added, retold)
        if parts.later != yjs.NOTHING:
            self._waiting.add(parts.later, parts.lacks)
        return further

    def _include(self, update: bytes, contents: Contents, added: Added, retold: bool) -> list[int]:
        """Give the CRDT what lacks nothing. Returns the clients of which more is known now."""
        if halves := self._parts(update):
            self._mend(halves)
            update = parted(update, halves)
            added.mended = True
        if may_have_pairs(update):
            self._note_pairs(update)
        fresh: bytes | None = update
        try:
            if retold:
                fresh = self._apply_retold(update)
            else:
                self._apply(update)
        except InvalidRequest as error:
            if added.mended or added.now:
                raise Broken(str(error)) from error
            raise
        if fresh is not None:
            added.now.append(fresh)
        further = [client for client, end in contents.ends.items() if end > self._known.get(client, 0)]
        for client in further:
            self._known[client] = contents.ends[client]
        return further

    def _parts(self, update: bytes) -> set[Id]:
        """The second halves of the characters that an update parts."""
        own = set(pairs(update)) if may_have_pairs(update) else set()
        if not own and not self._pairs:
            return own
        return {place for place in borders(update) if place in own or place in self._pairs}

    def _note_pairs(self, update: bytes) -> None:
        for place in pairs(update):
            self._pairs.add(place)

    def _mend(self, halves: set[Id]) -> None:
        """Part characters as Yjs does, which Yrs cannot."""
        whole = parted(self.diff(), halves)
        self._doc = pycrdt.Doc()
        self._apply(whole)
        for place in halves:
            self._pairs.discard(place)

    def in_place_of(self, log: Log) -> Log:
        """The document in one update, and what waits. For a thread with a deep stack.

        :raises Broken: that could not be read, or lacks something of ``log``.
        """
        whole = self.diff()
        again = Replica.load(Log([whole], []))
        if again._known != self._known:
            raise Broken("what a document was squashed to is not the document")
        try:
            contents = yjsupdates.check(again.diff())
            held = Extent(contents.ends, contents.deletions)
            for number, update in enumerate(log.updates):
                if not held.covers(yjsupdates.check(update)):
                    raise Broken("what a document was squashed to lacks some of it")
                if number % _GROUP == 0:
                    time.sleep(0)
        except InvalidRequest as error:
            raise Broken("an update that is stored does not decode") from error
        return Log([whole] if whole != yjs.NOTHING else [], self.waiting)

    def _apply_retold(self, update: bytes) -> bytes | None:
        """Returns what of it was new."""
        fresh: list[bytes] = []
        subscription = self._doc.observe(lambda event: fresh.append(event.update))
        try:
            self._apply(update)
        finally:
            self._doc.unobserve(subscription)
        return fresh[0] if fresh else None

    def _apply(self, update: bytes) -> None:
        try:
            self._doc.apply_update(update)
        except BaseException as error:
            if not _is_pycrdts(error):
                raise
            if str(error).startswith("Cannot decode"):  # which it does first
                raise InvalidRequest("an update does not decode") from error
            raise Broken(str(error)) from error

    def state(self) -> bytes:
        """The state vector."""
        return self._doc.get_state()

    def diff(self, state: bytes = yjs.NOBODY) -> bytes:
        """All that ``state`` lacks, as an update. :raises InvalidRequest: ``state`` is no state vector."""
        try:
            return self._doc.get_update(state)
        except BaseException as error:
            if not _is_pycrdts(error):
                raise
            raise InvalidRequest("step 1: no state vector") from error


def count_types(log: Log) -> int:
    """How many shared types these make. For a worker thread."""
    types = 0
    for number, update in enumerate([*log.updates, *log.waiting]):
        with suppress(InvalidRequest):  # it would have been refused
            types += yjsupdates.check(update).types
        if number % _GROUP == 0:
            time.sleep(0)
    return types


def squashed(log: Log) -> Log:
    """The same document in one update, and what still waits for what it builds on.

    For a thread with a deep stack. What was deleted is collected.

    :raises Broken: it cannot be read, or what came of it could not be, or lacks something of it.
    """
    return Replica.load(log).in_place_of(log)


def _is_pycrdts(error: BaseException) -> bool:
    """An error of pycrdt's, or a panic of the Rust beneath, which is no :class:`Exception`."""
    return isinstance(error, ValueError | RuntimeError | TypeError) or type(error).__name__ == "PanicException"
