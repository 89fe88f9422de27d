"""A whole server, built and connected, not started: its parts, its doors, and the listener before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import trio
from hypercorn.typing import ASGIFramework

from rtlite import later
from rtlite.domain.connectionfaults import ConnectionFaults
from rtlite.domain.deliveryfaults import DeliveryFaults
from rtlite.domain.requestfaults import RequestFaults
from rtlite.domain.serverfaults import DiskFaults, TokenFaults
from rtlite.endpoints import asyncapi, conformance, openapi
from rtlite.endpoints.descriptions import Descriptions
from rtlite.endpoints.docs import Docs
from rtlite.endpoints.socketio import Namespace
from rtlite.errors import Refused
from rtlite.log import get_logger
from rtlite.server import doors
from rtlite.server.doors import Doors
from rtlite.server.parts import Parts
from rtlite.settings import Settings
from rtlite.store.database import Database
from rtlite.transports.eventstream import EventStreams
from rtlite.transports.guest import Guest
from rtlite.transports.hotlane import HotLane
from rtlite.transports.http import HttpServer, make_app
from rtlite.transports.lean import LeanLane
from rtlite.transports.listener import Listener
from rtlite.transports.longpoll import LongPolls
from rtlite.transports.routes import Router
from rtlite.transports.uploads import Uploads
from rtlite.transports.websocket import WebSocketRoute, WebSockets

log = get_logger(__name__)

_BOOKS_SECONDS: Final = 5.0  # public keys are fetched no later than this after they are due
_FLUSH_SECONDS: Final = 60.0


class Server(Parts):
    """Every part of one server. ``namespaces``, ``app`` and ``websockets`` are the embedding program's."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        jwt_secret: str,
        namespaces: Sequence[Namespace] = (),
        app: ASGIFramework | None = None,
        websockets: Sequence[WebSocketRoute] = (),
    ) -> None:
        super().__init__(settings, database, jwt_secret)
        self.engine = doors.engine(self, namespaces)
        families = [
            doors.pages(self, root=app is None),
            doors.blog(self),
            doors.conversations(self),
            doors.management(self),
            doors.stored(self),
            Doors(Docs().routes()),
            doors.commands(self),
            doors.graphql(self),
            doors.outward(self),
            doors.collab(self),
            Doors(websockets=conformance.websockets() if settings.conformance_echo else ()),
            doors.event_streams(self),
            Doors(self.engine.routes(), self.engine.websockets()),
            Doors(Descriptions(self.openapi, self.asyncapi).routes()),
        ]
        self.routes = [route for family in families for route in family.routes]
        ours = [route for family in families for route in family.websockets]
        self.websocket_routes = [*ours, *doors.guests(self, websockets).websockets(ours)]
        self.event_stream_routes = [route for family in families for route in family.event_streams]

        upgrades = [route.pattern for route in self.websocket_routes]
        self.router = Router(self.routes, self.gate, settings, self.metrics, upgrades)
        self.http = HttpServer(make_app(self.router), settings, app and Guest(app, self.router))
        lean = LeanLane(self.router, settings)
        self.hot = HotLane(self.router, lean, settings)
        self.listener = Listener(
            settings,
            self.metrics,
            self.http,
            lean,
            Uploads(self.router, lean, settings, self.connections),
            self.hot,
            WebSockets(settings, self.connections, self.metrics),
            self.websocket_routes,
            EventStreams(self.event_stream_routes, lean, settings, self.connections, self.metrics),
            LongPolls(self.engine.long_polls(), lean, settings, self.metrics),
        )
        self.faults.on_change += [
            DeliveryFaults(self.hub, self.documents, settings).apply,
            ConnectionFaults(self.connections, settings).apply,
            RequestFaults(self.router, self.listener).apply,
            TokenFaults(self.tokens, self.connections).apply,
            DiskFaults(database).apply,
        ]

    def openapi(self) -> dict[str, Any]:
        """What it serves over HTTP, described."""
        return openapi.document(self.routes, self.settings)

    def asyncapi(self) -> dict[str, Any]:
        """What goes over its WebSockets and event streams, described."""
        return asyncapi.document([*self.websocket_routes, *self.event_stream_routes], self.settings)

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

    async def settle(self) -> None:
        """Import and open what no start needs, so that the first who needs it does not wait for it."""
        try:
            await self.schema.opened()
            await trio.to_thread.run_sync(later.load)
        except OSError as error:  # no descriptor is left to read a module with: it is imported when it is needed
            log.warning("not everything could be imported yet", reason=str(error))
