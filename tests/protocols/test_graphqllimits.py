"""What a document may cost: refused, and quickly, whatever it is made of."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import attrs
import pytest
from graphql import get_introspection_query, parse

from rtlite.endpoints.graphqlschema import read_schema
from rtlite.protocols.graphqlcosts import check_document
from rtlite.protocols.graphqldocuments import Documents
from rtlite.protocols.graphqllimits import MAX_BRACKETS, Limits, QueryRefused, check_text
from rtlite.settings import Settings

LIMITS = Limits.of(Settings())
LONGEST = 0.050  # seconds of processor time
RECORDS = 'records(modelKey: "p") { nodes { %s } }'


def chain(length: int) -> str:
    return "".join(f"fragment F{i} on Query {{ job(id: 1) {{ id }} ...F{i + 1} }} " for i in range(length))


def doubling(levels: int) -> str:
    fragments = "".join(f"fragment F{i} on Query {{ ...F{i + 1} ...F{i + 1} }} " for i in range(levels))
    return f"{{ ...F0 }} {fragments} fragment F{levels} on Query {{ job(id: 1) {{ id }} }}"


def crossing(count: int) -> str:
    """Each fragment spreads the eight that follow: few words, and half a second for graphql-core's validation."""
    spreads = [" ".join(f"...F{j}" for j in range(i + 1, min(count, i + 9))) for i in range(count)]
    return "{ ...F0 } " + "".join(f"fragment F{i} on Query {{ {text} __typename }} " for i, text in enumerate(spreads))


