"""A room: one document, those who have it open, and one task that orders all that happens to it.

What is delivered is committed. An edit is added to the replica, which finds out whether it is one,
then stored, in one transaction with all that came meanwhile, and then delivered; whatever is read
from the replica is read between these turns. If it cannot be stored, the replica is made anew from
what is, and who sent it is closed, so that it comes back and sends it again: nobody saw it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from rtlite.domain import replica
from rtlite.domain.deepstack import on_a_deep_stack
from rtlite.domain.replica import Added, Broken, Replica, count_types
from rtlite.errors import InvalidRequest, Overloaded, Reason, Refused, TooLarge
from rtlite.hub.committer import Transaction
from rtlite.hub.hub import Hub
from rtlite.hub.slices import Pace
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity, now_ms, rfc3339
from rtlite.protocols import yjs, yjsupdates
from rtlite.protocols.awareness import Awareness, Owner
from rtlite.settings import Settings
from rtlite.store import documents as tables
from rtlite.store.database import Database
from rtlite.store.documents import Damaged, Document, Log
from rtlite.transports.link import Link
from rtlite.transports.websocket import binary_frame

log = get_logger(__name__)

CHANGES: Final = "changes:documents"
SAVED: Final = "document.saved"
_BATCH: Final = 256
_BATCH_BYTES: Final = 1024 * 1024
_WAITING: Final = 1024
_WAITING_BYTES: Final = 4 * 1024 * 1024
_LARGE: Final = 16 * 1024  # bytes of an edit that take some milliseconds to look through
_PAUSE: Final = 0.002  # seconds for each visitor: what comes meanwhile goes out in the same writes
_KEEP_ALIVE: Final = 15.0  # seconds; clients of y-websocket hang up after 30 s without a message, pings not counted
_NOBODY_HERE: Final = binary_frame(yjs.awareness([]))


@attrs.define(eq=False)
class Visitor:
    """A connection to a room.

    :ivar write: whether its edits count.
    :ivar behind: the state that it was last sent, if it was too slow since; it then gets what it lacks in one piece.
    :ivar refused: whether an edit of its was refused; those behind it build on that.
    """

    link: Link
    identity: Identity
    write: bool
    opened: int = attrs.field(factory=now_ms)
    owner: Owner = attrs.field(init=False)
    behind: bytes | None = None
    lacking: int = 0
    refused: bool = False

    def __attrs_post_init__(self) -> None:
        self.owner = Owner(self.identity.user)

    def refuse(self, error: Refused) -> None:
        self.refused = True
        if isinstance(error, TooLarge):
            self.link.end(Reason.TOO_BIG)
        elif isinstance(error, InvalidRequest):
            self.link.end(Reason.ABUSE)
        else:
            self.link.end(Reason.OVER_CAPACITY)


@attrs.define(eq=False)
class _Edit:
    update: bytes
    author: Visitor | None
    answer: bool = False
    """Whether it answers our step 1, and so may tell nothing new."""
    done: Callable[[Refused | None], None] = lambda _: None

    def refuse(self, error: Refused) -> None:
        if self.author is not None:
            self.author.refuse(error)
        self.done(error)


@attrs.define(eq=False)
class _Look:
    """Something to do with the replica while it holds nothing that is not stored."""

    work: Callable[[], None]
    refuse: Callable[[Refused], None] = lambda _: None


class Room:
    """:ivar closing: it takes nobody any more. :ivar gone: it is over; another may take its name."""

    def __init__(
        self,
        name: str,
        document: Document | None,
        replica: Replica,
        hub: Hub,
        database: Database,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._hub = hub
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._replica = replica
        self._id = document.id if document else None
        self._top = document.top if document else 0
        self._bytes = document.bytes if document else 0
        self._squashed = document.squashed if document else 0
        self._updated = document.updated if document else 0
        self._queue: deque[_Edit | _Look] = deque()
        self._queued_bytes = 0
        self._wake = trio.Event()
        self._taken = trio.Event()
        self._awareness = Awareness(settings.collab_awareness_clients)
        self._dirty: dict[int, None] = {}
        self._noted = trio.current_time()
        self._whole: bytes | None = None
        self._idle_at = trio.current_time() + settings.collab_idle
        unsaid = document is not None and document.announced < document.updated
        self._saved_at = trio.current_time() if unsaid else math.inf
        self._squashing = trio.Lock()
        self.visitors: dict[Visitor, None] = {}
        self.closing = False
        self._tidy = False
        self.gone = trio.Event()

    @property
    def idle_since(self) -> float:
        """On Trio's clock; infinite while somebody is here or something is to be done."""
        return math.inf if self.visitors or self._queue else self._idle_at

    @property
    def size(self) -> int:
        """Bytes that are stored of it."""
        return self._bytes

    def states(self, visitor: Visitor) -> list[yjs.State]:
        """What a connection says of itself and those behind it."""
        return [state for state in self._awareness.states(sorted(visitor.owner.clients)) if state.state]

    # What connections do.

    def enter(self, visitor: Visitor) -> None:
        """It hears of all that happens from now on, and first who is here. :raises Overloaded: too many are."""
        if len(self.visitors) >= self._settings.collab_connections:
            raise Overloaded("too many have this document open")
        self.visitors[visitor] = None
        self._put(_Look(lambda: self._greet(visitor)))

    def leave(self, visitor: Visitor) -> None:
        """It is over. Idempotent."""
        if self.visitors.pop(visitor, visitor) is visitor:
            return
        self._tell(self._awareness.leave(visitor.owner))
        self._idle_at = trio.current_time() + self._settings.collab_idle
        self._wake.set()

    async def take(self, visitor: Visitor, message: yjs.Message) -> None:
        """What a connection says. Returns once there is room for more.

        :raises InvalidRequest: it may not say this. :raises TooLarge: it says too much.
        """
        match message:
            case yjs.Update(update) | yjs.Step2(update) if visitor.write:
                self._put(_Edit(update, visitor, isinstance(message, yjs.Step2)))
            case yjs.Step1(state):
                self._put(_Look(lambda: self._answer(visitor, state)))
            case yjs.Awareness(states):
                self.hear(visitor, states)
            case yjs.QueryAwareness() if visitor.behind is None:
                self._offer(visitor, binary_frame(yjs.awareness(self._awareness.present())), self._replica.state())
            case yjs.Update(update) | yjs.Step2(update) if update[:1] != b"\x00" and not visitor.refused:
                visitor.refused = True  # told once
                visitor.link.outbox.offer(binary_frame(yjs.permission_denied("read-only: edits are dropped")))
        while len(self._queue) > _WAITING or self._queued_bytes > _WAITING_BYTES:
            await self._taken.wait()

    def hear(self, visitor: Visitor, states: tuple[yjs.State, ...]) -> None:
        """What a connection says of itself. :raises TooLarge: too much."""
        most = self._settings.collab_awareness
        if any(state.state is not None and len(state.state) > most for state in states):
            raise TooLarge(f"awareness: a state may have {most} bytes")
        self._tell(self._awareness.take(visitor.owner, states, trio.current_time()))

    def tick(self) -> None:
        """Called every few seconds: who is silent goes, and who hears nothing is told that we are here."""
        now = trio.current_time()
        self._tell(self._awareness.expire(now))
        if self.visitors and now - self._noted >= _KEEP_ALIVE:
            self._wake.set()

    # What the server's own side does.

    async def edit(self, update: bytes) -> None:
        """Change the document from here: stored and delivered, as any edit.

        :raises InvalidRequest: it is no update. :raises TooLarge, StorageFull, StorageFailed, Overloaded: not stored.
        """
        done = trio.Event()
        outcome: list[Refused | None] = []

        def finish(error: Refused | None) -> None:
            outcome.append(error)
            done.set()

        self._put(_Edit(update, None, done=finish))
        await done.wait()
        if outcome[0] is not None:
            raise outcome[0]

    async def export(self) -> bytes:
        """The document as one update, as far as it is committed. :raises Overloaded: the room is closing."""
        done = trio.Event()
        found: list[bytes | Refused] = []

        def look() -> None:
            finish(self._replica.diff())

        def finish(outcome: bytes | Refused) -> None:
            found.append(outcome)
            done.set()

        self._put(_Look(look, finish))
        await done.wait()
        if isinstance(found[0], Refused):
            raise found[0]
        return found[0]

    def close(self, reason: Reason | None = None, *, tidy: bool = False) -> None:
        """Take nobody any more, and end once all is stored.

        :param reason: ends everyone's connection first. :param tidy: squash the log, if that is worth it.
        """
        self.closing, self._tidy = True, tidy
        if reason is not None:
            for visitor in list(self.visitors):
                visitor.link.end(reason)
        self._wake.set()

    # The task.

    async def run(self, nursery: trio.Nursery, loaded: Log | None) -> None:
        """Serve the room until it is closed, or nobody was here for a while.

        :param loaded: what the replica was made of.
        """
        try:
            while await self._wait():
                edited = await self._turn()
                if edited and loaded:  # not before: who only joins does not wait for it
                    nursery.start_soon(self._count_types, self._replica, loaded)
                    loaded = None
                if trio.current_time() >= self._saved_at:
                    await self._announce()
                if edited and self._is_long() and not self._squashing.locked():
                    nursery.start_soon(self.squash)
                if not self.closing:
                    await trio.sleep(min(self._settings.collab_turn, _PAUSE * len(self.visitors)))
            if self._saved_at < math.inf:
                await self._announce()
            if self._tidy and (self._bytes - self._squashed) * 4 > self._squashed:
                await self.squash()
        except Exception:
            log.exception("a room failed", room=self.name)
            for visitor in list(self.visitors):
                visitor.link.end(Reason.INTERNAL_ERROR)
        finally:
            self.closing = True
            self.gone.set()
            for item in self._queue:
                item.refuse(Overloaded("the document is being closed; try again"))
            self._taken.set()

    @staticmethod
    async def _count_types(replica: Replica, loaded: Log) -> None:
        """Find out whether it can be nested deep. Until that is known, it may be."""
        types = await trio.to_thread.run_sync(count_types, loaded)
        replica.types = types + replica.made

    async def _wait(self) -> bool:
        """Wait for something to do; ``False`` if there is nothing, and will not be."""
        while True:
            until = min(self._saved_at, math.inf if self.visitors else self._idle_at)
            with trio.CancelScope(deadline=until):
                if not self._queue and not self.closing:
                    await self._wake.wait()
            if self._wake.is_set() or self._queue or self._saved_at <= trio.current_time():
                return bool(self._queue) or not self.closing
            if self.idle_since <= trio.current_time():
                self.closing = self._tidy = True
                return False

    async def _turn(self) -> bool:
        """Take what waits; store it, deliver it, answer. Returns whether something was stored."""
        self._wake = trio.Event()
        before = self._replica.state()
        items = self._take()
        edits = [item for item in items if isinstance(item, _Edit)]
        stored = await self._store(edits) if edits else []
        await self._deliver(stored, before)
        pace = Pace()
        for item in items:
            if isinstance(item, _Look):
                item.work()
                await pace.pause()
        return bool(stored)

    def _put(self, item: _Edit | _Look) -> None:
        if self.gone.is_set():
            raise Overloaded("the document is being closed; try again")
        self._queue.append(item)
        if isinstance(item, _Edit):
            self._queued_bytes += len(item.update)
        self._wake.set()

    def _take(self) -> list[_Edit | _Look]:
        items: list[_Edit | _Look] = []
        size = 0
        while self._queue and len(items) < _BATCH and size < _BATCH_BYTES:
            item = self._queue.popleft()
            if isinstance(item, _Edit):
                size += len(item.update)
            items.append(item)
        self._queued_bytes -= size
        self._taken.set()
        self._taken = trio.Event()
        return items

    async def _store(self, edits: list[_Edit]) -> list[tuple[_Edit, list[bytes]]]:
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
        top, now = self._top, now_ms()

        def work(transaction: Transaction) -> int:
            return tables.append(transaction.connection, self.name, top, new, now)

        try:
            self._id = await self._hub.transact(work)
        except Refused as error:
            log.warning("edits of a document could not be stored", room=self.name, code=error.code)
            for edit, _ in fresh:
                edit.refuse(error)
            await self._reload()
            return []
        self._top += len(new)
        self._bytes += new.size
        self._updated = now
        self._whole = None
        self._saved_at = min(self._saved_at, trio.current_time() + self._settings.collab_saved)
        self._metrics.edits.inc(len(new))
        return [(edit, added.now) for edit, added in fresh]

    async def _apply(self, edits: list[_Edit]) -> list[tuple[_Edit, Added]]:
        """Each edit that is one, with what is new in it. One that is none closes who sent it, and nobody else."""
        room = self._settings.collab_document + self._settings.collab_log - self._bytes
        while True:
            fresh: list[tuple[_Edit, Added]] = []
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
                    log.warning("an edit broke the replica of a document", room=self.name, error=str(error))
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

    async def _checked(self, edit: _Edit) -> Added:
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

        if self._replica.deep or (size > _LARGE and not self._replica.lacks_nothing(contents)):
            return await on_a_deep_stack(add, self._bytes + size)
        return add()

    async def _reload(self) -> None:
        """Make the replica anew from what is stored."""
        document, stored = await self._database.read(lambda connection: tables.load(connection, self.name))
        before, self._replica = self._replica, await load_replica(stored)
        self._replica.types, self._replica.made = before.types, before.made
        self._top = document.top if document else 0
        self._whole = None

    async def _deliver(self, stored: list[tuple[_Edit, list[bytes]]], before: bytes) -> None:
        """To each connection, in one piece: the edits of all others, and who says what of itself."""
        frames = [
            (None if place else edit.author, binary_frame(yjs.update(update)))  # the others waited for the first
            for edit, now in stored
            for place, update in enumerate(now)
        ]
        note = b""
        dirty, self._dirty = self._dirty, {}
        now = trio.current_time()
        if dirty:
            note = binary_frame(yjs.awareness(self._awareness.states(dirty)))
        elif now - self._noted >= _KEEP_ALIVE:
            note = _NOBODY_HERE
        if note:
            self._noted = now
        everything = b"".join([*[frame for _, frame in frames], note])
        authors = {author for author, _ in frames}
        pace = Pace()
        for visitor in list(self.visitors):
            data = everything
            if visitor in authors:
                data = b"".join([*[frame for author, frame in frames if author is not visitor], note])
            if data and visitor.behind is None:
                self._offer(visitor, data, before)
                await pace.pause()
        for edit, _ in stored:
            edit.done(None)

    def _offer(self, visitor: Visitor, data: bytes, before: bytes) -> None:
        """:param before: the state that it has, if it is too slow for this."""
        if not visitor.link.outbox.offer(data):
            visitor.behind, visitor.lacking = before, len(data)
            self._metrics.spilled.inc()
            visitor.link.spawn(self._catch_up, visitor)

    async def _catch_up(self, visitor: Visitor) -> None:
        """Once there is room: what it lacks, as far as it is committed then."""
        await visitor.link.outbox.room(visitor.lacking)
        self._put(_Look(lambda: None if visitor.behind is None else self._answer(visitor, visitor.behind)))

    def _answer(self, visitor: Visitor, state: bytes) -> None:
        """What ``state`` lacks; also makes up for what a reader was too slow for."""
        if visitor not in self.visitors:
            return
        try:
            data = self._lacking(state)
        except InvalidRequest as error:
            visitor.refuse(error)
            return
        if visitor.behind is not None:
            visitor.behind = None
            data += binary_frame(yjs.awareness(self._awareness.present()))
        self._offer(visitor, data, state)

    def _lacking(self, state: bytes) -> bytes:
        if state != yjs.NOBODY:
            return binary_frame(yjs.step_2(self._replica.diff(state)))
        if self._whole is None:
            self._whole = binary_frame(yjs.step_2(self._replica.diff()))
        return self._whole

    def _greet(self, visitor: Visitor) -> None:
        """Ask for what it has, if it may write, and say who is here."""
        greeting = binary_frame(yjs.step_1(self._replica.state())) if visitor.write else b""
        present = self._awareness.present()
        if present or not greeting:
            greeting += binary_frame(yjs.awareness(present))
        self._offer(visitor, greeting, self._replica.state())

    def _tell(self, clients: list[int]) -> None:
        if clients:
            self._dirty.update(dict.fromkeys(clients))
            self._wake.set()

    async def _announce(self) -> None:
        """Tell readers of changes that it is saved: for a kill between an edit and this, see ``Documents.run``."""
        self._saved_at = math.inf
        if self._id is None:
            return
        try:
            await self._hub.transact(lambda transaction: announce(transaction, self.name))
        except Refused as error:
            log.warning("a document's change could not be told", room=self.name, code=error.code)
            self._saved_at = trio.current_time() + self._settings.collab_saved

    def _is_long(self) -> bool:
        grown = self._bytes - self._squashed
        if self._bytes > self._settings.collab_document:
            return grown * 2 > self._settings.collab_log
        return grown > max(self._settings.collab_log, self._squashed)

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
                log.warning("a document could not be squashed", room=self.name, error=str(error))
                self._squashed = self._bytes  # tried again when it has grown as much again
                return
            self._bytes += size - long.size
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
