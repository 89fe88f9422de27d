"""A hub with models and records on a database in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio

from rtlite.domain.models import Models
from rtlite.domain.records import Records
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store.database import Database, open_database
from rtlite.store.events import channel_info, read_channel
from rtlite.transports.connections import Connections


@attrs.frozen
class Shelf:
    hub: Hub
    database: Database
    connections: Connections
    models: Models
    records: Records

    async def told(self, model: str = "product") -> list[tuple[str, Any]]:
        """What was told of a model's changes: names, and the records."""

        def read(connection: Any) -> list[tuple[str, Any]]:
            channel = f"changes:{model}"
            if channel_info(connection, channel) is None:
                return []
            events = read_channel(connection, channel, 0, 10_000, 2**30)
            assert all(orjson.loads(event.data)["type"] == event.name for event in events)
            return [(event.name, orjson.loads(event.data)["record"]) for event in events]

        return await self.database.read(read)

    async def ids(self, model: str = "product", **question: Any) -> list[str]:
        """The records of all pages."""
        found: list[str] = []
        after = None
        while True:
            page, after = await self.records.page(model, after=after, **question)
            found += [record.id for record in page]
            if after is None:
                return found


@asynccontextmanager
async def opened(data: str = ":memory:", **settings: Any) -> AsyncIterator[Shelf]:
    chosen, metrics = Settings(**settings), Metrics()
    async with open_database(data, "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, metrics)
        await nursery.start(hub.run)
        connections = Connections(100, metrics)
        models = Models(hub, database, connections, chosen)
        await models.load()
        yield Shelf(hub, database, connections, models, Records(hub, database, models, chosen))
        nursery.cancel_scope.cancel()
