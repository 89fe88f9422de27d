"""Presence: who is on a channel, telling those who watch it, and when others were last seen.

    presence.join("room:1", "alice", {"mood": "busy"}, id(websocket))
    watch = presence.watch("room:1", websocket.outbox, encode, websocket.spawn)
    presence.leave("room:1", "alice", id(websocket), clean=False)   # at the connection's end
    watch.close()

Everything but the last-seen times is in memory: a connection does not outlive the server.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, Final

import attrs
import orjson
import trio

from rtlite.errors import InvalidRequest, NotFound, Refused, TooLarge
from rtlite.hub.members import Members
from rtlite.hub.slices import Pace
from rtlite.hub.topics import Outbox
from rtlite.hub.watchers import PresenceEncoder, Watch, Watchers
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Member, PresenceNotice, check_channel, kind_of, now_ms
from rtlite.settings import KIB, Settings
from rtlite.store import presence as seen
from rtlite.store.database import Database

log = get_logger(__name__)

PAGE_MEMBERS: Final = 1000
_PAGE_BYTES: Final = 64 * KIB
_SAVE_STEP: Final = 1000  # rows per transaction, so that a publish does not wait long


@attrs.frozen(slots=True)
class Absent:
    """A user who was on a channel; ``last_seen`` is in milliseconds since 1970, ``None`` if it was not noted."""

    user: str
    last_seen: int | None


class Presence:
    """The face of presence. All of it but :meth:`run`, :meth:`stop` and :meth:`everyone` returns at once."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._members = Members(self._changed, settings.max_members, settings.max_away)
        self._watchers = Watchers(self.page, metrics)
        self._unsaved: dict[tuple[str, str], int | None] = {}
        self._left = trio.Event()
        self._settled = False

    def join(self, channel: str, user: str, data: Any, connection: Hashable) -> None:
        """A connection of ``user`` is on ``channel`` from now on. To join again is no error.

        :param data: any JSON value, decoded: what the user says of itself. ``None`` says nothing, and
            leaves what another connection of the user said.
        :param connection: tells the user's connections apart: the id of the connection object.
        :raises InvalidRequest: no channel (a pattern, say), or no JSON. :raises NotFound: the kind has
            no presence. :raises TooLarge: the data. :raises Overloaded: the channel is full.
        """
        self.check(channel)
        self._members.join(channel, user, None if data is None else self._encoded(data), connection, now_ms())

    def update(self, channel: str, user: str, data: Any, connection: Hashable) -> None:
        """Replace what a member says of itself; watchers are told if it differs.

        :raises InvalidRequest, NotFound, TooLarge: as :meth:`join`; also if this connection has not joined.
        """
        self.check(channel)
        self._members.update(channel, user, self._encoded(data), connection)

    def leave(self, channel: str, user: str, connection: Hashable, clean: bool) -> None:
        """A connection is not on ``channel`` any more. One that never joined is no error.

        :param clean: it said goodbye (unsubscribed, left, sent a close frame). If it was the user's
            last one, the user leaves at once; else after ``presence_grace``, unless it comes back.
        """
        until = None if clean else trio.current_time() + self._settings.presence_grace
        self._members.leave(channel, user, connection, now_ms(), until)
        self._left.set()

    def watch(self, channel: str, outbox: Outbox, encode: PresenceEncoder, spawn: Callable[..., None]) -> Watch:
        """Tell a connection who is on ``channel``: first everyone (``list``, in pages), then each change.

        To join first, if it is to join, spares it its own arrival. A reader too slow for the changes
        is sent the list again once it has room.

        :param encode: makes framed bytes of a :class:`PresenceNotice`; a function that many share.
        :param spawn: starts a task in the connection's nursery, as ``nursery.start_soon`` does.
        :returns: a handle; its ``close()`` ends the watch, and must be called when the connection ends.
        :raises InvalidRequest: no channel. :raises NotFound: the kind has no presence.
        """
        self.check(channel)
        return self._watchers.watch(channel, outbox, encode, spawn)

    def page(self, channel: str, after: str = "", limit: int = PAGE_MEMBERS) -> PresenceNotice:
        """A ``list``: the members past the user ``after``, at most ``limit`` of them and 64 KiB of their data."""
        found = self._members.of(channel, after, limit + 1)
        size, end = 0, 0
        for member in found[:limit]:
            size += len(member.user) + len(member.data)
            if end and size > _PAGE_BYTES:
                break
            end += 1
        page = found[:end]
        return PresenceNotice(
            channel, "list", tuple(page), after or None, next=page[-1].user if end < len(found) else None
        )

    def members(self, channel: str) -> list[Member]:
        """Every member of a channel, in the order of the users."""
        return self._members.of(channel, "", self.count(channel))

    def count(self, channel: str) -> int:
        """How many members a channel has."""
        return self._members.count(channel)

    def check(self, channel: str) -> None:
        """:raises InvalidRequest: no channel. :raises NotFound: its kind has no presence."""
        check_channel(channel)
        if not self._settings.for_kind(kind_of(channel)).presence:
            raise NotFound("channels of this kind have no presence", code="no_presence")

    async def everyone(self, channel: str, after: str, limit: int) -> tuple[list[Member | Absent], str | None]:
        """Members, and users who once were, in the order of the users, those past ``after``; and the next page's.

        :raises InvalidRequest: no channel. :raises NotFound: the kind has no presence.
        :raises StorageFailed: the database could not be read.
        """
        self.check(channel)
        waiting = self._waiting(channel)
        found: dict[str, Member | Absent] = {}
        rows = await self._database.read(lambda connection: seen.absent(connection, channel, after, limit + 1))
        found |= {user: Absent(user, at) for user, at in rows}
        for user, at in {**waiting, **self._waiting(channel)}.items():  # what is newer than the table
            if user > after:
                found[user] = Absent(user, at)
        for member in self._members.of(channel, after, limit + 1):
            found[member.user] = member
        users = heapq.nsmallest(limit + 1, found)
        return [found[user] for user in users[:limit]], users[limit - 1] if len(users) > limit else None

    def _waiting(self, channel: str) -> dict[str, int | None]:
        return {user: at for (name, user), at in self._unsaved.items() if name == channel}

    def _encoded(self, data: Any) -> bytes:
        try:  # sorted, so that what is equal is the same bytes
            encoded = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:  # it reads deeper nesting than it writes
            raise InvalidRequest("presence: the data is nested too deeply") from error
        if len(encoded) > self._settings.presence_data:
            raise TooLarge(f"presence: the data may have {self._settings.presence_data} bytes")
        return b"%b" % encoded  # a copy: it is kept, and what orjson gives has room for 4 KiB

    def _changed(self, channel: str, action: str, member: Member) -> None:
        self._watchers.note(channel, action, member)
        if action != "update":
            self._metrics.members.inc(1 if action == "join" else -1)
            self._note(channel, member.user, member.left)

    def _note(self, channel: str, user: str, last_seen: int | None) -> None:
        """To be saved. If the database takes nothing for long, the oldest are lost."""
        self._unsaved.pop((channel, user), None)
        self._unsaved[channel, user] = last_seen
        if len(self._unsaved) > self._settings.max_away:
            del self._unsaved[next(iter(self._unsaved))]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell changes, let members go whose grace is over, save last-seen times; until cancelled."""
        await self._try_to_save()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watchers.run)
            nursery.start_soon(self._expire)
            nursery.start_soon(self._keep_saving)
            task_status.started()

    async def stop(self) -> None:
        """At an orderly stop: save when everyone was last seen.

        :raises StorageFull, StorageFailed: it was not saved.
        """
        for channel, member in self._members.away():
            self._note(channel, member.user, member.left)
        await self._save()
        await self._database.write(lambda connection: seen.settle(connection, now_ms()))

    async def _expire(self) -> None:
        """One task for all grace periods."""
        while True:
            until = self._members.next_expiry()
            if until is None:
                self._left = trio.Event()
                await self._left.wait()
                continue
            await trio.sleep_until(until)
            pace = Pace()
            while self._members.expire(trio.current_time()):
                await pace.pause()

    async def _keep_saving(self) -> None:
        while True:
            await trio.sleep(self._settings.presence_save)
            await self._try_to_save()

    async def _try_to_save(self) -> None:
        try:
            await self._save()
        except Refused as error:  # a full disk: tried again next time
            log.warning("last-seen times could not be saved", code=error.code)
        except Exception:
            log.exception("saving last-seen times failed")

    async def _save(self) -> None:
        """Store what changed, a bit at a time, and that the server is alive."""
        if not self._settled:  # the last run may have been killed: first of all, when it was last alive
            await self._database.write(seen.settle)
            self._settled = True
        saved = False
        waiting = iter(list(self._unsaved.items()))
        while rows := [(*key, at) for key, at in islice(waiting, _SAVE_STEP)]:
            await self._database.write(lambda connection, rows=rows: seen.save(connection, rows, now_ms()))  # type: ignore[misc]
            for channel, user, at in rows:
                if self._unsaved.get((channel, user), at) == at:
                    self._unsaved.pop((channel, user), None)
            saved = True
        if not saved and self._members:
            await self._database.write(lambda connection: seen.save(connection, (), now_ms()))
