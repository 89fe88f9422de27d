from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.servers import InProcess, running_server


@pytest.fixture
async def dev_server() -> AsyncIterator[InProcess]:
    """A server in this process, with the credentials of ``--dev``."""
    async with running_server(dev=True) as running:
        yield running
