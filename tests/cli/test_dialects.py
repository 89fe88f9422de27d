"""What a recorded upstream speaks, message by message."""

from __future__ import annotations

import pytest

from rtlite.cli.dialects import Dialect, GraphQL, Over, Plain, SocketIO, Step, event_of
from rtlite.client import CallFailed


def fed(dialect: Dialect, *messages: str | bytes) -> list[Step]:
    return [dialect.feed(message) for message in messages]


def test_a_plain_websocket_gets_the_messages_first_and_every_text_is_recorded() -> None:
    dialect = Plain(["a", "b"])
    assert dialect.begin() == Step(["a", "b"], up=True)
    assert fed(dialect, "x", b"y") == [Step(recorded=["x"]), Step()]


class TestGraphQL:
    def test_it_connects_then_subscribes_then_records_each_result_and_answers_pings(self) -> None:
        dialect = GraphQL({"query": "subscription { x }"}, {"apiKey": "pk_live_1"})
        assert dialect.begin().answers == ['{"type":"connection_init","payload":{"apiKey":"pk_live_1"}}']
        assert fed(
            dialect,
            '{"type":"connection_ack"}',
            '{"type":"ping","payload":{"a":1}}',
            '{"id":"1","type":"next","payload":{"data":{"x":1}}}',
            '{"type":"pong"}',
            "no JSON",
        ) == [
            Step(['{"id":"1","type":"subscribe","payload":{"query":"subscription { x }"}}'], up=True),
            Step(['{"type":"pong"}']),
            Step(recorded=['{"data":{"x":1}}']),
            Step(),
            Step(),
        ]

    def test_complete_is_the_end_and_an_error_is_a_refusal_for_good(self) -> None:
        dialect = GraphQL({"query": "subscription { x }"}, {})
        with pytest.raises(Over):
            dialect.feed('{"id":"1","type":"complete"}')
        with pytest.raises(CallFailed, match="no such field") as refused:
            dialect.feed('{"id":"1","type":"error","payload":[{"message":"no such field"}]}')
        assert not refused.value.temporary


class TestSocketIO:
    def test_it_connects_to_the_root_namespace_answers_pings_and_records_events(self) -> None:
        dialect = SocketIO()
        assert (dialect.query, dialect.begin()) == ("EIO=4&transport=websocket", Step())
        assert fed(
            dialect,
            '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
            '40{"sid":"b"}',
            "2",
            '42["message",{"a":1},"id"]',
            '42/admin,["message",1]',
            '451-["file",{"_placeholder":true,"num":0}]',
            b"\x00",
            "6",
        ) == [
            Step(["40"]),
            Step(up=True),
            Step(["3"]),
            Step(recorded=['2["message",{"a":1},"id"]']),
            *[Step()] * 4,
        ]

    def test_a_refused_connection_is_one_for_good(self) -> None:
        with pytest.raises(CallFailed, match="invalid token") as refused:
            SocketIO().feed('44{"message":"invalid token"}')
        assert not refused.value.temporary

    def test_an_error_before_the_end_is_why_it_ended_and_without_one_the_next_try_may_succeed(self) -> None:
        dialect = SocketIO()
        with pytest.raises(CallFailed, match="without a reason") as ended:
            dialect.feed("41")
        assert ended.value.temporary
        dialect.feed('42["error",{"code":"unauthorized"}]')
        with pytest.raises(CallFailed, match="unauthorized") as refused:
            dialect.feed("41")
        assert not refused.value.temporary


@pytest.mark.parametrize("text", ["2", "2[", "2[]", "2[1]", '2{"a":1}', '["message",1]', "", '21["message"]'])
def test_what_is_no_socket_io_event_is_none(text: str) -> None:
    assert event_of(text) is None


def test_what_is_nested_more_deeply_than_can_be_written_is_passed_over_and_ends_nothing() -> None:
    deep = "[" * 300 + "]" * 300
    assert fed(GraphQL({"query": "subscription { x }"}, {}), f'{{"type":"next","payload":{{"data":{deep}}}}}') == [
        Step()
    ]
    assert fed(SocketIO(), f'42["error",{deep}]') == [Step(recorded=[f'2["error",{deep}]'])]
