"""What a webhook's endpoint gets, and how it knows from whom: Standard Webhooks 1.0.0.

Source: ``spec/standard-webhooks.md`` of github.com/standard-webhooks/standard-webhooks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NotRequired, TypedDict

import orjson
from standardwebhooks import Webhook

from rtlite.model import Event, rfc3339
from rtlite.protocols.jsonframes import Epoch
from rtlite.rules import Channel, EventId, EventName, Offset, Timestamp

TEST_TYPE: Final = "webhook.test"
HEADERS: Final = {
    "webhook-id": "Names the message: the same at every attempt",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970",
    "webhook-signature": "`v1,` and the signature; during a rotation two of them, with a space between",
}


class Delivery(TypedDict):
    """An event, and where it stands. A test message (`webhook.test`) is on no channel."""

    type: EventName
    timestamp: Timestamp
    data: Any
    channel: NotRequired[Channel]
    id: NotRequired[EventId]
    offset: NotRequired[Offset]
    epoch: NotRequired[Epoch]


def body(event: Event) -> bytes:
    """The payload: ``type``, ``timestamp`` and ``data`` as the standard has them, and where the event stands.

    It has no line end in it.
    """
    # Data that a publisher wrote by itself may hold line ends between its parts; in its texts they are escaped.
    return orjson.dumps(
        {
            "type": event.name,
            "timestamp": rfc3339(event.timestamp),
            "data": orjson.Fragment(event.data),
            "channel": event.channel,
            "id": event.id,
            "offset": event.offset,
            "epoch": event.epoch,
        }
    ).replace(b"\n", b" ")


def passing(event: Event) -> bytes:
    """As :func:`body`, and a line end, of an event that no history keeps; of one that can be read there, the end alone.

    No bytes at all would say that it is for nobody, and the courier would not hear of it.
    """
    return b"\n" if event.sequence else body(event) + b"\n"


def trial_body(webhook: str, at: int) -> bytes:
    """The payload of a test delivery, at ``at`` (milliseconds since 1970)."""
    return orjson.dumps({"type": TEST_TYPE, "timestamp": rfc3339(at), "data": {"webhook": webhook}})


def new_secret(random: bytes) -> str:
    """A secret of 24 to 64 random bytes, as it is shown to the operator."""
    return "whsec_" + base64.b64encode(random).decode()


def headers(message: str, at: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """What goes with a payload.

    :param message: names the message; the same at every attempt, and without a dot.
    :param at: the time of this attempt, in milliseconds since 1970.
    :param secrets: one signature each: during a rotation the old secret signs as well.
    """
    moment, text = datetime.fromtimestamp(at // 1000, UTC), body.decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at // 1000),
        "webhook-signature": " ".join(Webhook(secret).sign(message, moment, text) for secret in secrets),
        "content-type": "application/json",
    }


def retry_after(value: str | None, now: int) -> float:
    """Seconds that a ``Retry-After`` asks for: a number, or a date (RFC 9110, section 10.2.3); 0 for anything else.

    :param now: milliseconds since 1970.
    """
    if value is None:
        return 0.0
    if re.fullmatch("[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError, TypeError):  # what the standard library makes of broken dates
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now / 1000)
