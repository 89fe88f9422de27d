"""The messages of ``/graphql/ws``, for its description: those of graphql-transport-ws."""

from __future__ import annotations

from typing import Annotated, Any, Final, NotRequired

from rtlite.protocols.graphqlws import MAX_ID
from rtlite.protocols.jsonschema import Shape
from rtlite.rules import Rule
from rtlite.transports.contract import Message

_ID: Final = Annotated[str, Rule(minLength=1, maxLength=MAX_ID)]
_PAYLOAD: Final = NotRequired[dict[str, Any] | None]
_OPERATION: Final = Shape(
    {
        "query": str,
        "operationName": NotRequired[str | None],
        "variables": _PAYLOAD,
        "extensions": _PAYLOAD,
    }
)
_RESULT: Final = Shape({"data": NotRequired[Any], "errors": NotRequired[list[Any]], "extensions": _PAYLOAD})
_QUERY: Final = 'subscription { jobProgress(jobId: "job_9") { status progress } }'


def _either(type: str, about: str, fields: dict[str, Any]) -> tuple[Message, Message]:
    """What both sides may say."""
    shape = Shape({"type": type, **fields})
    return Message(f"{type}_received", about, shape, sent=False), Message(f"{type}_sent", about, shape)


MESSAGES: Final = (
    Message(
        "connection_init",
        "Who connects says who it is: `apiKey` or `authorization`, or both.",
        Shape({"type": "connection_init", "payload": _PAYLOAD}),
        sent=False,
        examples=[{"type": "connection_init", "payload": {"authorization": "Bearer YOUR_TOKEN"}}],
    ),
    Message(
        "subscribe",
        "Begins an operation, under an id of its own.",
        Shape({"type": "subscribe", "id": _ID, "payload": _OPERATION}),
        sent=False,
        examples=[{"type": "subscribe", "id": "1", "payload": {"query": _QUERY}}],
    ),
    Message("connection_ack", "Operations may begin.", Shape({"type": "connection_ack", "payload": _PAYLOAD})),
    Message(
        "next",
        "A result of an operation.",
        Shape({"type": "next", "id": _ID, "payload": _RESULT}),
        examples=[
            {"type": "next", "id": "1", "payload": {"data": {"jobProgress": {"status": "RUNNING", "progress": 40}}}}
        ],
    ),
    Message(
        "error",
        "An operation cannot be executed; it is over.",
        Shape({"type": "error", "id": _ID, "payload": list[Any]}),
    ),
    *_either("complete", "An operation is over.", {"id": _ID}),
    *_either("ping", "Is the other side there?", {"payload": _PAYLOAD}),
    *_either("pong", "It is.", {"payload": _PAYLOAD}),
)
