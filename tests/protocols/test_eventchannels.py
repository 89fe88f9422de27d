"""``/_events``, byte by byte."""

from __future__ import annotations

import orjson
import pytest

from rtlite.errors import InvalidRequest
from rtlite.model import Event, Member, PresenceNotice
from rtlite.protocols import eventchannels
from rtlite.protocols.verbs import Attend, Auth, Ping, Publish, Request, Subscribe, Unsubscribe

EVENT = Event("e1", "changes:product", "UPDATED", b'{"price":5}', 1_779_877_800_123, 7, "0a1b2c3d", 42)
PASSING = Event("e2", "live:a", "tick", b"null", 0, 1, "ffffffff")


@pytest.mark.parametrize(
    ("message", "command", "id"),
    [
        ('{"type":"subscribe","channel":"notifications:usr_abc123"}', Subscribe("notifications:usr_abc123"), None),
        (
            '{"type":"subscribe","channel":"a:*","since":"2h","presence":{"name":"A"},"id":1}',
            Subscribe("a:*", "2h", {"name": "A"}),
            1,
        ),
        ('{"type":"unsubscribe","channel":"changes:product","id":"x"}', Unsubscribe("changes:product"), "x"),
        ('{"type":"ping","id":0}', Ping(), 0),
        (
            '{"type":"publish","channel":"a:b","event":"e","data":{"n":1},"eventId":"mine","echo":false,"id":2}',
            Publish("a:b", "e", {"n": 1}, "mine", False),
            2,
        ),
        ('{"type":"publish","channel":"a:b","event":"e","id":"mine"}', Publish("a:b", "e"), "mine"),
        (
            '{"type":"presence","channel":"a:b","action":"list","after":"alice"}',
            Attend("a:b", "list", after="alice"),
            None,
        ),
        ('{"type":"auth","token":"t","more":true}', Auth("t"), None),
    ],
)
def test_a_request_is_read(message: str, command: object, id: object) -> None:
    request = eventchannels.decode(message)
    assert (request.command(), request.id) == (command, id)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("{", "the message is not JSON"),
        (b'{"type":"ping"}', "a text message is wanted"),
        ('"subscribe"', "an object is wanted"),
        ('{"channel":"a:b"}', "type: missing"),
        ('{"type":null,"channel":"a:b"}', "type: a text is wanted"),
        ('{"type":"ping","id":[]}', "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"dance"}', "type: one of subscribe, unsubscribe, publish, presence, auth, ping is wanted"),
        ('{"type":"subscribe","data":{"channel":"a:b"}}', "channel: missing"),
        ('{"type":"subscribe","channel":["a:b"]}', "channel: a text is wanted"),
        ('{"type":"publish","channel":"a:b","event":"e","eventId":5}', "eventId: a text is wanted"),
    ],
)
def test_what_is_no_request_is_refused_and_the_field_named(message: str | bytes, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        eventchannels.decode(message).command()
    assert refused.value.detail == complaint


def test_answers_are_flat_and_an_events_id_is_not_the_requests() -> None:
    assert orjson.loads(eventchannels.reply("pong", {})) == {"type": "pong", "event": "pong", "data": {}}
    assert orjson.loads(eventchannels.reply("published", {"id": "e1", "channel": "a:b"}, 3)) == {
        "type": "published",
        "channel": "a:b",
        "event": "published",
        "data": {"eventId": "e1"},
        "eventId": "e1",
        "id": 3,
    }


def test_the_source_texts_client_can_print_what_it_is_answered() -> None:
    """*"console.log(`[${data.channel}] ${data.event}:`, data.data)"*, of whatever comes."""
    fields = {"channel": "changes:product", "position": "0a1b2c3d-7", "recovered": True}
    answer = orjson.loads(eventchannels.reply("subscribed", fields, 1))
    assert (answer["channel"], answer["event"]) == ("changes:product", "subscribed")
    assert answer["data"] == {"position": "0a1b2c3d-7", "recovered": True}
    refusal = orjson.loads(eventchannels.error("unauthorized", "no", Request("subscribe", {"channel": "a:b"})))
    assert (refusal["channel"], refusal["event"]) == ("a:b", "error")
    assert refusal["data"] == {"code": "unauthorized", "message": "no"}


def test_errors_name_the_channel_if_it_is_one() -> None:
    assert eventchannels.error("unauthorized", "no", Request("subscribe", {"channel": "a:b"}, 3)) == (
        b'{"type":"error","channel":"a:b","event":"error","data":{"code":"unauthorized","message":"no"},'
        b'"code":"unauthorized","message":"no","id":3}'
    )
    assert b"channel" not in eventchannels.error("invalid_request", "no")
    for channel in ("x" * 300, 5, ["a:b"], "a b", None):
        assert b"channel" not in eventchannels.error("invalid_request", "no", Request("x", {"channel": channel}))


def test_an_event_has_channel_event_and_data_and_says_where_to_resume() -> None:
    assert eventchannels.event(EVENT) == (
        b'{"channel":"changes:product","event":"UPDATED","data":{"price":5},"id":"e1","offset":7,'
        b'"timestamp":"2026-05-27T10:30:00.123Z","position":"0a1b2c3d-7"}'
    )
    assert eventchannels.event_of_kind(EVENT).endswith(b'"position":"0a1b2c3d-42"}')


def test_an_event_of_a_kind_without_history_has_a_place_in_its_channel_only() -> None:
    assert eventchannels.event(PASSING).endswith(b'"position":"ffffffff-1"}')
    assert eventchannels.event_of_kind(PASSING).endswith(b'"timestamp":"1970-01-01T00:00:00.000Z"}')


def test_presence_is_flat_too() -> None:
    member = Member("alice", b"null", 0, 0)
    assert eventchannels.presence(PresenceNotice("a:b", "leave", (member,))) == (
        b'{"type":"presence","channel":"a:b","action":"leave","member":'
        b'{"user":"alice","data":null,"connections":0,"joined":"1970-01-01T00:00:00.000Z"}}'
    )
    page = PresenceNotice("a:b", "list", (member,), None, "alice")
    assert eventchannels.presence(page, 3).endswith(b'],"after":null,"next":"alice","id":3}')
