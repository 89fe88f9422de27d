"""Builds the object graph, starts it, stops it.

Nurseries are nested in the order things must stop: listeners inside, connections around
them, services outermost. The shutdown order is the indentation of :func:`serve`.
"""

from __future__ import annotations

import contextlib
import math
import random
import resource
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import trio
from hypercorn.typing import ASGIFramework

from rtlite import later
from rtlite.auth.gate import Gate
from rtlite.auth.keyring import Keyring
from rtlite.auth.tickets import Tickets
from rtlite.auth.tokens import Tokens
from rtlite.domain.access import Access
from rtlite.domain.blog import Blog
from rtlite.domain.connectionfaults import ConnectionFaults
from rtlite.domain.conversations import Conversations
from rtlite.domain.deliveryfaults import DeliveryFaults
from rtlite.domain.documents import Documents
from rtlite.domain.faults import Faults
from rtlite.domain.inbox import Inbox
from rtlite.domain.jobs import Jobs
from rtlite.domain.models import Models
from rtlite.domain.monitor import Monitor
from rtlite.domain.records import Records
from rtlite.domain.requestfaults import RequestFaults
from rtlite.domain.serverfaults import DiskFaults, TokenFaults
from rtlite.domain.snapshots import Snapshots
from rtlite.domain.streams import Streams
from rtlite.domain.webhooks import Webhooks
from rtlite.endpoints import asyncapi, conformance, openapi, streamsockets
from rtlite.endpoints.blog import BlogEndpoint
from rtlite.endpoints.collab import Collab
from rtlite.endpoints.commands import CommandsEndpoint
from rtlite.endpoints.console import Console
from rtlite.endpoints.conversations import ConversationsEndpoint
from rtlite.endpoints.credentials import CredentialsEndpoint
from rtlite.endpoints.descriptions import Descriptions
from rtlite.endpoints.dialogue import Dialogues
from rtlite.endpoints.docs import Docs
from rtlite.endpoints.documents import DocumentsEndpoint
from rtlite.endpoints.engine import Engine
from rtlite.endpoints.events import EventsEndpoint
from rtlite.endpoints.faults import FaultsEndpoint
from rtlite.endpoints.graphiql import GraphiQL
from rtlite.endpoints.graphql import GraphQLEndpoint
from rtlite.endpoints.graphqlevents import EventFields
from rtlite.endpoints.graphqljobs import JobFields
from rtlite.endpoints.graphqlrecords import RecordFields
from rtlite.endpoints.graphqlschema import Schema
from rtlite.endpoints.graphqlsockets import GraphQLSockets
from rtlite.endpoints.health import Health
from rtlite.endpoints.history import History
from rtlite.endpoints.inbox import InboxEndpoint
from rtlite.endpoints.jobs import JobsEndpoint
from rtlite.endpoints.live import Live
from rtlite.endpoints.logins import LoginsEndpoint
from rtlite.endpoints.management import Management
from rtlite.endpoints.models import ModelsEndpoint
from rtlite.endpoints.presence import PresenceEndpoint
from rtlite.endpoints.records import RecordsEndpoint
from rtlite.endpoints.resolvers import Resolvers
from rtlite.endpoints.samples import SamplesEndpoint
from rtlite.endpoints.sessions import Sessions
from rtlite.endpoints.socketio import Namespace, SocketIO
from rtlite.endpoints.sse import ServerSentEvents
from rtlite.endpoints.streams import StreamsEndpoint
from rtlite.endpoints.streamsockets import StreamSockets
from rtlite.endpoints.webhooks import WebhooksEndpoint
from rtlite.errors import Reason, Refused, StartError
from rtlite.hub.hub import Hub
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Kind
from rtlite.settings import DEV_JWT_SECRET, Settings, control_path
from rtlite.store import schema
from rtlite.store.database import Database, open_database
from rtlite.transports.connections import Connections
from rtlite.transports.eventstream import EventStreams
from rtlite.transports.guest import Guest
from rtlite.transports.hotlane import HotLane
from rtlite.transports.http import HttpServer, make_app
from rtlite.transports.lean import LeanLane
from rtlite.transports.listener import Listener
from rtlite.transports.longpoll import LongPolls
from rtlite.transports.routes import Route, Router
from rtlite.transports.sockets import close_all, open_tcp, open_unix
from rtlite.transports.uploads import Uploads
from rtlite.transports.websocket import WebSocketRoute, WebSockets