# What it is, the document, and a word of the refusal.
ATTACKS = {
    "very long": ("{ models { nodes { key } } } #" + "x" * 70_000, "bytes"),
    "very long, of few characters": ("{ models { nodes { key } } } #" + "\N{GRINNING FACE}" * 20_000, "bytes"),
    "deep": ("{ a" * 30_000, "bytes"),
    "deep, of a legal size": ("{a" * 400, "brackets"),
    "deep, and closed": ("{a" * 200 + "}" * 200, "brackets"),
    "deep in fields": ("{" + "__schema { queryType { " + "ofType { " * 30 + "name" + "}" * 33, "fields deep"),
    "deep through fragments": (
        "{ __schema { queryType { ...F0 } } } "
        + "".join(f"fragment F{i} on __Type {{ ofType {{ ...F{i + 1} }} }} " for i in range(30))
        + "fragment F30 on __Type { name }",
        "fields deep",
    ),
    "a deep list": ("{ job(id: " + "[" * 400 + "]" * 400 + ") { id } }", "brackets"),
    "a deep object": ("{ job(id: " + "{a:" * 200 + "1" + "}" * 200 + ") { id } }", "brackets"),
    "brackets never closed": ("{[(" * 20_000, "brackets"),
    "wide": ("{ " + "job(id: 1) { id } " * 200 + "}", "words"),
    "wide, of one field": ("{ " + RECORDS % ("id " * 500) + "}", "too often"),
    "wide, of unknown fields": ("{ " + " ".join(f"nothing{i}" for i in range(990)) + "}", "Cannot query field"),
    "long names, none of which is known": ("{ " + " ".join("x" * 600 + str(i) for i in range(100)) + "}", "Cannot"),
    "names that are nearly known": ("{ " + " ".join(f"records{i}" for i in range(990)) + "}", "Cannot query field"),
    "many aliases": ("{ " + " ".join(f"a{i}: models {{ nodes {{ key }} }}" for i in range(40)) + "}", "aliases"),
    "aliases in a fragment that is spread often": (
        "{ a: job(id: 1) { ...F } b: job(id: 2) { ...F } } fragment F on Job { "
        + " ".join(f"a{i}: id" for i in range(14))
        + " }",
        "aliases",
    ),
    "many root fields": ("{ " + " ".join(f"a{i}: unreadCount" for i in range(11)) + "}", "root fields"),
    "a fragment that spreads itself": ("{ ...F } fragment F on Query { ...F }", "spreads itself"),
    "fragments that spread one another": (
        "{ ...F } fragment F on Query { ...G } fragment G on Query { ...H } fragment H on Query { ...F }",
        "spreads itself",
    ),
    "a circle that nothing spreads": (
        "{ models { nodes { key } } } fragment F on Query { ...G } fragment G on Query { ...F }",
        "spreads itself",
    ),
    "one fragment spread a thousand times": (
        "{ " + "...F " * 300 + "} fragment F on Query { __typename }",
        "too often",
    ),
    "fragments that double": (doubling(25), "fields"),
    "fragments across": (crossing(40), "fields"),
    "a long chain of fragments": ("{ ...F0 } " + chain(60) + "fragment F60 on Query { __typename }", "too often"),
    "overlapping fields, nested": (
        "{ " + "__schema { types { fields { args { name type { name ofType { name } } } } } } " * 30 + "}",
        "too often",
    ),
    "overlapping inline fragments": ("{ " + "... on Query { job(id: 1) { id } } " * 60 + "}", "too often"),
    "a huge list": ('{ records(modelKey: "p", filter: { a: [' + "1 " * 20_000 + "] }) { nodes { id } } }", "words"),
    "many arguments": ("{ jobs(" + "".join(f"x{i}: 1 " for i in range(320)) + ") { nodes { id } } }", "argument"),
    "many directives": ("{ jobs" + " @include(if: true)" * 130 + " { nodes { id } } }", "directive"),
    "many variables": (
        "query (" + "".join(f"$v{i}: Int " for i in range(60)) + ") { models { nodes { key } } }",
        "variables",
    ),
    "a deep type of a variable": (
        "query ($a: " + "[" * 70 + "Int" + "]" * 70 + ") { models { nodes { key } } }",
        "brackets",
    ),
    "many operations": ("".join(f"query Q{i} {{ models {{ nodes {{ key }} }} }} " for i in range(95)), "words"),
    "many fragments that nothing spreads": (
        "{ models { nodes { key } } } " + "".join(f"fragment F{i} on Job {{ id }} " for i in range(120)),
        "never used",
    ),
    "a schema in place of a query": ("type A { " + "a: Int " * 300 + "}", "not executable"),
    "comments": ("#\n" * 30_000, "words"),
    "nothing but space": (" \n\t," * 16_000, "EOF"),
    "block texts": ("{ job(id: " + '"""' * 20_000, "words"),
    "a text that does not end": ('{ job(id: "' + "a" * 60_000, "Unterminated"),
    "a block text that does not end": ('{ job(id: """' + '\\"""' * 15_000, "Unterminated"),
    "quotes in quotes": ('{ job(id: "' + '\\"' * 30_000, "Unterminated"),
    "a number of 60,000 digits": (
        'mutation { createRecord(modelKey: "p", data: { a: ' + "9" * 60_000 + " }) { id } }",
        "out of range",
    ),
    "a number past 64 bits": ('mutation { createRecord(modelKey: "p", data: { a: 1e999 }) { id } }', "out of range"),
    "the first whole number past 64 bits": (
        f'mutation {{ createRecord(modelKey: "p", data: {{ a: {2**64} }}) {{ id }} }}',
        "out of range",
    ),
    "a whole number past 64 bits": (
        'mutation { createRecord(modelKey: "p", data: { a: ' + "9" * 30 + " }) { id } }",
        "out of range",
    ),
    "control characters": ("{" + "\x00" * 60_000, ""),
    "lone surrogates": ("{" + "\ud800" * 20_000, ""),
    "a large result": (
        '{ records(modelKey: "p", first: 1000) { nodes { id data version createdAt updatedAt } } }',
        "5000",
    ),
    "large results that add up": (
        "{ " + " ".join(f'a{i}: records(modelKey: "p", first: 900) {{ nodes {{ id }} }}' for i in range(5)) + "}",
        "5000",
    ),
    "the largest first there is": ('{ records(modelKey: "p", first: 2147483647) { nodes { id } } }', "5000"),
    "the schema in the schema": (
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
        "introspection depth",
    ),
    "the schema many times over": (
        "{ " + " ".join(f"a{i}: __schema {{ types {{ name }} }}" for i in range(20)) + "}",
        "root fields",
    ),
}


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents(read_schema(), LIMITS)


