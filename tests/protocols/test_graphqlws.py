"""graphql-transport-ws, message by message: what each does in each state, and the texts that go back."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest, Reason
from rtlite.protocols import graphqlws
from rtlite.protocols.graphqlws import Answer, Begin, Close, Connect, Request, Session, State, Step, Stop

INIT = '{"type":"connection_init"}'
SUBSCRIBE = '{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}'
OTHER = '{"id":"2","type":"subscribe","payload":{"query":"{ a }"}}'
COMPLETE = '{"id":"1","type":"complete"}'
PING, PONG = '{"type":"ping"}', '{"type":"pong"}'
BEGUN = Begin("1", Request("{ a }"))


def session(state: State, *taken: str) -> Session:
    """A session in this state, whose operations ``taken`` have begun."""
    made = Session()
    if state is not State.NEW:
        made.receive(INIT)
    if state is State.READY:
        made.acknowledge({})
        for id in taken:
            made.receive(orjson.dumps({"id": id, "type": "subscribe", "payload": {"query": "{ a }"}}).decode())
    return made


@pytest.mark.parametrize(
    ("state", "message", "step", "after"),
    [
        (State.NEW, INIT, Connect({}), State.CONNECTING),
        (State.NEW, SUBSCRIBE, Close(Reason.NOT_INITIALISED), State.CLOSED),
        (State.NEW, COMPLETE, None, State.NEW),
        (State.NEW, PING, Answer(b'{"type":"pong"}'), State.NEW),
        (State.NEW, PONG, None, State.NEW),
        (State.CONNECTING, INIT, Close(Reason.SECOND_INIT), State.CLOSED),
        (State.CONNECTING, SUBSCRIBE, Close(Reason.NOT_INITIALISED), State.CLOSED),
        (State.CONNECTING, COMPLETE, None, State.CONNECTING),
        (State.CONNECTING, PING, Answer(b'{"type":"pong"}'), State.CONNECTING),
        (State.CONNECTING, PONG, None, State.CONNECTING),
        (State.READY, INIT, Close(Reason.SECOND_INIT), State.CLOSED),
        (State.READY, SUBSCRIBE, BEGUN, State.READY),
        (State.READY, COMPLETE, None, State.READY),
        (State.READY, PING, Answer(b'{"type":"pong"}'), State.READY),
        (State.READY, PONG, None, State.READY),
    ],
)
def test_each_message_does_in_each_state_what_the_protocol_says(
    state: State, message: str, step: Step, after: State
) -> None:
    machine = session(state)
    assert machine.receive(message) == step
    assert machine.state is after


@pytest.mark.parametrize("state", [State.NEW, State.CONNECTING, State.READY])
@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "null",
        "[]",
        '"ping"',
        "{}",
        '{"type":null}',
        '{"type":["ping"]}',
        '{"type":{}}',
        '{"type":"PING"}',
        '{"type":"start","id":"1","payload":{"query":"{ a }"}}',
        '{"type":"connection_ack"}',
        '{"type":"next","id":"1","payload":{}}',
        '{"type":"error","id":"1","payload":[]}',
        '{"type":"ping","payload":[]}',
        '{"type":"pong","payload":"x"}',
        '{"type":"connection_init","payload":"token"}',
        '{"type":"complete"}',
        '{"type":"complete","id":1}',
        '{"type":"complete","id":""}',
        '{"type":"subscribe","payload":{"query":"{ a }"}}',
        '{"type":"subscribe","id":"","payload":{"query":"{ a }"}}',
        '{"type":"subscribe","id":1,"payload":{"query":"{ a }"}}',
        '{"type":"subscribe","id":"%s","payload":{"query":"{ a }"}}' % ("x" * 129),
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":"{ a }"}',
        '{"type":"subscribe","id":"1","payload":{}}',
        '{"type":"subscribe","id":"1","payload":{"query":null}}',
        '{"type":"subscribe","id":"1","payload":{"query":{"kind":"Document"}}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":"{}"}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ a }","operationName":1}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ a }","extensions":[]}}',
        '{"type":"ping","payload":{"a":NaN}}',
        '{"type":"ping"}{"type":"ping"}',
        '{"type":"ping","payload":{"a":"\\ud800"}}',
        b'{"type":"ping"}',
    ],
)
def test_what_is_no_message_of_a_client_closes_with_4400(state: State, message: str | bytes) -> None:
    machine = session(state)
    assert machine.receive(message) == Close(Reason.INVALID_MESSAGE)
    assert machine.state is State.CLOSED


def test_the_close_codes_are_the_protocols() -> None:
    codes = {
        Reason.INVALID_MESSAGE: (4400, "Invalid message received"),
        Reason.NOT_INITIALISED: (4401, "Unauthorized"),
        Reason.SUBPROTOCOL: (4406, "Subprotocol not acceptable"),
        Reason.INIT_TIMEOUT: (4408, "Connection initialisation timeout"),
        Reason.SECOND_INIT: (4429, "Too many initialisation requests"),
    }
    assert {reason: (reason.value.graphql, reason.value.text) for reason in codes} == codes
    assert Reason.DUPLICATE_ID.value.graphql == 4409
    assert Reason.UNAUTHORIZED.value.graphql == Reason.EXPIRED.value.graphql == Reason.REVOKED.value.graphql == 4403


@pytest.mark.parametrize("payload", ["null", "{}", '{"apiKey":"k","authorization":"Bearer t","x":[1]}'])
def test_what_a_client_says_of_itself_is_handed_on(payload: str) -> None:
    step = Session().receive('{"type":"connection_init","payload":' + payload + "}")
    assert step == Connect(orjson.loads(payload) or {})


def test_the_acknowledgement_is_sent_and_operations_may_begin() -> None:
    machine = session(State.CONNECTING)
    assert machine.acknowledge({"a": 1}) == b'{"type":"connection_ack","payload":{"a":1}}'
    assert machine.receive(SUBSCRIBE) == BEGUN


def test_what_an_operation_is_to_do_comes_whole() -> None:
    payload = {"query": "q", "variables": {"a": [1]}, "operationName": "A", "extensions": {"b": {}}}
    machine = session(State.READY)
    text = orjson.dumps({"type": "subscribe", "id": "ä", "payload": payload | {"unknown": 1}}).decode()
    assert machine.receive(text) == Begin("ä", Request("q", {"a": [1]}, "A", {"b": {}}))
    nothing = {"query": "q", "variables": None, "operationName": None, "extensions": None}
    text = orjson.dumps({"type": "subscribe", "id": "x" * 128, "payload": nothing}).decode()
    assert machine.receive(text) == Begin("x" * 128, Request("q"))


def test_an_id_that_is_taken_closes_with_4409() -> None:
    machine = session(State.READY, "1")
    assert machine.receive(OTHER) == Begin("2", Request("{ a }"))
    assert machine.receive(SUBSCRIBE) == Close(Reason.DUPLICATE_ID)


def test_an_id_is_free_again_once_its_operation_is_over() -> None:
    machine = session(State.READY, "1")
    assert machine.receive(COMPLETE) == Stop("1")
    assert machine.receive(COMPLETE) is None
    assert machine.receive(SUBSCRIBE) == BEGUN
    assert machine.finish("1")
    assert machine.receive(COMPLETE) is None
    assert machine.receive(SUBSCRIBE) == BEGUN


def test_to_finish_what_the_client_has_stopped_says_nothing() -> None:
    machine = session(State.READY, "1")
    machine.receive(COMPLETE)
    assert not machine.finish("1")
    assert not machine.finish("never begun")


def test_nothing_counts_after_a_close() -> None:
    machine = session(State.READY, "1")
    machine.receive("?")
    for message in (INIT, SUBSCRIBE, COMPLETE, PING, "?"):
        assert machine.receive(message) is None


@pytest.mark.parametrize("payload", ["{}", '{"a":[1,"ä",null]}'])
def test_a_pong_holds_what_the_ping_held(payload: str) -> None:
    assert Session().receive('{"type":"ping","payload":' + payload + "}") == Answer(
        b'{"type":"pong","payload":%b}' % payload.encode()
    )


def test_a_pings_payload_that_cannot_be_written_closes_with_4400() -> None:
    nested = '{"type":"ping","payload":{"a":' + "[" * 500 + "]" * 500 + "}}"
    assert Session().receive(nested) == Close(Reason.INVALID_MESSAGE)


def test_a_stranger_sends_short_messages_only() -> None:
    """Two credentials of 8 KiB and less fit in; what is longer is not even parsed."""
    whole = '{"type":"connection_init","payload":{"apiKey":"%s"}}'
    room = 16 * 1024 - len(whole % "")
    assert isinstance(Session().receive(whole % ("x" * room)), Connect)
    assert Session().receive(whole % ("x" * (room + 1))) == Close(Reason.TOO_BIG)
    assert session(State.CONNECTING).receive("?" * 20_000) == Close(Reason.TOO_BIG)
    long = '{"type":"subscribe","id":"1","payload":{"query":"%s"}}' % ("x" * 20_000)
    assert isinstance(session(State.READY).receive(long), Begin)


def test_a_message_of_very_many_lists_is_not_taken_apart() -> None:
    many = '{"type":"ping","payload":{"a":[%s]}}' % ("[]," * 60_000 + "[]")
    assert session(State.READY).receive(many) == Close(Reason.INVALID_MESSAGE)


def test_the_servers_messages_are_the_protocols() -> None:
    id = graphqlws.written_id('a"ä')
    assert (
        graphqlws.next_result(id, b'{"data":null}') == '{"id":"a\\"ä","type":"next","payload":{"data":null}}'.encode()
    )
    assert (
        graphqlws.error(id, [{"message": "no"}])
        == '{"id":"a\\"ä","type":"error","payload":[{"message":"no"}]}'.encode()
    )
    assert graphqlws.complete(id) == '{"id":"a\\"ä","type":"complete"}'.encode()


# --- any input

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["connection_init", "ping", "pong", "subscribe", "complete", "next", "connection_ack"])
payloads = st.dictionaries(st.sampled_from(["query", "variables", "operationName", "extensions", "x"]), values)
messages = (
    st.fixed_dictionaries(
        {"type": types | values},
        optional={"id": st.sampled_from(["1", "2"]) | values, "payload": payloads | values},
    ).map(lambda value: orjson.dumps(value).decode())
    | st.sampled_from([INIT, SUBSCRIBE, OTHER, COMPLETE, PING, PONG])
    | st.text(max_size=30)
    | st.binary(max_size=30)
)


@given(st.lists(messages, max_size=20), st.booleans())
def test_any_messages_are_steps_of_the_machine_and_no_id_is_taken_twice(sent: list[str | bytes], granted: bool) -> None:
    machine, taken, closed = Session(), set[str](), False
    for text in sent:
        step = machine.receive(text)
        assert step is None or not closed
        if isinstance(step, Connect) and granted:
            machine.acknowledge({})
        if isinstance(step, Begin):
            assert granted and step.id not in taken and step.request.query is not None
            taken.add(step.id)
        if isinstance(step, Stop):
            taken.remove(step.id)
        if isinstance(step, Answer):
            assert orjson.loads(step.text)["type"] == "pong"
        closed = closed or isinstance(step, Close)
        assert closed == (machine.state is State.CLOSED)
        assert machine.operations == taken


@given(st.text() | st.binary() | messages)
def test_any_text_is_a_message_or_refused(text: str | bytes) -> None:
    try:
        message = graphqlws.decode(text)
    except InvalidRequest:
        return
    assert message.type in {"connection_init", "ping", "pong", "subscribe", "complete"}


@given(st.text(max_size=128))
def test_any_id_comes_back_as_it_was(id: str) -> None:
    written = graphqlws.written_id(id)
    assert orjson.loads(graphqlws.next_result(written, b"{}"))["id"] == id
    assert b"\xff" not in written


def test_an_id_takes_no_more_room_than_it_needs() -> None:
    """Each operation keeps its own; what orjson returns holds on to 4 KiB."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [graphqlws.written_id(str(number)) for number in range(100)]
        assert tracemalloc.get_traced_memory()[0] - before < 200 * len(kept)
    finally:
        tracemalloc.stop()
