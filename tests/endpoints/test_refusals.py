"""What is wrong is refused, wherever it stands: what schemathesis found to be taken or misread."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import running_server


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("POST", "/blog/v1/articles", {"slug": "a", "title": "A", "author": ""}, "author: "),
        ("POST", "/blog/v1/subscribers", {"email": "ann@example.com", "user": ""}, "user: "),
        ("DELETE", f"/conversations/c/members/{'u' * 256}", None, "user: "),
        ("GET", "/records/a%20b?naturalKey=k", None, "modelKey: "),
        ("GET", "/records/a%20b/r/versions?limit=0", None, "limit: "),
        ("GET", "/collab/a%20b", None, "room: "),
        ("PUT", "/models/m", {"indexes": ["price"] * 9}, "indexes: "),
    ],
)
async def test_what_cannot_be_is_refused_and_named(method: str, path: str, body: Any, complaint: str) -> None:
    async with running_server() as server:
        operator = server.http(await server.key("admin", "root"))
        answer = await operator.request(method, path, json=body)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(complaint)


async def test_a_webhooks_url_is_no_empty_text() -> None:
    async with running_server() as server:
        operator = server.http(await server.key("admin", "root"))
        webhook = {"url": "https://example.com/hook", "channels": ["a:b"], "enabled": False}
        id = (await operator.post("/api/webhooks", json=webhook)).json()["id"]
        answer = await operator.patch(f"/api/webhooks/{id}", json={"url": ""})
        assert (answer.status_code, answer.json()["detail"][:5]) == (400, "url: ")


async def test_a_path_that_is_spelled_out_is_nobodys_name() -> None:
    """``/collab/info`` is no document called info, for any method."""
    async with running_server() as server:
        operator = server.http(await server.key("admin", "root"))
        answer = await operator.delete("/collab/info")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert (await operator.options("/collab/info")).headers["allow"] == "GET"
