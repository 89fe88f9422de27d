"""Inboxes: notifications that wait for a user, and which of them are read.

A notification is stored and announced on ``notifications:{user}`` in one transaction. So is what
becomes of it, so that all of a user's tabs agree.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, TypedDict

import attrs

from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import check_channel, check_event_id, check_event_name, now_ms
from rtlite.rules import Count
from rtlite.settings import Settings
from rtlite.store import inbox as tables
from rtlite.store.database import Database
from rtlite.store.inbox import Notification

NEW: Final = "notification.new"
READ: Final = "notification.read"
READ_ALL: Final = "notification.read_all"
PAGE: Final = 100
_LATEST: Final = 2**62
_LONE_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")  # which no UTF-8 can hold


class NotificationRead(TypedDict):
    """A notification was read; so many are not."""

    id: str
    userId: str
    unread: Count


class AllRead(TypedDict):
    """All of a user's notifications were read."""

    userId: str
    unread: Count


class Inbox:
    """The inboxes of one server's users. Every user has one; it need not be made."""

    def __init__(self, hub: Hub, database: Database, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._settings = settings
        hub.sweeper.chores.append(self.forget)

    async def add(
        self,
        user: str,
        type: str,
        title: str,
        message: str | None = None,
        action_url: str | None = None,
        id: str | None = None,
    ) -> tuple[Notification, bool]:
        """Put a notification into an inbox; also says whether it is new.

        What is too much for the inbox goes: the oldest that is read, or else the oldest.

        :param id: the caller's own, so that it can ask again: once it is there, it is answered as it is.
        :raises InvalidRequest: a field breaks its rule. :raises Conflict: the id is another notification's.
        """
        wanted = self._checked(Notification(id or _new_id(), user, type, title, message, action_url), id)

        def work(transaction: Transaction) -> tuple[Notification, bool]:
            known = None if id is None else tables.find(transaction.connection, id)
            if known is None:
                return deliver(transaction, wanted, self._settings), True
            if attrs.evolve(known, read=False, created=0) != wanted:
                raise Conflict("there is another notification with this id", code="exists")
            return known, False

        return await self._hub.transact(work)

    async def page(
        self, user: str, *, unread: bool = False, after: str | None = None, limit: int = PAGE
    ) -> tuple[list[Notification], str | None]:
        """The newest first, and where the next page begins.

        :param unread: only those that are not read. :param after: where the page before this one said.
        :raises InvalidRequest: ``after`` is no such place.
        """
        before = place(after)
        found = await self._database.read(lambda connection: tables.page(connection, user, unread, before, limit + 1))
        return found[:limit], str(found[limit - 1].number) if len(found) > limit else None

    async def unread(self, user: str) -> int:
        """How many notifications are not read."""
        return await self._database.read(lambda connection: tables.count_unread(connection, user))

    async def read(self, user: str, id: str) -> Notification:
        """Mark one of this user's notifications as read. :raises NotFound: it is none of them."""

        def work(transaction: Transaction) -> Notification:
            connection = transaction.connection
            known = tables.find(connection, id)
            if known is None or known.user != user:
                raise NotFound("no such notification")
            if not known.read:
                tables.mark_read(connection, id)
                unread = tables.count_unread(connection, user)
                read: NotificationRead = {"id": id, "userId": user, "unread": unread}
                transaction.publish(channel_of(user), READ, read)
            return attrs.evolve(known, read=True)

        return await self._hub.transact(work)

    async def read_all(self, user: str) -> int:
        """Mark all of this user's notifications as read; returns how many were not."""

        def work(transaction: Transaction) -> int:
            marked = tables.mark_all_read(transaction.connection, user)
            if marked:
                read: AllRead = {"userId": user, "unread": 0}
                transaction.publish(channel_of(user), READ_ALL, read)
            return marked

        return await self._hub.transact(work)

    async def forget(self, now: int) -> None:
        """Delete what came longer ago than the setting ``inbox_age``, in short writes. ``now`` is in ms."""
        cutoff = now - int(self._settings.inbox_age * 1000)
        while (
            await self._database.write(lambda connection: tables.forget(connection, cutoff), vital=True) == tables.STEP
        ):
            pass

    def _checked(self, wanted: Notification, id: str | None) -> Notification:
        check_inbox("userId", wanted.user)
        check_type(wanted.type)
        if id is not None:
            check_event_id(id)
        if not wanted.title.strip():
            raise InvalidRequest("title: a text is wanted")
        texts = (wanted.title, wanted.message or "", wanted.action_url or "")
        if any(map(_LONE_SURROGATE.search, texts)):
            raise InvalidRequest("title, message, actionUrl: texts in Unicode are wanted")
        if sum(len(text.encode()) for text in texts) > self._settings.notification_bytes:
            raise InvalidRequest(
                f"title, message, actionUrl: {self._settings.notification_bytes} bytes together at most"
            )
        return wanted


def deliver(transaction: Transaction, notification: Notification, settings: Settings) -> Notification:
    """Put a notification into its user's inbox, in a transaction that does more than this."""
    notification = attrs.evolve(notification, created=now_ms())
    tables.insert(transaction.connection, notification)
    tables.trim(transaction.connection, notification.user, settings.inbox_size)
    transaction.publish(channel_of(notification.user), NEW, notification.as_json())
    return notification


def about(user: str, type: str, title: str, message: str | None, action_url: str | None) -> Notification:
    """A notification of the server's own, for :func:`deliver`."""
    return Notification(_new_id(), user, type, title, message, action_url)


def channel_of(user: str) -> str:
    """The channel where an inbox's events are."""
    return f"notifications:{user}"


def check_inbox(field: str, user: str) -> str:
    """The channel of a user's inbox. :raises InvalidRequest: the user's id can be in no channel's name."""
    try:
        return check_channel(channel_of(user) if user else "")
    except InvalidRequest as error:
        raise InvalidRequest(f"{field}: a user's id is up to 241 visible ASCII characters, and not *") from error


def check_type(type: str) -> str:
    """What a job or a notification is: as short as an event's name. :raises InvalidRequest: it is not."""
    try:
        return check_event_name(type)
    except InvalidRequest as error:
        raise InvalidRequest(f"type:{error.detail.partition(':')[2]}") from error


def place(after: str | None) -> int:
    """The number that a page's ``next`` names. :raises InvalidRequest: it names none."""
    if after is None:
        return _LATEST
    if not re.fullmatch("[0-9]{1,18}", after, re.ASCII):
        raise InvalidRequest("after: the next of an earlier page is wanted")
    return int(after)


def _new_id() -> str:
    return f"notif_{secrets.token_hex(8)}"
