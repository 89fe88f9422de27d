"""A server inside a Trio program."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import trio
from hypercorn.typing import ASGIFramework

from rtlite import log
from rtlite.client import Closed, HistoryPage, Receipt
from rtlite.client.client import background
from rtlite.embed.listening import Listening, shown
from rtlite.endpoints.socketio import Namespace
from rtlite.errors import InvalidRequest, TooLarge
from rtlite.model import Kind, NewEvent, Role, check_channel
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Publication
from rtlite.server import Running, Server, serve
from rtlite.settings import of_values
from rtlite.transports.websocket import WebSocketRoute


class Embedded:
    """A started server; :func:`open` gives it.

    :ivar url: where it listens; empty if it does not.
    :ivar port: of TCP; ``None`` if it does not listen on one.
    :ivar admin_key: the first admin key's secret, at the first start of a file; with ``dev=True`` it is ``rtk_dev``.

    Once the block is over, every method but :meth:`token` raises :class:`.Closed`.
    """

    def __init__(self, running: Running, nursery: trio.Nursery) -> None:
        self.url = running.url
        self.port = running.port
        self._server = running.server
        self.admin_key = "rtk_dev" if self._server.settings.dev else running.admin_key
        self._nursery = nursery

    def _running(self) -> Server:
        """:raises Closed: the block is over."""
        if self._server.stopping.is_set():
            raise Closed("this server has stopped")
        return self._server

    async def publish(self, channel: str, event: str, data: object = None, id: str | None = None) -> Receipt:
        """Publish one event; returns once it is stored and on its way to those who listen.

        :param data: any JSON value.
        :param id: the event's own; the same id again is not published again. ``None`` makes one.
        :raises InvalidRequest: a name or the data cannot be one. :raises TooLarge: more than ``max_body``.
        :raises Overloaded, StorageFull, StorageFailed: it is not stored; try again.
        """
        server = self._running()
        Publication(channel, event, id=id).check()
        try:
            text = orjson.dumps(data)
        except TypeError as error:
            raise InvalidRequest(f"data: no JSON value: {error}") from error
        if len(text) > server.settings.max_body:
            raise TooLarge(f"data: {server.settings.max_body} bytes at most")
        published = await server.hub.publish(NewEvent(channel, event, text, id))
        return jsonframes.receipt(published.event)

    async def history(self, channel: str, since: str | None = None, limit: int = 100) -> HistoryPage:
        """A page of a channel's history, oldest first.

        :param since: a position, an event id, an age or a time; ``None`` is the oldest that is kept.
        :raises NotFound: the channel keeps none. :raises InvalidRequest: an argument cannot be one.
        """
        server = self._running()
        most = server.settings.max_replay
        if not 1 <= limit <= most:
            raise InvalidRequest(f"limit: a whole number from 1 to {most} is wanted")
        page, place, recovered = await server.history.following(check_channel(channel), since, limit)
        items = [orjson.loads(orjson.dumps(shown(event))) for event in page]
        return {"items": items, "next": str(place), "recovered": recovered}

    def listen(
        self, *channels: str, since: str | None = None, on_gap: Callable[[str], None] | None = None
    ) -> Listening:
        """Follow channels, or whole kinds such as ``changes:*``: ``async with rt.listen(…) as events``.

        From the moment the block begins, each event comes once.

        :param since: a position, an event id, an age or a time; ``None`` is from now on.
        :param on_gap: called with the channels' names when events are gone that should have come next;
            without it the iterator raises :class:`.HistoryLost` there, and can be asked to go on.
        :raises InvalidRequest: an argument cannot be one.
        """
        server = self._running()
        return Listening(server.hub, self._nursery, channels, since, on_gap, server.settings.outbox)

    async def call(self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Any:
        """Any request of the HTTP API, without HTTP and with an admin key's rights: articles, jobs, records, …

        :param path: as in a URL; a slash in a name is ``%2F``. :param body: any JSON value.
        :returns: the answer's JSON; ``None`` if it has no body, and of what is no JSON the bytes.
        :raises Refused: as over HTTP, with the same ``code``: NotFound, Conflict, InvalidRequest, …
        """
        router = self._running().router
        try:
            content = b"" if body is None else orjson.dumps(body)
        except TypeError as error:
            raise InvalidRequest(f"body: no JSON value: {error}") from error
        reply = await router.ask(method, path, query or {}, content)
        return orjson.loads(reply.body) if reply.body and "json" in reply.content_type else reply.body or None

    def token(
        self,
        user: str,
        role: str = "user",
        ttl: float = 3600.0,
        subscribe: Sequence[str] = (),
        publish: Sequence[str] = (),
    ) -> str:
        """A JWT for a client that is this user, for ``ttl`` seconds, with the channel patterns it may use besides.

        :raises InvalidRequest: an argument cannot be one. :raises Conflict: tokens are signed elsewhere.
        """
        return self._server.tokens.sign(user, _one_of(Role, "role", role), ttl, subscribe, publish)

    async def key(
        self, kind: str, user: str, *, name: str = "", expires_in: float | None = None, write: bool = False
    ) -> str:
        """Make an API key (``blog``, ``project``, ``stream`` or ``admin``), and return its secret: only now.

        :param expires_in: seconds; ``None`` for a key that does not expire.
        :param write: for a project key that may publish.
        :raises InvalidRequest: an argument cannot be one.
        """
        wanted = _one_of(Kind, "kind", kind)
        return (await self._running().keyring.create(wanted, user, name=name, expires_in=expires_in, write=write))[1]


def _one_of(kinds: Any, field: str, value: str) -> Any:
    try:
        return kinds(value)
    except ValueError as error:
        raise InvalidRequest(f"{field}: one of {', '.join(kinds)} is wanted") from error


@asynccontextmanager
async def open(
    data: str | os.PathLike[str] = ":memory:",
    *,
    port: int | None = 0,
    app: ASGIFramework | None = None,
    websockets: Sequence[WebSocketRoute] = (),
    namespaces: Sequence[Namespace] = (),
    **settings: Any,
) -> AsyncIterator[Embedded]:
    """A server for as long as the block lasts: ``async with rtlite.open("blog.db") as rt``.

    At the end of the block, however it ends, the server stops in order: clients are told, and what was
    acknowledged is stored. That takes ``shutdown_timeout`` at most, also when the block was cancelled.

    :param data: the SQLite file.
    :param port: TCP port on ``host`` (this machine, unless set); 0 takes a free one, ``None`` listens to nobody.
    :param app: an ASGI application for Trio, a ``QuartTrio`` say, that answers at all paths that are not rtlite's.
    :param websockets: WebSocket protocols of one's own. Who connects is admitted first, as at rtlite's own paths.
    :param namespaces: Socket.IO namespaces of one's own.
    :param settings: as in ``rtlite.toml``, durations and sizes also as text. Neither environment nor file is read.
    :raises StartError: it cannot start: a setting is wrong, the port is taken, the file is in use.
    """
    log.defer()
    chosen = of_values({"data": os.fspath(data), "port": port or 0, **settings})
    held = trio.CancelScope()
    failure: Exception | None = None

    async def run(task_status: trio.TaskStatus[Running]) -> None:
        with held:
            await serve(
                chosen,
                namespaces,
                app,
                websockets=websockets,
                listen=port is not None,
                task_status=task_status,
            )

    async with trio.open_nursery() as nursery:
        try:
            running = await nursery.start(run)
            held.shield = True  # from here on it ends by stop()
            try:
                await running.keep_admin_key()
                async with background() as listeners:
                    yield Embedded(running, listeners)
            finally:
                running.stop()
        except Exception as error:  # noqa: BLE001  # it is raised below, in no group
            failure = error
    if failure is not None:
        raise failure
