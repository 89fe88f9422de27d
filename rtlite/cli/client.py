"""Which server a command asks, and as whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rtlite.cli import options
from rtlite.cli.options import Server
from rtlite.client import Client
from rtlite.client.calls import is_local


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """A client of this server.

    Where no key was given and the server is on this machine, it is asked whether it runs with
    ``--dev``; then the fixed key is presented, which nobody need be told.

    :raises CallFailed: nobody answers there. :raises click.UsageError: it wants a key.
    """
    key = server.key
    if key is None:
        if not is_local(server.url):
            raise options.no_key()
        async with Client(server.url) as stranger:
            health = await stranger.call("GET", "/healthz")
        if not isinstance(health, dict) or health.get("dev") is not True:
            raise options.no_key()
        key = options.DEV_KEY
    async with Client(server.url, key) as client:
        yield client
