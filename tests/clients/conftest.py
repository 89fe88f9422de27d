"""Every runtime that a snippet is tried in; one that is not there is skipped with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.runtimes import Chromium, Node, Runtime, own_websocket, why_no_node, why_no_npm


@pytest.fixture
def npm_ws(tmp_path: Path) -> Runtime:
    if why := why_no_npm("ws"):
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


@pytest.fixture(params=["npm eventsource", "Chromium"])
def eventsource(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """Where there is an EventSource."""
    if request.param == "Chromium":
        return Chromium(request.getfixturevalue("chromium"))
    if why := why_no_npm("eventsource"):
        pytest.skip(why)
    return Node(tmp_path, library="eventsource")


@pytest.fixture(params=["Node", "Chromium"])
def socketio(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """Where there is npm's socket.io-client."""
    if why := why_no_npm("socket.io-client"):
        pytest.skip(why)
    if request.param == "Chromium":
        return Chromium(request.getfixturevalue("chromium"))
    return Node(tmp_path)


@pytest.fixture(params=["Node", "Chromium"])
def graphql(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """Where there are npm's graphql-ws and Apollo's client."""
    for library in ("graphql-ws", "@apollo/client", "ws", "esbuild"):
        if why := why_no_npm(library):
            pytest.skip(why)
    if request.param == "Chromium":
        return Chromium(request.getfixturevalue("chromium"))
    return Node(tmp_path, library="ws")


@pytest.fixture(params=["Node", "Chromium"])
def fetching(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """Where there is a ``fetch`` that streams."""
    if request.param == "Chromium":
        return Chromium(request.getfixturevalue("chromium"))
    if why := why_no_node():
        pytest.skip(why)
    return Node(tmp_path)
