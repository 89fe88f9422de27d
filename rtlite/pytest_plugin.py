"""The fixture ``rtlite`` for other projects' tests. It costs a run nothing until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rtlite.testing import TestServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rtlite(**settings): settings of the server that the fixture rtlite starts")


@pytest.fixture
def rtlite(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server of the test's own: in memory, on a free port, ready. See :class:`rtlite.testing.TestServer`."""
    from rtlite.testing import TestServer

    settings: dict[str, object] = {}
    for marker in reversed(list(request.node.iter_markers("rtlite"))):
        settings |= marker.kwargs
    with TestServer(**settings) as server:
        yield server
