"""Subscriptions that many have: executed once per event, framed once per length of id; each client's id put in last."""

from __future__ import annotations

import gc
from importlib.resources import files
from typing import Any

import attrs
import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from rtlite.endpoints import operations
from rtlite.endpoints.operations import Execution, Executions, Outlet, channel_of
from rtlite.errors import InvalidRequest
from rtlite.model import Event, Identity, Kind
from rtlite.protocols.graphqldocuments import Documents
from rtlite.protocols.graphqllimits import Limits
from rtlite.settings import Settings
from rtlite.transports.websocket import text_frame
from tests.endpoints.graphqlclients import CHANGES, TICKS

SETTINGS = Settings()
DOCUMENTS = Documents(files("rtlite.endpoints").joinpath("schema.graphql").read_text(), Limits.of(SETTINGS))
ANN = Identity(Kind.JWT, "ann", "ann")
RECORD = {
    "id": "rec_1",
    "modelKey": "product",
    "naturalKey": None,
    "data": {"price": 5},
    "version": 1,
    "publishedVersion": None,
    "createdAt": "2026-05-27T10:30:00.000Z",
    "updatedAt": "2026-05-27T10:30:00.000Z",
}


def event(channel: str, name: str = "tick", data: Any = 1, offset: int = 7, sequence: int = 0) -> Event:
    written = data if isinstance(data, bytes) else orjson.dumps(data)
    return Event("evt", channel, name, written, 1_780_000_000_000, offset, "abcdefgh", sequence)


def change(name: str = "UPDATED", offset: int = 7, **fields: Any) -> Event:
    return event("changes:product", name, {"type": name, "record": RECORD | fields}, offset)


class Sink:
    """An outbox that keeps what it is given."""

    def __init__(self, full: bool = False) -> None:
        self.taken: list[bytes] = []
        self.full = full

    def offer(self, data: bytes) -> bool:
        if not self.full:
            self.taken.append(data)
        return not self.full

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.taken.append(data)

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()


def execution(shared: Executions, query: str, name: str | None = None, **variables: Any) -> Execution:
    operation = DOCUMENTS.prepare(query, variables, name)
    return shared.of(operation, channel_of(operation, ANN))


def result(shared: Executions, query: str, happened: Event, **variables: Any) -> Any:
    """The payload of ``next``; ``None`` if there is none."""
    found = shared.result(execution(shared, query, **variables), happened)
    return orjson.loads(found) if found else None


# --- the id's place


def test_the_frame_of_a_subscriber_is_the_shared_one_with_its_id_in_it() -> None:
    """Literal bytes: header of RFC 6455, the message, and nothing else."""
    shared = Executions(SETTINGS)
    kept = execution(shared, 'subscription { event(channel: "a") { data } }')
    frame = kept.encoder(3)(event("a"))
    payload = b'{"data":{"event":{"data":1}},"extensions":{"position":"abcdefgh-7"}}'
    text = b'{"id":\xff\xff\xff,"type":"next","payload":' + payload + b"}"
    assert frame == b"\x81" + bytes([len(text)]) + text
    sink = Sink()
    assert Outlet(sink, "x").offer(frame)
    assert sink.taken == [frame.replace(b"\xff\xff\xff", b'"x"')]


@pytest.mark.parametrize("full", [False, True])
async def test_an_outlet_says_what_its_outbox_says(full: bool) -> None:
    sink = Sink(full)
    outlet = Outlet(sink, "1")
    assert outlet.offer(b"data") is not full
    assert outlet.offer(b"")  # an event that is none of the subscription's is not even offered
    await outlet.send(b'{"id":\xff\xff\xff}')
    await outlet.room(5)
    assert sink.taken == [*([] if full else [b"data"]), b'{"id":"1"}']


# Sizes at which the length in the frame's header has bytes 0xFF, right before the message.
EDGES = [size for high in (0xFE, 0xFF) for size in range(high * 256 + 200, high * 256 + 256)]
texts = st.text(max_size=40) | st.sampled_from(
    ['{"id":"1"', '{"id":', "\u00ff\u00ff\u00ff\u00ff", "\uffff\uffff", "\\u00ff", '"type":"next"', "ÿÿÿÿÿÿÿÿÿ"]
)


