"""Every door of a whole server, found by the table that it is built from."""

from __future__ import annotations

import errno
import re

from rtlite import later
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


async def test_a_server_that_cannot_import_what_few_need_goes_on_and_does_it_when_it_is_needed(monkeypatch):
    """As where no file descriptor is left, since all clients came back at once."""

    def out_of_descriptors():
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(later, "load", out_of_descriptors)
    async with running_server(dev=True) as server:
        await server.running.server.settle()
        client = server.http("rtk_dev")
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
        assert answer.json() == {"data": {"__typename": "Query"}}
