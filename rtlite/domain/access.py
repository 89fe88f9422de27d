"""Rights that depend on what is stored, besides those that the table of ``auth/grants.py`` gives.

Every door asks here. Who is answered by the table is answered at once: nothing is awaited,
nothing is read.
"""

from __future__ import annotations

from typing import Final

from rtlite.auth.grants import is_backend, may_publish, may_subscribe, owns_inbox, within
from rtlite.domain.inbox import check_inbox
from rtlite.domain.jobs import job_of
from rtlite.domain.models import Models
from rtlite.domain.streams import Streams
from rtlite.errors import Forbidden, InvalidRequest
from rtlite.model import Identity, Kind, is_pattern, stream_of
from rtlite.settings import Settings
from rtlite.store import conversations as tables
from rtlite.store import jobs
from rtlite.store.conversations import Member
from rtlite.store.database import Database

CHAT_MESSAGE: Final = "chat_message"
_CONVERSATION: Final = "conversation:"
_ALL_JOBS: Final = "jobs:*"


class Access:
    """Who may read and write which channel."""

    def __init__(self, database: Database, settings: Settings, streams: Streams, models: Models) -> None:
        self._database = database
        self._settings = settings
        self._streams = streams
        self._models = models

    async def may_read(self, identity: Identity, channel: str) -> bool:
        """Whether ``identity`` may read ``channel``, a channel's name or a pattern: live, its history, its presence.

        A right may be taken away while this waits for the database. So who begins to listen asks
        twice: before, and again once the channel stands in its connection's list, since that is
        where the removal of a member looks (:meth:`Connections.drop`).

        :raises StorageFailed: the database could not be read.
        """
        if may_subscribe(identity, channel, self._settings):
            return self._models.is_open(identity, channel)
        if identity.kind is Kind.STREAM:
            return self._owns(identity, channel)
        return await self._has_job(identity, channel) or await self._membership(identity, channel) is not None

    async def may_write(
        self,
        identity: Identity,
        channel: str,
        name: str,
        data: object,
        *,
        read: dict[str, Member | None] | None = None,
    ) -> bool:
        """Whether ``identity`` may publish this event to ``channel``.

        A member of a conversation speaks for itself only: a ``chat_message`` that does not name it
        as its ``sender_id`` is denied.

        A stream key may publish to its user's streams. Where there is no stream of that name, its
        first publish makes one: to ask is enough.

        :param name: the event's; :param data: its data, decoded.
        :param read: what the database said by channel, kept by who asks for many events of one batch.
        :raises StorageFailed: the database could not be read. :raises Conflict: the user has too many streams.
        """
        if may_publish(identity, channel, self._settings):
            return True
        if identity.kind is Kind.STREAM:
            return await self._claims(identity, channel)
        read = {} if read is None else read
        if channel not in read:
            read[channel] = await self._membership(identity, channel)
        member = read[channel]
        if member is None or not member.write:
            return False
        return name != CHAT_MESSAGE or (isinstance(data, dict) and data.get("sender_id") == identity.user)

    def whose_jobs(self, identity: Identity, user: str | None) -> str | None:
        """Of whose jobs a list is to be, where those of ``user`` are asked for, or all; ``None`` is everybody's.

        :raises Forbidden: ``identity`` may not see them.
        """
        if may_subscribe(identity, _ALL_JOBS, self._settings):
            return user
        if identity.kind is Kind.JWT and user in {None, identity.user} and within(identity.only, _ALL_JOBS):
            return identity.user
        raise Forbidden("this credential may not see those jobs")

    def whose_inbox(self, identity: Identity, user: str | None, *, own: bool = False) -> str:
        """The user whose inbox is asked for: ``user``, or who asks.

        :param own: whether it is to be one's own, since something is marked as read; the backend may do it for all.
        :raises Forbidden: ``identity`` may not. :raises InvalidRequest: it names no user, and has no inbox itself.
        """
        if user is None and identity.kind in {Kind.JWT, Kind.BLOG}:
            user = identity.user
        if user is None:
            raise InvalidRequest("userId: missing")
        channel = check_inbox("userId", user)
        allowed = owns_inbox if own else may_subscribe
        if not is_backend(identity) and not allowed(identity, channel, self._settings):
            raise Forbidden("this is not the inbox of this credential's user")
        return user

    async def _has_job(self, identity: Identity, channel: str) -> bool:
        """Whether ``channel`` is that of a job of a token's user; a pattern is of none."""
        job = job_of(channel)
        if identity.kind is not Kind.JWT or not job or is_pattern(channel) or not within(identity.only, channel):
            return False
        return await self._database.read(lambda connection: jobs.belongs_to(connection, job, identity.user))

    def _owns(self, identity: Identity, channel: str) -> bool:
        """Whether ``channel`` is of one of the user's streams; a pattern is of none."""
        stream = self._streams.find(stream_of(channel) or "")
        return (
            stream is not None
            and stream.owner == identity.user
            and not is_pattern(channel)
            and within(identity.only, channel)
        )

    async def _claims(self, identity: Identity, channel: str) -> bool:
        """The same; a stream that does not exist is made."""
        id = stream_of(channel)
        if id is not None and not is_pattern(channel) and within(identity.only, channel):
            await self._streams.claim(id, identity.user)
        return self._owns(identity, channel)

    async def _membership(self, identity: Identity, channel: str) -> Member | None:
        """What a token's user is in the conversation that ``channel`` is; a pattern is none."""
        conversation = channel.removeprefix(_CONVERSATION)
        if (
            identity.kind is not Kind.JWT
            or conversation in {channel, ""}
            or is_pattern(channel)
            or not within(identity.only, channel)
        ):
            return None
        return await self._database.read(lambda connection: tables.find_member(connection, conversation, identity.user))


def channel_of(conversation: str) -> str:
    """The channel of a conversation."""
    return _CONVERSATION + conversation
