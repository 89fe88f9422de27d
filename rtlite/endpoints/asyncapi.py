"""``/asyncapi.json``: the doors that last as an AsyncAPI 3.0 document, made of what each says of itself.

``send`` and ``receive`` are ours, as AsyncAPI has it: what a server sends, its clients get.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from rtlite import __version__
from rtlite.endpoints.openapi import LICENSE
from rtlite.errors import Reason
from rtlite.protocols.jsonschema import Schemas, prose
from rtlite.settings import Settings
from rtlite.transports.contract import JSON, Message
from rtlite.transports.eventstream import EventStreamRoute
from rtlite.transports.websocket import WebSocketRoute

Door = WebSocketRoute | EventStreamRoute

ABOUT: Final = (
    "What goes over rtlite's WebSockets and event streams. Its HTTP API is in `/openapi.json`.\n\n"
    "Every protocol reaches the same channels: an event that is published by any door comes out of all of them."
)
SCHEMES: Final[Mapping[str, dict[str, Any]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, a JWT or a ticket"},
    "apiKey": {"type": "httpApiKey", "in": "header", "name": "X-Api-Key", "description": "An API key"},
    "queryToken": {"type": "httpApiKey", "in": "query", "name": "token", "description": "For browsers' WebSockets"},
    "queryApiKey": {"type": "httpApiKey", "in": "query", "name": "apiKey", "description": "For browsers' WebSockets"},
}


def document(doors: Sequence[Door], settings: Settings) -> dict[str, Any]:
    """All of it, for servers with these settings."""
    return _Document(settings).of([door for door in doors if door.messages])


class _Document:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._schemas = Schemas(settings)
        self._messages: dict[str, Any] = {}
        self._operations: dict[str, Any] = {}

    def of(self, doors: Sequence[Door]) -> dict[str, Any]:
        channels = {_name(door): self._channel(door) for door in doors}
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "rtlite",
                "version": __version__,
                "description": ABOUT,
                "license": {"name": LICENSE["name"]},
            },
            "defaultContentType": JSON,
            "servers": self._servers(),
            "channels": channels,
            "operations": self._operations,
            "components": {
                "securitySchemes": SCHEMES,
                "messages": self._messages,
                "schemas": dict(sorted(self._schemas.named.items())),
            },
        }

    def _servers(self) -> dict[str, Any]:
        base = urlsplit(self._settings.public_url or "http://127.0.0.1:8000")
        secure = "s" if base.scheme == "https" or self._settings.certfile else ""
        security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SCHEMES]
        host = {
            "host": "{host}",
            "variables": {"host": {"default": base.netloc, "description": "Where this document was asked for"}},
            "security": security,
        }
        return {
            "sockets": {**host, "protocol": f"ws{secure}", "description": "WebSockets"},
            "streams": {**host, "protocol": f"http{secure}", "description": "Server-Sent Events"},
        }

    def _channel(self, door: Door) -> dict[str, Any]:
        name = _name(door)
        messages = {message.name: self._message(name, message) for message in door.messages}
        self._operations |= dict(self._operations_of(name, door.messages))
        socket = isinstance(door, WebSocketRoute)
        channel: dict[str, Any] = {
            "address": door.pattern,
            "title": name,
            "description": prose(inspect.getdoc(door.endpoint)) or prose(inspect.getmodule(door.endpoint).__doc__),
            "servers": [{"$ref": f"#/servers/{'sockets' if socket else 'streams'}"}],
            "messages": messages,
        }
        if parameters := re.findall(r"\{(\w+)\}", door.pattern):
            channel["parameters"] = {each: {"description": f"The {each}, percent-encoded"} for each in parameters}
        if isinstance(door, WebSocketRoute):
            channel["bindings"] = {"ws": {"method": "GET", "bindingVersion": "0.1.0", **self._query(door)}}
            channel["x-close-codes"] = _close_codes(door)
        return channel

    def _query(self, door: Door) -> dict[str, Any]:
        if not door.asks:
            return {}
        fields = {
            asked.name: self._schemas.of(asked.type) | ({"description": asked.about} if asked.about else {})
            for asked in door.asks
        }
        required = [asked.name for asked in door.asks if asked.required]
        return {"query": {"type": "object", "properties": fields} | ({"required": required} if required else {})}

    def _message(self, channel: str, message: Message) -> dict[str, str]:
        key = f"{channel}.{message.name}"
        described: dict[str, Any] = {
            "name": message.name,
            "title": message.name,
            "summary": prose(message.about),
            "contentType": message.media,
            "payload": self._schemas.of(message.payload),
        }
        if message.examples:
            described["examples"] = [{"name": message.name, "payload": example} for example in message.examples]
        self._messages[key] = described
        return {"$ref": f"#/components/messages/{key}"}

    @staticmethod
    def _operations_of(channel: str, messages: Sequence[Message]) -> Iterator[tuple[str, Any]]:
        for action, sent in (("send", True), ("receive", False)):
            names = [message.name for message in messages if message.sent is sent]
            if names:
                yield (
                    f"{action}_{channel}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{channel}"},
                        "summary": "What clients get." if sent else "What clients send.",
                        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
                    },
                )


def _name(door: Door) -> str:
    """Of its path: ``blog_ws_articles_slug``."""
    return re.sub(r"\W+", "_", door.pattern).strip("_") + ("_" if door.pattern.endswith("/") else "")


def _close_codes(door: WebSocketRoute) -> list[dict[str, Any]]:
    """By which codes it may be closed, and why."""
    return [
        {"code": door.codes(reason.value), "reason": reason.name.lower(), "text": reason.value.text}
        for reason in Reason
    ]