@pytest.fixture(autouse=True)
def nothing_is_collected() -> Iterator[None]:
    """The heap of all tests is no part of the cost; a server sets aside what its start made."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("document", "complaint"), ATTACKS.values(), ids=ATTACKS)
def test_a_document_that_would_cost_much_is_refused_within_50_ms(
    documents: Documents, document: str, complaint: str
) -> None:
    fastest = LONGEST
    for number in range(5):  # what else the machine does is no fault of the document
        started = prepared = time.thread_time()
        with pytest.raises(QueryRefused) as refused:
            operation = documents.prepare(document + " " * number)  # never seen before
            prepared = time.thread_time()  # here, others get their turn
            operation.answer({})
        fastest = min(fastest, max(prepared - started, time.thread_time() - prepared))
        if fastest < LONGEST:
            break
    assert complaint in refused.value.detail
    assert fastest < LONGEST
    assert len(refused.value.errors) <= 6
    assert all(error["message"] and error["extensions"] for error in refused.value.errors)


def test_much_of_the_schema_many_times_over_is_refused_while_it_is_executed(documents: Documents) -> None:
    """How long that takes is measured on a server, in ``tests/security/test_watchdog.py``."""
    fields = " ".join(f"a{i}: types {{ name fields {{ name args {{ name }} }} }}" for i in range(29))
    operation = documents.prepare(f"{{ __schema {{ {fields} }} }}")
    with pytest.raises(QueryRefused, match="of the schema") as refused:
        operation.answer({})
    assert refused.value.code == "query_too_costly"


# The largest that is legal, as far as it goes.
LEGAL = {
    "strings": '{ records(modelKey: "p", filter: { a: "' + "\\u00e9" * 10_000 + '" }) { nodes { id } } }',
    "a block text of empty lines": '{ records(modelKey: "p", filter: { a: """'
    + "\n" * 64_000
    + '""" }) { nodes { id } } }',
    "a list": '{ records(modelKey: "p", filter: { a: [' + "1 " * 950 + "] }) { nodes { id } } }",
    "an object": '{ records(modelKey: "p", filter: {'
    + "".join(f"a{i}: {i} " for i in range(300))
    + "}) { nodes { id } } }",
    "brackets": '{ records(modelKey: "p", filter: ' + "{a:" * 60 + "1" + "}" * 60 + ") { nodes { id } } }",
    "one field 44 times": "{ " + RECORDS % ("id " * 44) + "}",
    "31 spreads": "{ " + "...F " * 31 + "} fragment F on Query { __typename }",
    "all fields again and again": "{ " + RECORDS % ("id data version modelKey naturalKey createdAt " * 16) + "}",
    "many lists": "{ "
    + " ".join(f'a{i}: records(modelKey: "p", first: 120) {{ nodes {{ id data version }} }}' for i in range(10))
    + "}",
    "one large list": '{ records(modelKey: "p", first: 1000) { nodes { id data version } } }',
    "introspection": get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
    ),
}


@pytest.mark.parametrize("document", LEGAL.values(), ids=LEGAL)
def test_the_largest_documents_that_are_legal_take_no_longer(documents: Documents, document: str) -> None:
    """Asked for and executed in steps, between which others get their turn."""
    row = {"id": "1", "data": {}, "version": 1, "modelKey": "p", "createdAt": "x"}
    fastest = LONGEST, LONGEST
    for number in range(5):
        started = time.thread_time()
        operation = documents.prepare(document + " " * number)
        prepared = time.thread_time()
        values = {root.key: {"nodes": [row] * root.args["first"]} for root in operation.roots if "first" in root.args}
        assert "errors" not in operation.answer(values)
        took = prepared - started, time.thread_time() - prepared
        fastest = min(fastest, took, key=max)
        if max(fastest) < LONGEST:
            break
    assert max(fastest) < LONGEST


def test_brackets_count_to_where_the_limit_is_and_not_those_in_texts_and_comments() -> None:
    check_text("{" * MAX_BRACKETS + "}" * MAX_BRACKETS, LIMITS)
    with pytest.raises(QueryRefused, match="brackets"):
        check_text("{" * (MAX_BRACKETS + 1), LIMITS)
    for text in ('"' + "{" * 100 + '"', '"""' + "{" * 100 + '"""', "#" + "{" * 100, '"\\"' + "{" * 100 + '"'):
        check_text("{" + text + "}", LIMITS)
    with pytest.raises(QueryRefused, match="brackets"):
        check_text('"x"' + "{" * 100, LIMITS)
    with pytest.raises(QueryRefused, match="brackets"):
        check_text('"""x""" # y \n' + "{" * 100, LIMITS)
    check_text("{a}" * 200, LIMITS)


@pytest.mark.parametrize(
    ("limit", "legal", "too_much"),
    [
        ({"size": 10}, "{ models }", "{ models  }"),
        ({"size": 10}, "{ a } # ä", "{ a } # ää"),
        ({"tokens": 3}, "{ models }", "{ models models }"),
        ({"tokens": 4}, "{ models } # x", "{ models } # x\n# y"),
        ({"depth": 2}, "{ a { b } }", "{ a { b { c } } }"),
        ({"depth": 2}, "{ a { ...F } } fragment F on A { b }", "{ a { ...F } } fragment F on A { b { c } }"),
        ({"fields": 3}, "{ a b c }", "{ a b c d }"),
        ({"aliases": 1}, "{ a: b }", "{ a: b c: d }"),
        ({"variables": 1}, "query ($a: Int) { a }", "query ($a: Int, $b: Int) { a }"),
    ],
)
def test_each_limit_is_the_last_that_is_legal(limit: dict[str, int], legal: str, too_much: str) -> None:
    limits = attrs.evolve(LIMITS, **limit)
    check_text(legal, limits)
    check_document(parse(legal), limits)
    with pytest.raises(QueryRefused) as refused:
        check_text(too_much, limits)
        check_document(parse(too_much), limits)
    assert refused.value.code == "query_too_costly" and str(next(iter(limit.values()))) in refused.value.detail