log = get_logger(__name__)

_DEV_ADMIN: Final = "rtk_dev"
DEV_KEYS: Final = {
    "mbk_dev": (Kind.BLOG, "dev"),
    "pk_live_dev": (Kind.PROJECT, "dev"),
    "rts_dev": (Kind.STREAM, "dev"),
    _DEV_ADMIN: (Kind.ADMIN, "dev"),
}
_BOOKS_SECONDS: Final = 5.0  # public keys are fetched no later than this after they are due
_FLUSH_SECONDS: Final = 60.0
_SPARE_DESCRIPTORS: Final = 256  # for the database, idle HTTP connections and the control socket


class Server:
    """Every part of one server, built and connected, not started."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        jwt_secret: str,
        namespaces: Sequence[Namespace] = (),
        app: ASGIFramework | None = None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.metrics = Metrics()
        self.hub = Hub(database, settings, self.metrics)
        self.keyring = Keyring(database)
        self.tokens = Tokens(settings, jwt_secret)
        self.tickets = Tickets(settings.ticket_lifetime)
        self.gate = Gate(settings, self.keyring, self.tokens, self.tickets, self.metrics)
        self.connections = Connections(_connection_limit(settings), self.metrics)
        self.keyring.on_revoked.append(self._end_connections)
        self.stopping = trio.Event()
        self.streams = Streams(self.hub, database, settings)
        self.models = Models(self.hub, database, self.connections, settings)
        self.access = Access(database, settings, self.streams, self.models)
        self.records = Records(self.hub, database, self.models, settings)
        self.jobs = Jobs(self.hub, database, self.connections, settings)
        self.inbox = Inbox(self.hub, database, settings)
        sessions = Sessions(self.hub, self.gate, self.access, settings)
        blog = BlogEndpoint(Blog(self.hub, database, settings), sessions, self.tickets, settings)
        conversations = ConversationsEndpoint(
            Conversations(self.hub, database, self.connections, settings), self.access
        )
        dialogues = Dialogues(self.hub, sessions, self.access, settings, self.metrics)
        history = self.history = History(self.hub, database, self.access, settings)
        self.keyring.on_revoked.append(history.end_credential)
        management = Management(
            self.hub,
            database,
            history,
            self.access,
            self.connections,
            settings,
        )
        console = Console(root=app is None)
        health = Health(self.metrics, self._why_not_ready, dev=settings.dev)
        self.routes: list[Route] = [
            *health.routes(),
            *console.routes(),
            *blog.routes(),
            *conversations.routes(),
            *management.routes(),
        ]
        self.routes += LoginsEndpoint(self.gate, settings, _DEV_ADMIN if settings.dev else None).routes()
        self.routes += CredentialsEndpoint(self.keyring, self.tokens, self.tickets, settings).routes()
        self.routes += PresenceEndpoint(self.hub.presence, self.access).routes()
        self.routes += SamplesEndpoint().routes()
        self.routes += StreamsEndpoint(self.streams, self.hub, history, self.access, settings).routes()
        self.routes += ModelsEndpoint(self.models, settings).routes()
        self.routes += RecordsEndpoint(self.records, self.access, settings).routes()
        self.routes += JobsEndpoint(self.jobs, self.access, settings).routes()
        self.routes += InboxEndpoint(self.inbox, self.access, settings).routes()
        self.schema = Schema(settings)
        self.resolvers = Resolvers(
            [
                RecordFields(self.records, self.models, self.access, settings).fields(),
                JobFields(self.jobs, self.inbox, self.access, settings).fields(),
                EventFields(self.hub, history, self.access, settings).fields(),
            ],
            self.metrics,
        )
        self.routes += Docs().routes()
        graphiql = GraphiQL() if settings.dev else None
        self.routes += GraphQLEndpoint(self.schema.opened, self.resolvers, self.gate, graphiql).routes()
        self.webhooks = Webhooks(self.hub, database, settings, self.metrics)
        self.routes += WebhooksEndpoint(self.webhooks).routes()
        self.faults = Faults(settings, self.metrics)
        self.routes += FaultsEndpoint(self.faults).routes()
        self.websocket_routes: list[WebSocketRoute] = [
            *blog.websockets(),
            *CommandsEndpoint(dialogues, sessions, self.access).websockets(),
            *EventsEndpoint(dialogues).websockets(),
            *GraphQLSockets(
                self.hub,
                sessions,
                self.schema.opened,
                self.resolvers.answer,
                self.jobs.ended,
                dialogues.users,
                settings,
                self.metrics,
            ).websockets(),
        ]
        self.documents = Documents(self.hub, database, settings, self.metrics)
        collab = Collab(self.documents, sessions, settings)
        self.routes += collab.routes()
        self.websocket_routes += collab.websockets()
        snapshots = Snapshots(self.documents, database, settings)
        self.routes += DocumentsEndpoint(self.documents, snapshots, settings).routes()
        if settings.conformance_echo:
            self.websocket_routes += conformance.websockets()
        self.monitor = Monitor(self.hub, self.connections, self.metrics)
        live = Live(self.monitor, self.connections, sessions, self.gate, settings)
        self.routes += live.routes()
        sse = ServerSentEvents(sessions, self.hub.presence, settings)
        self.routes += sse.routes()
        streams = StreamSockets(self.hub, database, sessions, self.streams, settings)
        socketio = SocketIO([streams.namespace(), *namespaces], settings)
        self.engine = Engine(
            "/socket.io",
            socketio.converse,
            settings,
            self.connections,
            self.metrics,
            streamsockets.ASKED,
            streamsockets.MESSAGES,
        )
        self.routes += self.engine.routes()
        self.websocket_routes += self.engine.websockets()
        self.event_stream_routes = [*sse.event_streams(), *live.event_streams()]
        self.routes += Descriptions(self.openapi, self.asyncapi).routes()
        router = self.router = Router(self.routes, self.gate, settings, self.metrics)
        self.http = HttpServer(make_app(router), settings, app and Guest(app, router))
        websockets = WebSockets(settings, self.connections, self.metrics)
        lean = LeanLane(router, settings)
        self.hot = HotLane(router, lean, settings)
        event_streams = EventStreams(self.event_stream_routes, lean, settings, self.connections, self.metrics)
        self.listener = Listener(
            settings,
            self.metrics,
            self.http,
            lean,
            Uploads(router, lean, settings, self.connections),
            self.hot,
            websockets,
            self.websocket_routes,
            event_streams,
            LongPolls(self.engine.long_polls(), lean, settings, self.metrics),
        )

        self.faults.on_change += [
            DeliveryFaults(self.hub, self.documents, settings).apply,
            ConnectionFaults(self.connections, settings).apply,
            RequestFaults(router, self.listener).apply,
            TokenFaults(self.tokens, self.connections).apply,
            DiskFaults(database).apply,
        ]

    def openapi(self) -> dict[str, Any]:
        """What it serves over HTTP, described."""
        return openapi.document(self.routes, self.settings)

    def asyncapi(self) -> dict[str, Any]:
        """What goes over its WebSockets and event streams, described."""
        return asyncapi.document([*self.websocket_routes, *self.event_stream_routes], self.settings)

    def _end_connections(self, key: str) -> None:
        self.connections.end_credential(key, Reason.REVOKED)

    def _why_not_ready(self) -> str | None:
        return "stopping" if self.stopping.is_set() else None

    async def settle(self) -> None:
        """Import and open what no start needs, so that the first who needs it does not wait for it."""
        await self.schema.opened()
        await trio.to_thread.run_sync(later.load)

    async def keep_books(self) -> None:
        """Now and then: store when keys were last used, refresh public keys."""
        flushed = trio.current_time()
        while True:
            await trio.sleep(_BOOKS_SECONDS)
            try:
                await self.tokens.refresh()
                if trio.current_time() - flushed >= _FLUSH_SECONDS:
                    flushed = trio.current_time()
                    await self.keyring.flush_last_used()
            except Refused as error:  # a full disk, a silent key server: tried again next time
                log.warning("book-keeping failed", code=error.code)


@attrs.frozen
class Running:
    """A started server, as :func:`serve` reports it.

    ``url`` is where it listens (``http+unix:PATH`` on a unix socket). ``admin_key`` is the
    first admin key's secret, at the very first start only.
    """

    server: Server
    url: str
    port: int | None
    admin_key: str | None

    def stop(self) -> None:
        """Begin an orderly stop; :func:`serve` returns when it is done."""
        self.server.stopping.set()


async def serve(
    settings: Settings,
    namespaces: Sequence[Namespace] = (),
    app: ASGIFramework | None = None,
    *,
    listen: bool = True,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until :meth:`Running.stop` is called. Started through ``nursery.start``.

    :param namespaces: of Socket.IO, besides the root namespace, which is that of streams.
    :param app: an ASGI application for Trio that gets the requests to paths that are not ours.
    :param listen: ``False`` for a server that this process alone uses; ``url`` is empty then.
    :raises StartError: it cannot start; the text says why in one line.
    """
    try:
        await _serve(settings, namespaces, app, listen, task_status)
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
    listen: bool,
    task_status: trio.TaskStatus[Running],
) -> None:
    if settings.dev and not settings.loopback and not settings.dev_anywhere:
        raise StartError("--dev listens on loopback only: its credentials are public (--dev-anywhere overrides this)")
    async with open_database(settings.data, settings.durability, settings.disk_reserve) as database:
        server = Server(settings, database, await _jwt_secret(settings, database), namespaces, app)
        admin_key = await _first_keys(server)
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
                    with _sockets(settings, listen) as (public, control):
                        await listeners.start(_listen, server.listener, public, connections, False)
                        await listeners.start(_listen, server.listener, control, connections, True)
                        port = None if settings.uds or not public else public[0].socket.getsockname()[1]
                        url = _url(settings, server, port) if public else ""
                        task_status.started(Running(server, url, port, admin_key))
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


