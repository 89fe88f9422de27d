"""Notifications over HTTP: the backend puts them into inboxes, users read their own."""

from __future__ import annotations

from typing import Annotated, TypedDict

import attrs

from rtlite.auth.grants import check_backend
from rtlite.domain import access as rights
from rtlite.domain.inbox import Inbox
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import BY_NUMBER, flag, page_reply, page_size
from rtlite.protocols import jsonframes
from rtlite.rules import NOT_BLANK, Count, EventId, EventName, Flag, Rule, UserInChannel, of
from rtlite.settings import Settings
from rtlite.store.inbox import NotificationJson
from rtlite.transports.contract import JSON, UNKNOWN, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply


@attrs.frozen
class NewNotification:
    userId: UserInChannel
    type: EventName
    title: Annotated[str, Rule(minLength=1, maxLength=of("notification_bytes"), pattern=NOT_BLANK)]
    message: Annotated[str, Rule(maxLength=of("notification_bytes"))] | None = None
    actionUrl: Annotated[str, Rule(maxLength=of("notification_bytes"))] | None = None
    id: EventId | None = None


class InboxPage(TypedDict):
    """A page of notifications, and how many of all are not read."""

    items: list[NotificationJson]
    next: str | None
    unread: Count


class ReadAll(TypedDict):
    """How many were not read before."""

    read: Count


NOTIFICATION = example("notification.new", "userId", "type", "title", "message", "actionUrl")
USER = Asked("userId", UserInChannel, "Whose inbox, for the backend")


class InboxEndpoint:
    def __init__(self, inbox: Inbox, access: rights.Access, settings: Settings) -> None:
        self._inbox = inbox
        self._access = access
        self._settings = settings

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        return [
            Route(
                "POST",
                "/notifications",
                self.add,
                "Notify a user",
                key,
                lean=True,
                publishing=True,
                takes=Body({JSON: NewNotification}, example=NOTIFICATION),
                gives={201: NotificationJson, 200: NotificationJson},
                refuses={409: "exists"},
            ),
            Route(
                "GET",
                "/notifications",
                self.list,
                "A user's notifications, the newest first",
                key,
                asks=[USER, Asked("unread", Flag, "Only those that are not read"), *BY_NUMBER],
                gives={200: InboxPage},
            ),
            Route(
                "POST",
                "/notifications/read-all",
                self.read_all,
                "Mark all as read",
                key,
                publishing=True,
                asks=[USER],
                gives={200: ReadAll},
            ),
            Route(
                "POST",
                "/notifications/{id}/read",
                self.read,
                "Mark a notification as read",
                key,
                publishing=True,
                asks=[USER],
                gives={200: NotificationJson},
                refuses=UNKNOWN,
            ),
        ]

    async def add(self, call: Call) -> Reply:
        """Again with the same id and text: 200 and the notification as it is."""
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, NewNotification)
        notification, new = await self._inbox.add(
            wanted.userId, wanted.type, wanted.title, wanted.message, wanted.actionUrl, wanted.id
        )
        return json_reply(notification.as_json(), 201 if new else 200)

    async def list(self, call: Call) -> Reply:
        """``?unread=true&limit=&after=``, and for the backend ``userId``; also how many are not read."""
        user = self._access.whose_inbox(call.identity, call.query.get("userId"))
        unread, limit = flag(call, "unread"), page_size(call, self._settings.max_page)
        found, following = await self._inbox.page(user, unread=unread, after=call.query.get("after"), limit=limit)
        return page_reply(found, following, unread=await self._inbox.unread(user))

    async def read(self, call: Call) -> Reply:
        user = self._access.whose_inbox(call.identity, call.query.get("userId"), own=True)
        return json_reply((await self._inbox.read(user, call.params["id"])).as_json())

    async def read_all(self, call: Call) -> Reply:
        """``{"read"}``: how many were not before."""
        user = self._access.whose_inbox(call.identity, call.query.get("userId"), own=True)
        return json_reply({"read": await self._inbox.read_all(user)})
