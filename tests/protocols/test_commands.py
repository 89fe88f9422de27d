"""``/ws``, byte by byte."""

from __future__ import annotations

import pytest

from rtlite.errors import InvalidRequest
from rtlite.model import Event, Member, PresenceNotice
from rtlite.protocols import commands
from rtlite.protocols.verbs import Attend, Auth, Ping, Publish, Request, Subscribe, Unsubscribe

EVENT = Event("e1", "conversation:conv-123", "chat_message", b'{"content":"hi"}', 1_779_877_800_123, 7, "0a1b2c3d", 42)
PASSING = Event("e2", "live:a", "tick", b"null", 0, 1, "ffffffff")


@pytest.mark.parametrize(
    ("message", "command", "id"),
    [
        ('{"type":"subscribe","data":{"channel":"a:b"}}', Subscribe("a:b"), None),
        (
            '{"type":"subscribe","data":{"channel":"a:*","since":"2h","presence":true},"id":1}',
            Subscribe("a:*", "2h", True),
            1,
        ),
        ('{"type":"unsubscribe","data":{"channel":"a:b"},"id":"x"}', Unsubscribe("a:b"), "x"),
        ('{"type":"ping","data":{}}', Ping(), None),
        ('{"type":"ping"}', Ping(), None),
        (
            '{"type":"publish","data":{"channel":"a:b","event":"e","data":{"n":1},"id":"mine","echo":false}}',
            Publish("a:b", "e", {"n": 1}, "mine", False),
            None,
        ),
        ('{"type":"publish","data":{"channel":"a:b","event":"e"}}', Publish("a:b", "e"), None),
        (
            '{"type":"presence","data":{"channel":"a:b","action":"update","data":[1]}}',
            Attend("a:b", "update", [1]),
            None,
        ),
        ('{"type":"auth","data":{"token":"t"},"more":true}', Auth("t"), None),
    ],
)
def test_a_command_is_read(message: str, command: object, id: object) -> None:
    request = commands.decode(message)
    assert (request.command(), request.id) == (command, id)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "the message is not JSON"),
        ("{", "the message is not JSON"),
        (b'{"type":"ping"}', "a text message is wanted"),
        ("[]", "an object is wanted"),
        ("{}", "type: missing"),
        ('{"type":5}', "type: a text is wanted"),
        ('{"type":"ping","data":[]}', "data: an object is wanted"),
        ('{"type":"ping","data":null}', "data: an object is wanted"),
        ('{"type":"ping","id":{}}', "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"ping","id":true}', "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"ping","id":1.5}', "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"ping","id":9007199254740993}', "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"ping","id":"%s"}' % ("x" * 129), "id: a whole number, or a text of up to 128 characters, is wanted"),
        ('{"type":"dance"}', "type: one of subscribe, unsubscribe, publish, presence, auth, ping is wanted"),
        ('{"type":"subscribe"}', "channel: missing"),
        ('{"type":"subscribe","data":{"channel":5}}', "channel: a text is wanted"),
        ('{"type":"subscribe","data":{"channel":"a:b","since":5}}', "since: a text is wanted"),
        (
            '{"type":"subscribe","data":{"channel":"a:b","presence":1}}',
            'presence: true, "watch" or an object is wanted',
        ),
        (
            '{"type":"subscribe","data":{"channel":"%s"}}' % ("x" * 300),
            "channel: 1 to 255 visible ASCII characters are allowed",
        ),
        (
            '{"type":"subscribe","data":{"channel":"a:b:*"}}',
            "channel: a pattern is a kind and ':*', as in changes:*",
        ),
        ('{"type":"unsubscribe","data":{"channel":"ä"}}', "channel: 1 to 255 visible ASCII characters are allowed"),
        (
            '{"type":"publish","data":{"channel":"a:*","event":"e"}}',
            "channel: a pattern names many channels; name one",
        ),
        ('{"type":"publish","data":{"channel":"a:b"}}', "event: missing"),
        ('{"type":"publish","data":{"channel":"a:b","event":"e","echo":1}}', "echo: true or false is wanted"),
        (
            '{"type":"publish","data":{"channel":"a:b","event":"e","id":""}}',
            "id: 1 to 64 visible ASCII characters are allowed",
        ),
        (
            '{"type":"presence","data":{"channel":"a:b","action":"x"}}',
            "action: list, join, update or leave is wanted",
        ),
        (
            '{"type":"presence","data":{"channel":"a:*","action":"list"}}',
            "channel: a pattern names many channels; name one",
        ),
        ('{"type":"auth"}', "token: missing"),
        ('{"type":"auth","data":{"token":""}}', "token: it is empty"),
    ],
)
def test_what_is_no_command_is_refused_and_the_field_named(message: str | bytes, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        commands.decode(message).command()
    assert refused.value.detail == complaint


def test_data_nested_deeper_than_can_be_written_is_refused() -> None:
    depth = 300
    request = commands.decode(
        '{"type":"publish","data":{"channel":"a:b","event":"e","data":%s}}' % ("[" * depth + "]" * depth)
    )
    command = request.command()
    assert isinstance(command, Publish)
    with pytest.raises(InvalidRequest, match="data: it is nested too deeply"):
        command.as_event()


def test_answers_carry_the_id_of_the_request_if_it_had_one() -> None:
    assert commands.reply("pong", {}) == b'{"type":"pong","data":{}}'
    assert commands.reply("pong", {}, 0) == b'{"type":"pong","data":{},"id":0}'
    assert commands.reply("subscribed", {"channel": "a:b", "position": None, "recovered": True}, "x") == (
        b'{"type":"subscribed","data":{"channel":"a:b","position":null,"recovered":true},"id":"x"}'
    )


def test_errors_carry_a_code_and_a_message() -> None:
    assert commands.error("invalid_request", "no") == (
        b'{"type":"error","data":{"code":"invalid_request","message":"no"}}'
    )
    assert commands.error("unauthorized", "no", Request("subscribe", {"channel": "a:b"}, 3)) == (
        b'{"type":"error","data":{"code":"unauthorized","message":"no"},"id":3}'
    )


def test_an_event_has_its_name_as_type_and_says_where_to_resume() -> None:
    assert commands.event(EVENT) == (
        b'{"type":"chat_message","channel":"conversation:conv-123","data":{"content":"hi"},"id":"e1",'
        b'"timestamp":"2026-05-27T10:30:00.123Z","offset":7,"position":"0a1b2c3d-7"}'
    )
    assert commands.event_of_kind(EVENT).endswith(b'"offset":7,"position":"0a1b2c3d-42"}')


def test_an_event_of_a_kind_without_history_has_a_place_in_its_channel_only() -> None:
    assert commands.event(PASSING).endswith(b'"offset":1,"position":"ffffffff-1"}')
    assert commands.event_of_kind(PASSING).endswith(b'"offset":1}')


def test_presence_is_a_message_of_its_own() -> None:
    member = Member("alice", b'{"x":1}', 2, 0)
    assert commands.presence(PresenceNotice("a:b", "join", (member,))) == (
        b'{"type":"presence","channel":"a:b","data":{"action":"join","member":'
        b'{"user":"alice","data":{"x":1},"connections":2,"joined":"1970-01-01T00:00:00.000Z"}}}'
    )
    assert commands.presence(PresenceNotice("a:b", "list", ()), 3) == (
        b'{"type":"presence","channel":"a:b","data":{"action":"list","members":[],"after":null,"next":null},"id":3}'
    )
