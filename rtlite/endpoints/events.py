"""``/_events``: event channels that a client subscribes to as it likes.

Source: the event channels' reference; see :mod:`rtlite.protocols.eventchannels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NotRequired

from rtlite.endpoints import messages
from rtlite.endpoints.dialogue import Dialogues
from rtlite.endpoints.messages import METADATA, Form, RequestId
from rtlite.endpoints.subscriptions import Dialect
from rtlite.model import Event, Kind, PresenceNotice
from rtlite.protocols import answers, eventchannels
from rtlite.protocols.jsonschema import Shape, fields_of
from rtlite.rules import Channel
from rtlite.transports.contract import Message
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame


def encode(event: Event) -> bytes:
    return text_frame(eventchannels.event(event))


def encode_of_kind(event: Event) -> bytes:
    return text_frame(eventchannels.event_of_kind(event))


def encode_presence(notice: PresenceNotice) -> bytes:
    return text_frame(eventchannels.presence(notice))


DIALECT: Final = Dialect(eventchannels, encode, encode_of_kind, encode_presence)
KINDS: Final = frozenset({Kind.JWT, Kind.PROJECT, Kind.ADMIN})


def _message(type: Any, fields: Mapping[str, Any]) -> Shape:
    """``id`` is the request's; an event's own is ``eventId``."""
    return Shape({"type": type, **_named(fields), "id": NotRequired[RequestId]})


def _answer(type: Any, fields: Mapping[str, Any]) -> Shape:
    """What it says stands in ``data`` as well."""
    data = {name: field for name, field in _named(fields).items() if name != "channel"}
    return _message(type, {**fields, "event": type, "data": Shape(data)})


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"eventId" if name == "id" else name: field for name, field in fields.items()}


MESSAGES: Final = (
    *messages.commands(Form(_message, eventchannels.flat), Form(_answer, eventchannels.reply)),
    *(
        Message(name, str(shape.__doc__), _message("presence", {"channel": Channel, **fields_of(shape)}))
        for name, shape in (("presence_news", answers.PresenceNews), ("presence_list", answers.PresenceList))
    ),
    *messages.events(
        "changes jobs notifications",
        lambda name, data: Shape({"channel": Channel, "event": name, "data": data, **METADATA}),
        eventchannels.event,
    ),
)


class EventsEndpoint:
    def __init__(self, dialogues: Dialogues) -> None:
        self._dialogues = dialogues

    def websockets(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/_events", "events", self.converse, messages=MESSAGES)]

    async def converse(self, websocket: WebSocket) -> None:
        dialogue = self._dialogues.open(websocket, DIALECT, KINDS)
        if dialogue is not None:
            await dialogue.run()
