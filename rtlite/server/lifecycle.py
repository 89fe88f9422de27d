"""The life of a server: started, run, stopped.

Nurseries are nested in the order things must stop: listeners inside, connections around
them, services outermost. The shutdown order is the indentation of :func:`_serve`.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Sequence

import attrs
import trio
from hypercorn.typing import ASGIFramework

from rtlite.auth.keyring import Key
from rtlite.endpoints.socketio import Namespace
from rtlite.errors import Reason, Refused, StartError
from rtlite.server.credentials import first_keys, jwt_secret
from rtlite.server.server import Server
from rtlite.server.sockets import address, open_sockets
from rtlite.settings import Settings
from rtlite.store.database import open_database
from rtlite.transports.listener import Listener
from rtlite.transports.websocket import WebSocketRoute


@attrs.frozen
class Running:
    """A started server, as :func:`serve` reports it.

    ``url`` is where it listens (``http+unix:PATH`` on a unix socket). ``admin_key`` is the
    first admin key's secret, at the very first start only. It is in memory until :meth:`keep_admin_key`.
    """

    server: Server
    url: str
    port: int | None
    admin_key: str | None
    _first_key: Key | None = None

    async def keep_admin_key(self) -> None:
        """Store the first admin key, now that it was shown: a start that fails before would take it along.

        :raises StartError: it could not be stored. It ends with this process.
        """
        if self._first_key is not None:
            try:
                await self.server.keyring.keep(self._first_key.id)
            except Refused as error:
                raise StartError(f"the admin key that was shown could not be stored: {error}") from error

    def stop(self) -> None:
        """Begin an orderly stop; :func:`serve` returns when it is done."""
        self.server.stopping.set()


async def serve(
    settings: Settings,
    namespaces: Sequence[Namespace] = (),
    app: ASGIFramework | None = None,
    *,
    websockets: Sequence[WebSocketRoute] = (),
    listen: bool = True,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until :meth:`Running.stop` is called. Started through ``nursery.start``.

    :param namespaces: of Socket.IO, besides the root namespace, which is that of streams.
    :param app: an ASGI application for Trio that gets the requests to paths that are not ours.
    :param websockets: protocols of one's own: routes whose endpoints get each WebSocket once a credential admitted it.
    :param listen: ``False`` for a server that this process alone uses; ``url`` is empty then.
    :raises StartError: it cannot start; the text says why in one line.
    """
    try:
        await _serve(settings, namespaces, app, websockets, listen, task_status)
    except BaseExceptionGroup as group:
        refused, others = group.split(StartError)
        if refused is None or others is not None:
            raise
        first: BaseException = refused
        while isinstance(first, BaseExceptionGroup):  # the nurseries' wrapping says nothing to the caller
            first = first.exceptions[0]
        raise first from None


async def _serve(
    settings: Settings,
    namespaces: Sequence[Namespace],
    app: ASGIFramework | None,
    websockets: Sequence[WebSocketRoute],
    listen: bool,
    task_status: trio.TaskStatus[Running],
) -> None:
    if settings.dev and not settings.loopback and not settings.dev_anywhere:
        raise StartError("--dev listens on loopback only: its credentials are public (--dev-anywhere overrides this)")
    async with open_database(settings.data, settings.durability, settings.disk_reserve) as database:
        signing = await jwt_secret(settings, database)
        server = Server(settings, database, signing, namespaces, app, websockets)
        await server.tokens.refresh()
        key, secret = await first_keys(server.keyring, settings) or (None, None)
        async with trio.open_nursery() as services:
            await server.streams.load()
            await services.start(server.hub.run)
            await server.models.load()
            await services.start(server.webhooks.run)
            await services.start(server.documents.run)
            services.start_soon(server.keep_books)
            services.start_soon(server.monitor.run)
            services.start_soon(server.faults.run)
            services.start_soon(server.hot.run)
            services.start_soon(server.listener.run)
            await services.start(server.engine.run)
            if server.http.guest is not None:
                await services.start(server.http.guest.run)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as listeners:
                    with open_sockets(settings, listen) as (public, control):
                        await listeners.start(_listen, server.listener, public, connections, False)
                        await listeners.start(_listen, server.listener, control, connections, True)
                        url, port = address(settings, server.listener.scheme, public)
                        task_status.started(Running(server, url, port, secret, key))
                        services.start_soon(server.settle)
                        await server.stopping.wait()
                        listeners.cancel_scope.cancel()
                # The rest of the time is for the services, the last checkpoint and the process's own end.
                connections.cancel_scope.deadline = trio.current_time() + 0.8 * settings.shutdown_timeout
                await _say_goodbye(server)
            if server.http.guest is not None:
                await server.http.guest.stop()
            await server.documents.stop()
            with contextlib.suppress(Refused):  # last-used times are a courtesy
                await server.keyring.flush_last_used()
            with contextlib.suppress(Refused):  # so are last-seen times
                await server.hub.presence.stop()
            with contextlib.suppress(Refused):  # what is not noted is delivered once more
                await server.webhooks.stop()
            services.cancel_scope.cancel()


async def _listen(
    listener: Listener,
    sockets: list[trio.SocketListener],
    connections: trio.Nursery,
    trusted: bool,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    if sockets:
        await listener.serve(sockets, connections, trusted=trusted, task_status=task_status)
    else:
        task_status.started()


async def _say_goodbye(server: Server) -> None:
    """End every connection, spread over a moment so that clients do not all come back at once."""
    server.faults.clear()
    server.listener.stop()
    await server.http.context.terminated.set()
    leaving = list(server.connections)
    random.shuffle(leaving)
    step = math.ceil(len(leaving) / 50) or 1
    for number, connection in enumerate(leaving):
        connection.end(Reason.STOPPING)
        if number % step == step - 1:
            await trio.sleep(server.settings.shutdown_spread / 50)
