"""Following a channel by long polling: each event once, over any number of reconnections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from rtlite.cli.client import CallFailed, Client, delays

POLL_SECONDS: Final = 25.0
PAGE: Final = 1000


@attrs.frozen
class Page:
    """Events as they came; ``recovered`` is false if some before them are gone."""

    items: list[dict[str, Any]]
    recovered: bool


class Follower:
    """One channel from a place in its history on, each event once, over any number of reconnections.

    :param since: a position, an event id, an age or a time; ``None`` is from now on.
    :param on_trouble: called with each failure that is tried again, and with ``None`` after a success.
    """

    def __init__(
        self, client: Client, channel: str, since: str | None, on_trouble: Callable[[CallFailed | None], None]
    ) -> None:
        self.channel = channel
        self.since = since
        self._client = client
        self._on_trouble = on_trouble
        self._delays = delays()

    async def page(self) -> Page:
        """Wait for what comes next. :raises CallFailed: the server refuses for good."""
        while True:
            asked = trio.current_time()
            try:
                if self.since is None:
                    self.since = await self._client.newest(self.channel)
                page = await self._client.history(
                    self.channel, since=self.since, limit=str(PAGE), wait=f"{POLL_SECONDS:g}"
                )
            except CallFailed as failure:
                if not failure.temporary:
                    raise
                self._on_trouble(failure)
                await trio.sleep(max(next(self._delays), failure.retry_after))
                continue
            self._delays = delays()
            self._on_trouble(None)
            self.since = page["next"]
            if page["items"] or not page["recovered"]:
                return Page(page["items"], page["recovered"])
            # A server that does not wait (poll_timeout = 0) is asked once a second.
            await trio.sleep_until(asked + 1)
