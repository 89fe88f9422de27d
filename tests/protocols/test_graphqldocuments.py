"""Documents: which operation is meant, what its root fields want, and the result of their values."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest

from rtlite.errors import Forbidden
from rtlite.protocols.graphqldocuments import Documents, Root
from rtlite.protocols.graphqllimits import Limits, QueryRefused
from rtlite.settings import Settings

SCHEMA = """
type Query { book(id: ID!, first: Int = 3, tags: JSON): Book books(first: Int = 3): [Book!] count: Int }
type Mutation { add(title: String!): Book }
type Subscription { added(since: String): Book! }
type Book { id: ID! title: String! pages: Int shelf: Shelf more: JSON }
enum Shelf { low high }
scalar JSON
"""
LIMITS = Limits.of(Settings())
BOOK = {"id": "1", "title": "A", "pages": 7, "shelf": "low", "more": orjson.Fragment(b'{"a":[1]}')}


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA, LIMITS)


def refusal(documents: Documents, text: str, variables: Any = None, name: str | None = None) -> QueryRefused:
    with pytest.raises(QueryRefused) as refused:
        documents.prepare(text, variables, name)
    return refused.value


# --- what is wanted


def test_the_root_fields_of_an_operation_are_told_with_their_arguments_as_the_schema_has_them(
    documents: Documents,
) -> None:
    text = "query Q($id: ID!) { a: book(id: $id, tags: {x: [1, $id]}) { id } books { id } }"
    operation = documents.prepare(text, {"id": 7, "unused": 1})
    assert (operation.kind, operation.name, operation.text) == ("query", "Q", text)
    assert operation.variables == {"id": 7}
    assert operation.roots == (
        Root("a", "book", {"id": "7", "first": 3, "tags": {"x": [1, "7"]}}),
        Root("books", "books", {"first": 3}),
    )


def test_what_is_skipped_or_stands_in_a_fragment_or_twice_is_told_once_or_not_at_all(documents: Documents) -> None:
    text = """query ($yes: Boolean!) {
      count @skip(if: $yes)
      ...F ...F
      ... @include(if: $yes) { books { id } }
      ... on Query { books { title } }
      ...G @skip(if: $yes)
      __typename
    }
    fragment F on Query { book(id: 1) { id } books { id } }
    fragment G on Query { count }"""
    operation = documents.prepare(text, {"yes": True})
    assert [root.key for root in operation.roots] == ["book", "books"]
    answer = operation.answer({"book": BOOK, "books": [BOOK]})
    assert answer == {"data": {"book": {"id": "1"}, "books": [{"id": "1", "title": "A"}], "__typename": "Query"}}


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("query A { count } mutation B { add(title: 1) { id } }", "A", "query"),
        ("query A { count } subscription S { added { id } }", "S", "subscription"),
        ("query A { count }", None, "query"),
        ("query A { count }", "", "query"),
        ("{ count }", None, "query"),
    ],
)
def test_the_operation_is_the_one_of_the_name_or_the_only_one(
    documents: Documents, text: str, name: str | None, kind: str
) -> None:
    if kind == "query":
        text = text.replace("title: 1", 'title: "x"')
    assert documents.prepare(text, None, name).kind == kind


@pytest.mark.parametrize(
    ("text", "variables", "name", "code"),
    [
        ("", None, None, "syntax_error"),
        ("{ count", None, None, "syntax_error"),
        ("{ counts }", None, None, "invalid_query"),
        ("{ book { id } }", None, None, "invalid_query"),
        ("{ count } { count }", None, None, "invalid_query"),
        ("query A { count } query B { count }", None, None, "invalid_query"),
        ("query A { count }", None, "B", "invalid_query"),
        ("fragment F on Book { id }", None, None, "invalid_query"),
        ("subscription { added { id } b: added { id } }", None, None, "invalid_query"),
        ("query ($id: ID!) { book(id: $id) { id } }", {}, None, "invalid_variables"),
        ("query ($id: ID!) { book(id: $id) { id } }", {"id": [1]}, None, "invalid_variables"),
        ("query ($n: Int) { books(first: $n) { id } }", {"n": 2**40}, None, "invalid_variables"),
        ("query ($n: Int) { books(first: $n) { id } }", {"n": "1"}, None, "invalid_variables"),
        ("query ($t: JSON) { book(id: 1, tags: $t) { id } }", {"t": 2**70}, None, "invalid_variables"),
    ],
)
def test_what_cannot_be_executed_is_refused_with_a_code(
    documents: Documents, text: str, variables: Any, name: str | None, code: str
) -> None:
    refused = refusal(documents, text, variables, name)
    assert refused.code == code and refused.status == 400
    assert {error["extensions"]["code"] for error in refused.errors} == {code}  # type: ignore[index]
    assert refused.errors[0]["message"] == refused.detail


def test_a_mistake_in_a_document_is_told_with_its_place(documents: Documents) -> None:
    assert refusal(documents, "{\n  counts }").errors[0]["locations"] == [{"line": 2, "column": 3}]


@pytest.mark.parametrize("depth", [300, 100_000])
def test_variables_that_no_json_can_be_written_of_are_refused(documents: Documents, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    refused = refusal(documents, "query ($t: JSON) { book(id: 1, tags: $t) { id } }", {"t": value})
    assert refused.code == "invalid_variables"
    while isinstance(value, list):  # Python would take its own stack down to forget it
        value = value.pop()


def test_a_large_list_of_variables_costs_nothing_where_any_json_is_taken(documents: Documents) -> None:
    value = [{"a": number} for number in range(20_000)]
    operation = documents.prepare("query ($t: JSON) { book(id: 1, tags: $t) { id } }", {"t": value})
    assert operation.roots[0].args["tags"] is value


# --- results


def test_a_result_has_the_fields_that_were_asked_for_and_json_as_it_is(documents: Documents) -> None:
    operation = documents.prepare("{ book(id: 1) { id shelf more __typename } count }")
    answer = operation.answer({"book": BOOK, "count": None})
    assert orjson.loads(orjson.dumps(answer)) == {
        "data": {"book": {"id": "1", "shelf": "low", "more": {"a": [1]}, "__typename": "Book"}, "count": None}
    }


def test_an_error_of_a_field_stands_at_its_path_and_leaves_the_others_their_results(documents: Documents) -> None:
    operation = documents.prepare("{ a: count b: count c: count }")
    answer = operation.answer({"a": 1, "b": Forbidden("no, you"), "c": ValueError("a secret")})
    assert answer["data"] == {"a": 1, "b": None, "c": None}
    first, second = answer["errors"]
    assert first == {
        "message": "no, you",
        "locations": [{"line": 1, "column": 12}],
        "path": ["b"],
        "extensions": {"code": "forbidden"},
    }
    assert second["path"] == ["c"] and second["extensions"] == {"code": "internal_error"}
    assert "secret" not in str(answer)


def test_the_operation_of_a_subscription_is_executed_on_each_event(documents: Documents) -> None:
    operation = documents.prepare('subscription { new: added(since: "2h") { title } }')
    assert operation.roots == (Root("new", "added", {"since": "2h"}),)
    for title in ("A", "B"):
        assert operation.answer({"new": {**BOOK, "title": title}}) == {"data": {"new": {"title": title}}}
    assert operation.answer({"new": {"id": 1}})["data"] is None


def test_a_value_that_does_not_fit_the_schema_is_an_error_there(documents: Documents) -> None:
    answer = documents.prepare("{ book(id: 1) { id shelf } }").answer({"book": {"id": 1, "shelf": "top"}})
    assert answer["data"] == {"book": {"id": "1", "shelf": None}}
    assert answer["errors"][0]["path"] == ["book", "shelf"]


# --- the schema, and what is kept


def test_without_introspection_nothing_of_the_schema_is_told_not_even_a_name_like_it() -> None:
    documents = Documents(SCHEMA, LIMITS, introspection=False)
    assert refusal(documents, "{ __schema { types { name } } }").code == "invalid_query"
    assert refusal(documents, '{ __type(name: "Book") { name } }').code == "invalid_query"
    assert "count" not in refusal(documents, "{ coun }").detail.replace("coun'", "")
    operation = documents.prepare("{ __typename }")
    assert operation.answer({}) == {"data": {"__typename": "Query"}}


def test_with_introspection_a_name_that_is_nearly_right_is_helped(documents: Documents) -> None:
    assert "Did you mean 'count'?" in refusal(documents, "{ coun }").detail
    operation = documents.prepare('{ __type(name: "Shelf") { enumValues { name } } }')
    assert operation.answer({})["data"]["__type"]["enumValues"] == [{"name": "low"}, {"name": "high"}]


def test_a_document_is_parsed_and_validated_once_and_the_oldest_of_many_is_forgotten(documents: Documents) -> None:
    first = documents.prepare("{ count }").document
    assert documents.prepare("{ count }").document is first
    for number in range(99):
        documents.prepare(f"{{ a{number}: count }}")
    assert documents.prepare("{ count }").document is first  # it was asked for just now
    for number in range(100):
        documents.prepare(f"{{ b{number}: count }}")
    assert documents.prepare("{ count }").document is not first
    gc.collect()


@pytest.mark.parametrize(
    ("text", "variables", "legal"),
    [
        ("query ($n: Int) { books(first: $n) { id title } }", {"n": 2499}, True),
        ("query ($n: Int) { books(first: $n) { id title } }", {"n": 2500}, False),
        ("{ books(first: 2499) { ...F } } fragment F on Book { id title }", None, True),
        ("{ books(first: 2500) { ...F } } fragment F on Book { id title }", None, False),
        ("{ books(first: -9) { id } }", None, True),
        ("{ books(first: null) { id } }", None, True),
        (f"{{ book(id: 1, tags: [{2**64 - 1}, {-(2**63)}, 0.5, 1e300, -7]) {{ id }} }}", None, True),
    ],
)
def test_a_list_counts_as_often_as_it_may_have_members(
    documents: Documents, text: str, variables: Any, legal: bool
) -> None:
    if legal:
        documents.prepare(text, variables)
    else:
        assert refusal(documents, text, variables).code == "query_too_costly"
