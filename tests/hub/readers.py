"""A running hub on a real file, and readers whose room the test decides. Nothing here sleeps."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from rtlite.errors import Reason
from rtlite.hub.hub import Hub, Subscribed
from rtlite.hub.since import Since
from rtlite.hub.topics import Name
from rtlite.metrics import Metrics
from rtlite.model import Event, NewEvent, Position
from rtlite.settings import Settings
from rtlite.store.database import Database, open_database
from rtlite.store.events import read_channel


@asynccontextmanager
async def running_hub(path: object = ":memory:", **settings: Any) -> AsyncIterator[Hub]:
    """A hub at work until the end of the block. ``hub.database`` and ``hub.nursery`` are for the test."""
    async with open_database(str(path), "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, Settings(**settings), Metrics())
        hub.database, hub.nursery = database, nursery  # type: ignore[attr-defined]
        await nursery.start(hub.run)
        try:
            yield hub
        finally:
            nursery.cancel_scope.cancel()


def line(event: Event) -> bytes:
    """The encoder of these tests."""
    return f"{event.channel} {event.offset} {event.sequence} {event.id}\n".encode()


def greeting(position: Position | None, recovered: bool) -> bytes:
    return f"hello {position} {recovered}\n".encode()


def new(channel: str = "news:a", id: str | None = None, data: bytes = b"{}") -> NewEvent:
    return NewEvent(channel, "tick", data, id)


class Reader:
    """An outbox that keeps what it takes.

    ``full`` makes it refuse and its sender wait, until :meth:`drain`; ``chance`` makes it
    refuse at random; the delivery numbered ``loses`` is taken and lost.
    """

    def __init__(
        self, *, full: bool = False, chance: float = 0.0, rng: random.Random | None = None, loses: int | None = None
    ) -> None:
        self.full = full
        self.lines: list[str] = []
        self.lost: list[Reason] = []
        self.refused = 0
        self.waiting = 0
        self.gone = False
        self._chance = chance
        self._loses = loses
        self._taken = 0
        self._rng = rng or random.Random(1)
        self._changed = trio.Event()

    def offer(self, data: bytes) -> bool:
        if self.full or self.gone or self._rng.random() < self._chance:
            self.refused += 1
            self._notify()
            return False
        self._take(data)
        return True

    async def send(self, data: bytes) -> None:
        await self.room(len(data))
        self._take(data)

    async def room(self, size: int) -> None:
        self.waiting += 1
        try:
            await trio.lowlevel.checkpoint()
            for _ in range(self._rng.randrange(4) if self._chance else 0):
                await trio.lowlevel.checkpoint()
            while self.full:
                await self._changed.wait()
        finally:
            self.waiting -= 1
        if self.gone:
            raise trio.BrokenResourceError

    def drain(self) -> None:
        """There is room from now on."""
        self.full = False
        self._notify()

    def leave(self) -> None:
        """The connection is gone."""
        self.gone, self.full = True, False
        self._notify()

    def on_lost(self, reason: Reason) -> None:
        self.lost.append(reason)
        self._notify()

    async def subscribe(
        self, hub: Hub, name: Name = "news:a", since: Since | None = None, **options: Any
    ) -> Subscribed:
        """Subscribe, and wait until the replay is over; whoever is cancelled meanwhile has unsubscribed."""
        start_soon = options.pop("spawn", hub.nursery.start_soon)  # type: ignore[attr-defined]
        replays: list[trio.Event] = []

        def spawn(function: Callable[..., Any], *args: Any) -> None:
            replays.append(trio.Event())
            start_soon(_signalling, replays[-1], function, *args)

        options.setdefault("on_lost", self.on_lost)
        subscribed = await hub.subscribe(name, self, options.pop("encode", line), since=since, spawn=spawn, **options)
        try:
            for replay in replays[:1]:
                await replay.wait()
        except BaseException:
            subscribed.subscription.close()
            raise
        return subscribed

    @property
    def events(self) -> list[tuple[str, int, int, str]]:
        """Channel, offset, sequence and id of every event taken."""
        words = [text.split(" ") for text in self.lines if not text.startswith("hello ")]
        return [(word[0], int(word[1]), int(word[2]), word[3]) for word in words]

    @property
    def arrivals(self) -> list[tuple[int, str]]:
        return [(offset, id) for _, offset, _, id in self.events]

    @property
    def offsets(self) -> list[int]:
        return [offset for _, offset, _, _ in self.events]

    async def until(self, condition: Callable[[Reader], bool]) -> None:
        """Wait for something to become true of what was taken, refused or lost."""
        with trio.fail_after(20):
            while not condition(self):
                await self._changed.wait()

    async def until_offset(self, offset: int) -> None:
        await self.until(lambda reader: reader.offsets[-1:] == [offset])

    def _take(self, data: bytes) -> None:
        self._taken += 1
        if self._taken != self._loses:
            self.lines += data.decode().splitlines()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


async def _signalling(over: trio.Event, function: Callable[..., Any], *args: Any) -> None:
    try:
        await function(*args)
    finally:
        over.set()


async def reached(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until ``condition`` holds; for what no event tells.

    It looks now and then: one that never rests would keep the database threads from the interpreter.
    """
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.001)


async def history_of(database: Database, name: str) -> list[tuple[int, str]]:
    """The channel's whole history, as (offset, id)."""
    events = await database.read(lambda connection: read_channel(connection, name, 0, 1_000_000, 2**40))
    return [(event.offset, event.id) for event in events]
