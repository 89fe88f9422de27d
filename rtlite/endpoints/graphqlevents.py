"""Channels and their events over GraphQL."""

from __future__ import annotations

from typing import Any

from rtlite.domain.access import Access
from rtlite.endpoints.history import History
from rtlite.endpoints.resolvers import Field, check_first
from rtlite.errors import Forbidden
from rtlite.hub.hub import Hub
from rtlite.model import Event, Identity, check_channel
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Publication
from rtlite.settings import Settings


class EventFields:
    def __init__(self, hub: Hub, history: History, access: Access, settings: Settings) -> None:
        self._hub = hub
        self._history = history
        self._access = access
        self._settings = settings

    def fields(self) -> dict[str, Field]:
        return {"position": self._position, "history": self._events, "publishEvent": self._publish}

    async def _position(self, identity: Identity, channel: str) -> str:
        await self._check_reads(identity, channel)
        return str(await self._history.position(channel))

    async def _events(self, identity: Identity, channel: str, first: int | None, since: str | None = None) -> Any:
        await self._check_reads(identity, channel)
        limit = check_first(first, self._settings.max_replay)
        now = await self._history.position(channel)
        events, following, _ = await self._history.following(channel, since, limit)
        return {
            "nodes": [_event(event) for event in events],
            "pageInfo": {"endCursor": str(following), "hasNextPage": following.offset < now.offset},
        }

    async def _publish(
        self, identity: Identity, channel: str, event: str, data: Any = None, id: str | None = None
    ) -> Any:
        new = Publication(channel, event, data, id).as_event()
        if not await self._access.may_write(identity, channel, event, data):
            raise Forbidden("channel: this credential may not publish to it")
        return _event((await self._hub.publish(new)).event)

    async def _check_reads(self, identity: Identity, channel: str) -> None:
        if not await self._access.may_read(identity, check_channel(channel)):
            raise Forbidden("this credential may not read that channel")


def _event(event: Event) -> dict[str, Any]:
    return {**jsonframes.whole(event), "position": str(event.position)}
