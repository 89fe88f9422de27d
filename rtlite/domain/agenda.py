"""What a room has to do: edits to store, and questions to answer between them, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from rtlite.domain.visitors import Visitor
from rtlite.errors import Overloaded, Refused

_BATCH: Final = 256
_BATCH_BYTES: Final = 1024 * 1024
_WAITING: Final = 1024
_WAITING_BYTES: Final = 4 * 1024 * 1024


@attrs.define(eq=False)
class Edit:
    """An update to be stored; the server's own has no author. ``done`` is called once it is, or is refused.

    ``answer``: whether it answers our step 1, and so may tell nothing new.
    """

    update: bytes
    author: Visitor | None
    answer: bool = False
    done: Callable[[Refused | None], None] = lambda _: None

    def refuse(self, error: Refused) -> None:
        if self.author is not None:
            self.author.refuse(error)
        self.done(error)


@attrs.define(eq=False)
class Look:
    """Something to do with the replica while it holds nothing that is not stored."""

    work: Callable[[], None]
    refuse: Callable[[Refused], None] = lambda _: None


class Agenda:
    """Edits and looks for one task, which :attr:`wake` wakes."""

    def __init__(self) -> None:
        self._items: deque[Edit | Look] = deque()
        self._bytes = 0
        self._taken = trio.Event()
        self._over = False
        self.wake = trio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Edit | Look) -> None:
        """:raises Overloaded: the room is over."""
        if self._over:
            raise Overloaded("the document is being closed; try again")
        self._items.append(item)
        if isinstance(item, Edit):
            self._bytes += len(item.update)
        self.wake.set()

    async def room(self) -> None:
        """Wait until little enough waits for one to put more."""
        while len(self._items) > _WAITING or self._bytes > _WAITING_BYTES:
            await self._taken.wait()

    def take(self) -> list[Edit | Look]:
        """What is next, not too much of it."""
        self.wake = trio.Event()
        items: list[Edit | Look] = []
        size = 0
        while self._items and len(items) < _BATCH and size < _BATCH_BYTES:
            item = self._items.popleft()
            if isinstance(item, Edit):
                size += len(item.update)
            items.append(item)
        self._bytes -= size
        self._taken.set()
        self._taken = trio.Event()
        return items

    def close(self) -> None:
        """Refuse what is left, and all that comes."""
        self._over = True
        for item in self._items:
            item.refuse(Overloaded("the document is being closed; try again"))
        self._items.clear()
        self._bytes = 0
        self._taken.set()
