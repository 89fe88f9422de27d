"""Faults are the operator's, only where they are allowed, and never more than was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio_websocket

from rtlite.settings import Settings
from tests.servers import InProcess, running_server

DROP = {"kind": "drop"}


async def credentials(server: InProcess) -> dict[str, str | None]:
    return {
        "nobody": None,
        "blog key": await server.key("blog", "ann"),
        "project key": await server.key("project", "ann"),
        "project key, write": await server.key("project", "ann", write=True),
        "stream key": await server.key("stream", "ann"),
        "token": server.token("ann"),
        "token, admin": server.token("ann", role="admin"),
        "token, everything": server.token("ann", subscribe=["*"], publish=["*"]),
    }


async def test_only_an_admin_key_looks_at_faults_sets_them_and_ends_them() -> None:
    async with running_server(dev=True) as server:
        operator = await server.operator()
        fault = (await operator.post("/api/faults", json=DROP)).json()["id"]
        for name, secret in (await credentials(server)).items():
            client = server.http(secret)
            for answer in (
                await client.get("/api/faults"),
                await client.post("/api/faults", json=DROP),
                await client.delete("/api/faults"),
                await client.delete(f"/api/faults/{fault}"),
            ):
                assert answer.status_code == (401 if secret is None else 403), name
        listed = (await operator.get("/api/faults")).json()
        assert [item["id"] for item in listed["items"]] == [fault]
        assert (await operator.delete(f"/api/faults/{fault}")).status_code == 204


async def test_without_dev_faults_are_off_also_for_the_operator_unless_a_setting_lets_them() -> None:
    async with running_server() as server:
        operator = await server.operator()
        answer = await operator.post("/api/faults", json=DROP)
        assert (answer.status_code, answer.json()["code"]) == (403, "faults_off")
        listed = (await operator.get("/api/faults")).json()
        assert (listed["items"], listed["allowed"]) == ([], False)
        core = server.running.server
        assert (core.hub.impair, core.database.full, core.tokens.outdated) == (None, None, None)
    async with running_server(faults=True) as server:
        assert (await (await server.operator()).post("/api/faults", json=DROP)).status_code == 201


def test_faults_are_off_by_default() -> None:
    assert not Settings().faults


@pytest.mark.parametrize("kind", ["refuse", "latency"])
async def test_whatever_is_set_the_operator_looks_at_it_and_ends_it(kind: str) -> None:
    async with running_server(dev=True) as server:
        operator = await server.operator()
        asked = {"kind": kind, **({"latency": 600_000} if kind == "latency" else {})}
        assert (await operator.post("/api/faults", json=asked)).status_code == 201
        for path in ("/api/faults", "/api/connections", "/healthz", "/readyz", "/metrics", "/", "/docs"):
            assert (await operator.get(path)).status_code == 200, path
        assert (await operator.delete("/api/faults")).json() == {"ended": 1}
        event = {"channel": "a:b", "event": "e"}
        assert (await operator.post("/api/publish", json=event)).status_code == 201


async def test_clients_that_do_not_let_go_of_an_expired_token_keep_the_operator_from_nothing() -> None:
    async with running_server(dev=True, login_rate=3) as server:
        operator, client = await server.operator(), server.http(server.token("ann"))
        assert (await operator.post("/api/faults", json={"kind": "expire"})).status_code == 201
        assert [(await client.get("/jobs")).status_code for _ in range(5)] == [401] * 5
        assert (await operator.delete("/api/faults")).json() == {"ended": 1}
        assert (await client.get("/jobs")).status_code == 200


async def test_faults_end_with_the_server(tmp_path: Path) -> None:
    path = str(tmp_path / "rtlite.db")
    async with running_server(data=path, faults=True) as server:
        operator = await server.operator()
        for asked in (DROP, {"kind": "disk-full"}, {"kind": "expire"}):
            assert (await operator.post("/api/faults", json=asked)).status_code == 201
    async with running_server(data=path, faults=True) as server:
        assert (await (await server.operator()).get("/api/faults")).json()["items"] == []


async def test_a_server_with_half_open_connections_stops_as_soon_as_any() -> None:
    with trio.fail_after(10):
        async with (
            running_server(dev=True, shutdown_timeout=60.0) as server,
            server.websocket("/_events", "pk_live_dev") as websocket,
        ):
            assert (await (await server.operator()).post("/api/faults", json={"kind": "half-open"})).is_success
            server.running.stop()
            with pytest.raises(trio_websocket.ConnectionClosed, match="1006"):
                await websocket.get_message()


async def test_a_right_is_taken_away_even_while_the_disk_counts_as_full() -> None:
    async with running_server(dev=True) as server:
        operator, key = await server.operator(), await server.key("project", "ann")
        listed = (await operator.get("/api/keys")).json()["items"]
        await operator.post("/api/faults", json={"kind": "disk-full"})
        (id,) = [item["id"] for item in listed if item["user"] == "ann"]
        assert (await operator.delete(f"/api/keys/{id}")).status_code == 200
        assert (await server.http(key).get("/jobs")).status_code == 401