@given(
    st.text(min_size=1, max_size=128),
    st.lists(
        texts | st.builds(lambda size: "x" * size, st.sampled_from([*EDGES, 65_535, 65_536, 131_071])), max_size=5
    ),
)
def test_any_id_is_put_into_every_frame_of_a_burst_and_nothing_else_is_touched(id: str, data: list[str]) -> None:
    shared = Executions(SETTINGS)
    kept = execution(shared, TICKS, channel="a")
    sink = Sink()
    outlet = Outlet(sink, id)
    encode = kept.encoder(len(outlet.id))
    events = [event("a", data=text, offset=number) for number, text in enumerate(data, 1)]
    outlet.offer(b"".join(map(encode, events)))
    messages = [
        {
            "id": id,
            "type": "next",
            "payload": {
                "data": {"event": {"event": "tick", "data": text}},
                "extensions": {"position": f"abcdefgh-{number}"},
            },
        }
        for number, text in enumerate(data, 1)
    ]
    assert b"".join(sink.taken) == b"".join(text_frame(orjson.dumps(message)) for message in messages)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6, unique=True), texts)
def test_ids_of_one_length_share_an_encoder_and_others_do_not(ids: list[str], data: str) -> None:
    shared = Executions(SETTINGS)
    kept = execution(shared, TICKS, channel="a")
    outlets = [Outlet(Sink(), id) for id in ids]
    encoders = [kept.encoder(len(outlet.id)) for outlet in outlets]
    assert len(set(encoders)) == len({len(outlet.id) for outlet in outlets})
    for encode in encoders:
        encode(event("a", data=data))
    assert shared.count == 1


# --- who shares


SINCE = TICKS.replace("{ event data }", "{ event }")
SAME = [
    (TICKS, {"channel": "a"}, TICKS, {"channel": "a", "since": "2h"}),
    (TICKS, {"channel": "a", "since": None}, TICKS, {"channel": "a", "since": "abcdefgh-7"}),
    (TICKS, {"channel": "a", "unknown": 1}, TICKS, {"channel": "a"}),
    (CHANGES, {"modelKey": "a", "filter": {"x": 1, "y": 2}}, CHANGES, {"filter": {"y": 2, "x": 1}, "modelKey": "a"}),
]
BOTH = "subscription ($a: String!) { event(channel: $a, since: $a) { id } }"
SHOWN = 'subscription ($b: Boolean!) { event(channel: "a") { id data @include(if: $b) } }'
DIFFERENT = [
    (TICKS, {"channel": "a"}, TICKS, {"channel": "b"}),
    (TICKS, {"channel": "a"}, SINCE, {"channel": "a"}),
    (TICKS, {"channel": "a"}, TICKS + " ", {"channel": "a"}),
    (BOTH, {"a": "x:1"}, BOTH, {"a": "x:2"}),
    (SHOWN, {"b": True}, SHOWN, {"b": False}),
    (CHANGES, {"modelKey": "a", "filter": {"x": 1}}, CHANGES, {"modelKey": "a", "filter": {"x": 2}}),
    (CHANGES, {"modelKey": "a", "filter": None}, CHANGES, {"modelKey": "a", "filter": {"x": 2}}),
]


@pytest.mark.parametrize(("one", "its", "other", "others"), SAME)
def test_what_differs_in_where_it_begins_alone_is_the_same(one: str, its: Any, other: str, others: Any) -> None:
    shared = Executions(SETTINGS)
    assert execution(shared, one, **its) is (kept := execution(shared, one, **its))
    assert execution(shared, other, **others) is kept


@pytest.mark.parametrize(("one", "its", "other", "others"), DIFFERENT)
def test_what_may_have_other_results_is_another(one: str, its: Any, other: str, others: Any) -> None:
    shared = Executions(SETTINGS)
    kept = execution(shared, one, **its)
    assert execution(shared, other, **others) is not kept


def test_the_operation_of_a_document_counts_and_so_does_whose_inbox_it_is() -> None:
    shared = Executions(SETTINGS)
    query = 'subscription A { event(channel: "a") { id } } subscription B { event(channel: "a") { data } }'
    kept = execution(shared, query, "A")
    assert execution(shared, query, "A") is kept
    assert execution(shared, query, "B") is not kept
    inbox = DOCUMENTS.prepare("subscription { notificationReceived { id } }")
    own = shared.of(inbox, channel_of(inbox, ANN))
    assert channel_of(inbox, ANN) == "notifications:ann"
    assert shared.of(inbox, channel_of(inbox, Identity(Kind.JWT, "bob", "bob"))) is not own


