"""Following channels: each event once, over any number of reconnections.

A :class:`Follower` holds the place where it is and comes back to it; what a connection is, its
kinds say: :class:`Poller` here, server-sent events in :mod:`.eventsource`, a WebSocket in
:mod:`.eventsocket`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

import attrs
import trio

from rtlite.client.calls import Calls, delays
from rtlite.client.failures import CallFailed
from rtlite.client.shapes import Event
from rtlite.model import is_pattern, kind_of

POLL_SECONDS: Final = 25.0
PAGE: Final = 1000
_LASTING: Final = 1.0  # seconds; a connection that holds this long is a success


@attrs.frozen
class Page:
    """Events as they came; ``recovered`` is false if some before them are gone. ``of`` names what was asked for."""

    items: list[Event]
    recovered: bool
    of: str


Deliver = Callable[[Page], Awaitable[None]]


class Follower:
    """Channels from a place in their history on, each event once, over any number of reconnections.

    :param since: a position, an event id, an age or a time; ``None`` is from now on.
    :param on_trouble: called with each failure that is tried again, and with ``None`` after a success.
    """

    def __init__(
        self,
        client: Calls,
        channels: Sequence[str],
        since: str | None,
        on_trouble: Callable[[CallFailed | None], None],
    ) -> None:
        self.channels = tuple(channels)
        self.since = since
        self.wait = 0.0  # seconds that the server wants us to stay away, once a connection ended in order
        self._client = client
        self._on_trouble = on_trouble
        self.was_up = False

    async def follow(self, deliver: Deliver) -> NoReturn:
        """Hand over what comes. :raises CallFailed: the server refuses for good."""
        waits = delays()
        while True:
            began, pause = trio.current_time(), 0.0
            self.was_up, self.wait = False, 0.0
            try:
                await self.connection(deliver)
            except CallFailed as failure:
                if not failure.temporary:
                    raise
                # That a link dropped is not worth a word: the next try is at once, and tells.
                if failure.status or not self.was_up:
                    self._on_trouble(failure)
                pause = failure.retry_after
            if self.was_up and trio.current_time() - began >= _LASTING:
                waits = delays()
            await trio.sleep(max(next(waits), pause, self.wait))

    async def connection(self, deliver: Deliver) -> None:
        """One connection, from where it is now on, until it ends. :raises CallFailed: there is none, or no more."""
        raise NotImplementedError

    def is_up(self) -> None:
        """To be called when the server has answered as wanted."""
        self.was_up = True
        self._on_trouble(None)


class Poller(Follower):
    """One channel, by long polling of its history."""

    async def connection(self, deliver: Deliver) -> None:
        (channel,) = self.channels
        while True:
            asked = trio.current_time()
            if self.since is None:
                self.since = await self._client.newest(channel)
            page = await self._client.history(channel, since=self.since, limit=str(PAGE), wait=f"{POLL_SECONDS:g}")
            self.is_up()
            self.since = page["next"]
            if page["items"] or not page["recovered"]:
                await deliver(Page(page["items"], page["recovered"], channel))
            else:
                # A server that does not wait (poll_timeout = 0) is asked once a second.
                await trio.sleep_until(asked + 1)


def without_repeats(channels: Sequence[str]) -> list[str]:
    """The names, each once, and without channels that a pattern among them covers: its events come by that."""
    patterns = {kind_of(name) for name in channels if is_pattern(name)}
    return [name for name in dict.fromkeys(channels) if is_pattern(name) or kind_of(name) not in patterns]
