"""A server for tests, plain ones and those of Trio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final, Self

import orjson
import trio

from rtlite.client import Event, HistoryPage, Receipt
from rtlite.embed.listening import Listening
from rtlite.embed.started import start

Match = str | Mapping[str, Any] | Callable[[Event], object] | None
"""Which event is meant: by its name, by some fields of its data, by a function; ``None`` is any."""

_ALL: Final = "1970-01-01"
_SLICE: Final = 0.005  # seconds that a Trio test stands still while it waits
_SHOWN: Final = 10


class TestServer:
    """A started server in a thread of its own, with a clock of its own: a test's autojump clock does not move it.

    :param settings: as in ``rtlite.toml``.
    :ivar url: where it listens. :ivar port: of TCP.
    :ivar admin_key: for clients that may do everything; :meth:`key` and :meth:`token` make others.
    """

    __test__ = False  # pytest would take it for a class of tests

    def __init__(self, **settings: Any) -> None:
        self._started = start(**{"shutdown_spread": 0, "shutdown_timeout": 2, **settings})
        self.url = self._started.url
        self.port = self._started.port
        self.admin_key = self._started.admin_key
        self.token = self._started.token
        self.key = self._started.key
        self.listen = self._started.listen
        self._stack = ExitStack()
        self._readers: dict[str, _Reader] = {}

    def publish(self, channel: str, event: str, data: object = None, id: str | None = None) -> Receipt:
        """Publish one event; see :meth:`.Embedded.publish`."""
        return self._started.publish(channel, event, data, id)

    def history(self, channel: str, since: str | None = None, limit: int = 100) -> HistoryPage:
        """A page of a channel's history; see :meth:`.Embedded.history`."""
        return self._started.history(channel, since, limit)

    def watch(self, channel: str) -> None:
        """Keep what comes on ``channel`` from now on. Only where no history is kept is this needed before the act."""
        if channel not in self._readers:
            listening = self._started._embedded.listen(channel, since=_ALL, on_gap=lambda _: None)
            self._stack.enter_context(self._started._portal.iterate(listening))
            self._readers[channel] = _Reader(listening)

    def expect(self, channel: str, match: Match = None, timeout: float = 2.0) -> Event:
        """Wait for the next event on ``channel`` that matches, and return it.

        The first call looks from the channel's first event on, each later one behind the event that was returned last.

        :param timeout: seconds of real time.
        :raises AssertionError: there was none in that time; it says what there was.
        """
        expected = self._expected(channel, match, timeout)
        while (event := next(expected)) is None:
            pass
        return event

    async def aexpect(self, channel: str, match: Match = None, timeout: float = 2.0) -> Event:
        """As :meth:`expect`, in a Trio test: other tasks run meanwhile, and an autojump clock does not jump."""
        expected = self._expected(channel, match, timeout)
        while (event := next(expected)) is None:
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        return event

    def _expected(self, channel: str, match: Match, timeout: float) -> Iterator[Event | None]:
        """``None`` again and again, after a moment each, and in the end the event."""
        self.watch(channel)
        reader = self._readers[channel]
        deadline = time.monotonic() + timeout
        others: list[Event] = []
        while True:
            event: Event | None = self._started._portal.call(reader.next, _SLICE)
            if event is not None:
                if _matches(event, match):
                    yield event
                others.append(event)
            elif time.monotonic() > deadline:
                raise AssertionError(_complaint(channel, match, timeout, others))
            else:
                yield None

    def close(self) -> None:
        """Stop the server. Idempotent."""
        self._stack.close()
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader:
    """The events of one channel, one at a time."""

    def __init__(self, events: Listening) -> None:
        self._events = events

    async def next(self, patience: float) -> Event | None:
        with trio.move_on_after(patience):
            return await anext(self._events)
        return None


def _matches(event: Event, match: Match) -> bool:
    if match is None:
        return True
    if isinstance(match, str):
        return event["event"] == match
    if isinstance(match, Mapping):
        data = event["data"]
        return isinstance(data, dict) and all(name in data and data[name] == value for name, value in match.items())
    return bool(match(event))


def _complaint(channel: str, match: Match, timeout: float, others: list[Event]) -> str:
    wanted = "" if match is None else f" that matches {match!r}"
    lines = [f"  {event['event']} {orjson.dumps(event['data']).decode()[:200]}" for event in others[-_SHOWN:]]
    there = "\n".join(["; there were:", *lines]) if lines else "; there was none"
    return f"no event on {channel}{wanted} within {timeout:g} s{there}"