def test_one_that_nobody_has_any_more_is_gone() -> None:
    shared = Executions(SETTINGS)
    gc.disable()  # it goes at once, and not when the collector comes
    try:
        encoder = execution(shared, TICKS, channel="a").encoder(3)
        assert len(shared) == 1
        encoder(event("a"))
        del encoder
        assert len(shared) == 0
    finally:
        gc.enable()


def test_variables_of_a_subscription_are_bounded() -> None:
    shared = Executions(Settings(graphql_query=500))
    execution(shared, CHANGES, modelKey="a", filter={"x": "y" * 400})
    with pytest.raises(InvalidRequest, match="500 bytes"):
        execution(shared, CHANGES, modelKey="a", filter={"x": "y" * 500})


def test_the_latest_results_are_kept_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_KEPT_BYTES", 10_000)
    shared = Executions(SETTINGS)
    kept = execution(shared, TICKS, channel="a")
    for number in range(100):
        for _ in range(3):
            shared.result(kept, event("a", data="x" * 500, offset=number))
    assert shared.count == 100
    assert len(shared._kept) < 20
    shared.result(kept, event("a", offset=99))
    assert shared.count == 100
    shared.result(kept, event("a", offset=0))
    assert shared.count == 101
    big = event("a", data="x" * 50_000, offset=200)
    for _ in range(2):
        shared.result(kept, big)
    assert shared.count == 102
    for number in range(1000):  # what a filter leaves out takes room as well
        shared.result(execution(shared, CHANGES, modelKey="product", filter={"x": 1}), change(offset=number))
    assert len(shared._kept) < 40


def test_another_event_in_the_same_place_is_another() -> None:
    """Where nothing is kept, offsets begin anew with a channel that was forgotten."""
    shared = Executions(SETTINGS)
    first = event("live:a", data=1)
    others = [attrs.evolve(first, id="other", data=b"2"), attrs.evolve(first, timestamp=1, data=b"3")]
    for number, happened in enumerate([first, *others], 1):
        assert result(shared, TICKS, happened, channel="live:a")["data"]["event"]["data"] == number


# --- what an event results in


def test_a_change_has_its_type_and_the_record() -> None:
    shared = Executions(SETTINGS)
    for name in ("CREATED", "UPDATED", "DELETED", "PUBLISHED", "UNPUBLISHED"):
        assert result(shared, CHANGES, change(name), modelKey="product") == {
            "data": {"recordChanged": {"type": name, "record": {"id": "rec_1", "data": {"price": 5}}}},
            "extensions": {"position": "abcdefgh-7"},
        }


def test_the_name_of_a_result_is_the_one_that_the_document_gives_it() -> None:
    shared = Executions(SETTINGS)
    query = """subscription ($yes: Boolean = true) { changed: recordChanged(modelKey: "product") { ...Change } }
    fragment Change on RecordChange { kind: type record { ...Some } }
    fragment Some on Record { __typename version @include(if: $yes) id @skip(if: $yes) }"""
    assert result(shared, query, change())["data"] == {
        "changed": {"kind": "UPDATED", "record": {"__typename": "Record", "version": 1}}
    }


@pytest.mark.parametrize(
    ("filter", "passes"),
    [
        (None, True),
        ({}, True),
        ({"price": 5}, True),
        ({"price": {"gt": 5}}, False),
        ({"price": {"gte": 5, "lt": 6}}, True),
        ({"stock": None}, True),
    ],
)
def test_a_change_that_its_filter_does_not_let_pass_results_in_nothing(filter: Any, passes: bool) -> None:
    shared = Executions(SETTINGS)
    assert (result(shared, CHANGES, change(), modelKey="product", filter=filter) is not None) is passes
    assert shared.count == passes


JOB = {"id": "job_1", "type": "import", "status": "running", "progress": 50, "userId": "ann", "result": None}
JOB |= {"error": None, "createdAt": "x", "updatedAt": "x"}
NOTE = {"id": "n", "type": "t", "title": "T", "message": None, "actionUrl": None, "userId": "ann", "read": False}
NOTE |= {"createdAt": "x"}


