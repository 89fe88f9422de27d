from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """An embedded server hands its log lines to the program's logging; here that is one test."""
    yield
    structlog.reset_defaults()
