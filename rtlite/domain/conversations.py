"""Conversations: who is in them and what is said; and the state of things, told as an event.

The backend says who is a member; :mod:`rtlite.domain.access` makes a right of it.
Source: the command WebSocket's reference, events ``chat_message`` and ``status_update``.
"""

from __future__ import annotations

from typing import Any, Final, TypedDict

import orjson

from rtlite.auth.grants import may_subscribe
from rtlite.domain.access import CHAT_MESSAGE, channel_of
from rtlite.errors import Conflict, InvalidRequest
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import Identity, Kind, NewEvent, Published, check_channel, check_event_id, check_user, now_ms
from rtlite.settings import Settings
from rtlite.store import conversations as tables
from rtlite.store.conversations import Member
from rtlite.store.database import Database
from rtlite.transports.connections import Connections

STATUS_UPDATE: Final = "status_update"
PAGE: Final = 1000


class ChatMessage(TypedDict):
    """Someone wrote in a conversation."""

    conversation_id: str
    sender_id: str
    content: str


class StatusUpdate(TypedDict):
    """The state of something has changed."""

    entity_type: str
    entity_id: str
    status: str


class Conversations:
    """The conversations of one server. One that nobody is a member of exists as well: as a channel."""

    def __init__(self, hub: Hub, database: Database, connections: Connections, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._connections = connections
        self._settings = settings

    async def put_member(self, conversation: str, user: str, *, write: bool) -> tuple[Member, bool]:
        """Make ``user`` a member, who may post or only read; returns the member, and whether it is a new one.

        :raises InvalidRequest: a name breaks its rule. :raises Conflict: the conversation is full.
        """
        check_conversation(conversation)
        check_user(user)
        most = self._settings.conversation_members

        def work(transaction: Transaction) -> tuple[Member, bool]:
            connection = transaction.connection
            known = tables.find_member(connection, conversation, user)
            if known is None and tables.count_members(connection, conversation) >= most:
                raise Conflict(f"a conversation has {most} members at most", code="too_many_members")
            member = Member(user, write, known.added if known else now_ms())
            tables.put_member(connection, conversation, member)
            return member, known is None

        return await self._hub.transact(work)

    async def remove_member(self, conversation: str, user: str) -> None:
        """Take the membership away, and with it every live subscription that rests on it.

        When this returns, nothing that is published from then on reaches ``user``. Removing
        who is no member is no error.
        """
        channel = check_conversation(conversation)
        check_user(user)

        def work(transaction: Transaction) -> None:
            tables.delete_member(transaction.connection, conversation, user)

        def has_lost_it(identity: Identity) -> bool:
            # Whoever may read it by the token itself still may.
            member = identity.kind is Kind.JWT and identity.user == user
            return member and not may_subscribe(identity, channel, self._settings)

        await self._hub.transact(work)
        self._connections.drop(channel, has_lost_it)

    async def members(self, conversation: str, after: str) -> tuple[list[Member], str | None]:
        """A page by user, and where the next begins."""
        check_conversation(conversation)
        found = await self._database.read(lambda connection: tables.list_members(connection, conversation, after, PAGE))
        return found, found[-1].user if len(found) == PAGE else None

    async def post(self, conversation: str, message: ChatMessage, id: str | None) -> Published:
        """Say something, as :func:`chat_message` made it."""
        return await self._publish(check_conversation(conversation), CHAT_MESSAGE, message, id)

    async def announce_status(self, channel: str, update: StatusUpdate) -> Published:
        """Tell the state of something, as :func:`status_update` made it."""
        return await self._publish(channel, STATUS_UPDATE, update, None)

    async def _publish(self, channel: str, name: str, data: Any, id: str | None) -> Published:
        id = None if id is None else check_event_id(id)
        return await self._hub.publish(NewEvent(channel, name, orjson.dumps(data), id))


def check_conversation(conversation: str) -> str:
    """The channel of a conversation. :raises InvalidRequest: this cannot be one's id."""
    try:
        return check_channel(channel_of(conversation) if conversation else "")
    except InvalidRequest as error:
        raise InvalidRequest("conversation: an id is up to 242 visible ASCII characters, and not *") from error


def chat_message(conversation: str, sender: str, content: str) -> ChatMessage:
    """The data of a ``chat_message``. :raises InvalidRequest: a field breaks its rule."""
    try:
        check_user(sender)
    except InvalidRequest as error:
        raise InvalidRequest("sender_id: 1 to 255 characters without control characters are allowed") from error
    if not content:
        raise InvalidRequest("content: a text is wanted")
    return {"conversation_id": conversation, "sender_id": sender, "content": content}


def status_update(entity_type: str, entity_id: str, status: str) -> tuple[str, StatusUpdate]:
    """The channel of what has the status, ``{entity_type}:{entity_id}``, and the data of a ``status_update``.

    :raises InvalidRequest: a field breaks its rule.
    """
    if not entity_type or ":" in entity_type:
        raise InvalidRequest("entity_type: a kind of channel, without ':', is wanted")
    if not entity_id or not status:
        raise InvalidRequest(f"{'status' if entity_id else 'entity_id'}: a text is wanted")
    try:
        channel = check_channel(f"{entity_type}:{entity_id}")
    except InvalidRequest as error:
        raise InvalidRequest("entity_type, entity_id: together they are the name of a channel") from error
    return channel, {"entity_type": entity_type, "entity_id": entity_id, "status": status}
