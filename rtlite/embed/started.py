"""A server in a thread of its own, for programs without Trio: Flask, Django, FastAPI, a script."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, Self, cast

import attrs
import trio

from rtlite.client import Closed, Event, HistoryPage, Receipt
from rtlite.client.portal import Portal
from rtlite.embed.embedded import Embedded, open
from rtlite.endpoints.socketio import Namespace
from rtlite.log import get_logger
from rtlite.transports.websocket import WebSocketRoute

log = get_logger(__name__)


def start(
    data: str | os.PathLike[str] = ":memory:",
    *,
    port: int | None = 0,
    websockets: Sequence[WebSocketRoute] = (),
    namespaces: Sequence[Namespace] = (),
    **settings: Any,
) -> Started:
    """Start a server in a thread; returns once it is ready. It stops with :meth:`Started.close`, or the program.

    The server belongs to this process: with a server that forks (gunicorn), start it in each worker, or in a
    process of its own (``rtlite serve``) with :class:`rtlite.client.SyncClient` in the workers.

    :param data: the SQLite file.
    :param port: TCP port on ``host`` (this machine, unless set); 0 takes a free one, ``None`` listens to nobody.
    :param websockets: WebSocket protocols of one's own; see :func:`.open`. Their endpoints run in the server's thread.
    :param namespaces: Socket.IO namespaces of one's own; so do their handlers.
    :param settings: as in ``rtlite.toml``, durations and sizes also as text. Neither environment nor file is read.
    :raises StartError: it cannot start: a setting is wrong, the port is taken, the file is in use.
    """
    portal = Portal(open(data, port=port, websockets=websockets, namespaces=namespaces, **settings), "rtlite")
    return Started(portal.open(), portal)


class Started:
    """A started server, whose methods any thread may call. :func:`start` gives it; ``with`` closes it.

    :ivar url: where it listens; empty if it does not.
    :ivar port: of TCP; ``None`` if it does not listen on one.
    :ivar admin_key: the first admin key's secret, at the first start of a file; with ``dev=True`` it is ``rtk_dev``.

    Every method raises :class:`.Closed` once the server is closed, and ``RuntimeError`` in a forked process.
    """

    def __init__(self, embedded: Embedded, portal: Portal[Embedded]) -> None:
        self.url = embedded.url
        self.port = embedded.port
        self.admin_key = embedded.admin_key
        self._embedded = embedded
        self._portal = portal

    def publish(self, channel: str, event: str, data: object = None, id: str | None = None) -> Receipt:
        """Publish one event; see :meth:`.Embedded.publish`."""
        return cast(Receipt, self._portal.call(self._embedded.publish, channel, event, data, id))

    def history(self, channel: str, since: str | None = None, limit: int = 100) -> HistoryPage:
        """A page of a channel's history; see :meth:`.Embedded.history`."""
        return cast(HistoryPage, self._portal.call(self._embedded.history, channel, since, limit))

    def listen(
        self, *channels: str, since: str | None = None, on_gap: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Iterator[Event]]:
        """Follow channels: ``with rt.listen(…) as events: for event in events``; see :meth:`.Embedded.listen`.

        The iterator waits for events, and ends when the server is closed, by another thread say.
        """
        return self._portal.iterate(self._embedded.listen(*channels, since=since, on_gap=on_gap))

    def on_event(
        self,
        callback: Callable[[Event], object],
        *channels: str,
        since: str | None = None,
        on_gap: Callable[[str], None] | None = None,
    ) -> Subscriber:
        """Call ``callback(event)`` for each event, one at a time, in a thread of its own, from now on.

        What it raises is logged, and the next event comes all the same.
        """
        listening = self._embedded.listen(*channels, since=since, on_gap=on_gap)
        stack = ExitStack()
        events = stack.enter_context(self._portal.iterate(listening))

        def run() -> None:
            with stack:
                for event in events:
                    try:
                        callback(event)
                    except Exception:
                        log.exception("a callback failed", channel=event["channel"])

        thread = threading.Thread(target=run, name="rtlite callback", daemon=True)
        thread.start()
        return Subscriber(thread, partial(self._portal.call, _soon(listening.close)))

    def call(self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Any:
        """Any request of the HTTP API; see :meth:`.Embedded.call`."""
        return self._portal.call(self._embedded.call, method, path, body, query)

    def token(
        self,
        user: str,
        role: str = "user",
        ttl: float = 3600.0,
        subscribe: Sequence[str] = (),
        publish: Sequence[str] = (),
    ) -> str:
        """A JWT for a client; see :meth:`.Embedded.token`."""
        return cast(str, self._portal.call(_soon(self._embedded.token), user, role, ttl, subscribe, publish))

    def key(self, kind: str, user: str, *, name: str = "", expires_in: float | None = None, write: bool = False) -> str:
        """Make an API key; see :meth:`.Embedded.key`."""
        make = partial(self._embedded.key, name=name, expires_in=expires_in, write=write)
        return cast(str, self._portal.call(make, kind, user))

    def close(self) -> None:
        """Stop in order, and wait for it. Idempotent."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@attrs.frozen
class Subscriber:
    """A callback that is called; :meth:`stop` ends that."""

    _thread: threading.Thread
    _end: Callable[[], object]

    def stop(self) -> None:
        """Call it no more; waits for a call that is under way, unless this is that call. Idempotent."""
        with suppress(Closed):
            self._end()
        if threading.current_thread() is not self._thread:
            self._thread.join()


def _soon(work: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*args)

    return call