@contextlib.contextmanager
def _sockets(settings: Settings, listen: bool) -> Iterator[tuple[list[trio.SocketListener], list[trio.SocketListener]]]:
    """The public listeners, and the control socket beside the database."""
    with contextlib.ExitStack() as stack:
        control: list[trio.SocketListener] = []
        public: list[trio.SocketListener] = []
        if settings.data != ":memory:":
            control = stack.enter_context(open_unix(control_path(settings.data), settings, 0o600))
        if not listen:
            pass
        elif settings.uds:
            public = stack.enter_context(open_unix(settings.uds, settings, 0o666))
        else:
            public = open_tcp(settings)
            stack.callback(close_all, public)
        yield public, control


def _url(settings: Settings, server: Server, port: int | None) -> str:
    if settings.uds:
        return f"http+unix:{settings.uds}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{server.listener.scheme}://{host}:{port}"


async def _jwt_secret(settings: Settings, database: Database) -> str:
    if settings.jwt_secret:
        return settings.jwt_secret
    if settings.dev:
        return DEV_JWT_SECRET
    return await database.write(_stored_secret)


def _stored_secret(connection: sqlite3.Connection) -> str:
    return schema.secret(connection, "jwt_secret")


async def _first_keys(server: Server) -> str | None:
    """Load the keys; with ``--dev`` add the fixed ones; at the very first start make an admin key."""
    await server.keyring.load()
    await server.tokens.refresh()
    if server.settings.dev:
        for secret, (kind, user) in DEV_KEYS.items():
            await server.keyring.create(kind, user, name="dev", write=kind is Kind.PROJECT, secret=secret)
        return None
    if server.keyring.list():
        return None
    _, secret = await server.keyring.create(Kind.ADMIN, "operator", name="first start")
    return secret


def _connection_limit(settings: Settings) -> int:
    """As many as are wanted, and as file descriptors allow. The soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = (hard if hard != resource.RLIM_INFINITY else 1_048_576) - _SPARE_DESCRIPTORS
    return max(1, min(settings.max_connections, room))
