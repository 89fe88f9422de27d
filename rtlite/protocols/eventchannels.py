"""The messages of ``/_events``: flat, with the ``channel`` beside the ``type``.

Source: the event channels' reference (subscribe, unsubscribe; events as ``{channel, event, data}``)::

    → {"type": "subscribe", "channel": "changes:product", "since": …, "id": 1}
    ← {"type": "subscribed", "channel": …, "event": "subscribed", "data": {…}, "position": …, "recovered": …, "id": 1}
    ← {"channel": …, "event": "UPDATED", "data": {…}, "id": …, "offset": 7, "timestamp": …, "position": …}
    ← {"type": "error", "channel": …, "event": "error", "data": {…}, "code": "invalid_request", "message": …, "id": 2}

The source's client prints ``event`` and ``data`` of whatever comes. So answers have both: their
type, and their own fields once more.
``id`` is the request's, in requests and answers; an event's own id is ``eventId`` there.
"""

from __future__ import annotations

from typing import Any

import orjson

from rtlite.errors import InvalidRequest
from rtlite.model import Event, PresenceNotice, rfc3339
from rtlite.protocols import jsonframes
from rtlite.protocols.verbs import Command, Request, RequestId, read, request_id


class FlatRequest(Request):
    """A request whose ``eventId`` is the event's ``id``."""

    def command(self) -> Command:
        try:
            return super().command()
        except InvalidRequest as error:
            if error.detail.startswith("id:"):
                raise InvalidRequest(f"eventId{error.detail[2:]}") from error
            raise


def decode(message: str | bytes) -> Request:
    """A client's message. :raises InvalidRequest: it is none."""
    value = read(message)
    id = request_id(value.pop("id", None))
    if "eventId" in value:
        value["id"] = value.pop("eventId")
    return FlatRequest(value.pop("type"), value, id)


def flat(type: str, fields: dict[str, Any], id: RequestId = None) -> bytes:
    """A message with its fields beside its type, as requests are."""
    return orjson.dumps({"type": type} | _named(fields) | ({} if id is None else {"id": id}))


def reply(type: str, fields: dict[str, Any], id: RequestId = None) -> bytes:
    """An answer, or a notice without being asked."""
    data = _named(fields)
    about = {"channel": data.pop("channel")} if "channel" in data else {}
    return flat(type, about | {"event": type, "data": data} | data, id)


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {"eventId" if name == "id" else name: value for name, value in fields.items()}


def error(code: str, message: str, request: Request | None = None) -> bytes:
    """Why something was not done, and on which channel."""
    channel = request.channel if request else None
    about = {} if channel is None else {"channel": channel}
    return reply("error", about | {"code": code, "message": message}, request.id if request else None)


def event(event: Event) -> bytes:
    """An event, with the place to resume its channel from."""
    return _event(event, b',"position":"%b"' % str(event.position).encode())


def event_of_kind(event: Event) -> bytes:
    """The same for who listens to a whole kind, where a place is a sequence, if the kind keeps any."""
    return _event(event, b',"position":"%b-%d"' % (event.epoch.encode(), event.sequence) if event.sequence else b"")


def _event(event: Event, position: bytes) -> bytes:
    return b'{"channel":%b,"event":%b,"data":%b,"id":%b,"offset":%d,"timestamp":"%b"%b}' % (
        orjson.dumps(event.channel),
        orjson.dumps(event.name),
        event.data,
        orjson.dumps(event.id),
        event.offset,
        rfc3339(event.timestamp).encode(),
        position,
    )


def presence(notice: PresenceNotice, id: RequestId = None) -> bytes:
    """Who came, changed or left; or, also as an answer, everyone."""
    return flat("presence", {"channel": notice.channel} | jsonframes.presence(notice), id)
