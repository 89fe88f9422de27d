"""graphql-transport-ws: GraphQL operations over one WebSocket, as a machine that is fed messages.

Source: PROTOCOL.md of the npm package graphql-ws. The client asks for a *connection* within
the socket (``connection_init``), and once it is granted (``connection_ack``) it begins
*operations*, each under an id of its own. An operation has results (``next``) and one end:
``complete`` from either side, or ``error`` from the server, after which no ``complete``
comes. Either side may ``ping`` at any time. Messages cross on their way, so the end of an
operation that is over already is nothing; only to begin one whose id is still taken is a
mistake. What a message does depends on where the connection stands::

                     NEW               CONNECTING       READY
    connection_init  connect           close 4429       close 4429
    subscribe        close 4401        close 4401       begin, or close 4409 if the id is taken
    complete         nothing           nothing          stop, or nothing if the id is unknown
    ping             pong              pong             pong
    pong             nothing           nothing          nothing
    anything else    close 4400        close 4400       close 4400

Who drives it feeds every message to :meth:`Session.receive`, does what it returns, and says
what became of it: :meth:`Session.acknowledge` once it is known who connects, and
:meth:`Session.finish` before it sends ``error`` or ``complete``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

import attrs
import orjson

from rtlite.errors import InvalidRequest, Reason
from rtlite.protocols import jsonframes

NAME: Final = "graphql-transport-ws"
OLD_NAME: Final = "graphql-ws"
"""Another, older protocol (of subscriptions-transport-ws). It is chosen only to be refused by a close code:
a browser whose offer is not taken up sees none."""

MAX_ID: Final = 128  # characters; it is sent back with each result
MAX_STRANGER: Final = 16 * 1024  # characters of a message from who is not known yet; two credentials fit in


class State(Enum):
    NEW = auto()
    CONNECTING = auto()
    """The client has said who it is, and waits for the answer."""
    READY = auto()
    CLOSED = auto()


@attrs.frozen
class Request:
    """What an operation is to do."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None


@attrs.frozen
class Message:
    """A client's message that has the form it should have."""

    type: str
    id: str = ""
    payload: dict[str, Any] | None = None
    request: Request | None = None


@attrs.frozen
class Connect:
    """Find out who this is by what the client says of itself."""

    params: dict[str, Any]


@attrs.frozen
class Begin:
    id: str
    request: Request


@attrs.frozen
class Stop:
    id: str


@attrs.frozen
class Answer:
    """Send this message."""

    text: bytes


@attrs.frozen
class Close:
    reason: Reason


Step = Connect | Begin | Stop | Answer | Close | None


class Move(Enum):
    """What a message does, where it does not close the connection."""

    CONNECT = auto()
    BEGIN = auto()
    STOP = auto()
    PONG = auto()
    NOTHING = auto()


_AT_ANY_TIME: Final[Mapping[str, Move | Reason]] = {
    "ping": Move.PONG,
    "pong": Move.NOTHING,
    "complete": Move.NOTHING,
    "connection_init": Reason.SECOND_INIT,
    "subscribe": Reason.NOT_INITIALISED,
}
TABLE: Final[Mapping[State, Mapping[str, Move | Reason]]] = {
    State.NEW: {**_AT_ANY_TIME, "connection_init": Move.CONNECT},
    State.CONNECTING: _AT_ANY_TIME,
    State.READY: {**_AT_ANY_TIME, "subscribe": Move.BEGIN, "complete": Move.STOP},
}


