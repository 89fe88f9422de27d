"""Every runtime that a snippet is tried in; one that is not there is skipped with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.runtimes import Chromium, Node, Runtime, own_websocket, why_no_node, why_no_npm_ws


@pytest.fixture
def npm_ws(tmp_path: Path) -> Runtime:
    if why := why_no_npm_ws():
        pytest.skip(why)
    return Node(tmp_path, library="ws")


@pytest.fixture(params=["npm ws", "Node", "Chromium"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    if request.param == "npm ws":
        found: Runtime = request.getfixturevalue("npm_ws")
        return found
    if request.param == "Chromium":
        return Chromium(request.getfixturevalue("chromium"))
    if why := why_no_node():
        pytest.skip(why)
    arguments = own_websocket()
    if arguments is None:
        pytest.skip("this Node.js has no WebSocket of its own (22 has; 20.10 and later behind a flag)")
    return Node(tmp_path, arguments)
