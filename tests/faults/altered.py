"""rtlite with something changed: ``python -m tests.faults.altered NAME[,NAME…] serve …``.

Nearly all of these break a promise on purpose. They are what the fault tests' negative controls
run, and they show that the fault bites and that the checker sees it.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any

import trio

from rtlite.domain import inbox, records
from rtlite.domain.jobs import Jobs
from rtlite.domain.records import Records
from rtlite.endpoints.health import Health
from rtlite.errors import Refused
from rtlite.hub.committer import Committer
from rtlite.hub.fanout import Fanout
from rtlite.hub.sweeper import Sweeper
from rtlite.store import backup, database, events, failures, opening, schema
from rtlite.transports import sockets
from rtlite.transports.listener import Listener
from rtlite.transports.routes import json_reply

Work = Callable[[sqlite3.Connection], Any]


def _after(owner: Any, name: str, extra: Callable[..., Any]) -> None:
    """Let ``owner.name`` call ``extra`` with its arguments when it is done."""
    real = getattr(owner, name)

    def both(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        extra(*args, **kwargs)
        return result

    setattr(owner, name, both)


def unsynced() -> None:
    """SQLite never waits for the disk."""

    def off(connection: sqlite3.Connection, path: str, durability: str) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    _after(opening, "configure", off)
    _after(opening, "prepare", off)


class _Committers:
    """The database, as the committer sees it, with another ``write``."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Hasty(_Committers):
    _writes = 0

    async def write(self, work: Work) -> Any:
        def transaction(connection: sqlite3.Connection) -> Any:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            self._writes += 1
            if self._writes % 50 == 0:
                connection.execute("COMMIT")
            return result

        async with self._real._writing:
            return await self._real._run(self._real._writer, transaction)


class _Lying(_Committers):
    async def write(self, work: Work) -> Any:
        results = []

        def noting(connection: sqlite3.Connection) -> Any:
            results.append(work(connection))
            return results[-1]

        try:
            return await self._real.write(noting)
        except Refused:
            if not results:
                raise
            return results[-1]


def _give_committer(kind: type[_Committers]) -> None:
    real = Committer.__init__

    def init(self: Committer, database: Any, *rest: Any) -> None:
        real(self, kind(database), *rest)

    Committer.__init__ = init  # type: ignore[method-assign]


def hasty() -> None:
    """Publishes are acknowledged before they are committed."""
    _give_committer(_Hasty)


def lying() -> None:
    """Publishes are acknowledged although the database refused them."""
    _give_committer(_Lying)


def dropping() -> None:
    """One delivery in fifty is forgotten."""
    real = Fanout.deliver

    async def deliver(self: Fanout, found: list[Any], muted: Any = None) -> None:
        await real(self, [event for event in found if event.offset % 50 != 25], muted)

    Fanout.deliver = deliver  # type: ignore[method-assign, assignment]


def forgetful() -> None:
    """The same id is stored again."""
    events.Appender._find = lambda self, *_: None  # type: ignore[method-assign]

    def drop(connection: sqlite3.Connection, path: str, durability: str) -> None:
        connection.execute("DROP INDEX IF EXISTS events_by_id")

    _after(opening, "prepare", drop)


def apart() -> None:
    """The user of a job that is over is told a second later, in a transaction of its own."""
    real_deliver, real_update = inbox.deliver, Jobs.update
    withheld: deque[Any] = deque()

    async def update(self: Jobs, id: str, **fields: Any) -> Any:
        job = await real_update(self, id, **fields)
        await trio.sleep(1)
        while withheld:
            one = withheld.popleft()
            await self._hub.transact(lambda transaction, one=one: real_deliver(transaction, one, self._settings))
        return job

    inbox.deliver = lambda transaction, notification, settings: withheld.append(notification)  # type: ignore[assignment]
    Jobs.update = update  # type: ignore[method-assign]


