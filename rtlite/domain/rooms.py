"""A room: one document, those who have it open, and one task that orders all that happens to it.

What is delivered is committed. An edit is added to the replica, which finds out whether it is one,
then stored, in one transaction with all that came meanwhile, and then delivered; whatever is read
from the replica is read between these turns. If it cannot be stored, the replica is made anew from
what is, and who sent it is closed, so that it comes back and sends it again: nobody saw it.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from rtlite.domain.agenda import Agenda, Edit, Look
from rtlite.domain.audience import Audience
from rtlite.domain.manuscript import Manuscript
from rtlite.domain.tempo import Tempo
from rtlite.domain.visitors import Visitor
from rtlite.errors import Reason, Refused
from rtlite.hub.slices import Pace
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.protocols import yjs
from rtlite.settings import Settings
from rtlite.store.documents import Log
from rtlite.transports.websocket import binary_frame

log = get_logger(__name__)

_PAUSE: Final = 0.002  # seconds for each visitor


class Room:
    """:ivar closing: it takes nobody any more. :ivar gone: it is over; another may take its name."""

    def __init__(self, name: str, manuscript: Manuscript, settings: Settings, metrics: Metrics) -> None:
        self.name = name
        self._settings = settings
        self._manuscript = manuscript
        self._agenda = Agenda()
        self._tempo = Tempo()
        self._audience = Audience(manuscript, self._agenda, settings, metrics)
        self._idle_at = trio.current_time() + settings.collab_idle
        self.closing = False
        self._tidy = False
        self.gone = trio.Event()

    @property
    def visitors(self) -> dict[Visitor, None]:
        """Who has it open, by the order in which they came."""
        return self._audience.visitors

    @property
    def idle_since(self) -> float:
        """On Trio's clock; infinite while somebody is here or something is to be done."""
        return math.inf if self.visitors or self._agenda else self._idle_at

    @property
    def size(self) -> int:
        """Bytes that are stored of it."""
        return self._manuscript.size

    def states(self, visitor: Visitor) -> list[yjs.State]:
        """What a connection says of itself and those behind it."""
        return self._audience.states(visitor)

    # What connections do.

    def enter(self, visitor: Visitor) -> None:
        """It hears of all that happens from now on, and first who is here. :raises Overloaded: too many are."""
        self._audience.enter(visitor)

    def leave(self, visitor: Visitor) -> None:
        """It is over. Idempotent."""
        if visitor in self.visitors:
            self._audience.leave(visitor)
            self._idle_at = trio.current_time() + self._settings.collab_idle
            self._agenda.wake.set()

    async def take(self, visitor: Visitor, message: yjs.Message) -> None:
        """What a connection says. Returns once there is room for more.

        :raises InvalidRequest: it may not say this. :raises TooLarge: it says too much.
        """
        match message:
            case yjs.Update(update) | yjs.Step2(update) if visitor.write:
                self._agenda.put(Edit(update, visitor, isinstance(message, yjs.Step2)))
            case yjs.Step1(state):
                self._agenda.put(Look(lambda: self._audience.answer(visitor, state)))
            case yjs.Awareness(states):
                self._audience.hear(visitor, states)
            case yjs.QueryAwareness():
                self._agenda.put(Look(lambda: self._audience.tell_who_is_here(visitor)))
            case yjs.Update(update) | yjs.Step2(update) if update[:1] != b"\x00" and not visitor.refused:
                visitor.refused = True  # told once
                visitor.link.outbox.offer(binary_frame(yjs.permission_denied("read-only: edits are dropped")))
        await self._agenda.room()

    def tick(self) -> None:
        """Called every few seconds: who is silent goes, and who hears nothing is told that we are here."""
        self._audience.tick()

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

        self._agenda.put(Edit(update, None, done=finish))
        await done.wait()
        if outcome[0] is not None:
            raise outcome[0]

    async def export(self) -> bytes:
        """The document as one update, as far as it is committed. :raises Overloaded: the room is closing."""
        done = trio.Event()
        found: list[bytes | Refused] = []

        def look() -> None:
            finish(self._manuscript.whole())

        def finish(outcome: bytes | Refused) -> None:
            found.append(outcome)
            done.set()

        self._agenda.put(Look(look, finish))
        await done.wait()
        if isinstance(found[0], Refused):
            raise found[0]
        return found[0]

    async def squash(self) -> None:
        """Put one update in place of all that are stored. Edits go on meanwhile."""
        await self._manuscript.squash()

    def close(self, reason: Reason | None = None, *, tidy: bool = False) -> None:
        """Take nobody any more, and end once all is stored.

        :param reason: ends everyone's connection first. :param tidy: squash the log, if that is worth it.
        """
        self.closing, self._tidy = True, tidy
        if reason is not None:
            for visitor in list(self.visitors):
                visitor.link.end(reason)
        self._agenda.wake.set()

    # The task.

    async def run(self, nursery: trio.Nursery, loaded: Log | None) -> None:
        """Serve the room until it is closed, or nobody was here for a while.

        :param loaded: what the replica was made of.
        """
        try:
            while await self._wait():
                edited = await self._turn()
                if edited and loaded:  # not before: who only joins does not wait for it
                    nursery.start_soon(self._manuscript.count_types, loaded)
                    loaded = None
                if trio.current_time() >= self._manuscript.saved_at:
                    await self._manuscript.announce()
                if edited and self._manuscript.is_long:
                    nursery.start_soon(self._manuscript.squash)
                if not self.closing:
                    await self._tempo.rest(min(self._settings.collab_turn, _PAUSE * len(self.visitors)))
            if self._manuscript.saved_at < math.inf:
                await self._manuscript.announce()
            if self._tidy and self._manuscript.is_untidy:
                await self._manuscript.squash()
        except Exception:
            log.exception("a room failed", room=self.name)
            for visitor in list(self.visitors):
                visitor.link.end(Reason.INTERNAL_ERROR)
        finally:
            self.closing = True
            self.gone.set()
            self._agenda.close()

    async def _wait(self) -> bool:
        """Wait for something to do; ``False`` if there is nothing, and will not be."""
        while True:
            until = min(self._manuscript.saved_at, math.inf if self.visitors else self._idle_at)
            with trio.CancelScope(deadline=until):
                if not self._agenda and not self.closing:
                    await self._agenda.wake.wait()
            if self._agenda.wake.is_set() or self._agenda or self._manuscript.saved_at <= trio.current_time():
                return bool(self._agenda) or not self.closing
            if self.idle_since <= trio.current_time():
                self.closing = self._tidy = True
                return False

    async def _turn(self) -> bool:
        """Take what waits; store it, deliver it, answer. Returns whether something was stored."""
        before = self._manuscript.state()
        items = self._agenda.take()
        edits = [item for item in items if isinstance(item, Edit)]
        stored = await self._manuscript.store(edits) if edits else []
        await self._audience.deliver(stored, before)
        pace = Pace()
        for item in items:
            if isinstance(item, Look):
                item.work()
                await pace.pause()
        return bool(stored)
