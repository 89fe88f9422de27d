"""The rules that descriptions show are those that the checks hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rtlite import model, rules, settings
from rtlite.domain import blog, models
from rtlite.domain.inbox import check_inbox
from rtlite.endpoints.models import Field
from rtlite.errors import InvalidRequest
from rtlite.protocols.jsonschema import Schemas
from rtlite.settings import Settings
from rtlite.store.blog import Slug
from rtlite.store.filters import parse_path

PAIRS: dict[str, tuple[Any, Callable[[str], object]]] = {
    "a channel": (rules.Channel, model.check_channel),
    "an event's id": (rules.EventId, model.check_event_id),
    "an event's name": (rules.EventName, model.check_event_name),
    "a user": (rules.User, model.check_user),
    "a user with an inbox": (rules.UserInChannel, lambda text: check_inbox("userId", text)),
    "a stream": (rules.Id, model.check_stream),
    "a model": (rules.Id, models.check_model),
    "a duration": (rules.Duration, settings.duration),
    "a slug": (Slug, blog._check_slug),
    "a field": (Field, parse_path),
}
ALMOST = st.text(st.sampled_from("aZ09 .-_~:*\x7f\x00é5smhd/"), max_size=12) | st.text(max_size=300)


@pytest.mark.parametrize("name", PAIRS)
@given(text=ALMOST)
@example("*")
@example("a:*")
@example("")
@example("x" * 256)
@example("x" * 241)
@example("2h")
@example("a.b-c")
def test_what_a_rule_allows_is_what_the_check_takes(name: str, text: str) -> None:
    assume(not text.endswith("\n"))  # which Python's "$" takes for the end, and that of JSON Schema does not
    wanted, check = PAIRS[name]
    allowed = Draft202012Validator(Schemas(Settings()).of(wanted)).is_valid(text)
    try:
        check(text)
        taken = True
    except (InvalidRequest, ValueError):
        taken = False
    assert allowed == taken


def test_a_rule_reads_the_settings_that_hold() -> None:
    limit = rules.Rule(maximum=rules.of("max_page"), minimum=1)
    assert limit.keywords(Settings(max_page=5)) == {"maximum": 5, "minimum": 1}
