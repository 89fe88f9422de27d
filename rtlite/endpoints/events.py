"""``/_events``: event channels that a client subscribes to as it likes.

Source: the event channels' reference; see :mod:`rtlite.protocols.eventchannels`.
"""

from __future__ import annotations

from typing import Final

from rtlite.endpoints.dialogue import Dialogues
from rtlite.endpoints.subscriptions import Dialect
from rtlite.errors import CloseCode
from rtlite.model import Event, Kind, PresenceNotice
from rtlite.protocols import eventchannels
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame


def encode(event: Event) -> bytes:
    return text_frame(eventchannels.event(event))


def encode_of_kind(event: Event) -> bytes:
    return text_frame(eventchannels.event_of_kind(event))


def encode_presence(notice: PresenceNotice) -> bytes:
    return text_frame(eventchannels.presence(notice))


DIALECT: Final = Dialect(eventchannels, encode, encode_of_kind, encode_presence)
KINDS: Final = frozenset({Kind.JWT, Kind.PROJECT, Kind.ADMIN})


def _code(row: CloseCode) -> int:
    return row.commands


class EventsEndpoint:
    def __init__(self, dialogues: Dialogues) -> None:
        self._dialogues = dialogues

    def websockets(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/_events", "events", self.converse, _code)]

    async def converse(self, websocket: WebSocket) -> None:
        dialogue = self._dialogues.open(websocket, DIALECT, KINDS)
        if dialogue is not None:
            await dialogue.run()
