"""Root fields in turn, and a mistake of ours in one of them."""

from __future__ import annotations

from typing import Any

from rtlite.endpoints.resolvers import Resolvers
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind
from rtlite.protocols.graphqldocuments import Documents
from rtlite.protocols.graphqllimits import Limits
from rtlite.settings import Settings

SCHEMA = "type Query { one(n: Int): Int two: Int three: Int }"
WHO = Identity(Kind.PROJECT, "app", "key_1")


async def test_a_mistake_of_ours_is_logged_and_counted_and_spoils_one_field(logs: list[Any]) -> None:
    order: list[str] = []

    async def one(identity: Identity, n: int = 0) -> int:
        assert identity is WHO
        order.append("one")
        return n

    async def two(identity: Identity) -> int:
        order.append("two")
        raise KeyError("a secret")

    async def three(identity: Identity) -> int:
        order.append("three")
        return 3

    documents, metrics = Documents(SCHEMA, Limits.of(Settings())), Metrics()
    resolvers = Resolvers(documents, [{"one": one}, {"two": two, "three": three}], metrics)
    answer = await resolvers.answer(WHO, documents.prepare("{ three two a: one(n: 4) }"))
    assert order == ["three", "two", "one"]
    assert answer["data"] == {"three": 3, "two": None, "a": 4}
    (error,) = answer["errors"]
    assert error["path"] == ["two"] and error["extensions"] == {"code": "internal_error"}
    assert "secret" not in str(answer)
    (logged,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert logged["field"] == "two" and isinstance(logged["exc_info"], KeyError)
    assert metrics.registry.get_sample_value("rtlite_faults_total") == 1
    counted = {"kind": "query", "outcome": "errors"}
    assert metrics.registry.get_sample_value("rtlite_graphql_operations_total", counted) == 1
