"""Which server a command asks, and as whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from rtlite.cli import options
from rtlite.cli.options import Server
from rtlite.client import CallFailed, Client
from rtlite.client.calls import delays, is_local


@asynccontextmanager
async def connected(
    server: Server, patience: float = 0.0, on_trouble: Callable[[CallFailed], None] | None = None
) -> AsyncIterator[Client]:
    """A client of this server.

    Where no key was given and the server is on this machine, it is asked whether it runs with
    ``--dev``; then the fixed key is presented, which nobody need be told. The socket beside a database
    takes whoever may open it.

    :param patience: how many seconds to go on asking while it is away; ``on_trouble`` hears of each failure.
    :raises CallFailed: nobody answers there. :raises click.UsageError: it wants a key.
    """
    check(server)
    key = server.key
    if key is None:
        async with Client(server.url) as stranger:
            health = await _health(stranger, trio.current_time() + patience, on_trouble)
        if isinstance(health, dict) and health.get("dev") is True:
            key = options.DEV_KEY
        elif not server.url.startswith("http+unix:"):  # any other socket answers that it wants a key
            raise options.no_key()
    async with Client(server.url, key) as client:
        yield client


def check(server: Server) -> None:
    """Of a server elsewhere it need not be asked whether it wants a key. :raises click.UsageError: there is none."""
    if server.key is None and not is_local(server.url):
        raise options.no_key()


async def _health(client: Client, deadline: float, on_trouble: Callable[[CallFailed], None] | None) -> Any:
    waits = delays(longest=5.0)
    while True:
        try:
            return await client.call("GET", "/healthz")
        except CallFailed as failure:
            pause = max(next(waits), failure.retry_after)
            if not failure.temporary or trio.current_time() + pause > deadline:
                raise
            if on_trouble is not None:
                on_trouble(failure)
        await trio.sleep(pause)
