"""The samples against the references' own examples: the same names and fields, of the same types."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from rtlite.domain import samples
from rtlite.domain.samples import SAMPLES
from rtlite.model import check_channel, check_event_name
from rtlite.store.inbox import Notification
from rtlite.store.jobs import Job

# What the references print, word for word but for the values.
TEXTS = {
    "new_subscriber": {"subscriber": {"email": "", "subscribed_at": ""}},
    "new_comment": {"articleSlug": "", "comment": {"id": "", "body": "", "author": "", "createdAt": ""}},
    "view_update": {"slug": "", "viewCount": 0, "timestamp": ""},
    "notification": {"message": "", "level": ""},
    "chat_message": {"conversation_id": "", "sender_id": "", "content": ""},
    "status_update": {"entity_type": "", "entity_id": "", "status": ""},
    "notification.new": {"id": "", "type": "", "title": "", "message": "", "userId": ""},
    "UPDATED": {"type": "", "record": {"id": "", "modelKey": "", "naturalKey": "", "data": {}, "updatedAt": ""}},
}


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: {} if name == "data" else shape(item) for name, item in value.items()}
    return type(value)()


def of(shown: Any, value: Any) -> Any:
    """The part of a value that a text shows: there may be more to a thing than the text's client asks for."""
    if isinstance(shown, dict) and isinstance(value, dict) and shown:
        return {name: of(shown[name], item) for name, item in value.items() if name in shown}
    return value


@pytest.mark.parametrize("name", TEXTS)
def test_a_sample_has_the_shape_that_the_text_shows(name):
    sample = samples.find(name)
    assert sample is not None
    assert of(TEXTS[name], shape(sample.data(sample.channel))) == TEXTS[name]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_sample_can_be_published(sample):
    check_channel(sample.channel)
    check_event_name(sample.event_name)
    assert orjson.dumps(sample.data(sample.channel)).startswith(b"{")


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("job.", Job("j", "import")), ("notification.new", Notification("n", "ann", "note", "Hello"))],
)
def test_samples_of_jobs_and_notifications_have_the_fields_of_real_ones(kind, stored):
    found = [sample for sample in SAMPLES if sample.name.startswith(kind)]
    assert found
    for sample in found:
        assert list(sample.data(sample.channel)) == list(stored.as_json())


@pytest.mark.parametrize("name", ["UPDATED", "DELETED", "PUBLISHED", "UNPUBLISHED"])
def test_a_record_that_is_not_new_was_made_before_and_has_changed_since(name):
    created, changed = [samples.find(each).data("changes:product")["record"] for each in ("CREATED", name)]
    assert (created["version"], created["updatedAt"]) == (1, created["createdAt"])
    assert changed["version"] > 1
    assert changed["updatedAt"] > changed["createdAt"]
    assert changed["publishedVersion"] == (changed["version"] if name == "PUBLISHED" else None)


@pytest.mark.parametrize("name", ["job.progress", "job.completed", "job.failed", "job.cancelled"])
def test_a_job_that_went_on_was_made_before(name):
    job = samples.find(name).data("jobs:job_9")
    assert job["updatedAt"] > job["createdAt"]


def test_ids_look_like_real_ones():
    for name in ("notification.new", "notification.read"):
        assert re.fullmatch("notif_[0-9a-f]{16}", samples.find(name).data("notifications:dev")["id"])
    for name in ("CREATED", "UPDATED"):
        for number in range(2):
            data = samples.find(name).data("changes:product", samples.Turn(number))
            assert re.fullmatch("rec_[0-9a-f]{16}", data["record"]["id"])


def test_names_are_unique_in_any_case_and_found_so():
    assert len({sample.name.lower() for sample in SAMPLES}) == len(SAMPLES)
    created = samples.find("created")
    assert created is not None
    assert created.event_name == "CREATED"
    assert samples.find("create") is None


@pytest.mark.parametrize(
    ("name", "channel", "field"),
    [
        ("view_update", "article:my-first-post", ("slug", "my-first-post")),
        ("chat_message", "conversation:conv-9", ("conversation_id", "conv-9")),
        ("notification.new", "notifications:usr_1", ("userId", "usr_1")),
        ("status_update", "order:o-1", ("entity_type", "order")),
        ("status_update", "order:o-1", ("entity_id", "o-1")),
        ("job.progress", "jobs:job_1", ("id", "job_1")),
        ("view_update", "lobby", ("slug", "hello")),  # a channel without a kind says nothing
    ],
)
def test_the_data_fits_the_channel(name, channel, field):
    sample = samples.find(name)
    assert sample is not None
    assert field in sample.data(channel).items()


def test_a_change_of_a_record_names_its_model_as_the_channel_does():
    sample = samples.find("published")
    assert sample is not None
    assert sample.data("changes:order")["record"]["modelKey"] == "order"


def test_the_doors_are_those_of_the_kind_and_those_of_every_channel():
    assert samples.doors("article:a") == ["/blog/ws/articles/a", "/ws", "/_events", "/sse/article:a", "/graphql/ws"]
    assert samples.doors("lobby") == ["/ws", "/_events", "/sse/lobby", "/graphql/ws"]
    assert samples.doors("stream:s") == ["/socket.io/", "/ws", "/_events", "/sse/stream:s", "/graphql/ws"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_repetitions_have_the_same_fields_of_the_same_types(sample):
    def shape(value):
        return {name: shape(item) for name, item in value.items()} if isinstance(value, dict) else type(value)

    shapes = [shape(sample.data(sample.channel, samples.Turn(number))) for number in range(50)]
    assert all(item == shapes[0] for item in shapes)
