"""Faults for connections: closed, half-open, slow; and those that are not let in once it is known whose they are.

A connection is looked at when a fault is set, and when more is known of it: that it is open, whose it
is, what it listens to. A fault decides once for each connection that it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakSet

import attrs

from rtlite.domain.requestfaults import is_known_before, refusal
from rtlite.errors import Reason
from rtlite.faults import Draws, Fault
from rtlite.settings import Settings
from rtlite.transports.connections import Connection, Connections, Impairable
from rtlite.transports.stream import ServerStream


@attrs.define(eq=False)
class _Share:
    """What a fault did: to whom, and how that is undone when it ends."""

    draws: Draws
    judged: WeakSet[Connection] = attrs.field(factory=WeakSet)
    undo: list[Callable[[], None]] = attrs.field(factory=list)


class ConnectionFaults:
    """Strikes the connections that faults are for, and undoes that when they end."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._connections = connections
        self._settings = settings
        self._shares: dict[Fault, _Share] = {}
        self._impaired: WeakSet[ServerStream] = WeakSet()

    def apply(self, faults: Sequence[Fault]) -> None:
        """From now on these are set."""
        wanted = [fault for fault in faults if fault.kind.name in _STRIKES]
        for fault in self._shares.keys() - set(wanted):
            for undo in self._shares.pop(fault).undo:
                undo()
        for fault in wanted:
            if fault not in self._shares:
                self._shares[fault] = _Share(fault.draws())
        self._connections.impair(self._consider if self._shares else None)

    def _consider(self, connection: Connection) -> None:
        user = connection.identity.user if connection.identity else None
        for fault, share in list(self._shares.items()):
            if (
                connection.link is not None
                and connection not in share.judged
                and fault.picks(connection.protocol, user, connection.id)
                and (fault.asked.channel is None or any(map(fault.touches, connection.channels)))
            ):
                _STRIKES[fault.kind.name](self, share, connection, connection.link)

    def _close(self, share: _Share, connection: Connection, link: Impairable) -> None:
        share.judged.add(connection)
        if share.draws.strikes():
            asked = share.draws.fault.asked
            link.close_with(asked.code or 0, asked.text or Reason.FAULT.value.text)

    def _refuse(self, share: _Share, connection: Connection, link: Impairable) -> None:
        """Whom it takes until now to know. The others were refused before they were connections."""
        share.judged.add(connection)
        fault = share.draws.fault
        new = connection.opened >= fault.created
        if new and not is_known_before(fault, connection.protocol) and share.draws.strikes():
            link.refuse_with(refusal(fault))

    def _half_open(self, share: _Share, connection: Connection, link: Impairable) -> None:
        stream = link.stream
        if stream is not None and self._takes(share, connection, stream):
            stream.fall_silent()
            share.undo.append(stream.cut)

    def _slow_down(self, share: _Share, connection: Connection, link: Impairable) -> None:
        stream = link.stream
        if stream is not None and self._takes(share, connection, stream):
            slow = stream.throttle(share.draws.fault.asked.rate or 1)

            def undo() -> None:
                self._impaired.discard(stream)
                stream.lift(slow)

            share.undo.append(undo)

    def _takes(self, share: _Share, connection: Connection, stream: ServerStream) -> bool:
        """Whether it strikes this one. Not where another one does, or so many are held that more would be a risk."""
        share.judged.add(connection)
        if stream in self._impaired or len(share.undo) >= self._settings.max_connections:
            return False
        if not share.draws.strikes():
            return False
        self._impaired.add(stream)
        return True


_STRIKES: Final = {
    "close": ConnectionFaults._close,
    "refuse": ConnectionFaults._refuse,
    "half-open": ConnectionFaults._half_open,
    "slow-reader": ConnectionFaults._slow_down,
}