def adrift() -> None:
    """The event of a changed record is stored a moment later, in a transaction of its own."""
    tell, withheld = records._tell, deque[Any]()
    records._tell = lambda transaction, *told: withheld.append(told)  # type: ignore[assignment]
    for name in ("create", "change", "delete", "publish", "unpublish"):
        setattr(Records, name, _telling_later(getattr(Records, name), tell, withheld))


def _telling_later(change: Any, tell: Any, withheld: deque[Any]) -> Any:
    async def changed(self: Records, *args: Any, **kwargs: Any) -> Any:
        record = await change(self, *args, **kwargs)
        for told in [told for told in withheld if told[1] is record]:
            await trio.sleep(0.3)
            withheld.remove(told)
            await self._hub.transact(lambda transaction, told=told: tell(transaction, *told))
        return record

    return changed


def gullible() -> None:
    """Retention believes whatever the clock says."""
    Sweeper._trusted_now = lambda self: self._now()  # type: ignore[method-assign]


def fragile() -> None:
    """Running out of file descriptors is an error like any other."""
    import trio._highlevel_serve_listeners as serving

    serving.ACCEPT_CAPACITY_ERRNOS.clear()


def blocking() -> None:
    """The database is used on the event loop's own thread."""

    async def _run(self: Any, connection: Any, work: Work) -> Any:
        await trio.lowlevel.checkpoint()
        try:
            return work(connection._conn)
        except sqlite3.DatabaseError as error:
            raise failures.refusal(error, self.path) from error

    database.Database._run = _run  # type: ignore[method-assign]


def roomy() -> None:
    """The kernel may buffer 4 MiB per connection, as it does for who reads fast and then stops. Needs root.

    Of the two bounds, SO_SNDBUF is ours; TCP_NOTSENT_LOWAT (16 KiB) is set by Trio.
    """
    force = 32  # SO_SNDBUFFORCE of <asm/socket.h>
    sockets._tune = lambda sock, settings: sock.setsockopt(socket.SOL_SOCKET, force, 2 * 1024 * 1024)
    real = Listener.serve_stream

    async def serve_stream(self: Listener, transport: Any, *, trusted: bool = False) -> None:
        if not trusted:
            transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 2**31 - 1)
        await real(self, transport, trusted=trusted)

    Listener.serve_stream = serve_stream  # type: ignore[method-assign]


def stepwise() -> None:
    """The backup is made in many small steps."""

    async def write(database: Any, target: Any) -> None:
        def copy(connection: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(target, isolation_level=None)) as destination:
                connection.backup(destination, pages=50, progress=lambda *_: time.sleep(0.005))
                schema.mark_as_copy(destination)

        await database.read(copy)

    backup.write = write


def leaking() -> None:
    """Each connection leaves a file descriptor open."""
    real = Listener.serve_stream

    async def serve_stream(self: Listener, transport: Any, *, trusted: bool = False) -> None:
        os.dup(transport.socket.fileno())
        await real(self, transport, trusted=trusted)

    Listener.serve_stream = serve_stream  # type: ignore[method-assign]


def stubborn() -> None:
    """Connections are not cut when the time for an orderly stop is up."""
    real = Listener.serve_stream

    async def serve_stream(self: Listener, transport: Any, *, trusted: bool = False) -> None:
        with trio.CancelScope(shield=True):
            await real(self, transport, trusted=trusted)

    Listener.serve_stream = serve_stream  # type: ignore[method-assign]


def boot(name: str) -> None:
    """The machine says that this is its boot id."""
    opening._boot_id = lambda: name


def census() -> None:
    """``/healthz`` tells how many tasks there are. Breaks nothing."""

    async def alive(self: Any, call: Any) -> Any:
        return json_reply({"tasks": trio.lowlevel.current_statistics().tasks_living})

    Health.alive = alive  # type: ignore[method-assign]


def main() -> None:
    for word in sys.argv.pop(1).split(","):
        name, _, argument = word.partition("=")
        globals()[name](*filter(None, [argument]))
    from rtlite.cli import main

    main()


if __name__ == "__main__":
    main()
