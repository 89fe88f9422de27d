"""The server is what ``/openapi.json`` says: schemathesis asks whatever that allows, and much that it does not.

Nothing may be answered with 5xx, with a status, a type or a body that is not described, nor be taken that
the description forbids. Left out are the doors that answer as long as one listens (``/sse``, ``/api/live``) or that
speak a protocol of their own (``/socket.io``); what these say is held to ``/asyncapi.json`` in
``tests/endpoints/test_asyncapi.py``. Polls wait for 50 ms here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from rtlite.transports.routes import Call, Reply, Route, Router
from tests.servers import running_server

PROGRAM = Path(sys.executable).parent / "schemathesis"
CONFIG = Path(__file__).parent / "schemathesis.toml"
LASTING = r"^/(sse|socket\.io|api/live)"
UNHURRIED = {"login_rate": 0, "anonymous_rate": 0, "publish_rate": 0, "poll_timeout": 0.05, "webhook_timeout": 1.0}
CREDENTIALS = {"token", "apiKey"}  # a security scheme, in any operation


class Noted(dict[str, str]):
    """A request's query that notes which of its parameters are looked for."""

    def __init__(self, query: Mapping[str, str], names: set[str]) -> None:
        super().__init__(query)
        self._names = names

    def get(self, name: str, default: Any = None) -> Any:
        self._names.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self._names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._names.add(str(name))
        return super().__contains__(name)


@pytest.fixture
def looked_for(monkeypatch: pytest.MonkeyPatch) -> dict[Route, set[str]]:
    """By route, the parameters of the query that its endpoint looked for."""
    found: dict[Route, set[str]] = defaultdict(set)
    answer = Router._answer

    async def noting(self: Router, route: Route, call: Call) -> Reply:
        call.query = Noted(call.query, found[route])
        return await answer(self, route, call)

    monkeypatch.setattr(Router, "_answer", noting)
    return found


async def explore(tmp_path: Path, *arguments: str) -> None:
    """:raises AssertionError: with what was found."""
    async with running_server(**UNHURRIED) as server:
        key = await server.key("admin", "root")
        command = [PROGRAM, "--config-file", CONFIG, "run", f"{server.url}/openapi.json", "--no-color"]
        options = ["-H", f"Authorization: Bearer {key}", "--exclude-path-regex", LASTING, "--continue-on-failure"]
        quiet = ["--warnings", "off", "--suppress-health-check", "all"]
        done = await trio.run_process(
            [*map(str, command), *options, *quiet, *arguments],
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout.decode()[-8000:]
        assert "No issues found" in done.stdout.decode()


async def test_the_server_keeps_to_its_description(tmp_path: Path, looked_for: dict[Route, set[str]]) -> None:
    await explore(tmp_path, "--phases", "examples,fuzzing", "--max-examples", "1", "--generation-deterministic")
    assert sum(map(len, looked_for.values())) > 50
    undescribed = {
        f"{route.method} {route.pattern}": names - CREDENTIALS - {asked.name for asked in route.asks}
        for route, names in looked_for.items()
    }
    assert {door: names for door, names in undescribed.items() if names} == {}


async def test_who_shows_no_credential_is_let_in_where_the_description_says_so_and_nowhere_else() -> None:
    async with running_server(**UNHURRIED) as server:
        client = server.http()
        document = (await client.get("/openapi.json")).json()
        refused, needed = set(), set()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                answer = await client.request(method, re.sub(r"\{\w+\}", "x", path), params={"channel": "a:b"})
                refused |= {(method, path)} if answer.status_code == 401 else set()
                needed |= {(method, path)} if operation["security"] and {} not in operation["security"] else set()
        assert refused == needed


@pytest.mark.full
@pytest.mark.parametrize("seed", ["1", "2"])
async def test_it_keeps_to_it_whatever_is_asked_in_whatever_order(tmp_path: Path, seed: str) -> None:
    phases = ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "20"]
    await explore(tmp_path, *phases, "--seed", seed, "--generation-database", "none")
