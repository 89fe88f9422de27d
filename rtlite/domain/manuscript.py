"""A room's document: the replica, and the rows that it can be made of again.

What is in the replica between two calls is stored. If edits cannot be, it is made anew from what is.
"""

from __future__ import annotations

import math
from typing import Any, Final

import trio

from rtlite.domain import replica
from rtlite.domain.agenda import Edit
from rtlite.domain.deepstack import on_a_deep_stack
from rtlite.domain.replica import Added, Broken, Replica, count_types
from rtlite.errors import InvalidRequest, Overloaded, Refused, TooLarge
from rtlite.hub.hub import Hub
from rtlite.hub.slices import Pace
from rtlite.hub.transactions import Transaction
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import now_ms, rfc3339
from rtlite.protocols import yjs, yjsupdates
from rtlite.settings import Settings
from rtlite.store import documents as tables
from rtlite.store.database import Database
from rtlite.store.documents import Damaged, Document, Log
from rtlite.transports.websocket import binary_frame

log = get_logger(__name__)

CHANGES: Final = "changes:documents"
SAVED: Final = "document.saved"
_LARGE: Final = 16 * 1024  # bytes of an edit that take some milliseconds to look through


class Manuscript:
    """:ivar size: bytes that are stored of it. :ivar saved_at: when its change is to be told, on Trio's clock."""

    def __init__(
        self,
        room: str,
        document: Document | None,
        replica: Replica,
        hub: Hub,
        database: Database,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.room = room
        self._hub = hub
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._replica = replica
        self._id = document.id if document else None
        self._top = document.top if document else 0
        self.size = document.bytes if document else 0
        self._squashed = document.squashed if document else 0
        self._whole: bytes | None = None
        unsaid = document is not None and document.announced < document.updated
        self.saved_at = trio.current_time() if unsaid else math.inf
        self._squashing = trio.Lock()

    def state(self) -> bytes:
        """The state vector."""
        return self._replica.state()

    def whole(self) -> bytes:
        """All of it, as an update."""
        return self._replica.diff()

    def lacking(self, state: bytes) -> bytes:
        """A frame with what ``state`` lacks. :raises InvalidRequest: it is no state vector."""
        if state != yjs.NOBODY:
            return binary_frame(yjs.step_2(self._replica.diff(state)))
        if self._whole is None:
            self._whole = binary_frame(yjs.step_2(self._replica.diff()))
        return self._whole

    async def count_types(self, loaded: Log) -> None:
        """Find out whether what was loaded can be nested deep. Until that is known, it may be."""
        replica = self._replica
        types = await trio.to_thread.run_sync(count_types, loaded)
        replica.types = types + replica.made

    async def store(self, edits: list[Edit]) -> list[tuple[Edit, list[bytes]]]:
        """Add edits to the replica and store what is new in them, all or none.

        Returns what is in the document now by each of them.
        """
        fresh = await self._apply(edits)
        if not fresh:
            return []
        new = Log(
            [update for _, added in fresh for update in added.now],
            [added.later for _, added in fresh if added.later is not None],
        )
        try:
            if any(added.mended for _, added in fresh):
                await self._replace(new)
            else:
                await self._append(new)
        except (Refused, Broken, Damaged) as failure:
            error = failure if isinstance(failure, Refused) else Overloaded("the document could not be stored")
            log.warning("edits of a document could not be stored", room=self.room, error=str(failure))
            for edit, _ in fresh:
                edit.refuse(error)
            await self._reload()
            return []
        self._top += len(new)
        self._whole = None
        self.saved_at = min(self.saved_at, trio.current_time() + self._settings.collab_saved)
        self._metrics.edits.inc(len(new))
        return [(edit, added.now) for edit, added in fresh]

    async def _append(self, new: Log) -> None:
        top, now = self._top, now_ms()

        def work(transaction: Transaction) -> int:
            return tables.append(transaction.connection, self.room, top, new, now)

        self._id = await self._hub.transact(work)
        self.size += new.size

    async def _replace(self, new: Log) -> None:
        """Store ``new``, and what is in the replica in place of all."""
        async with self._squashing:
            top, now, id = self._top, now_ms(), self._id
            old = Log([]) if id is None else await self._database.read(lambda c: tables.read(c, id, top))
            both = Log([*old.updates, *new.updates], [*old.waiting, *new.waiting])
            whole = await on_a_deep_stack(lambda: self._replica.in_place_of(both), both.size)

            def work(transaction: Transaction) -> int:
                document = tables.append(transaction.connection, self.room, top, new, now)
                tables.replace(transaction.connection, document, top + len(new), whole)
                return document

            self._id = await self._hub.transact(work)
            self.size = self._squashed = whole.size

    async def _apply(self, edits: list[Edit]) -> list[tuple[Edit, Added]]:
        """Each edit that is one, with what is new in it. One that is none closes who sent it, and nobody else."""
        room = self._settings.collab_document + self._settings.collab_log - self.size
        while True:
            fresh: list[tuple[Edit, Added]] = []
            size = 0
            pace = Pace()
            for edit in edits:
                if edit.author is not None and edit.author.refused:
                    continue
                try:
                    if size + len(edit.update) > room:
                        raise TooLarge("the document is as large as it may be")
                    added = await self._checked(edit)
                except (InvalidRequest, TooLarge, Overloaded) as error:
                    edit.refuse(error)
                    edits = [item for item in edits if item is not edit]
                    continue
                except Broken as error:
                    log.warning("an edit broke the replica of a document", room=self.room, error=str(error))
                    edit.refuse(InvalidRequest("the update cannot be applied"))
                    edits = [item for item in edits if item is not edit]
                    await self._reload()
                    break
                if added:
                    fresh.append((edit, added))
                    size += len(edit.update)
                else:
                    edit.done(None)
                    edits = [item for item in edits if item is not edit]
                await pace.pause()
            else:
                return fresh

    async def _checked(self, edit: Edit) -> Added:
        """Add it, if it is what Yjs makes; what may take long or go deep happens elsewhere."""
        size = len(edit.update)
        if size > _LARGE:
            contents = await trio.to_thread.run_sync(yjsupdates.check, edit.update)
        else:
            contents = yjsupdates.check(edit.update)
        self._replica.made += contents.types
        self._replica.types += contents.types

        def add() -> Added:
            most = self._settings.collab_waiting
            return self._replica.add(edit.update, contents, retold=edit.answer, most=most)

        if self._replica.deep or (size > _LARGE and not self._replica.is_easy(edit.update, contents)):
            return await on_a_deep_stack(add, self.size + size)
        return add()

    async def _reload(self) -> None:
        """Make the replica anew from what is stored."""
        document, stored = await self._database.read(lambda connection: tables.load(connection, self.room))
        before, self._replica = self._replica, await load_replica(stored)
        self._replica.types, self._replica.made = before.types, before.made
        self._top = document.top if document else 0
        self._whole = None

    async def announce(self) -> None:
        """Tell readers of changes that it is saved: for a kill between an edit and this, see ``Documents.run``."""
        self.saved_at = math.inf
        if self._id is None:
            return
        try:
            await self._hub.transact(lambda transaction: announce(transaction, self.room))
        except Refused as error:
            log.warning("a document's change could not be told", room=self.room, code=error.code)
            self.saved_at = trio.current_time() + self._settings.collab_saved

    @property
    def is_long(self) -> bool:
        """Whether there is much to squash, and nobody does it."""
        if self._squashing.locked():
            return False
        grown = self.size - self._squashed
        if self.size > self._settings.collab_document:
            return grown * 2 > self._settings.collab_log
        return grown > max(self._settings.collab_log, self._squashed)

    @property
    def is_untidy(self) -> bool:
        """Whether to squash is worth it at the end."""
        return (self.size - self._squashed) * 4 > self._squashed

    async def squash(self) -> None:
        """Put one update in place of all that are stored. Edits go on meanwhile."""
        async with self._squashing:
            id, top = self._id, self._top
            if id is None:
                return
            try:
                long = await self._database.read(lambda connection: tables.read(connection, id, top))
                fewer = await on_a_deep_stack(lambda: replica.squashed(long), long.size)
                size = await self._database.write(
                    lambda connection: tables.replace(connection, id, top, fewer), vital=True
                )
            except (Refused, Broken, Damaged) as error:
                log.warning("a document could not be squashed", room=self.room, error=str(error))
                self._squashed = self.size  # tried again when it has grown as much again
                return
            self.size += size - long.size
            self._squashed = size


async def load_replica(stored: Log) -> Replica:
    """The replica of what is stored. :raises Broken: it cannot be read."""
    return await on_a_deep_stack(lambda: Replica.load(stored), stored.size)


def announce(transaction: Transaction, room: str) -> None:
    """``document.saved``, once for all that was stored of a document by now."""
    document = tables.find(transaction.connection, room)
    if document is not None and document.announced < document.updated:
        tables.set_announced(transaction.connection, document.id)
        data: dict[str, Any] = {"room": room, "bytes": document.bytes, "updatedAt": rfc3339(document.updated)}
        transaction.publish(CHANGES, SAVED, data)
