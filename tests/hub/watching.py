"""Presence on an instant database, and watchers whose room the test decides. Time is Trio's, so it can be skipped."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar

import orjson
import trio

from rtlite.errors import Refused
from rtlite.hub.presence import Presence
from rtlite.metrics import Metrics
from rtlite.model import PresenceNotice
from rtlite.protocols import jsonframes
from rtlite.settings import Settings
from rtlite.store import schema

T = TypeVar("T")
ROOM = "room:1"


class Instant:
    """A database without threads: the clock does not run while it works."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.refusal: Refused | None = None
        self.writes = 0
        self.meanwhile: Callable[[], None] = lambda: None
        """Called once, while something is written or read."""

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        self.writes += 1
        with self.connection:
            result = work(self.connection)
        self._meet()
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await trio.lowlevel.checkpoint()
        result = work(self.connection)
        self._meet()
        return result

    def _meet(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    @property
    def rows(self) -> dict[tuple[str, str], int | None]:
        """What is stored: channel and user, and when it was last seen."""
        found = self.connection.execute("SELECT channel, user, last_seen FROM presence")
        return {(channel, user): at for channel, user, at in found}


@asynccontextmanager
async def running_presence(database: Instant | None = None, **settings: Any) -> AsyncIterator[Presence]:
    """Presence at work until the end of the block. ``database`` and ``nursery`` are for the test."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        if database is None:
            schema.migrate(connection)
            database = Instant(connection)
        async with trio.open_nursery() as nursery:
            presence = Presence(database, Settings(**settings), Metrics())  # type: ignore[arg-type]
            presence.database, presence.nursery = database, nursery  # type: ignore[attr-defined]
            await nursery.start(presence.run)
            yield presence
            nursery.cancel_scope.cancel()


def line(notice: PresenceNotice) -> bytes:
    """The encoder of these tests."""
    return orjson.dumps(jsonframes.presence(notice)) + b"\n"


class Watcher:
    """A way out that holds at most ``limit`` bytes until they are read, and what it was told."""

    def __init__(self, limit: int = 2**30) -> None:
        self.limit = limit
        self.queued: list[bytes] = []
        self.told: list[dict[str, Any]] = []
        self.refused = 0
        self.writes = 0
        self._step = trio.Event()

    @property
    def size(self) -> int:
        return sum(map(len, self.queued))

    def offer(self, data: bytes) -> bool:
        if self.queued and self.size + len(data) > self.limit:
            self.refused += 1
            return False
        self.queued.append(data)
        self.writes += 1
        return True

    async def send(self, data: bytes) -> None:
        await self.room(len(data))
        self.offer(data)

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()
        while self.queued and self.size + size > self.limit // 2:
            await self._step.wait()

    def read(self, most: int = 2**30) -> list[dict[str, Any]]:
        """Take up to ``most`` writes off the queue, and return what they said."""
        taken, self.queued = self.queued[:most], self.queued[most:]
        fresh = [orjson.loads(text) for text in b"".join(taken).splitlines()]
        self.told += fresh
        self._step.set()
        self._step = trio.Event()
        return fresh

    def said(self) -> list[str]:
        """What was told since the last look, in short: ``join alice``, ``list alice bob``."""
        return [in_short(notice) for notice in self.read()]


def in_short(notice: dict[str, Any]) -> str:
    members = notice["members"] if notice["action"] == "list" else [notice["member"]]
    return " ".join([notice["action"], *(member["user"] for member in members)])


def known(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The members, as a client knows them that does as the docs say."""
    members: dict[str, Any] = {}
    for notice in told:
        if notice["action"] == "list":
            if notice["after"] is None:
                members.clear()
            members |= {member["user"]: member["data"] for member in notice["members"]}
        elif notice["action"] == "leave":
            members.pop(notice["member"]["user"], None)
        else:
            members[notice["member"]["user"]] = notice["member"]["data"]
    return members
