"""What ``/ws`` and ``/_events`` do alike: commands and their answers, rates, credentials over time."""

from __future__ import annotations

import pytest
import trio

from tests.endpoints.sockets import scene

SOCKETS = pytest.mark.parametrize("path", ["/ws", "/_events"])


@SOCKETS
async def test_ping_is_answered_with_the_id_it_had(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        assert await client.ask("ping", id=7) == {"type": "pong", "id": 7}
        assert await client.ask("ping", id="a") == {"type": "pong", "id": "a"}
        assert await client.ask("ping") == {"type": "pong"}


@SOCKETS
async def test_token_that_expires_is_told_before_and_its_connection_ends_with_4401(path: str, autojump_clock) -> None:
    async with scene(jwt_leeway=0.0) as here:
        start = trio.current_time()
        client = await here.client(path, here.token(ttl=60))
        warning = await client.answer()
        assert 28 <= trio.current_time() - start <= 30
        assert (warning["type"], warning["expiresIn"]) == ("token_expiring", 30)
        messages, code = await client.ended()
        assert 58 <= trio.current_time() - start <= 60
        assert (messages[0]["type"], code) == ("error", 4401)
        assert "unauthorized" in str(messages[0])
