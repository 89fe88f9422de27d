"""Presence over HTTP: who is on a channel, and when others were last seen."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypedDict

from rtlite.domain.access import Access
from rtlite.endpoints.pages import Page
from rtlite.errors import Forbidden, InvalidRequest
from rtlite.hub.presence import PAGE_MEMBERS, Absent, Presence
from rtlite.model import Member, check_channel, now_ms, rfc3339
from rtlite.protocols import jsonframes
from rtlite.rules import Channel, Count, Rule, Timestamp, User
from rtlite.settings import boolean
from rtlite.transports import routes
from rtlite.transports.contract import Asked
from rtlite.transports.routes import Call, Reply, Route, json_reply


class PresenceJson(TypedDict):
    """Who is on a channel, or was: then there are no connections, and no data."""

    user: User
    data: Any
    connections: Count
    joined: Timestamp | None
    lastSeen: Timestamp | None


class PresenceEndpoint:
    def __init__(self, presence: Presence, access: Access) -> None:
        self._presence = presence
        self._access = access

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/api/channels/{channel}/presence",
                self.answer,
                "Who is on a channel, and when others were last seen",
                routes.Access.CREDENTIAL,
                asks=[
                    Asked("channel", Channel),
                    Asked("after", str, "The `next` of the page before"),
                    Asked("limit", Annotated[int, Rule(minimum=1, maximum=PAGE_MEMBERS, default=100)]),
                    Asked(
                        "absent",
                        Annotated[str, Rule(enum=["true", "yes", "on", "1", "false", "no", "off", "0"], default="0")],
                        "`1`: those who left as well",
                    ),
                ],
                gives={200: Page[PresenceJson]},
                refuses={400: "invalid_channel", 404: "no_presence"},
            )
        ]

    async def answer(self, call: Call) -> Reply:
        """``?after=USER&limit=&absent=1`` on one channel; ``next`` is the ``after`` of the next page."""
        channel = check_channel(call.params["channel"])
        if not await self._access.may_read(call.identity, channel):
            raise Forbidden("this credential may not read that channel")
        self._presence.check(channel)
        after, limit = call.query.get("after", ""), _limit(call.query.get("limit", "100"))
        items: list[Member | Absent]
        if _flag(call.query.get("absent", "0")):
            items, following = await self._presence.everyone(channel, after, limit)
        else:
            page = self._presence.page(channel, after, limit)
            items, following = list(page.members), page.next
        now = now_ms()
        return json_reply({"items": [_shown(item, now) for item in items], "next": following})


def _shown(item: Member | Absent, now: int) -> PresenceJson:
    if isinstance(item, Member):  # seen just now, unless its link dropped
        return {**jsonframes.member(item), "lastSeen": rfc3339(now if item.left is None else item.left)}
    seen = None if item.last_seen is None else rfc3339(item.last_seen)
    return {"user": item.user, "data": None, "connections": 0, "joined": None, "lastSeen": seen}


def _limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= PAGE_MEMBERS:
        raise InvalidRequest(f"limit: a whole number from 1 to {PAGE_MEMBERS} is wanted")
    return int(text)


def _flag(text: str) -> bool:
    try:
        return boolean(text)
    except ValueError as error:
        raise InvalidRequest(f"absent: {error}") from error
