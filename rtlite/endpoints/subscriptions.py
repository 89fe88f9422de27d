"""The channels of one connection, which come and go while it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from rtlite.domain.access import Access
from rtlite.endpoints.attendance import Attendance
from rtlite.errors import Forbidden, Refused
from rtlite.hub.hub import Hub
from rtlite.hub.since import Since, parse_since
from rtlite.hub.topics import Encoder, Subscription
from rtlite.hub.watchers import PresenceEncoder
from rtlite.model import Identity, Position, PresenceNotice, is_pattern, now_ms
from rtlite.protocols.verbs import Request, RequestId, Subscribe
from rtlite.transports.websocket import WebSocket, text_frame


class SubscriptionFailed(Refused):
    """There is no subscription, for a reason that is neither the right nor the name."""

    status = 503
    title = "Subscription failed"
    code = "subscription_failed"


class Wording(Protocol):
    """How a protocol says things: one of the modules ``protocols.commands`` and ``protocols.eventchannels``."""

    def decode(self, message: str | bytes) -> Request: ...
    def reply(self, type: str, fields: dict[str, Any], id: RequestId = None) -> bytes: ...
    def error(self, code: str, message: str, request: Request | None = None) -> bytes: ...
    def presence(self, notice: PresenceNotice, id: RequestId = None) -> bytes: ...


@attrs.frozen
class Dialect:
    """A protocol's wording, and what it sends to many as frames that they share."""

    wording: Wording
    event: Encoder
    event_of_kind: Encoder
    presence: PresenceEncoder

    def reply(self, type: str, fields: dict[str, Any], id: RequestId = None) -> bytes:
        return text_frame(self.wording.reply(type, fields, id))

    def error(self, code: str, message: str, request: Request | None = None) -> bytes:
        return text_frame(self.wording.error(code, message, request))


Greeting = Callable[[Position | None, bool], bytes]


class Subscriptions:
    """What a connection listens to, by name; all of it ends with the connection."""

    def __init__(
        self, websocket: WebSocket, dialect: Dialect, hub: Hub, access: Access, attendance: Attendance, limit: int
    ) -> None:
        self._websocket = websocket
        self._dialect = dialect
        self._hub = hub
        self._access = access
        self._attendance = attendance
        self._limit = limit
        self._held: dict[str, Subscription] = {}
        websocket.on_end(self._end)
        if websocket.listed is not None:
            websocket.listed.drop = self.drop

    def __contains__(self, name: str) -> bool:
        return name in self._held

    async def subscribe(self, identity: Identity, wanted: Subscribe, id: RequestId) -> None:
        """Listen to a channel or a whole kind, and say so before the first event.

        Again without ``since``, this changes nothing and says where the subscription stands; with
        ``since``, the subscription is replaced by one that begins there. If presence is wanted, the
        user is there before others hear of it, and the list of who is follows the answer.

        :raises InvalidRequest: ``since`` cannot be read. :raises Forbidden: not this channel.
        :raises NotFound, TooLarge: the kind has no presence; what is said of the user is too long.
        :raises SubscriptionFailed, Overloaded, StorageFailed: there is no new subscription.
        """
        name = wanted.channel
        since = None if wanted.since is None else parse_since(wanted.since, now_ms())
        if not await self._access.may_read(identity, name):
            raise Forbidden("channel: this credential may not read it")
        if wanted.watches:
            self._attendance.check(name)
        arrived = wanted.joins and self._attendance.join(name, wanted.about)

        def subscribed(position: Position | None, recovered: bool) -> bytes:
            fields = {"channel": name, "position": position and str(position), "recovered": recovered}
            return self._dialect.reply("subscribed", fields, id)

        held = self._held.get(name)
        try:
            if held is not None and since is None:
                await self._websocket.outbox.send(subscribed(held.position, True))
            else:
                await self.listen(identity, name, subscribed, since)
        except Exception as error:
            if arrived and not isinstance(error, self._websocket.gone):
                self._attendance.leave(name)
            raise
        if wanted.watches and name in self._held:
            self._attendance.watch(name)

    async def listen(self, identity: Identity, name: str, greeting: Greeting, since: Since | None) -> None:
        """Subscribe to what ``identity`` may read, in place of a subscription of this name.

        :raises Forbidden: it may not.
        :raises SubscriptionFailed, Overloaded, StorageFailed: there is no new subscription.
        """
        if name not in self._held and len(self._held) >= self._limit:
            raise SubscriptionFailed(f"a connection has {self._limit} channels at most; unsubscribe from one first")

        def greet(position: Position | None, recovered: bool) -> bytes:
            if (old := self._held.get(name)) is not None:  # only now can nothing refuse the new one
                old.close()
            return greeting(position, recovered)

        websocket, encode = self._websocket, self._dialect.event_of_kind if is_pattern(name) else self._dialect.event
        with websocket.about_to_listen(name) as coming:
            if not await self._access.may_read(identity, name):
                raise Forbidden("channel: this credential may not read it")
            answer = await self._hub.subscribe(
                name,
                websocket.outbox,
                encode,
                spawn=websocket.spawn,
                on_lost=websocket.end,
                since=since,
                greet=greet,
                listener=websocket.listed,
            )
        self._list(name)
        self._held[name] = answer.subscription
        if coming.dropped:
            self.drop(name)

    def _list(self, name: str) -> None:
        if self._websocket.listed is not None and name not in self._websocket.listed.channels:
            self._websocket.listed.listens_to((name,))

    def _unlist(self, name: str) -> None:
        if self._websocket.listed is not None and name in self._websocket.listed.channels:
            self._websocket.listed.channels.remove(name)

    def unsubscribe(self, name: str) -> None:
        """Stop listening, and be there no more; nothing happens if it never began."""
        if (held := self._held.pop(name, None)) is not None:
            held.close()
            self._attendance.forget(name)
            self._unlist(name)

    def drop(self, name: str) -> None:
        """The right to read this is gone: the subscription ends, and the client is told."""
        if name in self._held:
            self.unsubscribe(name)
            notice = self.dropped(name)
            if not self._websocket.outbox.offer(notice):
                self._websocket.spawn(self._websocket.outbox.send, notice)

    def dropped(self, name: str) -> bytes:
        """What the client is told of a subscription that its rights do not cover."""
        return self._dialect.reply("unsubscribed", {"channel": name, "reason": "unauthorized"})

    async def beyond(self, identity: Identity) -> list[str]:
        """The names that ``identity`` may not read."""
        return [name for name in list(self._held) if not await self._access.may_read(identity, name)]

    def _end(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()
