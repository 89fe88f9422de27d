"""The payload and its signature, against the reference library's own check."""

from __future__ import annotations

import time

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from rtlite.model import Event
from rtlite.protocols import webhooks

EVENT = Event("e1", "article:a", "view_update", b'{"viewCount":3}', 1_700_000_000_123, 7, "0a1b2c3d", 42)


def secret(letter: bytes = b"k") -> str:
    return webhooks.new_secret(letter * 32)


def test_the_payload_has_type_timestamp_and_data_and_where_the_event_stands() -> None:
    assert orjson.loads(webhooks.body(EVENT)) == {
        "type": "view_update",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {"viewCount": 3},
        "channel": "article:a",
        "id": "e1",
        "offset": 7,
        "epoch": "0a1b2c3d",
    }


def test_a_payload_is_one_line_whatever_the_publisher_wrote() -> None:
    event = Event("e", "stream:x", "message", b'{\n "a":\r\n "b\\n"\n}', 0, 1, "0a1b2c3d")
    body = webhooks.passing(event)
    assert body.count(b"\n") == 1 and body.endswith(b"\n")
    assert orjson.loads(body)["data"] == {"a": "b\n"}


def test_of_an_event_that_the_history_keeps_an_empty_line_passes() -> None:
    assert webhooks.passing(EVENT) == b"\n"


def test_the_reference_library_takes_the_signature_and_no_other_body_id_or_time() -> None:
    body, now = webhooks.body(EVENT), time.time_ns() // 1_000_000
    headers = webhooks.headers("msg_1", now, body, [secret()])
    assert Webhook(secret()).verify(body, headers) == orjson.loads(body)
    for wrong in (
        {**headers, "webhook-id": "msg_2"},
        {**headers, "webhook-timestamp": str(now // 1000 - 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret()).verify(body, wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret()).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(b"x")).verify(body, headers)


def test_an_old_message_is_not_taken_again() -> None:
    body, past = webhooks.body(EVENT), time.time_ns() // 1_000_000 - 6 * 60_000
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret()).verify(body, webhooks.headers("m", past, body, [secret()]))


def test_during_a_rotation_both_secrets_hold() -> None:
    body = webhooks.body(EVENT)
    headers = webhooks.headers("m", time.time_ns() // 1_000_000, body, [secret(b"n"), secret(b"o")])
    for key in (secret(b"n"), secret(b"o")):
        assert Webhook(key).verify(body, headers)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0),
        ("-5", 0),
        ("1.5", 0),
        ("9" * 4000, 0),
        ("٣", 0),
        ("soon", 0),
        ("Tue, 99 Nov 2023 22:13:30 GMT", 0),
        ("Tue, 14 Nov 99999999999 22:13:30 GMT", 0),
    ],
)
def test_how_long_an_endpoint_wants_to_be_left_alone(value: str | None, seconds: float) -> None:
    assert webhooks.retry_after(value, 1_700_000_000_000) == seconds
