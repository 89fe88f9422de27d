"""``/ws``: commands over a WebSocket. The user's own notifications come without asking.

Source: the command WebSocket's reference; see :mod:`rtlite.protocols.commands`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NotRequired

from rtlite.domain.access import Access
from rtlite.endpoints import messages
from rtlite.endpoints.dialogue import Dialogue, Dialogues
from rtlite.endpoints.messages import METADATA, Form, RequestId
from rtlite.endpoints.sessions import Sessions
from rtlite.endpoints.subscriptions import Dialect
from rtlite.errors import InvalidRequest
from rtlite.hub.since import Since
from rtlite.model import Event, Kind, Position, PresenceNotice, check_channel
from rtlite.protocols import answers, commands
from rtlite.protocols.jsonschema import Shape, fields_of
from rtlite.rules import Channel, SinceText
from rtlite.transports.contract import Asked, Message
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame


def encode(event: Event) -> bytes:
    return text_frame(commands.event(event))


def encode_of_kind(event: Event) -> bytes:
    return text_frame(commands.event_of_kind(event))


def encode_presence(notice: PresenceNotice) -> bytes:
    return text_frame(commands.presence(notice))


DIALECT: Final = Dialect(commands, encode, encode_of_kind, encode_presence)
KINDS: Final = frozenset({Kind.JWT})

ASKED: Final = (Asked("since", SinceText, "Where the user's own notifications begin"),)


def _message(type: Any, fields: Mapping[str, Any]) -> Shape:
    return Shape({"type": type, "data": Shape(fields), "id": NotRequired[RequestId]})


def _presence(data: Any) -> Shape:
    return Shape({"type": "presence", "channel": Channel, "data": data, "id": NotRequired[RequestId]})


_FORM: Final = Form(_message, commands.reply)
MESSAGES: Final = (
    *messages.commands(_FORM, _FORM),
    Message("connected", str(answers.Connected.__doc__), _message("connected", fields_of(answers.Connected))),
    Message("presence_news", str(answers.PresenceNews.__doc__), _presence(answers.PresenceNews)),
    Message("presence_list", str(answers.PresenceList.__doc__), _presence(answers.PresenceList)),
    *messages.events(
        "notifications conversation task",
        lambda name, data: Shape({"type": name, "channel": Channel, "data": data, **METADATA}),
        commands.event,
    ),
)


class CommandsEndpoint:
    def __init__(self, dialogues: Dialogues, sessions: Sessions, access: Access) -> None:
        self._dialogues = dialogues
        self._sessions = sessions
        self._access = access

    def websockets(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/ws", "commands", self.converse, asks=ASKED, messages=MESSAGES)]

    async def converse(self, websocket: WebSocket) -> None:
        dialogue = self._dialogues.open(websocket, DIALECT, KINDS)
        if dialogue is not None:
            await self._open_inbox(websocket, dialogue, self._sessions.since(websocket))
            await dialogue.run()

    async def _open_inbox(self, websocket: WebSocket, dialogue: Dialogue, since: Since | None) -> None:
        """Subscribe the user to its own notifications, and say where they begin."""
        user, channel = dialogue.identity.user, f"notifications:{dialogue.identity.user}"

        def connected(position: Position | None, recovered: bool, channel: str | None = channel) -> bytes:
            shown = None if position is None else str(position)
            fields = {"user": user, "channel": channel, "position": shown, "recovered": recovered}
            return DIALECT.reply("connected", fields)

        try:
            readable = await self._access.may_read(dialogue.identity, check_channel(channel))
        except InvalidRequest:  # not every user's name can be a channel's
            readable = False
        if readable:
            await dialogue.channels.listen(dialogue.identity, channel, connected, since)
        else:
            await websocket.outbox.send(connected(None, since is None, None))
