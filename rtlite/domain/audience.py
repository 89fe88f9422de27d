"""Who has a document open, and what they are sent: edits, answers, and who says what of itself."""

from __future__ import annotations

from typing import Final

import trio

from rtlite.domain.agenda import Agenda, Edit, Look
from rtlite.domain.manuscript import Manuscript
from rtlite.domain.visitors import Visitor
from rtlite.errors import InvalidRequest, Overloaded, TooLarge
from rtlite.hub.parcels import Parcel
from rtlite.hub.slices import Pace
from rtlite.metrics import Metrics
from rtlite.protocols import yjs
from rtlite.protocols.awareness import Awareness
from rtlite.settings import Settings
from rtlite.transports.websocket import binary_frame

_KEEP_ALIVE: Final = 15.0  # seconds; clients of y-websocket hang up after 30 s without a message, pings not counted
_NOBODY_HERE: Final = binary_frame(yjs.awareness([]))


class Audience:
    def __init__(self, manuscript: Manuscript, agenda: Agenda, settings: Settings, metrics: Metrics) -> None:
        self._manuscript = manuscript
        self._agenda = agenda
        self._settings = settings
        self._metrics = metrics
        self._awareness = Awareness(settings.collab_awareness_clients)
        self._dirty: dict[int, None] = {}
        self._noted = trio.current_time()
        self.visitors: dict[Visitor, None] = {}

    def states(self, visitor: Visitor) -> list[yjs.State]:
        """What a connection says of itself and those behind it."""
        return [state for state in self._awareness.states(sorted(visitor.owner.clients)) if state.state]

    def enter(self, visitor: Visitor) -> None:
        """It hears of all that happens from now on, and first who is here. :raises Overloaded: too many are."""
        if len(self.visitors) >= self._settings.collab_connections:
            raise Overloaded("too many have this document open")
        self.visitors[visitor] = None
        self._agenda.put(Look(lambda: self._greet(visitor)))

    def leave(self, visitor: Visitor) -> None:
        """It is over; what it said of itself goes with it. Idempotent."""
        if self.visitors.pop(visitor, visitor) is visitor:
            return
        self._tell(self._awareness.leave(visitor.owner))

    def hear(self, visitor: Visitor, states: tuple[yjs.State, ...]) -> None:
        """What a connection says of itself. :raises TooLarge: too much."""
        most = self._settings.collab_awareness
        if any(state.state is not None and len(state.state) > most for state in states):
            raise TooLarge(f"awareness: a state may have {most} bytes")
        self._tell(self._awareness.take(visitor.owner, states, trio.current_time()))

    def tell_who_is_here(self, visitor: Visitor) -> None:
        """Everyone's awareness, to one. For a look: the state is what was delivered."""
        if visitor in self.visitors and visitor.behind is None:
            self._offer(visitor, binary_frame(yjs.awareness(self._awareness.present())), self._manuscript.state())

    def tick(self) -> None:
        """Called every few seconds: who is silent goes, and who hears nothing is told that we are here."""
        now = trio.current_time()
        self._tell(self._awareness.expire(now))
        if self.visitors and now - self._noted >= _KEEP_ALIVE:
            self._agenda.wake.set()

    async def deliver(self, stored: list[tuple[Edit, list[bytes]]], before: bytes) -> None:
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
            if visitor.impaired is not None:
                own = [frame for author, frame in frames if author is not visitor]
                self._offer_apart(visitor, [*own, note], before)
            elif data and visitor.behind is None:
                self._offer(visitor, data, before)
                await pace.pause()
        for edit, _ in stored:
            edit.done(None)

    def _offer(self, visitor: Visitor, data: bytes, before: bytes) -> None:
        """:param before: the state that it has, if it is too slow for this."""
        if not visitor.outbox.offer(data):
            visitor.behind, visitor.lacking = before, len(data)
            self._metrics.spilled.inc()
            visitor.link.spawn(self._catch_up, visitor)

    def _offer_apart(self, visitor: Visitor, frames: list[bytes], before: bytes) -> None:
        """The same where faults are for it: each may be struck alone."""
        for frame in frames:
            if frame and visitor.behind is None:
                self._offer(visitor, Parcel.of(frame, visitor.channel), before)

    async def _catch_up(self, visitor: Visitor) -> None:
        """Once there is room: what it lacks, as far as it is committed then."""
        await visitor.outbox.room(visitor.lacking)
        self._agenda.put(Look(lambda: None if visitor.behind is None else self.answer(visitor, visitor.behind)))

    def answer(self, visitor: Visitor, state: bytes) -> None:
        """What ``state`` lacks; also makes up for what a reader was too slow for."""
        if visitor not in self.visitors:
            return
        try:
            data = self._manuscript.lacking(state)
        except InvalidRequest as error:
            visitor.refuse(error)
            return
        if visitor.behind is not None:
            visitor.behind = None
            data += binary_frame(yjs.awareness(self._awareness.present()))
        self._offer(visitor, data, state)

    def _greet(self, visitor: Visitor) -> None:
        """Ask for what it has, if it may write, and say who is here."""
        greeting = binary_frame(yjs.step_1(self._manuscript.state())) if visitor.write else b""
        present = self._awareness.present()
        if present or not greeting:
            greeting += binary_frame(yjs.awareness(present))
        self._offer(visitor, greeting, yjs.NOBODY)

    def _tell(self, clients: list[int]) -> None:
        if clients:
            self._dirty.update(dict.fromkeys(clients))
            self._agenda.wake.set()
