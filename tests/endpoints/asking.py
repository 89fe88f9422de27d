"""GraphQL over HTTP, as tests ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx

from tests.servers import InProcess, running_server


@attrs.frozen
class Asker:
    """Someone who asks with one or more credentials, given as headers."""

    client: httpx.AsyncClient

    async def post(self, query: str, variables: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/graphql", json={"query": query, "variables": variables}, headers=named)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer."""
        answer = await self.post(query, variables)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def data(self, query: str, **variables: Any) -> Any:
        """The result, which has no errors."""
        answer = await self.ask(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def code(self, query: str, **variables: Any) -> str:
        """The code of the only error there is."""
        (error,) = (await self.ask(query, **variables))["errors"]
        code: str = error["extensions"]["code"]
        return code


@attrs.frozen
class Scene:
    server: InProcess
    backend: Asker
    """Has a project key with write."""
    reader: Asker
    """Has a publishable project key."""

    def user(self, name: str, key: str | None = None, **claims: Any) -> Asker:
        """Has a token, and maybe a key beside it."""
        headers = {"x_api_key": key} if key else {}
        return Asker(self.server.http(self.server.token(name, **claims), **headers))


@asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[Scene]:
    async with running_server(**settings) as server:
        backend = server.http(await server.key("project", "app", write=True))
        yield Scene(server, Asker(backend), Asker(server.http(await server.key("project", "page"))))