class Session:
    """One socket's side of the protocol.

    :ivar operations: the ids that are taken.
    """

    def __init__(self) -> None:
        self.state = State.NEW
        self.operations: set[str] = set()

    def receive(self, text: str | bytes) -> Step:
        """What a message asks for; after a :class:`Close` nothing counts any more."""
        if self.state is State.CLOSED:
            return None
        if self.state is not State.READY and len(text) > MAX_STRANGER:
            return self._close(Reason.TOO_BIG)
        try:
            message = decode(text)
            move = TABLE[self.state][message.type]
            return self._close(move) if isinstance(move, Reason) else self._do(move, message)
        except InvalidRequest:
            return self._close(Reason.INVALID_MESSAGE)

    def _do(self, move: Move, message: Message) -> Step:
        match move:
            case Move.CONNECT:
                self.state = State.CONNECTING
                return Connect(message.payload or {})
            case Move.PONG:
                return Answer(pong(message.payload))
            case Move.BEGIN if message.request is not None:
                if message.id in self.operations:
                    return self._close(Reason.DUPLICATE_ID)
                self.operations.add(message.id)
                return Begin(message.id, message.request)
            case Move.STOP if message.id in self.operations:
                self.operations.remove(message.id)
                return Stop(message.id)
        return None

    def _close(self, reason: Reason) -> Close:
        self.state = State.CLOSED
        return Close(reason)

    def acknowledge(self, payload: Mapping[str, Any]) -> bytes:
        """It is known who this is: operations may begin. Returns the message that says so."""
        self.state = State.READY
        return orjson.dumps({"type": "connection_ack", "payload": payload})

    def finish(self, id: str) -> bool:
        """The server is done with an operation; ``False`` if it was over already, and then nothing is to be said."""
        if id not in self.operations:
            return False
        self.operations.remove(id)
        return True


def decode(text: str | bytes) -> Message:
    """A client's message. :raises InvalidRequest: it has not the form of one; the text names the field."""
    if isinstance(text, bytes):
        raise InvalidRequest("a text message is wanted")
    value = jsonframes.parse(text)
    if not isinstance(value, dict):
        raise InvalidRequest("an object is wanted")
    type, payload = value.get("type"), value.get("payload")
    if not isinstance(type, str) or type not in _AT_ANY_TIME:
        raise InvalidRequest(f"type: one of {', '.join(_AT_ANY_TIME)} is wanted")
    if payload is not None and not isinstance(payload, dict):
        raise InvalidRequest("payload: an object is wanted")
    if type not in {"subscribe", "complete"}:
        return Message(type, payload=payload)
    id = value.get("id")
    if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID:
        raise InvalidRequest(f"id: a text of 1 to {MAX_ID} characters is wanted")
    return Message(type, id, request=request(payload or {}) if type == "subscribe" else None)


def request(payload: dict[str, Any]) -> Request:
    """What ``subscribe`` asks for. :raises InvalidRequest: a field is missing or of the wrong type."""
    for name, kind, wanted in (
        ("query", str, "a text"),
        ("operationName", str, "a text"),
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
    ):
        value = payload.get(name)
        if not isinstance(value, kind) and (value is not None or name == "query"):
            raise InvalidRequest(f"payload.{name}: {wanted} is wanted")
    return Request(payload["query"], payload.get("variables"), payload.get("operationName"), payload.get("extensions"))


def written_id(id: str) -> bytes:
    """An operation's id as it stands in messages: a copy, since what orjson gives keeps its 4 KiB of room."""
    return b"%b" % orjson.dumps(id)


def pong(payload: dict[str, Any] | None) -> bytes:
    """The answer to a ping, with what the ping held. :raises InvalidRequest: it is nested too deeply to be sent."""
    try:
        return orjson.dumps({"type": "pong"} | ({} if payload is None else {"payload": payload}))
    except TypeError as error:  # the parser reads deeper nesting than it writes
        raise InvalidRequest("payload: it is nested too deeply") from error


def next_result(id: bytes, result: bytes) -> bytes:
    """A result: ``id`` as :func:`written_id`, ``result`` a GraphQL response in JSON."""
    return b'{"id":%b,"type":"next","payload":%b}' % (id, result)


def error(id: bytes, errors: list[dict[str, Any]]) -> bytes:
    """Why an operation could not begin, or cannot go on: its end."""
    return b'{"id":%b,"type":"error","payload":%b}' % (id, orjson.dumps(errors))


def complete(id: bytes) -> bytes:
    """There are no more results."""
    return b'{"id":%b,"type":"complete"}' % id
