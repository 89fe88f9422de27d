"""Sample events over HTTP, on a server."""

from __future__ import annotations

import pytest

from rtlite.domain.samples import SAMPLES
from tests.servers import running_server


async def test_every_sample_is_listed_and_can_be_published_as_it_is_shown() -> None:
    async with running_server() as server:
        client = await server.operator()
        items = (await client.get("/api/samples")).json()["items"]
        assert [item["name"] for item in items] == [sample.name for sample in SAMPLES]
        for item in items:
            event = {name: item[name] for name in ("channel", "event", "data")}
            assert (await client.post("/api/publish", json=event)).status_code == 201
            assert item["about"] and item["arrivesAt"]


async def test_a_sample_fits_the_channel_that_is_asked_for_and_goes_on_from_turn_to_turn() -> None:
    async with running_server() as server:
        client = await server.operator()
        found = (await client.get("/api/samples/view_update?channel=article:mine&turn=3")).json()
        assert (found["channel"], found["data"]["slug"], found["data"]["viewCount"]) == ("article:mine", "mine", 1045)
        assert found["arrivesAt"][0] == "/blog/ws/articles/mine"
        first = (await client.get("/api/samples/CREATED?turn=1")).json()
        again = (await client.get("/api/samples/created?turn=1")).json()
        assert first["data"]["record"]["id"] != again["data"]["record"]["id"]


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/samples/nothing", 404, "sample"),
        ("/api/samples/milestone?turn=-1", 400, "turn"),
        ("/api/samples/milestone?turn=1234567", 400, "turn"),
        ("/api/samples/milestone?channel=%00", 400, "channel"),
    ],
)
async def test_what_cannot_be_a_sample_is_refused_by_name(path: str, status: int, word: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).get(path)
        assert answer.status_code == status and word in answer.json()["detail"]


async def test_only_the_operator_may_ask() -> None:
    async with running_server() as server:
        assert (await server.http().get("/api/samples")).status_code == 401
        assert (await server.http(await server.key("project", "p", write=True)).get("/api/samples")).status_code == 403
