"""Trio's channel, event and lock for the case that hardly anything waits there: small while nothing does.

Trio's own take 2 KiB, 300 bytes and 500 bytes; every idle connection would have one of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio


class Mailbox:
    """A memory channel for one message, with one writer and one reader.

    Closed, it still gives the message that is there.

    :param gone: makes what is raised to the reader once nothing more will come.
    """

    __slots__ = ("_closed", "_gone", "_message", "_reader", "_writer")

    def __init__(self, gone: Callable[[], Exception]) -> None:
        self._gone = gone
        self._message: str | bytes | None = None
        self._closed = False
        self._reader: trio.lowlevel.Task | None = None
        self._writer: trio.lowlevel.Task | None = None

    async def send(self, message: str | bytes) -> None:
        """Leave a message, once the one before was taken. :raises trio.ClosedResourceError: it is closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._message is not None and not self._closed:
            self._writer = _alone(self._writer)
            await trio.lowlevel.wait_task_rescheduled(self._no_writer)
        if self._closed:
            raise trio.ClosedResourceError
        self._message = message
        self._wake_reader()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def receive(self) -> str | bytes:
        """Take the message, once there is one."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._message is None:
            if self._closed:
                raise self._gone()
            self._reader = _alone(self._reader)
            await trio.lowlevel.wait_task_rescheduled(self._no_reader)
        message, self._message = self._message, None
        self._wake_writer()
        return message

    async def aclose(self) -> None:
        """Take no message any more. Idempotent."""
        self._closed = True
        self._wake_reader()
        self._wake_writer()
        await trio.lowlevel.checkpoint()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    def _wake_writer(self) -> None:
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer)
            self._writer = None

    def _no_reader(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _no_writer(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED


def _alone(other: trio.lowlevel.Task | None) -> trio.lowlevel.Task:
    if other is not None:
        raise trio.BusyResourceError("another task waits here")
    return trio.lowlevel.current_task()


class Signal:
    """An event, once."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: trio.Event | None = None

    def set(self) -> None:
        """Let go on who waits, and whoever comes later. Idempotent."""
        self._set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._set:
            await trio.lowlevel.checkpoint()
            return
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()


class Turns:
    """A fair lock, as a context."""

    __slots__ = ("_lock", "_wanted")

    def __init__(self) -> None:
        self._wanted = 0
        self._lock: trio.StrictFIFOLock | None = None

    async def __aenter__(self) -> None:
        if self._lock is None:
            self._lock = trio.StrictFIFOLock()
        self._wanted += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: Any) -> None:
        assert self._lock is not None  # noqa: S101  # who leaves it came in
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._wanted -= 1
        if not self._wanted:
            self._lock = None
