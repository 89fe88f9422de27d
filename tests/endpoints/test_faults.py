"""``/api/faults``: what goes in, what comes out, and that it holds at once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from rtlite.faults import KINDS
from tests.servers import running_server

EVENT = {"channel": "a:b", "event": "e"}


@pytest.fixture
async def operator() -> Any:
    async with running_server(dev=True) as server:
        yield server.http("rtk_dev")


async def added(operator: httpx.AsyncClient, kind: str, **asked: Any) -> dict[str, Any]:
    answer = await operator.post("/api/faults", json={"kind": kind, **asked})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_fault_is_answered_with_what_it_takes_and_its_defaults(operator: httpx.AsyncClient) -> None:
    fault = await added(operator, "close", channel="a:*", duration="30s")
    assert fault.pop("created").endswith("Z")
    assert 29 < fault.pop("remaining") <= 30
    assert isinstance(fault.pop("seed"), int)
    assert fault == {
        "id": "flt_1",
        "kind": "close",
        "protocol": None,
        "channel": "a:*",
        "user": None,
        "connection": None,
        "code": 1012,
        "text": "",
        "probability": 1.0,
        "count": None,
        "struck": 0,
    }


async def test_the_list_has_those_that_are_set_and_the_kinds_for_a_form(operator: httpx.AsyncClient) -> None:
    await added(operator, "drop")
    listed = (await operator.get("/api/faults")).json()
    assert [fault["kind"] for fault in listed["items"]] == ["drop"]
    assert listed["allowed"] is True
    kinds = {kind["kind"]: kind for kind in listed["kinds"]}
    assert list(kinds) == list(KINDS)
    assert (kinds["latency"]["fields"], kinds["latency"]["required"]) == ({"latency": None, "jitter": 0}, ["latency"])
    assert kinds["expire"]["chosen"] == ["user"]


async def test_what_cannot_be_is_a_problem_that_names_the_field(operator: httpx.AsyncClient) -> None:
    for asked, detail in (
        ({}, "kind: missing"),
        ({"kind": "drop", "probability": "often"}, "probability: "),
        ({"kind": "drop", "user": 5}, "user: "),
        ({"kind": "latency", "latency": 1.5}, "latency: a whole number is wanted"),
    ):
        answer = await operator.post("/api/faults", json=asked)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(detail)
    assert (await operator.delete("/api/faults/flt_9")).json()["code"] == "not_found"


async def test_a_publisher_whose_requests_are_answered_on_the_hot_lane_is_struck_with_the_next(
    operator: httpx.AsyncClient,
) -> None:
    statuses = [(await operator.post("/api/publish", json=EVENT)).status_code for _ in range(3)]
    await added(operator, "refuse", protocol="http", count=2)
    statuses += [(await operator.post("/api/publish", json=EVENT)).status_code for _ in range(3)]
    assert statuses == [201, 201, 201, 503, 503, 201]


async def test_a_request_that_waits_is_answered_when_the_fault_ends(operator: httpx.AsyncClient) -> None:
    fault = await added(operator, "latency", latency=600_000)
    async with trio.open_nursery() as nursery:
        answers: list[httpx.Response] = []

        async def publish() -> None:
            answers.append(await operator.post("/api/publish", json=EVENT))

        nursery.start_soon(publish)
        with trio.fail_after(5):
            while not (await operator.get("/api/faults")).json()["items"][0]["struck"]:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert not answers
        assert (await operator.delete(f"/api/faults/{fault['id']}")).status_code == 204
    assert answers[0].status_code == 201
