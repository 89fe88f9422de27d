"""Snapshots of documents: what one was at some time, kept until it is deleted, and brought back as an edit."""

from __future__ import annotations

import sqlite3

from rtlite.domain.apart import apart
from rtlite.domain.contents import reverted
from rtlite.domain.documents import Documents
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.model import new_event_id, now_ms
from rtlite.protocols import yjs
from rtlite.settings import Settings
from rtlite.store import documents, snapshots
from rtlite.store.database import Database
from rtlite.store.snapshots import Snapshot

MAX_NAME = 200  # characters


class Snapshots:
    def __init__(self, documents: Documents, database: Database, settings: Settings) -> None:
        self._documents = documents
        self._database = database
        self._settings = settings

    async def page(self, room: str, after: str, limit: int) -> tuple[list[Snapshot], str | None]:
        """The oldest first; and where the next page begins. :raises NotFound: there is no such document."""

        def work(connection: sqlite3.Connection) -> list[Snapshot]:
            return snapshots.page(connection, _document(connection, room), after, limit + 1)

        found = await self._database.read(work)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def find(self, room: str, id: str) -> tuple[Snapshot, bytes]:
        """A snapshot, and what it holds as one update. :raises NotFound: there is none."""

        def work(connection: sqlite3.Connection) -> tuple[Snapshot, bytes] | None:
            return snapshots.find(connection, _document(connection, room), id)

        found = await self._database.read(work)
        if found is None:
            raise NotFound("no such snapshot")
        return found

    async def create(self, room: str, name: str, user: str) -> Snapshot:
        """Keep what the document is now, as far as it is committed.

        :raises NotFound: there is no such document. :raises InvalidRequest: ``name`` is too long.
        :raises Conflict: ``collab_snapshots`` or ``collab_snapshot_bytes`` would be exceeded.
        :raises StorageFull, StorageFailed, Overloaded: it is not kept.
        """
        if len(name) > MAX_NAME:
            raise InvalidRequest(f"name: {MAX_NAME} characters at most")
        data = await self._documents.export(room)
        snapshot = Snapshot(new_event_id(), name, user, now_ms(), len(data))
        settings = self._settings

        def work(connection: sqlite3.Connection) -> None:
            document = _document(connection, room)
            count, size = snapshots.size(connection, document)
            if count >= settings.collab_snapshots:
                raise Conflict(
                    f"a document has {settings.collab_snapshots} snapshots at most", code="too_many_snapshots"
                )
            if size + len(data) > settings.collab_snapshot_bytes:
                raise Conflict(
                    f"the snapshots of a document have {settings.collab_snapshot_bytes} bytes at most",
                    code="too_many_snapshots",
                )
            snapshots.add(connection, document, snapshot, data)

        await self._database.write(work)
        return snapshot

    async def delete(self, room: str, id: str) -> None:
        """:raises NotFound: there is none. :raises StorageFailed: it is still there."""

        def work(connection: sqlite3.Connection) -> bool:
            return snapshots.delete(connection, _document(connection, room), id)

        if not await self._database.write(work, vital=True):
            raise NotFound("no such snapshot")

    async def restore(self, room: str, id: str) -> None:
        """Make the document what the snapshot is, by an edit: whoever has it open gets it, and history goes on.

        What others change while this is made stays.

        :raises NotFound: there is none. :raises TooLarge: the document would be.
        :raises StorageFull, StorageFailed, Overloaded: nothing changed; the last also where it takes too long.
        """
        _, past = await self.find(room, id)
        present = await self._documents.export(room)
        edit = await apart(self._settings.collab_work, reverted, present, past)
        if edit != yjs.NOTHING:
            await self._documents.edit(room, edit)


def _document(connection: sqlite3.Connection, room: str) -> int:
    """:raises NotFound: there is none."""
    document = documents.find(connection, room)
    if document is None:
        raise NotFound("no such document")
    return document.id
