"""What the endpoints stand on, built and connected: the hub, credentials, what is kept, who is connected."""

from __future__ import annotations

import resource
from typing import Final

import trio

from rtlite.auth.gate import Gate
from rtlite.auth.keyring import Keyring
from rtlite.auth.tickets import Tickets
from rtlite.auth.tokens import Tokens
from rtlite.domain.access import Access
from rtlite.domain.documents import Documents
from rtlite.domain.faults import Faults
from rtlite.domain.inbox import Inbox
from rtlite.domain.jobs import Jobs
from rtlite.domain.models import Models
from rtlite.domain.monitor import Monitor
from rtlite.domain.records import Records
from rtlite.domain.streams import Streams
from rtlite.domain.webhooks import Webhooks
from rtlite.endpoints.dialogue import Dialogues
from rtlite.endpoints.graphqlevents import EventFields
from rtlite.endpoints.graphqljobs import JobFields
from rtlite.endpoints.graphqlrecords import RecordFields
from rtlite.endpoints.graphqlschema import Schema
from rtlite.endpoints.history import History
from rtlite.endpoints.resolvers import Resolvers
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import Reason
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store.database import Database
from rtlite.transports.connections import Connections

_SPARE_DESCRIPTORS: Final = 256  # for the database, idle HTTP connections and the control socket


class Parts:
    """Each family of endpoints takes of these what it needs."""

    def __init__(self, settings: Settings, database: Database, jwt_secret: str) -> None:
        self.settings = settings
        self.database = database
        self.metrics = Metrics()
        self.stopping = trio.Event()
        self.hub = Hub(database, settings, self.metrics)
        self.connections = Connections(_connection_limit(settings), self.metrics)
        self.monitor = Monitor(self.hub, self.connections, self.metrics)
        self.faults = Faults(settings, self.metrics)

        self.keyring = Keyring(database)
        self.tokens = Tokens(settings, jwt_secret)
        self.tickets = Tickets(settings.ticket_lifetime)
        self.gate = Gate(settings, self.keyring, self.tokens, self.tickets, self.metrics)

        self.streams = Streams(self.hub, database, settings)
        self.models = Models(self.hub, database, self.connections, settings)
        self.access = Access(database, settings, self.streams, self.models)
        self.records = Records(self.hub, database, self.models, settings)
        self.jobs = Jobs(self.hub, database, self.connections, settings)
        self.inbox = Inbox(self.hub, database, settings)
        self.webhooks = Webhooks(self.hub, database, settings, self.metrics)
        self.documents = Documents(self.hub, database, settings, self.metrics)

        # What several endpoints share.
        self.sessions = Sessions(self.hub, self.gate, self.access, settings)
        self.dialogues = Dialogues(self.hub, self.sessions, self.access, settings, self.metrics)
        self.history = History(self.hub, database, self.access, settings)
        self.schema = Schema(settings)
        self.resolvers = Resolvers(
            [
                RecordFields(self.records, self.models, self.access, settings).fields(),
                JobFields(self.jobs, self.inbox, self.access, settings).fields(),
                EventFields(self.hub, self.history, self.access, settings).fields(),
            ],
            self.metrics,
        )
        self.keyring.on_revoked += [self._end_connections, self.history.end_credential]

    def why_not_ready(self) -> str | None:
        return "stopping" if self.stopping.is_set() else None

    def _end_connections(self, key: str) -> None:
        self.connections.end_credential(key, Reason.REVOKED)


def _connection_limit(settings: Settings) -> int:
    """As many as are wanted, and as file descriptors allow. The soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = (hard if hard != resource.RLIM_INFINITY else 1_048_576) - _SPARE_DESCRIPTORS
    return max(1, min(settings.max_connections, room))
