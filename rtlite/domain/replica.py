"""A document in memory: what the CRDT (pycrdt, which is Yrs) does for a room.

Everything is called from one task at a time, but not always from the same thread. pycrdt holds
the interpreter while it works: 3 µs for an edit, some 40 ms for a MiB of many small ones. What it
gets has passed :mod:`rtlite.protocols.yjsupdates`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final

import pycrdt

from rtlite.errors import InvalidRequest
from rtlite.protocols import yjs, yjsupdates

_GROUP: Final = 256  # updates that take about a millisecond
_SHALLOW: Final = 2_000  # 10,000 levels are fine on a stack of 8 MiB


class Broken(Exception):  # a state, as the name says
    """The replica failed in the middle of a change: it is to be made anew from what is stored."""


class Replica:
    """One document. It collects what was deleted as Yjs does.

    :ivar types: how many shared types were ever made in it, so that they are nested no deeper; infinite if unknown.
    :ivar made: of those, how many since it was made of what is stored.
    """

    def __init__(self) -> None:
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.types = 0.0
        self.made = 0

    @property
    def deep(self) -> bool:
        """Whether changes belong on a deep stack."""
        return self.types > _SHALLOW

    @classmethod
    def load(cls, updates: Sequence[bytes]) -> Replica:
        """From what is stored, in order. For a thread with a deep stack: the loop runs on beside it.

        Each was looked through when it came. To do so again takes longer than all else; see :func:`count_types`.

        :raises Broken: it cannot be read.
        """
        replica = cls()
        for start in range(0, len(updates), _GROUP):
            try:
                with replica._doc.transaction():
                    for update in updates[start : start + _GROUP]:
                        replica.apply(update)
            except InvalidRequest as error:
                raise Broken("an update that is stored does not decode") from error
            time.sleep(0)  # let the loop have the interpreter now, and not after the 5 ms of its own accord
            replica.types = inf
        return replica

    def apply(self, update: bytes) -> None:
        """Add an edit. What it builds on may be missing yet; it then waits within.

        :raises InvalidRequest: it is no update; nothing is changed. :raises Broken: see there.
        """
        try:
            self._doc.apply_update(update)
        except BaseException as error:
            if not _is_pycrdts(error):
                raise
            if str(error).startswith("Cannot decode"):  # which it does first
                raise InvalidRequest("an update does not decode") from error
            raise Broken(str(error)) from error

    def absorb(self, update: bytes) -> bytes | None:
        """As :meth:`apply`, for an answer to our step 1, which tells all deletions again each time.

        Returns what of it was new, or ``None``.
        """
        if update == yjs.NOTHING:
            return None
        fresh: list[bytes] = []
        subscription = self._doc.observe(lambda event: fresh.append(event.update))
        try:
            self.apply(update)
        finally:
            self._doc.unobserve(subscription)
        if not self.holds(update):
            return update
        return fresh[0] if fresh else None

    def holds(self, update: bytes) -> bool:
        """Whether all of ``update`` is in here, and nothing of it waits for what it builds on."""
        state = self.state()
        try:
            left = pycrdt.get_update(update, state)
        except BaseException as error:
            if not _is_pycrdts(error):
                raise
            raise Broken(str(error)) from error
        if left[0]:  # structs
            return False
        known = yjs.read_state(state)
        return all(end <= known.get(client, 0) for client, end in yjs.read_deletions(left[1:]).items())

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


def count_types(updates: list[bytes]) -> int:
    """How many shared types these make. For a worker thread."""
    types = 0
    for number, update in enumerate(updates):
        with suppress(InvalidRequest):  # what Yrs makes of half an emoji that is deleted, say: it has no types
            types += yjsupdates.check(update)
        if number % _GROUP == 0:
            time.sleep(0)
    return types


def squashed(updates: list[bytes]) -> list[bytes]:
    """The same document in fewer updates: one, and those that still wait for what they build on.

    For a thread with a deep stack. What was deleted is collected.

    :raises Broken: it cannot be read, or what came of it could not be.
    """
    replica = Replica.load(updates)
    whole = replica.diff()
    again = Replica.load([whole])
    if again.state() != replica.state() and yjs.read_state(again.state()) != yjs.read_state(replica.state()):
        raise Broken("what a document was squashed to is not the document")
    waiting: list[bytes] = []
    for number, update in enumerate(updates):
        if not replica.holds(update):
            waiting.append(update)
        if number % _GROUP == 0:
            time.sleep(0)
    return [whole, *waiting]


def _is_pycrdts(error: BaseException) -> bool:
    """An error of pycrdt's, or a panic of the Rust beneath, which is no :class:`Exception`."""
    return isinstance(error, ValueError | RuntimeError | TypeError) or type(error).__name__ == "PanicException"
