"""WebSocket protocols of the program around the server.

Who connects is admitted as at our own doors, and read no faster than the rate of commands; what is said
then is the program's. Messages, connections, handshakes and silence have the limits that all WebSockets have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps

import attrs
import trio

from rtlite.auth.throttle import Bucket, Buckets
from rtlite.endpoints.pacing import held_back
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import StartError
from rtlite.settings import Settings
from rtlite.transports.routes import PathTable
from rtlite.transports.websocket import WebSocket, WebSocketRoute

Endpoint = Callable[[WebSocket], Awaitable[None]]


class GuestSockets:
    """:param users: how fast each user may send, over all connections."""

    def __init__(
        self, brought: Sequence[WebSocketRoute], sessions: Sessions, users: Buckets, settings: Settings
    ) -> None:
        self._brought = brought
        self._sessions = sessions
        self._users = users
        self._settings = settings

    def websockets(self, ours: Sequence[WebSocketRoute]) -> list[WebSocketRoute]:
        """:raises StartError: one is at a path of ``ours``, or of another."""
        served = list(ours)
        for route in self._brought:
            taken = PathTable([(known.pattern, known) for known in served]).find(route.pattern)
            if taken or not route.pattern.startswith("/"):
                raise StartError(f"websockets: {route.pattern} is {'served already' if taken else 'no path'}")
            served.append(attrs.evolve(route, endpoint=self._admitting(route.endpoint)))
        return served[len(ours) :]

    def _admitting(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)  # the descriptions show what it says of itself
        async def converse(websocket: WebSocket) -> None:
            identity = self._sessions.admit(websocket)
            if identity is None:
                return
            bucket = Bucket(self._settings.command_rate, self._settings.command_burst, clock=trio.current_time)
            # Who sends too fast is read more slowly: we do not know how the protocol would say so.
            websocket.moderate = partial(held_back, bucket, self._users, identity)
            await endpoint(websocket)

        return converse
