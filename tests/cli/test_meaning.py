"""Which event is in an upstream's message."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rtlite.cli.meaning import channel_of, is_event, is_handshake, meaning

RECORD = {"id": "rec_1", "modelKey": "product", "data": {"name": "Mug"}}
CHANGE = {"type": "UPDATED", "record": RECORD}


def told(field: str, value: Any) -> dict[str, Any]:
    return {"data": {field: value}, "extensions": {"position": "e-1"}}


@pytest.mark.parametrize(
    ("value", "channel", "event", "data"),
    [
        (told("recordChanged", CHANGE), "changes:product", "UPDATED", CHANGE),
        (told("jobProgress", {"id": "9", "status": "running"}), "jobs:9", "job.progress", None),
        (told("jobProgress", {"id": "9", "status": "failed"}), "jobs:9", "job.failed", None),
        (told("jobProgress", {"id": "9", "status": "pending"}), "jobs:9", "job.created", None),
        (told("notificationReceived", {"title": "x", "userId": "ann"}), "notifications:ann", "notification.new", None),
        (told("event", {"channel": "a:b", "event": "e", "data": 1}), "a:b", "e", 1),
    ],
)
def test_what_a_graphql_subscription_tells_is_what_the_event_said(
    value: Any, channel: str, event: str, data: Any
) -> None:
    ((field, inner),) = value["data"].items()
    wanted = {"channel": channel, "event": event, "data": inner if data is None else data}
    assert meaning(orjson.dumps(value).decode(), None) == wanted, field


def test_a_graphql_result_that_names_no_channel_goes_to_the_one_that_is_given() -> None:
    nameless = orjson.dumps(told("recordChanged", {"type": "CREATED", "record": {"id": "1"}})).decode()
    assert meaning(nameless, None) is None
    assert meaning(nameless, "changes:x")["channel"] == "changes:x"  # type: ignore[index]
    other = orjson.dumps(told("priceChanged", 5)).decode()
    assert meaning(other, "prices:all") == {"channel": "prices:all", "event": "priceChanged", "data": 5}
    assert meaning('{"data":null,"errors":[{"message":"gone"}]}', "prices:all") is None


def test_a_socket_io_event_is_its_name_and_first_argument() -> None:
    packet = '2["message",{"a":1},"id"]'
    assert meaning(packet, "stream:s") == {"channel": "stream:s", "event": "message", "data": {"a": 1}}
    assert meaning(packet, None) is None
    assert meaning('2["warning","10,000 at most"]', "stream:s") is None


@pytest.mark.parametrize(
    ("url", "channel"),
    [
        ("https://api.example/socket.io/?stream=s1", "stream:s1"),
        ("wss://api.example/socket.io/?stream=s1&channel=errors", "stream:s1:errors"),
        ("https://api.example/socket.io/", None),
        ("wss://api.example/blog/ws/articles/hello", "article:hello"),
        ("https://api.example/sse/a:b", "a:b"),
        ("wss://api.example/graphql/ws", None),
    ],
)
def test_the_channel_that_a_url_names(url: str, channel: str | None) -> None:
    assert channel_of(url) == channel


@pytest.mark.parametrize("raw", ['{"type":"t","x":%s}', '{"data":{"x":%s}}', "%s"])
def test_what_is_nested_more_deeply_than_can_be_published_is_left_out(raw: str) -> None:
    assert meaning(raw % "1", "a:b") is not None
    assert meaning(raw % ("[" * 300 + "]" * 300), "a:b") is None


@pytest.mark.parametrize(
    "raw",
    [
        '{"channel":"article:a","userId":"dev"}',
        '{"channel":"article:a","event":"connected","data":{"userId":"dev"},"userId":"dev"}',
        '{"type":"connected","userId":"dev"}',
        '{"type":"subscribed","channel":"a:b"}',
        '{"type":"subscribed","channel":"a:b","event":"subscribed","data":{"recovered":true}}',
        '{"type":"pong"}',
        '{"type":"token_expiring","event":"token_expiring","data":{"expiresIn":30},"expiresIn":30}',
        '2["connected",{}]',
    ],
)
def test_a_handshake_is_no_event(raw: str) -> None:
    assert is_handshake(raw) and not is_event(raw)


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        ('{"channel":"a:b","event":"connected","data":{}}', True),
        ('{"type":"view_update","userId":"dev","channel":"a:b"}', True),
        ('2["message",1]', True),
        ("hello", True),
        ('{"type":"error","code":"forbidden"}', False),
        ('{"type":"presence","channel":"a:b"}', False),
    ],
)
def test_what_is_no_handshake_is_kept_whether_it_is_an_event_or_not(raw: str, event: bool) -> None:
    assert not is_handshake(raw) and is_event(raw) is event
