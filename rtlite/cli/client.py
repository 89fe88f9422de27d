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
    ``--dev``; then the fixed key is presented, which nobody need be told. The socket beside a database
    takes whoever may open it.

    :raises CallFailed: nobody answers there. :raises click.UsageError: it wants a key.
    """
    key = server.key
    if key is None:
        if not is_local(server.url):
            raise options.no_key()
        async with Client(server.url) as stranger:
            health = await stranger.call("GET", "/healthz")
        if isinstance(health, dict) and health.get("dev") is True:
            key = options.DEV_KEY
        elif not server.url.startswith("http+unix:"):  # any other socket answers that it wants a key
            raise options.no_key()
    async with Client(server.url, key) as client:
        yield client
