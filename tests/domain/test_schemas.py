"""What a schema asks of data, what may be a schema, and what a check may cost."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from rtlite.domain.schemas import Schema, parse_schema
from rtlite.errors import InvalidRequest

PRODUCT = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "price": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "$defs": {"tag": {"type": "string"}},
}


def checked(schema: object, data: dict[str, Any], steps: int = 20_000) -> None:
    Schema(parse_schema(schema, 65536), steps).check(data)


def nested(levels: int) -> dict[str, Any]:
    """A schema of objects in objects."""
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("data", [{"name": "mug"}, {"name": "mug", "price": 1, "tags": ["a"], "more": {}}])
def test_data_that_fits_passes(data: dict[str, Any]) -> None:
    checked(PRODUCT, data)
    checked({}, data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({}, "data: 'name' is missing"),
        ({"name": 5}, 'data.name: this does not fit type: "string"'),
        ({"name": "x", "price": -1}, "data.price: this does not fit minimum: 0"),
        ({"name": "x", "tags": ["a", 2]}, r'data.tags\[1\]: this does not fit type: "string"'),
    ],
)
def test_the_place_that_does_not_fit_is_named(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refused:
        checked(PRODUCT, data)
    assert refused.value.code == "invalid_record"


def test_a_complaint_is_short_and_does_not_repeat_what_was_sent() -> None:
    for schema, data in (
        (PRODUCT, {"name": ["secret" * 1000]}),
        ({"enum": [{"a": "x" * 1000}]}, {"a": "secret"}),
        ({"additionalProperties": {"type": "string"}}, {"x" * 1000: 1}),
    ):
        with pytest.raises(InvalidRequest) as refused:
            checked(schema, data)
        assert len(refused.value.detail) <= 300 and "secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ([], "an object"),
        (nested(300), "nested too deep"),
        (True, "an object"),
        ({"type": "objekt"}, "type"),
        ({"required": "name"}, "required"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only https://json-schema.org/draft/2020-12"),
        ({"$schema": 5}, "only https://json-schema.org/draft/2020-12"),
        ({"$ref": "https://example.com/other.json"}, "only what begins with #"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "only what begins with #"),
        ({"allOf": [{"$dynamicRef": "other"}]}, "only what begins with #"),
        ({"$ref": "#/$defs/none"}, "there is no such part"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, "pattern: regular expressions are not checked"),
        ({"patternProperties": {"^(a+)+$": {}}}, "patternProperties: regular expressions are not checked"),
        ({"allOf": [{"$id": "https://example.com/mine"}]}, "only the whole schema may have one"),
        ({"$ref": "#/hidden", "hidden": {"pattern": "^(a+)+$"}}, "pattern: regular"),
        ({"$ref": "#/hidden", "hidden": {"$ref": "other"}}, "only what begins with #"),
        ({"items": {"if": {"pattern": "a"}}}, "pattern: regular"),
        ({"not": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}, "only the whole schema may have one"),
        ({"enum": ["x" * 65536]}, "65536 bytes at most"),
        ({"required": [{}] * 5000}, "4000 lists and objects at most"),
    ],
)
def test_what_is_no_schema_or_has_no_bounded_cost_is_refused(schema: object, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refused:
        parse_schema(schema, 65536)
    assert refused.value.code == "invalid_schema"


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    checked({"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}}, {"pattern": "x", "$ref": "y"})
    checked({"$id": "https://example.com/mine", "const": {"pattern": "a", "$ref": "b"}}, {"pattern": "a", "$ref": "b"})
    with pytest.raises(InvalidRequest, match=r"data.\$ref: "):
        checked({"properties": {"$ref": {"type": "string"}}}, {"$ref": 5})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_schema_that_refers_to_itself_without_end_refuses_the_record(schema: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(schema, {"a": 1})
    assert refused.value.code == "invalid_record"


@pytest.mark.parametrize("dialect", [{}, {"$schema": "https://json-schema.org/draft/2020-12/schema"}])
def test_a_schema_that_multiplies_is_given_up_soon(dialect: dict[str, str]) -> None:
    parts = {f"p{n}": {"allOf": [{"$ref": f"#/$defs/p{n + 1}"}] * 2} for n in range(40)}
    # By way of the root, where its $schema stands.
    schema = {**dialect, "properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#/$defs/p0"}]}
    schema["$defs"] = {**parts, "p40": {}}
    begun = time.thread_time()
    with pytest.raises(InvalidRequest, match="too large to be checked"):
        checked(schema, {"a": {}})
    assert time.thread_time() - begun < 2


def test_a_long_list_is_given_up_and_a_long_one_of_unique_items_refused() -> None:
    with pytest.raises(InvalidRequest, match="too large to be checked"):
        checked({"properties": {"a": {"items": {"type": "integer"}}}}, {"a": list(range(100_000))})
    unique = {"properties": {"a": {"uniqueItems": True}}}
    checked(unique, {"a": [{"n": n} for n in range(100)]})
    with pytest.raises(InvalidRequest, match=r"data\.a: this does not fit uniqueItems"):
        checked(unique, {"a": [1, 1]})
    with pytest.raises(InvalidRequest, match="too large to be checked"):
        checked(unique, {"a": list(range(1001))})


def test_many_complaints_about_a_large_record_take_no_time() -> None:
    data = {"text": "x" * 900_000, "list": [{"n": n} for n in range(10_000)]}
    begun = time.thread_time()
    with pytest.raises(InvalidRequest, match="data: this does not fit anyOf"):
        checked({"anyOf": [{"required": [f"f{n}"], "maxProperties": 1} for n in range(1000)]}, data)
    assert time.thread_time() - begun < 2


def test_what_was_given_up_does_not_count_for_the_next_check() -> None:
    schema = Schema(orjson.dumps(PRODUCT), 20)
    with pytest.raises(InvalidRequest, match="too large"):
        schema.check({"name": "x", "tags": ["a"] * 100})
    schema.check({"name": "x"})
