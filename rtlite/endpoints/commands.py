"""``/ws``: commands over a WebSocket. The user's own notifications come without asking.

Source: the command WebSocket's reference; see :mod:`rtlite.protocols.commands`.
"""

from __future__ import annotations

from typing import Final

from rtlite.domain.access import Access
from rtlite.endpoints.dialogue import Dialogue, Dialogues
from rtlite.endpoints.sessions import Sessions
from rtlite.endpoints.subscriptions import Dialect
from rtlite.errors import CloseCode, InvalidRequest
from rtlite.hub.since import Since
from rtlite.model import Event, Kind, Position, PresenceNotice, check_channel
from rtlite.protocols import commands
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame


def encode(event: Event) -> bytes:
    return text_frame(commands.event(event))


def encode_of_kind(event: Event) -> bytes:
    return text_frame(commands.event_of_kind(event))


def encode_presence(notice: PresenceNotice) -> bytes:
    return text_frame(commands.presence(notice))


DIALECT: Final = Dialect(commands, encode, encode_of_kind, encode_presence)
KINDS: Final = frozenset({Kind.JWT})


def _code(row: CloseCode) -> int:
    return row.commands


class CommandsEndpoint:
    def __init__(self, dialogues: Dialogues, sessions: Sessions, access: Access) -> None:
        self._dialogues = dialogues
        self._sessions = sessions
        self._access = access

    def websockets(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/ws", "commands", self.converse, _code)]

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
