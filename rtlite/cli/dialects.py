"""What an upstream's WebSocket speaks, as its client: fed with messages and asked what to say, without I/O.

Each hands over what it was sent as text, which :func:`rtlite.cli.meaning.meaning` reads::

    Plain       {"type":"view_update",…}                      the message, whatever it is
    GraphQL     {"data":{"recordChanged":{…}}}                the payload of a ``next``
    SocketIO    2["message",{…},"019…"]                       the packet

Sources: graphql-transport-ws of the package graphql-ws; Engine.IO 4 and Socket.IO 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import attrs
import orjson

from rtlite.client import CallFailed
from rtlite.protocols import engineio, graphqlws

_EVENT: Final = "2["


class Over(Exception):
    """The upstream says that nothing more will come."""


class TooDeep(ValueError):
    """JSON that is read, but nested more deeply than it can be written."""


@attrs.define
class Step:
    """What a message leads to: what is said in answer, and what is recorded of it."""

    answers: list[str] = attrs.field(factory=list)
    recorded: list[str] = attrs.field(factory=list)
    up: bool = False
    """From now on, events come."""


class Dialect(Protocol):
    """One connection's side of a protocol; a new one is made for each."""

    @property
    def subprotocol(self) -> str | None: ...
    @property
    def query(self) -> str:
        """What it adds to the URL's query."""

    def begin(self) -> Step:
        """When the WebSocket is open."""

    def feed(self, message: str | bytes) -> Step:
        """:raises CallFailed: the upstream refuses for good. :raises Over: it has nothing more to send."""


class Plain:
    """Any text is a message of interest; the ``messages`` are sent first."""

    subprotocol = None
    query = ""

    def __init__(self, messages: Sequence[str] = ()) -> None:
        self._messages = messages

    def begin(self) -> Step:
        return Step(list(self._messages), up=True)

    def feed(self, message: str | bytes) -> Step:
        return Step(recorded=[message] if isinstance(message, str) else [])


class GraphQL:
    """One subscription by graphql-transport-ws.

    :param request: ``query`` and ``variables``. :param params: the payload of ``connection_init``.
    """

    subprotocol = graphqlws.NAME
    query = ""

    def __init__(self, request: dict[str, Any], params: dict[str, Any]) -> None:
        self._request = request
        self._params = params

    def begin(self) -> Step:
        return Step([_json({"type": "connection_init", "payload": self._params})])

    def feed(self, message: str | bytes) -> Step:
        match _parsed(message):
            case {"type": "connection_ack"}:
                return Step([_json({"id": "1", "type": "subscribe", "payload": self._request})], up=True)
            case {"type": "ping"}:
                return Step([_json({"type": "pong"})])
            case {"type": "next", "payload": dict(payload)}:
                return Step(recorded=[_json(payload)])
            case {"type": "error", "payload": payload}:
                raise CallFailed(f"the upstream refuses the subscription: {_json(payload)[:500]}", 400, "refused")
            case {"type": "complete"}:
                raise Over
        return Step()


class SocketIO:
    """The root namespace of Socket.IO. Its events without attachments are recorded.

    :param auth: what CONNECT carries.
    """

    subprotocol = None
    query = urlencode({"EIO": engineio.REVISION, "transport": engineio.WEBSOCKET})

    def __init__(self, auth: dict[str, Any] | None = None) -> None:
        self._auth = auth
        self._trouble = ""

    def begin(self) -> Step:
        return Step()  # the server begins, with the open packet

    def feed(self, message: str | bytes) -> Step:
        if isinstance(message, bytes):
            return Step()  # an attachment, of an event that is left out
        type, packet = message[:1], message[1:]
        if type == engineio.OPEN:
            return Step([f"{engineio.MESSAGE}0" + ("" if self._auth is None else _json(self._auth))])
        if type == engineio.PING:
            return Step([engineio.PONG + packet])
        if type != engineio.MESSAGE:
            return Step()
        match packet[:1]:
            case "0":
                return Step(up=True)
            case "1":  # the upstream disconnects us; what it said before, as an error, is why
                why = self._trouble or "without a reason"
                raise CallFailed(f"the upstream ended the connection: {why}", 403 if self._trouble else 0, "refused")
            case "4":
                raise CallFailed(f"the upstream refuses the connection: {packet[1:500]}", 403, "refused")
        if not packet.startswith(_EVENT):
            return Step()
        event = event_of(packet)
        self._trouble = _json(event[1:])[:500] if event is not None and event[0] == "error" else ""
        return Step(recorded=[packet])


def is_socket_io(path: str) -> bool:
    """Whether a URL's path is where Socket.IO is, unless a server has it elsewhere."""
    return path.rstrip("/").endswith("/socket.io")


def event_of(packet: str) -> list[Any] | None:
    """The name and the arguments of a Socket.IO event; ``None`` if this is none."""
    value = _parsed(packet[1:]) if packet.startswith(_EVENT) else None
    return value if isinstance(value, list) and value and isinstance(value[0], str) else None


def json_value(text: str | bytes) -> Any:
    """An upstream's JSON. :raises ValueError: it is none, or nested more deeply than it could be published."""
    value = orjson.loads(text)
    try:
        orjson.dumps([value])
    except TypeError as error:
        raise TooDeep from error
    return value


def _parsed(message: str | bytes) -> Any:
    try:
        return json_value(message)
    except ValueError:
        return None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
