"""The endpoints, family by family: each function builds one family and says what it serves."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rtlite.domain.blog import Blog
from rtlite.domain.conversations import Conversations
from rtlite.domain.snapshots import Snapshots
from rtlite.endpoints import streamsockets
from rtlite.endpoints.blog import BlogEndpoint
from rtlite.endpoints.collab import Collab
from rtlite.endpoints.commands import CommandsEndpoint
from rtlite.endpoints.console import Console
from rtlite.endpoints.conversations import ConversationsEndpoint
from rtlite.endpoints.credentials import CredentialsEndpoint
from rtlite.endpoints.documents import DocumentsEndpoint
from rtlite.endpoints.engine import Engine
from rtlite.endpoints.events import EventsEndpoint
from rtlite.endpoints.faults import FaultsEndpoint
from rtlite.endpoints.graphiql import GraphiQL
from rtlite.endpoints.graphql import GraphQLEndpoint
from rtlite.endpoints.graphqlsockets import GraphQLSockets
from rtlite.endpoints.guestsockets import GuestSockets
from rtlite.endpoints.health import Health
from rtlite.endpoints.inbox import InboxEndpoint
from rtlite.endpoints.jobs import JobsEndpoint
from rtlite.endpoints.live import Live
from rtlite.endpoints.logins import LoginsEndpoint
from rtlite.endpoints.management import Management
from rtlite.endpoints.models import ModelsEndpoint
from rtlite.endpoints.presence import PresenceEndpoint
from rtlite.endpoints.records import RecordsEndpoint
from rtlite.endpoints.samples import SamplesEndpoint
from rtlite.endpoints.socketio import Namespace, SocketIO
from rtlite.endpoints.sse import ServerSentEvents
from rtlite.endpoints.streams import StreamsEndpoint
from rtlite.endpoints.streamsockets import StreamSockets
from rtlite.endpoints.webhooks import WebhooksEndpoint
from rtlite.server.credentials import DEV_ADMIN
from rtlite.server.parts import Parts
from rtlite.transports.eventstream import EventStreamRoute
from rtlite.transports.routes import Route
from rtlite.transports.websocket import WebSocketRoute


@attrs.frozen
class Doors:
    """What a family of endpoints serves."""

    routes: Sequence[Route] = ()
    websockets: Sequence[WebSocketRoute] = ()
    event_streams: Sequence[EventStreamRoute] = ()


def pages(parts: Parts, *, root: bool) -> Doors:
    """Health, and the console. :param root: whether that is at ``/`` too."""
    health = Health(parts.metrics, parts.why_not_ready, dev=parts.settings.dev)
    return Doors([*health.routes(), *Console(root=root).routes()])


def blog(parts: Parts) -> Doors:
    settings = parts.settings
    articles = Blog(parts.hub, parts.database, settings)
    endpoint = BlogEndpoint(articles, parts.sessions, parts.tickets, settings)
    return Doors(endpoint.routes(), endpoint.websockets())


def conversations(parts: Parts) -> Doors:
    kept = Conversations(parts.hub, parts.database, parts.connections, parts.settings)
    return Doors(ConversationsEndpoint(kept, parts.access).routes())


def management(parts: Parts) -> Doors:
    """``/api``: publishing, credentials, who is there."""
    settings = parts.settings
    return Doors(
        [
            *Management(parts.hub, parts.database, parts.history, parts.access, parts.connections, settings).routes(),
            *LoginsEndpoint(parts.gate, settings, DEV_ADMIN if settings.dev else None).routes(),
            *CredentialsEndpoint(parts.keyring, parts.tokens, parts.tickets, settings).routes(),
            *PresenceEndpoint(parts.hub.presence, parts.access).routes(),
            *SamplesEndpoint().routes(),
        ]
    )


def stored(parts: Parts) -> Doors:
    """What is kept besides events, over HTTP."""
    access, settings = parts.access, parts.settings
    return Doors(
        [
            *StreamsEndpoint(parts.streams, parts.hub, parts.history, access, settings).routes(),
            *ModelsEndpoint(parts.models, settings).routes(),
            *RecordsEndpoint(parts.records, access, settings).routes(),
            *JobsEndpoint(parts.jobs, access, settings).routes(),
            *InboxEndpoint(parts.inbox, access, settings).routes(),
        ]
    )


def commands(parts: Parts) -> Doors:
    """``/ws`` and ``/_events``."""
    return Doors(
        websockets=[
            *CommandsEndpoint(parts.dialogues, parts.sessions, parts.access).websockets(),
            *EventsEndpoint(parts.dialogues).websockets(),
        ]
    )


def graphql(parts: Parts) -> Doors:
    page = GraphiQL() if parts.settings.dev else None
    endpoint = GraphQLEndpoint(parts.schema.opened, parts.resolvers, parts.gate, page)
    sockets = GraphQLSockets(
        parts.hub,
        parts.sessions,
        parts.schema.opened,
        parts.resolvers.answer,
        parts.jobs.ended,
        parts.dialogues.users,
        parts.settings,
        parts.metrics,
    )
    return Doors(endpoint.routes(), sockets.websockets())


def outward(parts: Parts) -> Doors:
    """What the operator has the server do to others: webhooks, faults."""
    return Doors([*WebhooksEndpoint(parts.webhooks).routes(), *FaultsEndpoint(parts.faults).routes()])


def collab(parts: Parts) -> Doors:
    settings = parts.settings
    sockets = Collab(parts.documents, parts.sessions, settings)
    snapshots = Snapshots(parts.documents, parts.database, settings)
    documents = DocumentsEndpoint(parts.documents, snapshots, settings)
    return Doors([*sockets.routes(), *documents.routes()], sockets.websockets())


def event_streams(parts: Parts) -> Doors:
    """``/sse``, and what the console watches."""
    settings = parts.settings
    live = Live(parts.monitor, parts.connections, parts.sessions, parts.gate, settings)
    sse = ServerSentEvents(parts.sessions, parts.hub.presence, settings)
    return Doors(
        [*live.routes(), *sse.routes()],
        event_streams=[*sse.event_streams(), *live.event_streams()],
    )


def engine(parts: Parts, namespaces: Sequence[Namespace]) -> Engine:
    """Socket.IO: streams in the root namespace, and the namespaces that a program brings."""
    streams = StreamSockets(parts.hub, parts.database, parts.sessions, parts.streams, parts.settings)
    return Engine(
        "/socket.io",
        SocketIO([streams.namespace(), *namespaces], parts.settings).converse,
        parts.settings,
        parts.connections,
        parts.metrics,
        streamsockets.ASKED,
        streamsockets.MESSAGES,
    )


def guests(parts: Parts, websockets: Sequence[WebSocketRoute]) -> GuestSockets:
    """Protocols that a program brings."""
    return GuestSockets(websockets, parts.sessions, parts.dialogues.users, parts.settings)
