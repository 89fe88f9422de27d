from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from tests.transports.doors import Peer


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """The log lines of a test, as dictionaries; ``exc_info`` where there is a traceback."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture.entries
    Peer.opened.clear()
    structlog.reset_defaults()
