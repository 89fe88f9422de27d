"""A hub with jobs and inboxes on a database in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio

from rtlite.domain.inbox import Inbox
from rtlite.domain.jobs import Jobs
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store.database import Database, open_database
from rtlite.store.events import channel_info, read_channel
from rtlite.transports.connections import Connections


@attrs.frozen
class Backend:
    hub: Hub
    database: Database
    connections: Connections
    jobs: Jobs
    inbox: Inbox

    async def told(self, channel: str) -> list[tuple[str, Any]]:
        """The events of a channel: names and data."""

        def read(connection: Any) -> list[tuple[str, Any]]:
            if channel_info(connection, channel) is None:
                return []
            return [
                (event.name, orjson.loads(event.data)) for event in read_channel(connection, channel, 0, 1000, 2**30)
            ]

        return await self.database.read(read)


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Backend]:
    chosen, metrics = Settings(**settings), Metrics()
    async with open_database(":memory:", "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, metrics)
        await nursery.start(hub.run)
        connections = Connections(100, metrics)
        jobs, inbox = Jobs(hub, database, connections, chosen), Inbox(hub, database, chosen)
        yield Backend(hub, database, connections, jobs, inbox)
        nursery.cancel_scope.cancel()
