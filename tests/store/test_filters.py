"""What a filter means: once in Python, for events, and once in SQL, for pages. Both must say the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.store.filters import MAX_LIST, Filter, parse_filter, parse_path, passes, where

DATA = {
    "name": "Blue mug",
    "price": 12.5,
    "stock": 40,
    "active": True,
    "note": None,
    "tags": ["blue", "kitchen", 3, True, None],
    "size": {"width": 8, "unit": "cm"},
}


def asked(filter: object, data: object = DATA) -> bool:
    return passes(parse_filter(filter, 100), {"data": data})


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE r (data TEXT NOT NULL)")
    yield connection
    connection.close()


def said_in_sql(connection: sqlite3.Connection, filter: Filter, data: object) -> bool:
    connection.execute("DELETE FROM r")
    connection.execute("INSERT INTO r VALUES (?)", (orjson.dumps(data).decode(),))
    texts, bound = ["1"], []
    for condition in filter:
        text, values = where(condition, "r.data")
        texts.append(text)
        bound += values
    return connection.execute(f"SELECT 1 FROM r WHERE {' AND '.join(texts)}", bound).fetchone() is not None


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"price": 12.5},
        {"data.price": 12.5},
        {"stock": 40.0},
        {"size.width": {"gte": 8, "lt": 9}},
        {"name": {"gt": "Blue", "lte": "Blue mug"}},
        {"name": {"contains": "mug"}, "active": True},
        {"tags": {"contains": "kitchen"}},
        {"tags": {"contains": 3}},
        {"tags": {"contains": None}},
        {"price": {"in": [1, "12.5", 12.5]}},
        {"note": None},
        {"absent": None},
        {"absent": {"ne": 1}},
        {"active": {"ne": 1}},
        {"note": {"in": [None]}},
    ],
)
def test_a_record_that_meets_every_condition_passes(sqlite: sqlite3.Connection, filter: dict[str, Any]) -> None:
    assert asked(filter)
    assert said_in_sql(sqlite, parse_filter(filter, 100), DATA)


@pytest.mark.parametrize(
    "filter",
    [
        {"price": "12.5"},
        {"active": 1},
        {"active": "true"},
        {"stock": {"gt": "4"}},
        {"name": {"gt": 0}},
        {"name": {"contains": "MUG"}},
        {"tags": {"contains": "kit"}},
        {"tags": {"contains": 1}},
        {"size": {"contains": "cm"}},
        {"price": {"gt": 12.5}},
        {"price": {"in": []}},
        {"name": "Blue mug", "stock": 41},
        {"name.length": 8},
        {"tags.0": "blue"},
        {"size": None},
        {"absent": {"lt": 1}},
    ],
)
def test_a_record_that_misses_one_does_not_pass(sqlite: sqlite3.Connection, filter: dict[str, Any]) -> None:
    assert not asked(filter)
    assert not said_in_sql(sqlite, parse_filter(filter, 100), DATA)


@pytest.mark.parametrize(
    ("filter", "complaint"),
    [
        ([], "an object"),
        ("price", "an object"),
        ({"price": {"above": 1}}, "above: an operator is one of eq, ne, gt"),
        ({"price": [1]}, "price: eq: a number"),
        ({"price": {"gt": None}}, "price: gt: a number or a text"),
        ({"price": {"gte": True}}, "price: gte: a number or a text"),
        ({"price": {"in": 1}}, "a list of up to"),
        ({"price": {"in": list(range(MAX_LIST + 1))}}, "a list of up to"),
        ({"price": {"eq": float("nan")}}, "price: eq"),
        ({"price": {"eq": float("inf")}}, "price: eq"),
        ({"name": "x" * 1001}, "name: eq"),
        ({"name": "a\0b"}, "name: eq"),
        ({"name": "\ud800"}, "name: eq"),
        ({'a"]) OR 1 --': 1}, "a field is a path"),
        ({"": 1}, "a field is a path"),
        ({"a..b": 1}, "a field is a path"),
        ({"$.a": 1}, "a field is a path"),
        ({"a" * 65: 1}, "a field is a path"),
        ({".".join("a" * 9): 1}, "a field is a path"),
        ({f"f{n}": 1 for n in range(101)}, "100 conditions at most"),
        ({"a": {"gt": 1, "lt": 2}, **{f"f{n}": 1 for n in range(99)}}, "100 conditions at most"),
    ],
)
def test_what_is_no_filter_or_too_large_a_one_is_refused(filter: object, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refused:
        parse_filter(filter, 100)
    assert refused.value.code == "invalid_filter"


def test_fields_of_which_nothing_is_asked_count_as_well() -> None:
    assert parse_filter({f"a{number}": {} for number in range(3)}, 3) == ()
    with pytest.raises(InvalidRequest, match="3 conditions at most"):
        parse_filter({f"a{number}": {} for number in range(4)}, 3)


def test_a_field_called_data_is_named_in_full() -> None:
    assert parse_path("data.price") == ("price",)
    assert parse_path("data.data.price") == ("data", "price")
    assert parse_path("data") == ("data",)
    assert asked({"data": 1}, {"data": 1})
    assert asked({"data.data.x": 1}, {"data": {"x": 1}})


# --- the same in SQL, whatever the data

# What one might take for another.
ALIKE = [None, True, False, 0, 1, -1, 0.0, 1.0, 2**63, 2.0**63, "", "0", "1", "1.0", "true", "null", "[1]", '{"b":1}']


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte", "in", "contains"])
def test_what_looks_alike_is_told_apart_in_the_same_way(sqlite: sqlite3.Connection, operator: str) -> None:
    for operand in ALIKE:
        if operator in {"gt", "gte", "lt", "lte"} and (operand is None or isinstance(operand, bool)):
            continue
        filter = parse_filter({"a": {operator: [operand] if operator == "in" else operand}}, 1)
        for found in [*ALIKE, *([item] for item in ALIKE), [[1]], {"b": 1}]:
            data = {"a": found}
            assert passes(filter, {"data": data}) == said_in_sql(sqlite, filter, data), (filter, data)
        assert passes(filter, {"data": {}}) == said_in_sql(sqlite, filter, {}), filter


names = st.sampled_from(["a", "a", "a", "data", "ключ-1"])
# As many digits as SQLite's own reading of numbers keeps (the module's promise).
numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 3),
    st.decimals(-1000, 1000, places=3).map(float),
    st.sampled_from([0.0, -0.0, 1.0, 1e22, 2.0**63, 2.0**64]),
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.sampled_from(["", "a", "ab", "B", "true", "null", "1", "1.0", "%", '"', "é", "\U0001f600", "\uffff", "[1]"]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
paths = st.one_of(names, st.lists(names, min_size=1, max_size=2).map(".".join))
conditions = st.one_of(
    scalars,
    st.fixed_dictionaries(
        {},
        optional={
            "eq": scalars,
            "ne": scalars,
            "gt": numbers | texts,
            "gte": numbers | texts,
            "lt": numbers | texts,
            "lte": numbers | texts,
            "in": st.lists(scalars, max_size=3),
            "contains": scalars,
        },
    ),
)
filters = st.dictionaries(paths, conditions, max_size=2)


@given(filter=filters, data=st.dictionaries(names, values, max_size=3))
def test_what_passes_is_what_sql_finds(sqlite: sqlite3.Connection, filter: dict[str, Any], data: Any) -> None:
    parsed = parse_filter(filter, 100)
    as_read = orjson.loads(orjson.dumps(data))
    assert passes(parsed, {"data": as_read}) == said_in_sql(sqlite, parsed, data)
