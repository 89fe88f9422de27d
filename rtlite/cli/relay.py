"""Sends what a program prints, in order, for as long as it takes; holds the program up if that is too much.

Each request carries an id of its own, from which the server makes its lines' ids. So a request
whose answer was lost is sent again, and publishes nothing twice on a stream with history.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import click
import orjson
import trio

from rtlite.cli import output
from rtlite.cli.spool import Spool
from rtlite.cli.trouble import Trouble
from rtlite.client import Client
from rtlite.client.calls import delays
from rtlite.client.failures import CallFailed
from rtlite.settings import KIB, MIB

ERRORS: Final = "errors"
EXIT: Final = "exit"
_BATCH: Final = 64 * KIB
_LIVE: Final = MIB
"""Bytes that wait while the server answers; a program that is faster is held up."""
_LONGEST_DELAY: Final = 5.0
_PASSING: Final = {408, 500, 507}
"""Of the server's answers, besides those that any command tries again after: a full disk, say, is emptied."""
_TAGS: Final = {b"o": "", b"e": ERRORS}


class Relay:
    """The way from a program to a stream. :meth:`run` sends, once it is connected; it returns once all is over.

    :param buffer: bytes that may wait on disk while the server is away.
    :ivar left: lines that are not acknowledged.
    :ivar finished: whether the last event is, too.
    :ivar failure: why no more is sent, if the server refused for good.
    """

    def __init__(self, url: str, stream: str, buffer: int) -> None:
        self._path = f"/streams/{stream}/messages"
        self._buffer = buffer
        self._trouble = Trouble(url)
        self._spool = Spool()
        self._id = secrets.token_hex(6)
        self._requests = 0
        self._backlog = False
        self._disk_full = False
        self._news = trio.Event()
        self._room = trio.Event()
        self._exit: bytes | None = None
        self._over = trio.Event()
        self.left = 0
        self.finished = False
        self.failure: CallFailed | click.UsageError | None = None

    def put(self, message: bytes, *, error: bool = False) -> None:
        """Add a message (JSON in one line), to the stream or to its channel ``errors``."""
        self.left += 1
        if self.failure is not None:
            return
        try:
            self._spool.put((b"e" if error else b"o") + message)
        except OSError as failure:
            if not self._disk_full:
                output.note(f"what waits cannot be put on disk: {failure.strerror}; the program is held up")
            self._disk_full = True
        self._news.set()

    async def room(self) -> None:
        """Wait until more may be put."""
        while self.failure is None and self._spool.size >= self._most():
            self._room = trio.Event()
            await self._room.wait()

    def _most(self) -> int:
        return max(_LIVE, self._buffer) if self._backlog and not self._disk_full else _LIVE

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Send the last event; returns when everything is sent, or nothing more can be."""
        self._exit = orjson.dumps(status)
        self._news.set()
        await self._over.wait()

    async def run(self, connecting: AbstractAsyncContextManager[Client]) -> None:
        """Send, in order, until :meth:`finish` or a refusal."""
        try:
            async with connecting as client:
                while lines := await self._next():
                    for tag, channel in _TAGS.items():
                        own = [line[1:] for line in lines if line.startswith(tag)]
                        if own:
                            await self._send(client, b"\n".join(own), "application/x-ndjson", channel=channel)
                            self.left -= len(own)
                    if self._spool.size < _LIVE:
                        self._backlog = self._disk_full = False
                    self._room.set()
                await self._send(client, self._exit or b"null", "application/json", event=EXIT)
            self.finished = True
        except (CallFailed, click.UsageError) as failure:  # it has no key, or one that does not hold
            output.note(f"{failure}; nothing more is sent")
            self.failure = failure
            self._room.set()
        finally:
            self._spool.close()
            self._over.set()

    def away(self, failure: CallFailed) -> None:
        """The server is away: lines wait on disk."""
        self._trouble(failure)
        self._backlog = True
        self._room.set()

    async def _next(self) -> list[bytes]:
        """The lines to send next; none when all are sent and there will be no more."""
        while not (lines := self._spool.take(_BATCH)) and self._exit is None:
            self._news = trio.Event()
            await self._news.wait()
        return lines

    async def _send(self, client: Client, content: bytes, content_type: str, **query: str) -> None:
        """:raises CallFailed: the server refuses for good."""
        self._requests += 1
        query["id"] = f"{self._id}-{self._requests}"
        waits = delays(longest=_LONGEST_DELAY)
        while True:
            try:
                await client.send("POST", self._path, content, content_type, query)
            except CallFailed as failure:
                if not failure.temporary and failure.status not in _PASSING:
                    raise
                self.away(failure)
                await trio.sleep(max(next(waits), failure.retry_after))
            else:
                self._trouble(None)
                return