def test_a_job_and_a_notification_are_told_as_they_are() -> None:
    shared = Executions(SETTINGS)
    query = "subscription ($id: ID) { jobProgress(jobId: $id) { id status progress userId error } }"
    happened = event("jobs:job_1", "job.progress", JOB, sequence=30)
    wanted = {"id": "job_1", "status": "running", "progress": 50.0, "userId": "ann", "error": None}
    assert result(shared, query, happened, id="job_1") == {
        "data": {"jobProgress": wanted},
        "extensions": {"position": "abcdefgh-7"},
    }
    assert result(shared, query, happened) == {
        "data": {"jobProgress": wanted},
        "extensions": {"position": "abcdefgh-30"},  # of all jobs, a place is one in the order of commits
    }
    query = "subscription { notificationReceived { id title message read } }"
    assert result(shared, query, event("notifications:ann", "notification.new", NOTE))["data"] == {
        "notificationReceived": {"id": "n", "title": "T", "message": None, "read": False}
    }


@pytest.mark.parametrize("name", ["job.completed", "job.failed", "job.cancelled"])
def test_the_end_of_a_job_completes_the_subscription_to_it_and_to_nothing_wider(name: str) -> None:
    shared = Executions(SETTINGS)
    query = "subscription ($id: ID) { jobProgress(jobId: $id) { id } }"
    over = event("jobs:job_1", name, JOB | {"status": name.removeprefix("job.")}, sequence=30)
    kept, ends = execution(shared, query, id="job_1"), []
    sink = Sink()
    outlet = Outlet(sink, "x", lambda: ends.append(len(sink.taken)))
    encode = kept.encoder(3)
    outlet.offer(encode(event("jobs:job_1", "job.progress", JOB)))
    assert not ends
    again = event("jobs:job_1", "job.created", JOB, offset=8)  # the id is free once the job is forgotten
    outlet.offer(encode(over) + encode(again))
    assert ends == [2]
    last = text_frame(b'{"id":"x","type":"complete"}')
    assert sink.taken[1].endswith(b'"position":"abcdefgh-7"}}}' + last)
    sink.full = True
    assert not outlet.offer(encode(over)) and ends == [2]
    assert b"complete" not in execution(shared, query).encoder(3)(over)
    assert not encode(event("jobs:job_1", name, "someone else's", offset=9))


@given(st.text(max_size=30) | st.sampled_from(['{"id":"x","type":"complete"}', "\u0081\x1c", "Á"]))
def test_no_data_completes_a_subscription(text: str) -> None:
    shared = Executions(SETTINGS)
    kept = execution(shared, 'subscription { jobProgress(jobId: "1") { id result error } }')
    for id in ("x", "y" * 40):
        ends: list[str] = []
        sink = Sink()
        outlet = Outlet(sink, id, lambda ends=ends: ends.append(""))
        message = {"id": id, "type": "complete"}
        values = [text, "Á" + chr(26 + len(id)) + orjson.dumps(message).decode(), message]
        for value in values:
            happened = event("jobs:1", "job.progress", JOB | {"result": value, "error": text})
            outlet.offer(kept.encoder(len(outlet.id))(happened))
        assert not ends
        assert len(sink.taken) == len(values)


WHOLE = "subscription ($c: String!) { event(channel: $c) { id channel event data timestamp offset position } }"


@pytest.mark.parametrize("data", [b"null", b"[1,2.50,1e2]", b'{"a":12345678901234567890123}', b'"\xc3\xa4"'])
def test_any_events_data_stands_there_to_the_byte(data: bytes) -> None:
    shared = Executions(SETTINGS)
    kept = execution(shared, WHOLE, c="live:a")
    assert shared.result(kept, event("live:a", data=data)) == (
        b'{"data":{"event":{"id":"evt","channel":"live:a","event":"tick","data":' + data + b',"timestamp":'
        b'"2026-05-28T20:26:40.000Z","offset":7,"position":"abcdefgh-7"}},"extensions":{"position":"abcdefgh-7"}}'
    )


