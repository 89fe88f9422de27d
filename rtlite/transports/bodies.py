"""How much of request bodies is held at one time, by all connections together.

A body is read whole before anyone acts on it, and whoever sends it need not have shown that
they may: 20 connections with 16 MiB each would be 320 MiB. Bodies that arrived together with
their head are not counted: those are small, and held for no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rtlite.errors import Overloaded


class Bodies:
    """:param limit: bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Hold room for a body of so many bytes while it arrives.

        :raises Overloaded: there is none. A body alone always finds room, however large it may be.
        """
        if self.held and self.held + size > self._limit:
            raise Overloaded("too many bodies arrive at once; try again", headers={"Retry-After": "1"})
        self.held += size
        try:
            yield
        finally:
            self.held -= size
