"""Who is in a room, and what each says of itself: a name, a cursor.

Source: ``awareness.js`` of y-protocols. A state is newer by its clock; one that is silent for
30 s is gone. What is ours is whose a state is: y-protocols lets every client speak for every
other, and each client of y-websocket says again all that it hears. So a client id belongs to
the connection that brought it, and what others say of it counts for nothing.

A connection's first id is its own, and it may be the one to bring further ones: the tabs of a
browser tell each other, and so the next tab's id may come by this one's connection first. That
one is given to its own connection when it says so; an id of one's own is given to no one but the
same user's next connection, which is how a client comes back that had dropped.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

import attrs

from rtlite.protocols.yjs import State

LIFETIME: Final = 30.0  # seconds; y-protocols' ``outdatedTimeout``
_REMEMBERED: Final = 1_000


class Owner:
    """A connection, as far as its client ids go. :ivar user: whom it stands for."""

    def __init__(self, user: Hashable) -> None:
        self.user = user
        self.own: int | None = None
        self.clients: set[int] = set()


@attrs.define(slots=True, eq=False)
class _Known:
    clock: int  # as others were told
    said: int  # as its client said, which may have been less
    state: bytes | None
    renewed: float
    owner: Owner | None


class Awareness:
    """The states of one room. Times are in seconds, of any clock that does not go back.

    :param max_clients: ids that one connection may bring.
    """

    def __init__(self, max_clients: int) -> None:
        self._max_clients = max_clients
        self._known: dict[int, _Known] = {}
        self._gone: dict[int, None] = {}  # the oldest first

    def take(self, owner: Owner, states: Iterable[State], now: float) -> list[int]:
        """What a connection says; returns the ids of which others are to be told."""
        return [state.client for state in states if self._take(owner, state, now)]

    def _take(self, owner: Owner, new: State, now: float) -> bool:
        known = self._known.get(new.client)
        if known is None or known.owner is not owner:
            return self._bring(owner, known, new, now)
        if new.clock < known.said or (new.clock == known.said and new.state == known.state):
            return False
        if new.clock <= known.clock and new.state == known.state:  # it repeats what it adopted of what we said
            known.said, known.renewed = new.clock, now
            return False
        self._set(known, new, now)
        return True

    def _bring(self, owner: Owner, known: _Known | None, new: State, now: float) -> bool:
        """It speaks of an id that is not its own yet."""
        first = owner.own is None
        if new.state is None or (len(owner.clients) >= self._max_clients):
            return False
        if known is None:
            # Others may know it at this clock, from before this server was started anew: to be seen it is to be newer.
            known = self._known[new.client] = _Known(new.clock, -1, None, now, None)
        elif known.owner is not None:
            if not first or known.owner.user != owner.user:
                return False
            self._disown(new.client, known)
        elif new.clock < known.said or (new.clock == known.said and not first):
            return False  # someone else repeats what it said before it went
        self._gone.pop(new.client, None)
        known.owner = owner
        owner.clients.add(new.client)
        if first:
            owner.own = new.client
        self._set(known, new, now)
        return True

    def _set(self, known: _Known, new: State, now: float) -> None:
        # Others take nothing but what is newer, unless it is the end: so a client that is back at its old clock,
        # and adopts ours when it hears of itself, is told of with the next one.
        end = new.state is None and known.state is not None
        known.clock = max(new.clock, known.clock if end else known.clock + 1)
        known.said, known.state, known.renewed = new.clock, new.state, now

    def _disown(self, client: int, known: _Known) -> None:
        if known.owner is not None:
            known.owner.clients.discard(client)
            if known.owner.own == client:
                known.owner.own = None
            known.owner = None

    def leave(self, owner: Owner) -> list[int]:
        """A connection is over; returns the ids that went with it."""
        return [client for client in list(owner.clients) if self._end(client)]

    def expire(self, now: float) -> list[int]:
        """Those that were silent for too long are gone; returns their ids."""
        silent = [
            client
            for client, known in self._known.items()
            if known.owner is not None and now - known.renewed >= LIFETIME
        ]
        return [client for client in silent if self._end(client)]

    def _end(self, client: int) -> bool:
        known = self._known[client]
        self._disown(client, known)
        present, known.state = known.state is not None, None
        self._gone[client] = None
        while len(self._gone) > _REMEMBERED:
            oldest = next(iter(self._gone))
            del self._gone[oldest], self._known[oldest]
        return present

    def states(self, clients: Iterable[int]) -> list[State]:
        """Of these ids, what to tell others."""
        return [
            State(client, known.clock, known.state)
            for client in clients
            if (known := self._known.get(client)) is not None
        ]

    def present(self) -> list[State]:
        """All that say something of themselves."""
        return [State(client, known.clock, known.state) for client, known in self._known.items() if known.state]
