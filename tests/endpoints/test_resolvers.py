"""Root fields in turn, and a mistake of ours in one of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
import trio.testing

from rtlite.endpoints.resolvers import Resolvers
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind
from rtlite.protocols.graphqldocuments import Documents, Operation
from rtlite.protocols.graphqllimits import Limits, QueryRefused
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
    resolvers = Resolvers([{"one": one}, {"two": two, "three": three}], metrics)
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


LISTS = "type Query { items(first: Int = 10): [Item!] } type Item { id: ID }"


def noting_threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each execution from now on, whether it was in a thread of its own."""
    seen: list[bool] = []
    real = Operation.answer

    def answer(*args: Any) -> Any:
        seen.append(threading.current_thread() is not threading.main_thread())
        return real(*args)

    monkeypatch.setattr(Operation, "answer", answer)
    return seen


def lists() -> Resolvers:
    async def items(identity: Identity, first: int) -> list[dict[str, str]]:
        return [{"id": str(number)} for number in range(first)]

    return Resolvers([{"items": items}], Metrics())


async def test_what_may_be_long_and_what_asks_about_the_schema_is_executed_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = Documents(LISTS, Limits.of(Settings()))
    resolvers, seen = lists(), noting_threads(monkeypatch)
    for query, beside in (
        ("{ items { id } }", False),
        ("{ items(first: 999) { id } }", False),
        ("{ items(first: 1000) { id } }", True),
        ("{ __schema { types { name } } }", True),
    ):
        answer = await resolvers.answer(WHO, documents.prepare(query))
        assert (seen.pop(), list(answer)) == (beside, ["data"])
    answer = await resolvers.answer(WHO, documents.prepare("{ items(first: 2000) { id } }"))
    assert answer == {"data": {"items": [{"id": str(number)} for number in range(2000)]}}
    much = " ".join(f"a{number}: types {{ name fields {{ name type {{ name }} }} }}" for number in range(25))
    with pytest.raises(QueryRefused):
        await resolvers.answer(WHO, documents.prepare(f"{{ __schema {{ {much} }} }}"))


async def test_those_beside_the_loop_come_one_after_the_other_and_who_goes_away_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = Documents(LISTS, Limits.of(Settings()))
    resolvers, executing, most = lists(), 0, 0
    real, begun, go = Operation.answer, threading.Event(), threading.Event()

    def answer(*args: Any) -> Any:
        nonlocal executing, most
        executing += 1
        most = max(most, executing)
        begun.set()
        assert go.wait(10)
        executing -= 1
        return real(*args)

    monkeypatch.setattr(Operation, "answer", answer)
    operation, answers = documents.prepare("{ items(first: 1500) { id } }"), []

    async def ask() -> None:
        answers.append(await resolvers.answer(WHO, operation))

    async with trio.open_nursery() as nursery, trio.open_nursery() as leaving:
        leaving.start_soon(ask)
        await trio.to_thread.run_sync(begun.wait, 10)
        leaving.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        leaving.cancel_scope.cancel()  # who waits goes at once, who is executed when that is done
        nursery.start_soon(ask)
        go.set()
    assert most == 1 and executing == 0
    assert [len(answer["data"]["items"]) for answer in answers] == [1500, 1500]
