"""A connection that takes commands: what ``/ws`` and ``/_events`` do alike.

One command after the other is read, run and answered. The answer waits for room in the
outbox, so who does not read cannot command either. Events do not wait for commands: they
are offered by the fan-out, and replays run in tasks of their own.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any, Final

import trio

from rtlite.auth.throttle import Bucket, Buckets
from rtlite.domain.access import Access
from rtlite.endpoints.attendance import Attendance
from rtlite.endpoints.sessions import Sessions
from rtlite.endpoints.subscriptions import Dialect, Subscriptions
from rtlite.errors import Forbidden, InvalidRequest, Reason, Refused, TooMany, Unauthorized
from rtlite.hub.hub import Hub
from rtlite.hub.slices import Pace
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind, rfc3339
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Attend, Auth, Command, Ping, Publish, Request, RequestId, Subscribe, Unsubscribe
from rtlite.settings import Settings
from rtlite.transports.websocket import WebSocket, text_frame

log = get_logger(__name__)

_SHORT: Final = 4096  # characters; of a command that is not run, no more is parsed to find its id


class Dialogues:
    """Opens them; holds what they share, such as the rate of each user."""

    def __init__(self, hub: Hub, sessions: Sessions, access: Access, settings: Settings, metrics: Metrics) -> None:
        self.hub = hub
        self.sessions = sessions
        self.access = access
        self.settings = settings
        self.metrics = metrics
        rate = settings.user_command_rate
        self.users = Buckets(rate, 2 * rate, clock=trio.current_time)

    def open(self, websocket: WebSocket, dialect: Dialect, kinds: frozenset[Kind]) -> Dialogue | None:
        """Admit whoever connected with a credential of these kinds; ``None`` if the connection is ending."""
        websocket.on_end(partial(_explain, websocket, dialect))
        identity = self.sessions.admit(websocket)
        if identity is None:
            return None
        if identity.kind not in kinds:
            websocket.end(Reason.FORBIDDEN)
            return None
        return Dialogue(self, websocket, dialect, identity)


class Dialogue:
    """One connection, and what its client may do."""

    def __init__(self, shared: Dialogues, websocket: WebSocket, dialect: Dialect, identity: Identity) -> None:
        self._shared = shared
        self._websocket = websocket
        self._dialect = dialect
        self._bucket = Bucket(shared.settings.command_rate, shared.settings.command_burst, clock=trio.current_time)
        self._excesses = 0
        self._attendance = Attendance(websocket, identity.user, shared.hub.presence, dialect.presence)
        self.channels = Subscriptions(
            websocket, dialect, shared.hub, shared.access, self._attendance, shared.settings.max_channels
        )
        self._take_on(identity)

    async def run(self) -> None:
        """Answer commands until the connection ends."""
        self._websocket.head.shed()
        while True:
            await self._turn(await self._next())

    async def _turn(self, message: str | bytes) -> None:
        """One command. Neither it nor its answer, a megabyte perhaps, is held while the next is waited for."""
        if (answer := await self._answer(message)) is not None:
            await self._websocket.outbox.send(answer)

    async def _next(self) -> str | bytes:
        """The next message. While nothing comes, this is where the time is watched."""
        while True:
            if self._warn_at == math.inf:
                return await self._websocket.receive()
            with trio.CancelScope(deadline=self._warn_at):
                return await self._websocket.receive()
            self._warn()

    async def _answer(self, message: str | bytes) -> bytes | None:
        """Run one command; what it raises is the answer, and the connection goes on."""
        request: Request | None = None
        command: Command | None = None
        try:
            if wait := self._excess():
                if len(message) <= _SHORT:
                    request = self._dialect.wording.decode(message)
                raise TooMany(f"too many commands; the next is taken in {wait:.2f} s", wait)
            pace = Pace()
            request = self._dialect.wording.decode(message)
            await pace.pause()  # a megabyte may take the parser 30 ms
            command = request.command()
            return await self._run(command, request.id)
        except Refused as refusal:
            return self._dialect.error(_code(command, refusal), refusal.detail, request)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise  # the peer is gone
        except Exception:
            log.exception("a command failed", protocol=self._websocket.route.protocol)
            self._shared.metrics.faults.inc()
            return self._dialect.error("internal_error", "the server made a mistake", request)

    async def _run(self, command: Command, id: RequestId) -> bytes | None:
        """:raises Refused: it was not done. ``None``: it is answered already."""
        reply = self._dialect.reply
        match command:
            case Subscribe():
                await self.channels.subscribe(self.identity, command, id)
                return None
            case Unsubscribe():
                self.channels.unsubscribe(command.channel)
                return reply("unsubscribed", {"channel": command.channel}, id)
            case Publish():
                return reply("published", await self._publish(command), id)
            case Auth():
                await self._renew(command.token, id)
                return None
            case Attend():
                return await self._attend(command, id)
            case Ping():
                return reply("pong", {}, id)

    async def _publish(self, command: Publish) -> dict[str, Any]:
        if not await self._shared.access.may_write(self.identity, command.channel, command.event, command.data):
            raise Forbidden("channel: this credential may not publish to it")
        origin = None if command.echo else self._websocket.outbox
        published = await self._shared.hub.publish(command.as_event(), origin=origin)
        return jsonframes.receipt(published.event) | ({"duplicate": True} if published.duplicate else {})

    async def _attend(self, command: Attend, id: RequestId) -> bytes:
        """Say who is on a channel, or have the user be there."""
        channel = command.channel
        if command.action == "list":
            if not await self._shared.access.may_read(self.identity, channel):
                raise Forbidden("channel: this credential may not read it")
            self._attendance.check(channel)
            page = self._shared.hub.presence.page(channel, command.after)
            return text_frame(self._dialect.wording.presence(page, id))
        if command.action == "leave":
            self._attendance.leave(channel)
            return self._dialect.reply("left", {"channel": channel}, id)
        if channel not in self.channels:
            raise InvalidRequest("presence: subscribe to the channel first")
        if command.action == "join":
            self._attendance.join(channel, command.data)
            return self._dialect.reply("joined", {"channel": channel}, id)
        self._attendance.update(channel, command.data)
        return self._dialect.reply("updated", {"channel": channel}, id)

    async def _renew(self, token: str, id: RequestId) -> None:
        """Another credential of the same user takes the place of the one that will expire."""
        identity = self._shared.sessions.identify(self._websocket, token)
        if (identity.kind, identity.user) != (self.identity.kind, self.identity.user):
            raise Unauthorized("token: it is another user's; connect anew with it")
        # First of all it is listed: who takes a right away meanwhile finds it there.
        self._shared.sessions.take_on(self._websocket, identity)
        try:
            beyond = await self.channels.beyond(identity)
        except Refused:  # nobody can say, and the old one stays
            self._shared.sessions.take_on(self._websocket, self.identity)
            raise
        self._take_on(identity)
        for name in beyond:  # now, and not once there is room for the answer
            self.channels.unsubscribe(name)
        fields = {"user": identity.user, "expiresAt": _shown(identity.expires)}
        await self._websocket.outbox.send(self._dialect.reply("authenticated", fields, id))
        for name in beyond:
            await self._websocket.outbox.send(self.channels.dropped(name))

    def _take_on(self, identity: Identity) -> None:
        self.identity = identity
        self._expires_at = self._warn_at = math.inf
        warning = self._shared.settings.expiry_warning
        if identity.expires is not None and warning:
            # On the monotonic clock from here on, as the connection's own deadline is.
            self._expires_at = trio.current_time() + identity.expires - time.time()
            self._warn_at = self._expires_at - warning

    def _warn(self) -> None:
        self._warn_at = math.inf
        left = max(0, round(self._expires_at - trio.current_time()))
        fields = {"expiresIn": left, "expiresAt": _shown(self.identity.expires)}
        self._websocket.outbox.offer(self._dialect.reply("token_expiring", fields))

    def _excess(self) -> float:
        """0.0 if one more command is within the rates, else the seconds until it would be.

        Whoever goes on and on without a pause that fills its bucket is closed.
        """
        if self._bucket.full:
            self._excesses = 0
        wait = self._bucket.take()
        if not wait and self.identity.kind is Kind.JWT:  # a key is no user: a publishable one is in many browsers
            wait = self._shared.users.take(self.identity.user)
        if wait:
            self._excesses += 1
            if self._excesses > self._shared.settings.command_burst:
                self._websocket.end(Reason.RATE_LIMITED)
        return wait


def _explain(websocket: WebSocket, dialect: Dialect) -> None:
    """The last words to who is closed for its credential, whether at the door or later."""
    reason = websocket.reason
    if reason in {Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.EXPIRED, Reason.REVOKED}:
        websocket.outbox.offer(dialect.error("unauthorized", reason.value.text))


def _code(command: Command | None, refusal: Refused) -> str:
    """The stable code of an error; a channel's or event's name is part of the request, whatever HTTP calls it."""
    if isinstance(refusal, InvalidRequest):
        return "invalid_request"
    if isinstance(refusal, Unauthorized | Forbidden):
        return "unauthorized"
    if isinstance(command, Subscribe) and not isinstance(refusal, TooMany):
        return "subscription_failed"
    return refusal.code


def _shown(expires: float | None) -> str | None:
    return None if expires is None else rfc3339(int(expires * 1000))
