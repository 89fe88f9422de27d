"""What the endpoints of long-lived connections do alike: admit, subscribe, hold the limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from rtlite.auth.gate import Gate, presented, presented_beside
from rtlite.auth.throttle import Bucket
from rtlite.domain.access import Access
from rtlite.errors import Forbidden, InvalidRequest, Reason, TooMany, Unauthorized
from rtlite.hub.hub import Hub, Subscribed
from rtlite.hub.since import Since, parse_since
from rtlite.hub.topics import Encoder
from rtlite.model import Identity, Kind, Position, check_pattern, now_ms
from rtlite.settings import Settings
from rtlite.transports.link import Link
from rtlite.transports.routes import OPERATOR
from rtlite.transports.websocket import WebSocket


class Sessions:
    def __init__(self, hub: Hub, gate: Gate, access: Access, settings: Settings) -> None:
        self._hub = hub
        self._gate = gate
        self._access = access
        self._settings = settings

    def admit(self, websocket: WebSocket) -> Identity | None:
        """Who connected, by header or query; ``None`` if nobody valid, and the connection is ending.

        The handshake is answered by now, so that a browser sees the close code.
        """
        try:
            identity = self.identify(websocket, presented(websocket.head.headers, websocket.head.query))
        except Unauthorized:
            websocket.end(Reason.UNAUTHORIZED)
            return None
        except TooMany:
            websocket.end(Reason.RATE_LIMITED)
            return None
        self.take_on(websocket, identity)
        return identity

    def identify(self, link: Link, secret: str | None) -> Identity:
        """Whom a credential that came over this connection stands for; by the control socket none is needed.

        :raises Unauthorized, Forbidden, TooMany: as :meth:`Gate.identify`.
        """
        if secret is None and link.trusted:
            return OPERATOR
        return self._gate.identify(secret, link.listed.address if link.listed is not None else "", link.head.headers)

    def identify_by(self, link: Link, said: Mapping[str, Any]) -> Identity:
        """Whom the credentials stand for that a client says once it is connected: ``apiKey`` and ``authorization``.

        What it does not say counts as the handshake has it.

        :raises Unauthorized, Forbidden, TooMany: as :meth:`identify`.
        """
        key, token = said.get("apiKey"), said.get("authorization")
        if not isinstance(key, str | None) or not isinstance(token, str | None):
            raise Unauthorized("apiKey, authorization: texts are wanted")
        headers = dict(link.head.headers)
        if key:
            headers["x-api-key"] = key
        asked = link.head.query
        token = (token or "").strip() or (asked.get("token") if "authorization" not in headers else None)
        if token:
            headers["authorization"] = token if token.lower().startswith("bearer ") else f"Bearer {token}"
        address = link.listed.address if link.listed is not None else ""
        identity = self._gate.identify(presented(headers, asked), address, headers)
        return self._gate.beside(identity, presented_beside(headers, asked), address, headers)

    def take_on(self, link: Link, identity: Identity) -> None:
        """The connection is this identity's from now on, until that expires."""
        link.admit(identity, self._remaining(identity))

    def _remaining(self, identity: Identity) -> float | None:
        """Seconds until the gate would not let this identity in any more."""
        if identity.expires is None:
            return None
        # A token comes from another machine, whose clock may differ; a key's expiry is our own word.
        leeway = self._settings.jwt_leeway if identity.kind is Kind.JWT else 0.0
        # The token's clock is the wall's; the connection's deadline is not (see Link.admit).
        return identity.expires + leeway - time.time()

    def since(self, websocket: WebSocket) -> Since | None:
        """The place in history that ``?since=`` names; one that cannot be read ends the connection."""
        text = websocket.head.query.get("since")
        if text is None:
            return None
        try:
            return parse_since(text, now_ms())
        except InvalidRequest:
            websocket.end(Reason.ABUSE)
            raise

    async def subscribe(
        self,
        websocket: WebSocket,
        identity: Identity,
        channel: str,
        encode: Encoder,
        *,
        since: Since | None = None,
        greet: Callable[[Position | None, bool], bytes] | None = None,
    ) -> Subscribed | None:
        """Subscribe to what ``identity`` may read; the subscription ends with the connection."""
        try:
            await self.check(identity, (channel,))
            return await self.listen(websocket, identity, (channel,), encode, since=since, greet=greet)
        except (InvalidRequest, Forbidden):
            websocket.end(Reason.FORBIDDEN)
            await trio.lowlevel.checkpoint()  # the scope is cancelled: the endpoint ends here
        return None

    async def check(self, identity: Identity, names: Sequence[str]) -> None:
        """:raises InvalidRequest: one of ``names`` is no channel or pattern. :raises Forbidden: one may not be read."""
        for number, name in enumerate(names, 1):
            check_pattern(name)
            if not await self._access.may_read(identity, name):
                which = f" {number} of {len(names)}" if len(names) > 1 else ""
                raise Forbidden(f"channel{which}: this credential may not read it")

    async def listen(
        self,
        link: Link,
        identity: Identity,
        names: tuple[str, ...],
        encode: Encoder,
        *,
        since: Since | None = None,
        greet: Callable[[Position | None, bool], bytes] | None = None,
        replaying: Encoder | None = None,
    ) -> Subscribed:
        """Subscribe to channels that :meth:`check` passed, several as one; it ends with the connection.

        :raises Forbidden: the right to one of them was taken away meanwhile.
        """
        with link.about_to_listen(*names):
            await self.check(identity, names)
            subscribed = await self._hub.subscribe(
                names if len(names) > 1 else names[0],
                link.outbox,
                encode,
                spawn=link.spawn,
                on_lost=link.end,
                since=since,
                greet=greet,
                replaying=replaying,
                listener=link.listed,
            )
        if link.listed is not None:
            link.listed.listens_to(names)
        link.on_end(subscribed.close)
        return subscribed

    async def ignore_messages(self, websocket: WebSocket) -> None:
        """Read and drop what the client sends, at the rate of commands; more than that is abuse."""
        bucket = Bucket(self._settings.command_rate, self._settings.command_burst)
        websocket.head.shed()
        while True:
            await websocket.receive()
            if bucket.take():
                websocket.end(Reason.RATE_LIMITED)
