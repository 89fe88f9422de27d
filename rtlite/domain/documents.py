"""The documents of one server: which are in memory, and what can be done with one by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio

from rtlite.domain.manuscript import Manuscript, announce, load_replica
from rtlite.domain.rooms import Room
from rtlite.domain.visitors import Visitor
from rtlite.errors import InvalidRequest, NotFound, Overloaded, Reason, Refused, TooLarge
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import check_channel
from rtlite.settings import Settings
from rtlite.store import documents as tables
from rtlite.store.database import Database
from rtlite.store.documents import Document, Log

log = get_logger(__name__)

PAGE: Final = 100
_TICK: Final = 3.0  # seconds, as in y-protocols
_ANNOUNCED: Final = 1_000
_RESERVED: Final = frozenset({"info"})


def room_channel(room: str) -> str:
    """The name that grants, tickets and patterns know a room by. No events are published there.

    :raises InvalidRequest: this can be no room's name.
    """
    if not room or room in _RESERVED:
        raise InvalidRequest("room: this cannot be a room's name")
    try:
        return check_channel(f"collab:{room}")
    except InvalidRequest as error:
        raise InvalidRequest("room: a name is up to 248 visible ASCII characters, and not *") from error


class Documents:
    def __init__(self, hub: Hub, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._hub = hub
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._rooms: dict[str, Room] = {}
        self._busy: dict[str, trio.Event] = {}  # the names of those that are being read or deleted
        self._nursery: trio.Nursery | None = None
        self._stopped = False
        self.impair: Callable[[Visitor], None] | None = None
        """Called with each new visitor while faults may be for it."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve rooms until cancelled. What a kill kept from being told of the last edits is told first."""
        await self._announce()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await trio.sleep(_TICK)
                for room in list(self._rooms.values()):
                    room.tick()

    async def stop(self) -> None:
        """Store what is left, once all connections are over."""
        self._stopped = True
        rooms = list(self._rooms.values())
        for room in rooms:
            room.close()
        for room in rooms:
            await room.gone.wait()

    # What connections need.

    @asynccontextmanager
    async def joined(self, name: str, visitor: Visitor) -> AsyncIterator[Room]:
        """The room, with ``visitor`` in it while this lasts.

        :raises Overloaded: there are too many rooms, or connections to this one.
        :raises Damaged, Broken, StorageFailed: it cannot be read; then it is not written either.
        """
        room = await self._open(name)
        if self.impair is not None:
            self.impair(visitor)
        room.enter(visitor)
        try:
            yield room
        finally:
            room.leave(visitor)

    # What the server's own side needs.

    async def page(self, after: str = "", limit: int = PAGE) -> tuple[list[Document], str | None]:
        """What is stored, by room; and where the next page begins."""
        found = await self._database.read(lambda connection: tables.page(connection, after, limit + 1))
        return found[:limit], found[limit - 1].room if len(found) > limit else None

    async def find(self, name: str) -> Document | None:
        """What is stored of a room's document."""
        return await self._database.read(lambda connection: tables.find(connection, name))

    def room(self, name: str) -> Room | None:
        """The room, if it is in memory: its ``visitors`` are those who have the document open."""
        room = self._rooms.get(name)
        return None if room is None or room.closing else room

    def visitors(self) -> list[Visitor]:
        """Who has any document open."""
        return [visitor for room in self._rooms.values() for visitor in room.visitors]

    def open_rooms(self) -> list[str]:
        """The names of those in memory that somebody has open, also where nothing is stored yet."""
        return sorted(name for name, room in self._rooms.items() if room.visitors)

    async def export(self, name: str) -> bytes:
        """The document as one update, as far as it is committed: a snapshot, too.

        :raises NotFound: there is none. :raises Overloaded: ask again.
        """
        if self.room(name) is None and await self.find(name) is None:
            raise NotFound("no such document")
        return await (await self._open(name)).export()

    async def edit(self, name: str, update: bytes) -> None:
        """Change a document from the server's side, or make one: stored and delivered, as any edit.

        :raises InvalidRequest: it is no update. :raises TooLarge: the document would be.
        :raises StorageFull, StorageFailed, Overloaded: nothing was stored.
        """
        room_channel(name)
        if len(update) > self._settings.collab_document:
            raise TooLarge(f"a document may have {self._settings.collab_document} bytes")
        await (await self._open(name)).edit(update)

    async def squash(self, name: str) -> None:
        """Put one update in place of all that are stored. :raises NotFound: there is no such document."""
        if await self.find(name) is None:
            raise NotFound("no such document")
        await (await self._open(name)).squash()

    async def delete(self, name: str) -> None:
        """Delete a document and its snapshots; who has it open is closed with :attr:`Reason.DELETED`.

        A client that comes back all the same, with all that it has, makes it anew: that is how Yjs works.

        :raises NotFound: there is none. :raises StorageFailed: it is still there.
        """
        room = self._rooms.get(name)
        if room is not None:
            room.close(Reason.DELETED)
        while (busy := self._in_the_way(name)) is not None:
            await busy.wait()
        with self._claimed(name):
            if not await self._database.write(lambda connection: tables.delete(connection, name), vital=True):
                raise NotFound("no such document")

    async def _open(self, name: str) -> Room:
        """The room, read into memory if it is not there."""
        while True:
            if self._stopped or self._nursery is None:
                raise Overloaded("the server is stopping")
            room = self._rooms.get(name)
            if room is not None and not room.closing:
                return room
            if (busy := self._in_the_way(name)) is not None:
                await busy.wait()
            elif len(self._rooms) + len(self._busy) >= self._settings.collab_rooms:
                await self._make_way()
            else:
                break
        with self._claimed(name):
            document, stored = await self._database.read(lambda connection: tables.load(connection, name))
            replica = await load_replica(stored)
            settings, metrics = self._settings, self._metrics
            manuscript = Manuscript(name, document, replica, self._hub, self._database, settings, metrics)
            room = Room(name, manuscript, settings, metrics)
            self._rooms[name] = room
            self._metrics.rooms.set(len(self._rooms))
            self._nursery.start_soon(self._serve, room, stored)
            return room

    def _in_the_way(self, name: str) -> trio.Event | None:
        """What is to happen before a room of this name can be made."""
        room = self._rooms.get(name)
        return room.gone if room is not None else self._busy.get(name)

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        done = self._busy[name] = trio.Event()
        try:
            yield
        finally:
            del self._busy[name]
            done.set()

    async def _make_way(self) -> None:
        """Let the one go that nobody has open for the longest. :raises Overloaded: all are in use."""
        idle = min(self._rooms.values(), key=lambda room: room.idle_since, default=None)
        if idle is None or idle.idle_since == float("inf"):
            raise Overloaded("too many documents are open")
        idle.close(tidy=True)
        await idle.gone.wait()

    async def _serve(self, room: Room, stored: Log) -> None:
        assert self._nursery is not None  # noqa: S101  # it runs in it
        try:
            await room.run(self._nursery, stored)
        finally:
            del self._rooms[room.name]
            self._metrics.rooms.set(len(self._rooms))

    async def _announce(self) -> None:
        try:
            while True:
                left = await self._database.read(lambda connection: tables.unannounced(connection, _ANNOUNCED))
                if not left:
                    return

                def work(transaction: Transaction, left: list[Document] = left) -> None:
                    for document in left:
                        announce(transaction, document.room)

                await self._hub.transact(work)
        except Refused as error:  # a full disk, say: each is told when it is opened next
            log.warning("changes of documents could not be told", code=error.code)
