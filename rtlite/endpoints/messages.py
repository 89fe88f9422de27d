"""Messages of the doors that last, for their descriptions: events in each door's own wording, and commands.

The examples are the samples (:mod:`rtlite.domain.samples`), encoded by the door's own encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, NotRequired

import attrs
import orjson

from rtlite.domain.samples import SAMPLES, Sample, Turn
from rtlite.domain.told import SHAPES
from rtlite.model import Event, kind_of, rfc3339
from rtlite.protocols import answers, verbs
from rtlite.protocols.jsonschema import fields_of
from rtlite.rules import Count, EventId, EventName, PositionText, Timestamp
from rtlite.transports.contract import Message

RequestId = str | int
_AT = 1_779_877_800_000  # 2026-05-27, as in the samples' sources
METADATA: Mapping[str, Any] = {
    "id": EventId,
    "timestamp": Timestamp,
    "offset": Count,
    "position": NotRequired[PositionText],
}


def sampled(sample: Sample) -> Event:
    """A sample as a committed event."""
    data = orjson.dumps(sample.data(sample.channel, Turn(0, Random(1), _AT)))  # noqa: S311  # no secret
    id = f"019e6956-8a40-7000-8000-{SAMPLES.index(sample):012x}"
    return Event(id, sample.channel, sample.event_name, data, _AT, 7, "5f0c2a91", 7)


def example(name: str, *fields: str) -> dict[str, Any]:
    """The data of a sample, or these fields of it, for the description of a request."""
    data = orjson.loads(sampled(next(sample for sample in SAMPLES if sample.name == name)).data)
    return {field: data[field] for field in fields} if fields else data


def events(
    kinds: str, shape: Callable[[Any, Any], Any], encode: Callable[[Event], bytes], *, more: bool = True
) -> list[Message]:
    """The events of these kinds of channels that are made here; and, if there are ``more``, any other.

    :param kinds: names with spaces. :param shape: what a message looks like, of the event's name and data.
    :param encode: the message as the door sends it.
    """
    wanted = [sample for sample in SAMPLES if kind_of(sample.channel) in kinds.split()]
    told = [
        Message(
            sample.name,
            f"{sample.about[0].upper()}{sample.about[1:]}.",
            shape(sample.event_name, SHAPES[sample.name]),
            examples=[orjson.loads(encode(sampled(sample)))],
        )
        for sample in wanted
    ]
    return [*told, Message("event", "An event that someone published.", shape(EventName, Any))] if more else told


@attrs.frozen
class Form:
    """What messages of a command socket look like, of their type and fields, and how one is written."""

    shape: Callable[[Any, Mapping[str, Any]], Any]
    write: Callable[[str, dict[str, Any], RequestId], bytes]

    def message(self, name: str, about: str, fields: Any, sent: bool) -> Message:
        example = orjson.loads(self.write(name, _FIELDS[name], 1))
        return Message(name, about, self.shape(name, fields_of(fields)), sent, [example])


def commands(asked: Form, told: Form) -> list[Message]:
    """What clients of a command socket ask, and what they are told."""
    words = {**answers.ANSWERS, "error": answers.Failed}
    return [
        *(asked.message(name, f"The command `{name}`.", verb, False) for name, verb in verbs.VERBS.items()),
        *(told.message(name, str(fields.__doc__), fields, True) for name, fields in words.items()),
    ]


_CHANNEL: Final = "conversation:conv-123"
_FIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "subscribe": {"channel": _CHANNEL, "since": "5f0c2a91-7"},
    "subscribed": {"channel": _CHANNEL, "position": "5f0c2a91-9", "recovered": True},
    "unsubscribe": {"channel": _CHANNEL},
    "unsubscribed": {"channel": _CHANNEL},
    "publish": {"channel": _CHANNEL, "event": "chat_message", "data": example("chat_message"), "id": "msg-1"},
    "published": {
        "id": "msg-1",
        "channel": _CHANNEL,
        "offset": 10,
        "epoch": "5f0c2a91",
        "timestamp": rfc3339(_AT),
    },
    "presence": {"channel": _CHANNEL, "action": "update", "data": {"typing": True}},
    "joined": {"channel": _CHANNEL},
    "updated": {"channel": _CHANNEL},
    "left": {"channel": _CHANNEL},
    "auth": {"token": "YOUR_TOKEN"},
    "authenticated": {"user": "user-123", "expiresAt": rfc3339(_AT)},
    "token_expiring": {"expiresIn": 30, "expiresAt": rfc3339(_AT)},
    "ping": {},
    "pong": {},
    "error": {"code": "invalid_request", "message": "channel: missing"},
}
