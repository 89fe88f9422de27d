"""Every door of a whole server, found by the table that it is built from."""

from __future__ import annotations

import re

from tests.servers import running_server


async def test_every_websockets_path_says_that_an_upgrade_is_wanted_unless_http_is_served_there():
    async with running_server(conformance_echo=True) as server:
        client = server.http()
        both = {}
        for pattern in [route.pattern for route in server.running.server.websocket_routes]:
            answer = await client.get(re.sub(r"\{\w+\}", "a", pattern))
            if answer.status_code == 426:
                assert answer.headers["Upgrade"] == "websocket" and answer.json()["code"] == "upgrade_required"
            else:
                both[pattern] = answer.status_code
        assert both == {"/collab/{room}": 401, "/socket.io": 400, "/socket.io/": 400}
