"""The messages of ``/ws``: commands, answers, events and errors, each with its ``data`` inside.

Source: the command WebSocket's reference (subscribe, unsubscribe, ping; the error codes)::

    → {"type": "subscribe", "data": {"channel": "conversation:conv-123"}, "id": 1}
    ← {"type": "subscribed", "data": {"channel": …, "position": …, "recovered": true}, "id": 1}
    ← {"type": "chat_message", "channel": …, "data": {…}, "id": …, "timestamp": …, "offset": 7, "position": …}
    ← {"type": "error", "data": {"code": "invalid_request", "message": …}, "id": 2}
"""

from __future__ import annotations

from typing import Any

import orjson

from rtlite.errors import InvalidRequest
from rtlite.model import Event, PresenceNotice, rfc3339
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Request, RequestId, read, request_id


def decode(message: str | bytes) -> Request:
    """A client's message. :raises InvalidRequest: it is none."""
    value = read(message)
    fields = value.get("data", {})
    if not isinstance(fields, dict):
        raise InvalidRequest("data: an object is wanted")
    return Request(value["type"], fields, request_id(value.get("id")))


def reply(type: str, fields: dict[str, Any], id: RequestId = None) -> bytes:
    """An answer, or a notice without being asked."""
    return orjson.dumps({"type": type, "data": fields} | ({} if id is None else {"id": id}))


def error(code: str, message: str, request: Request | None = None) -> bytes:
    """Why something was not done."""
    return reply("error", {"code": code, "message": message}, request.id if request else None)


def event(event: Event) -> bytes:
    """An event, with the place to resume its channel from."""
    return _event(event, b',"position":"%b"' % str(event.position).encode())


def event_of_kind(event: Event) -> bytes:
    """The same for who listens to a whole kind, where a place is a sequence, if the kind keeps any."""
    return _event(event, b',"position":"%b-%d"' % (event.epoch.encode(), event.sequence) if event.sequence else b"")


def _event(event: Event, position: bytes) -> bytes:
    return b'{"type":%b,"channel":%b,"data":%b,"id":%b,"timestamp":"%b","offset":%d%b}' % (
        orjson.dumps(event.name),
        orjson.dumps(event.channel),
        event.data,
        orjson.dumps(event.id),
        rfc3339(event.timestamp).encode(),
        event.offset,
        position,
    )


def presence(notice: PresenceNotice, id: RequestId = None) -> bytes:
    """Who came, changed or left; or, also as an answer, everyone."""
    value = {"type": "presence", "channel": notice.channel, "data": jsonframes.presence(notice)}
    return orjson.dumps(value | ({} if id is None else {"id": id}))
