"""What the messages of a recorded upstream mean: the events in them, by the shapes of the protocols spoken here."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from rtlite.cli.dialects import TooDeep, event_of, is_socket_io, json_value

_HANDSHAKE: Final = frozenset(
    {"connected", "authenticated", "subscribed", "unsubscribed", "token_expiring", "ping", "pong"}
)
_ANSWERS: Final = _HANDSHAKE | {"presence", "error", "warning"}
_JOB_ENDS: Final = frozenset({"completed", "failed", "cancelled"})
_RESULT: Final = frozenset({"data", "errors", "extensions"})


def meaning(raw: str, channel: str | None) -> dict[str, Any] | None:
    """The event in an upstream's message, by the shapes of the protocols that are spoken here; ``None`` if none is.

    ``{"channel","event","data"}`` is whole; ``{"type","data"}`` and ``{"type", …}`` are of ``channel``
    unless they name one, and whatever else is JSON is a ``message`` of it. So is the first argument of
    a Socket.IO event; and what a GraphQL subscription tells is what the event said.
    """
    if (arguments := event_of(raw)) is not None:
        name, data = arguments[0], arguments[1] if len(arguments) > 1 else None
        return None if channel is None or name in _ANSWERS else {"channel": channel, "event": name, "data": data}
    try:
        value = json_value(raw)
    except TooDeep:
        return None
    except ValueError:
        return None if channel is None else {"channel": channel, "event": "message", "data": raw}
    named: object
    match value:
        case {"type": str(type)} if type in _ANSWERS:
            return None
        case {"channel": str(), "userId": _} if "type" not in value:
            return None  # a stream of events has begun
        case {"channel": str(named), "event": str(event), "data": data}:
            return {"channel": named, "event": event, "data": data}
        case {"data": dict(fields)} if len(fields) == 1 and value.keys() <= _RESULT:
            ((field, told),) = fields.items()
            return _told(field, told, channel)
        case {"errors": list()} if value.keys() <= _RESULT:
            return None  # a result that is none: something of what was asked for is gone
        case {"type": str(event), **rest}:
            named = rest.pop("channel", None)
            target = named if isinstance(named, str) else channel
            data = rest.get("data", rest)
            return None if target is None else {"channel": target, "event": event, "data": data}
    return None if channel is None else {"channel": channel, "event": "message", "data": value}


def is_event(raw: str) -> bool:
    """Whether there is an event in a message, given that its channel is known."""
    return meaning(raw, "a:channel") is not None


def is_handshake(raw: str) -> bool:
    """Whether a message tells of the connection alone: that it is there, what it listens to, that it lives."""
    if (arguments := event_of(raw)) is not None:
        return arguments[0] in _HANDSHAKE
    try:
        value = json_value(raw)
    except ValueError:
        return False
    match value:
        case {"type": str(type)}:
            return type in _HANDSHAKE
        case {"channel": str(), "userId": _}:
            return True  # a stream of events has begun
    return False


def _told(field: str, told: Any, channel: str | None) -> dict[str, Any] | None:
    """What the field of a GraphQL subscription says, by the fields that there are here."""
    match field, told:
        case "event", {"channel": str(named), "event": str(event), "data": data}:
            return {"channel": named, "event": event, "data": data}
        case "recordChanged", {"type": str(type), "record": dict(record)}:
            target = channel or (f"changes:{record['modelKey']}" if isinstance(record.get("modelKey"), str) else None)
            return None if target is None else {"channel": target, "event": type, "data": told}
        case "jobProgress", {"id": str(id)}:
            status = told.get("status")
            event = f"job.{status if status in _JOB_ENDS else 'created' if status == 'pending' else 'progress'}"
            return {"channel": channel or f"jobs:{id}", "event": event, "data": told}
        case "notificationReceived", dict():
            target = channel or f"notifications:{told.get('userId') or 'dev'}"
            return {"channel": target, "event": "notification.new", "data": told}
    return None if channel is None else {"channel": channel, "event": field, "data": told}


def channel_of(url: str) -> str | None:
    """The channel that a blog's or a stream's URL names; ``None`` of one that names none."""
    path = urlsplit(url).path
    if is_socket_io(path):
        query = dict(parse_qsl(urlsplit(url).query))
        name = ":".join(filter(None, (query.get("stream"), query.get("channel"))))
        return f"stream:{name}" if query.get("stream") else None
    match [part for part in path.split("/") if part]:
        case [*_, "ws", "articles", slug]:
            return f"article:{slug}"
        case [*_, "graphql", "ws"]:
            return None
        case [*_, "ws", "notifications"] | [*_, "ws"]:
            return "notifications:dev"
        case [*_, "sse", channel]:
            return channel
    return None
