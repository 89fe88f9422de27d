"""GraphQL as a blocking client speaks it, over a WebSocket; and what an answer says of who asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson

from tests.security.scene import Line, Scene
from tests.transports.doors import CLOSE, TEXT, frame

PROTOCOL: Final = "graphql-transport-ws"


class Socket:
    """A connection of graphql-transport-ws."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.heard: list[dict[str, Any]] = []
        """What came of other operations while one was waited for."""

    def connect(self, params: dict[str, Any]) -> int | None:
        """Say who it is; returns the close code if that is refused."""
        self.send({"type": "connection_init", "payload": params})
        opcode, payload = self._line.frame()
        if opcode == CLOSE:
            return int.from_bytes(payload[:2], "big")
        assert opcode == TEXT and orjson.loads(payload)["type"] == "connection_ack", payload
        return None

    def begin(self, id: str, query: str, variables: dict[str, Any] | None = None) -> None:
        self.send({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables or {}}})

    def hear(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = orjson.loads(self._line.text())
        return message

    def ask(self, id: str, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a query or a mutation is answered, as over HTTP; also the first result of a subscription, which goes on."""
        self.begin(id, query, variables)
        # What is asked twice under one id is completed before the second answer.
        while (message := self.hear()).get("id") != id or message["type"] == "complete":
            if message["type"] in {"next", "error"}:
                self.heard.append(message)
        if message["type"] == "error":
            return {"errors": message["payload"]}
        result: dict[str, Any] = message["payload"]
        return result

    def send(self, message: dict[str, Any]) -> None:
        self._line.send(frame(orjson.dumps(message)))


@contextmanager
def graphql_socket(scene: Scene) -> Iterator[Socket]:
    """A socket that nobody is known on yet."""
    with scene.upgrade("/graphql/ws", **{"X-Api-Key": "", "Sec-WebSocket-Protocol": PROTOCOL}) as line:
        yield Socket(line)


def params(secret: str | None, number: int) -> dict[str, Any]:
    """A credential can be shown in two ways; each is used in turn."""
    if secret is None:
        return {}
    return ({"apiKey": secret}, {"authorization": f"Bearer {secret}"})[number % 2]


def code_of(answer: dict[str, Any]) -> str | None:
    """Why it was refused, if it was."""
    if not answer.get("errors"):
        return None
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])