def test_an_event_of_a_kind_without_history_has_a_place_in_its_channel_and_none_in_the_kind() -> None:
    shared = Executions(SETTINGS)
    answer = result(shared, WHOLE, event("live:a"), c="live:*")
    assert answer["data"]["event"]["position"] == "abcdefgh-7"
    assert "extensions" not in answer
    answer = result(shared, WHOLE, event("live:a", sequence=9, offset=8), c="live:*")
    assert answer["data"]["event"]["position"] == answer["extensions"]["position"] == "abcdefgh-9"


def test_an_event_as_large_as_any_is_written_however_it_is_nested() -> None:
    shared = Executions(SETTINGS)
    nested = b"[" * 900 + b"]" * 900
    assert nested in shared.result(execution(shared, WHOLE, c="a"), event("a", data=nested))


OTHER = [
    event("changes:product", "renamed", {"type": "renamed", "record": RECORD}),
    event("changes:product", "CREATED", None),
    event("changes:product", "CREATED", [RECORD]),
    event("changes:product", "CREATED", "record"),
    event("changes:product", "CREATED", {}),
    event("changes:product", "CREATED", {"record": None}),
    event("changes:product", "CREATED", {"record": 5}),
    event("changes:product", "CREATED", {"record": [RECORD]}),
    event("changes:product", "CREATED", {"record": {**RECORD, "id": None}}),
    event("changes:product", "CREATED", {"record": {**RECORD, "id": {"a": 1}}}),
    event("changes:product", "CREATED", {"record": {**RECORD, "data": None}}),
    event("changes:product", "CREATED", {"record": {key: RECORD[key] for key in RECORD if key != "data"}}),
    event("changes:product", "CREATED", b'{"record":{"id":"1","data":' + b"[" * 900 + b"]" * 900 + b"}}"),
]


@pytest.mark.parametrize("happened", OTHER)
@pytest.mark.parametrize("filter", [None, {"price": {"ne": 6}}])
def test_what_someone_else_published_there_is_passed_over(happened: Event, filter: Any) -> None:
    """Whoever may write may publish anything to ``changes:product``; no reader of changes is disturbed by it."""
    shared = Executions(SETTINGS)
    assert result(shared, CHANGES, happened, modelKey="product", filter=filter) is None
    jobs = 'subscription { jobProgress(jobId: "1") { id status } }'
    assert result(shared, jobs, happened) is None
    assert result(shared, jobs, event("jobs:1", "job.progress", {**JOB, "status": "gone"})) is None
    assert result(shared, jobs, event("jobs:1", "job.progress", [JOB])) is None
    inbox = "subscription { notificationReceived { id } }"
    for name in ("notification.read", "notification.read_all", "new_comment"):
        assert result(shared, inbox, event("notifications:ann", name, NOTE)) is None


def test_what_fits_in_part_is_told_with_what_does_not_fit() -> None:
    shared = Executions(SETTINGS)
    query = 'subscription { recordChanged(modelKey: "product") { record { id publishedVersion } } }'
    answer = result(shared, query, change(publishedVersion="first"))
    assert answer["data"] == {"recordChanged": {"record": {"id": "rec_1", "publishedVersion": None}}}
    (error,) = answer["errors"]
    assert error["path"] == ["recordChanged", "record", "publishedVersion"]
    assert answer["extensions"] == {"position": "abcdefgh-7"}


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
named = st.sampled_from(["CREATED", "DELETED", "job.progress", "notification.new", "tick"])
fields = st.sampled_from([*RECORD, *JOB, *NOTE, "record"])
QUERIES = [
    (CHANGES, {"modelKey": "a"}),
    (CHANGES, {"modelKey": "a", "filter": {"price": {"gt": 4}}}),
    ("subscription { jobProgress { id type status progress userId result error createdAt updatedAt } }", {}),
    ("subscription { notificationReceived { id type title message actionUrl userId read createdAt } }", {}),
    (WHOLE, {"c": "a"}),
]


@given(named, values | st.dictionaries(fields, values | st.dictionaries(fields, values)))
def test_any_event_is_told_or_passed_over(name: str, data: Any) -> None:
    shared = Executions(SETTINGS)
    for query, variables in QUERIES:
        kept = execution(shared, query, **variables)
        frame = kept.encoder(3)(event("a", name, data))
        assert not frame or orjson.loads(frame[frame.index(b"{") :].replace(b"\xff\xff\xff", b'"1"'))["payload"]["data"]
