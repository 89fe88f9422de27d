"""``/collab/{room}``: a Yjs document, as clients of y-websocket edit it; and where it is to be found.

Source: y-websocket's provider and server; the messages are :mod:`rtlite.protocols.yjs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, TypedDict

import trio

from rtlite.auth.grants import may_edit, may_view
from rtlite.domain.documents import Documents, room_channel
from rtlite.domain.visitors import Visitor
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import InvalidRequest, Reason, TooLarge
from rtlite.protocols import yjs
from rtlite.rules import Rule
from rtlite.settings import Settings
from rtlite.transports import routes
from rtlite.transports.contract import BYTES, Message
from rtlite.transports.routes import Call, Reply, Route, json_reply
from rtlite.transports.websocket import WebSocket, WebSocketRoute


class CollabInfo(TypedDict):
    """Where collaborative documents are edited."""

    enabled: bool
    provider: str
    websocketUrl: Annotated[str, Rule(format="uri")]


def _messages() -> Iterator[Message]:
    for name, about in (
        ("sync_step_1", "What the sender has (a state vector): it wants to know what it lacks."),
        ("sync_step_2", "The answer: an update."),
        ("update", "An edit."),
        ("awareness", "What clients say of themselves: cursors, names."),
        ("query_awareness", "Tell me everyone's awareness."),
    ):
        yield Message(f"{name}_received", about, bytes, sent=False, media=BYTES)
        if name != "query_awareness":
            yield Message(f"{name}_sent", about, bytes, media=BYTES)
    yield Message("permission_denied", "An edit is refused: this credential may only read.", bytes, media=BYTES)


MESSAGES: Final = tuple(_messages())


class Collab:
    def __init__(self, documents: Documents, sessions: Sessions, settings: Settings) -> None:
        self._documents = documents
        self._sessions = sessions
        self._settings = settings

    def routes(self) -> list[Route]:
        key = routes.Access.CREDENTIAL
        what = "Where collaborative documents are edited"
        return [Route("GET", "/collab/info", self.info, what, key, gives={200: CollabInfo})]

    def websockets(self) -> list[WebSocketRoute]:
        limit = self._settings.collab_message
        return [WebSocketRoute("/collab/{room}", "collab", self.converse, max_message=limit, messages=MESSAGES)]

    async def info(self, call: Call) -> Reply:
        """Our own address, as the client knows it."""
        base = self._settings.public_url or f"{call.scheme}://{call.headers.get('host', 'localhost')}"
        url = f"{base.replace('http', 'ws', 1)}/collab"
        return json_reply({"enabled": True, "provider": "yjs", "websocketUrl": url})

    async def converse(self, websocket: WebSocket) -> None:
        identity = self._sessions.admit(websocket)
        if identity is None:
            return
        name = websocket.params["room"]
        try:
            channel = room_channel(name)
        except InvalidRequest:
            websocket.end(Reason.FORBIDDEN)
            return
        write = may_edit(identity, channel, self._settings)
        if not write and not may_view(identity, channel, self._settings):
            websocket.end(Reason.FORBIDDEN)
            return
        websocket.head.shed()
        if websocket.listed is not None:
            websocket.listed.listens_to((channel,))
        visitor = Visitor(websocket, identity, write, channel)
        async with self._documents.joined(name, visitor) as room:
            while True:
                data = await websocket.receive()
                if isinstance(data, str):
                    raise InvalidRequest("messages are binary")
                try:
                    for message in yjs.decode(data):
                        await room.take(visitor, message)
                except TooLarge:
                    websocket.end(Reason.TOO_BIG)
                    await trio.lowlevel.checkpoint()  # the scope is cancelled: it ends here
