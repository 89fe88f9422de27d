"""Where one connection is present, and where it is told who else is."""

from __future__ import annotations

from typing import Any

from rtlite.hub.presence import Presence
from rtlite.hub.watchers import PresenceEncoder, Watch
from rtlite.transports.websocket import WebSocket


class Attendance:
    """The channels that a connection has joined or watches; it leaves them all when it ends.

    One that ends with the peer's goodbye leaves at once. Any other may come back: its user stays
    a member for the time of ``presence_grace``.
    """

    def __init__(self, websocket: WebSocket, user: str, presence: Presence, encode: PresenceEncoder) -> None:
        self._websocket = websocket
        self._user = user
        self._presence = presence
        self._encode = encode
        self._joined: dict[str, None] = {}
        self._watches: dict[str, Watch] = {}
        websocket.on_end(self._end)

    def check(self, channel: str) -> None:
        """:raises InvalidRequest: a pattern. :raises NotFound: its kind has no presence."""
        self._presence.check(channel)

    def join(self, channel: str, about: Any) -> bool:
        """The user is there, and says this of itself; returns whether this connection is new there.

        :raises TooLarge: ``about``. :raises Overloaded: the channel is full.
        :raises InvalidRequest, NotFound: as :meth:`check`.
        """
        new = channel not in self._joined
        self._presence.join(channel, self._user, about, id(self._websocket))
        self._joined[channel] = None
        return new

    def update(self, channel: str, about: Any) -> None:
        """:raises InvalidRequest: this connection has not joined. :raises TooLarge: ``about``."""
        self._presence.update(channel, self._user, about, id(self._websocket))

    def watch(self, channel: str) -> None:
        """Be told who is there, and then each change."""
        if channel not in self._watches:
            outbox, spawn = self._websocket.outbox, self._websocket.spawn
            self._watches[channel] = self._presence.watch(channel, outbox, self._encode, spawn)

    def leave(self, channel: str, *, clean: bool = True) -> None:
        """Not there any more; nothing happens if it never was."""
        if channel in self._joined:
            del self._joined[channel]
            self._presence.leave(channel, self._user, id(self._websocket), clean)

    def forget(self, channel: str) -> None:
        """Neither there nor watching."""
        if (watch := self._watches.pop(channel, None)) is not None:
            watch.close()
        self.leave(channel)

    def _end(self) -> None:
        clean = self._websocket.goodbye
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        for channel in list(self._joined):
            self.leave(channel, clean=clean)
