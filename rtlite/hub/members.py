"""Who is present where. No clock, no tasks, no I/O: times are given, changes are told.

A member of a channel is a user, however many connections it has there. It joins with the
first one. With the last one it leaves: at once, if that one said goodbye; else after a grace
period, unless the user comes back.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import attrs

from rtlite.errors import InvalidRequest, Overloaded
from rtlite.model import Member

NOTHING: Final = b"null"


@attrs.define(eq=False, slots=True)
class _Entry:
    data: bytes
    joined: int
    connections: set[Hashable]
    left: int | None = None

    def as_member(self, user: str) -> Member:
        return Member(user, self.data, len(self.connections), self.joined, self.left)


class Members:
    """The members of every channel; a channel without any is forgotten.

    :param on_change: called with channel, action (``join``, ``update``, ``leave``) and the member.
    :param most: members of one channel.
    :param most_away: members in their grace period, over all channels; of more, the oldest leaves at once.
    """

    def __init__(self, on_change: Callable[[str, str, Member], None], most: int, most_away: int) -> None:
        self._on_change = on_change
        self._most = most
        self._most_away = most_away
        self._channels: dict[str, dict[str, _Entry]] = {}
        self._away: OrderedDict[tuple[str, str], float] = OrderedDict()  # until when; the grace is the same for all

    def join(self, channel: str, user: str, data: bytes | None, connection: Hashable, now: int) -> None:
        """Count one more connection of a user; the same one again is no error.

        :param data: ``None`` leaves what another connection said of the user.
        :param now: milliseconds since 1970.
        :raises Overloaded: the channel is full.
        """
        members = self._channels.get(channel, {})
        entry = members.get(user)
        if entry is None:
            if len(members) >= self._most:
                raise Overloaded(f"presence: the channel has {self._most} members", code="too_many_members")
            entry = _Entry(NOTHING if data is None else data, now, {connection})
            self._channels.setdefault(channel, members)[user] = entry
            self._on_change(channel, "join", entry.as_member(user))
            return
        self._away.pop((channel, user), None)
        entry.left = None
        entry.connections.add(connection)
        if data is not None:
            self._set(channel, user, entry, data)

    def update(self, channel: str, user: str, data: bytes, connection: Hashable) -> None:
        """Change what is said of a member; told only if it differs.

        :raises InvalidRequest: this connection has not joined.
        """
        entry = self._channels.get(channel, {}).get(user)
        if entry is None or connection not in entry.connections:
            raise InvalidRequest("presence: join the channel first")
        self._set(channel, user, entry, data)

    def _set(self, channel: str, user: str, entry: _Entry, data: bytes) -> None:
        if data != entry.data:
            entry.data = data
            self._on_change(channel, "update", entry.as_member(user))

    def leave(self, channel: str, user: str, connection: Hashable, now: int, until: float | None) -> None:
        """A connection is gone; one that never joined is no error.

        :param until: when the grace period ends, on the clock of :meth:`expire`; ``None`` is no grace.
        """
        entry = self._channels.get(channel, {}).get(user)
        if entry is None or connection not in entry.connections:
            return
        entry.connections.remove(connection)
        if entry.connections:
            return
        entry.left = now
        if until is None:
            self._remove(channel, user)
            return
        self._away[channel, user] = until
        if len(self._away) > self._most_away:
            self._remove(*self._away.popitem(last=False)[0])

    def next_expiry(self) -> float | None:
        """When the first grace period ends."""
        return next(iter(self._away.values()), None)

    def expire(self, now: float) -> bool:
        """Let one member go whose grace period is over; ``False`` if there is none."""
        until = self.next_expiry()
        if until is None or until > now:
            return False
        self._remove(*self._away.popitem(last=False)[0])
        return True

    def _remove(self, channel: str, user: str) -> None:
        members = self._channels[channel]
        entry = members.pop(user)
        if not members:
            del self._channels[channel]
        self._on_change(channel, "leave", entry.as_member(user))

    def __bool__(self) -> bool:
        """Whether anybody is anywhere."""
        return bool(self._channels)

    def count(self, channel: str) -> int:
        return len(self._channels.get(channel, ()))

    def of(self, channel: str, after: str, limit: int) -> list[Member]:
        """Members in the order of their users, those past ``after``."""
        members = self._channels.get(channel, {})
        users = heapq.nsmallest(limit, (user for user in members if user > after))
        return [members[user].as_member(user) for user in users]

    def away(self) -> list[tuple[str, Member]]:
        """Every member in its grace period, with its channel."""
        return [(channel, self._channels[channel][user].as_member(user)) for channel, user in self._away]
