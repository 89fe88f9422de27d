"""``rtlite openapi`` and ``rtlite asyncapi``: what is printed is what a server shows."""

from __future__ import annotations

import json

import pytest
import trio

from tests.servers import running_server


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_what_is_printed_without_a_server_is_what_one_with_these_settings_shows(name, invoke, monkeypatch):
    monkeypatch.setenv("RTLITE_MAX_PAGE", "7")
    printed = invoke(name)

    async def ask():
        async with running_server(max_page=7) as server:
            return (await server.http().get(f"/{name}.json")).json()

    assert json.loads(printed.stdout) == trio.run(ask)
