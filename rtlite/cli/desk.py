"""Where keys, tokens and backups are made: through a running server, or directly on its file.

One process alone writes the file. So the way is chosen: ``--url`` asks that server over the
network; else the control socket beside the file is tried, which needs no credential; and if
nobody answers there, no server runs and the file is free.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import quote

import attrs
import click
import trio

from rtlite import settings
from rtlite.auth.keyring import Keyring
from rtlite.auth.tokens import Tokens
from rtlite.cli import options
from rtlite.client import Client
from rtlite.errors import StartError
from rtlite.model import Kind, Role
from rtlite.settings import DEV_JWT_SECRET, Settings
from rtlite.store import backup, schema
from rtlite.store.database import Database, open_database

_PATIENCE: Final = 3.0  # seconds for a server that is starting or stopping: it has the file, and no socket
_BACKUP_SECONDS: Final = 3600.0


@attrs.frozen
class NewKey:
    """A key as the command line asks for it; ``expires_in`` is in seconds."""

    kind: str
    user: str
    name: str = ""
    expires_in: float | None = None
    write: bool = False
    test: bool = False


@attrs.frozen
class NewToken:
    """A token as the command line asks for it; ``ttl`` is in seconds."""

    user: str
    role: str = "user"
    ttl: float = 3600.0
    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


class Desk(Protocol):
    """What both ways can do. Answers are as ``/api`` gives them."""

    async def create_key(self, wanted: NewKey) -> dict[str, Any]:
        """The new key; its secret is under ``key``."""

    async def list_keys(self) -> list[dict[str, Any]]:
        """Every key, the oldest first."""

    async def revoke_key(self, key_id: str) -> dict[str, Any]:
        """The key, which is revoked from now on."""

    async def create_token(self, wanted: NewToken) -> str:
        """A signed JWT."""

    async def backup(self, file: str) -> None:
        """Write a copy to this absolute path."""


class ThroughServer:
    """Over HTTP: to a URL with a key, or through the control socket."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create_key(self, wanted: NewKey) -> dict[str, Any]:
        body = {
            "kind": wanted.kind,
            "user": wanted.user,
            "name": wanted.name,
            "expires": None if wanted.expires_in is None else f"{wanted.expires_in:f}s",
            "scope": "write" if wanted.write else None,
            "test": wanted.test,
        }
        made: dict[str, Any] = await self._client.call("POST", "/api/keys", body)
        return made

    async def list_keys(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self._client.call("GET", "/api/keys"))["items"]
        return items

    async def revoke_key(self, key_id: str) -> dict[str, Any]:
        revoked: dict[str, Any] = await self._client.call("DELETE", f"/api/keys/{quote(key_id, safe='')}")
        return revoked

    async def create_token(self, wanted: NewToken) -> str:
        body = {**attrs.asdict(wanted), "ttl": f"{wanted.ttl:f}s"}
        return str((await self._client.call("POST", "/api/tokens", body))["token"])

    async def backup(self, file: str) -> None:
        await self._client.call("POST", "/api/backup", {"file": file}, wait=_BACKUP_SECONDS)


class OnFile:
    """On the database itself, which no server has open."""

    def __init__(self, database: Database, chosen: Settings) -> None:
        self._database = database
        self._settings = chosen

    async def _keyring(self) -> Keyring:
        keyring = Keyring(self._database)
        await keyring.load()
        return keyring

    async def create_key(self, wanted: NewKey) -> dict[str, Any]:
        key, secret = await (await self._keyring()).create(
            Kind(wanted.kind),
            wanted.user,
            name=wanted.name,
            expires_in=wanted.expires_in,
            write=wanted.write,
            live=not wanted.test,
        )
        return {**key.as_json(), "key": secret}

    async def list_keys(self) -> list[dict[str, Any]]:
        return [{**key.as_json()} for key in (await self._keyring()).list()]

    async def revoke_key(self, key_id: str) -> dict[str, Any]:
        return {**(await (await self._keyring()).revoke(key_id)).as_json()}

    async def create_token(self, wanted: NewToken) -> str:
        secret = self._settings.jwt_secret
        secret = secret or await self._database.write(lambda connection: schema.secret(connection, "jwt_secret"))
        return signed(self._settings, secret, wanted)

    async def backup(self, file: str) -> None:
        await backup.write(self._database, file)


def signed(chosen: Settings, secret: str, wanted: NewToken) -> str:
    """A token by this secret."""
    return Tokens(chosen, secret).sign(wanted.user, Role(wanted.role), wanted.ttl, wanted.subscribe, wanted.publish)


def dev_token(wanted: NewToken) -> str:
    """A token that every server started with ``--dev`` accepts."""
    return signed(Settings(dev=True), DEV_JWT_SECRET, wanted)


@attrs.frozen
class Where:
    """What the options say: a server's address, or a file."""

    server: options.Server | None
    data: str | None
    config: str | None

    @classmethod
    def chosen(cls, url: str | None, key: str | None, dev: bool, data: str | None, config: str | None) -> Where:
        """:raises click.UsageError: the options contradict each other, or the key is missing."""
        context = click.get_current_context()
        typed = [
            name
            for name in ("url", "key", "dev")
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ]
        if data is not None:  # what is typed beats what the environment says
            if typed:
                raise click.UsageError(f"--data is a file here and --{typed[0]} a server elsewhere: give one of them.")
            return cls(None, data, config)
        server = options.server(url, key, dev) if url or key or dev else None
        return cls(server, None, config)


@asynccontextmanager
async def desk(where: Where) -> AsyncIterator[Desk]:
    """The way that works now. :raises StartError: the file cannot be opened, or there is none."""
    async with AsyncExitStack() as stack:
        if where.server is not None:
            yield ThroughServer(await stack.enter_async_context(Client(where.server.url, where.server.key)))
        else:
            chosen = settings.load({"data": where.data}, file=where.config).settings
            yield await _beside_file(chosen, stack)


async def _beside_file(chosen: Settings, stack: AsyncExitStack) -> Desk:
    # Imported here, since the server's imports take half a second that --url can do without.
    from rtlite.settings import control_path

    if chosen.data == ":memory:":
        raise StartError("this server's data is in memory: give --url and --key (or --dev) to ask the server")
    client = await stack.enter_async_context(Client(f"http+unix:{control_path(chosen.data)}"))
    deadline = trio.current_time() + _PATIENCE
    while True:
        if await client.answers():
            return ThroughServer(client)
        if not os.path.exists(chosen.data):  # noqa: ASYNC240  # one stat
            raise StartError(f"{chosen.data}: no such file (--data names it; rtlite serve creates it)")
        try:
            return OnFile(await stack.enter_async_context(open_database(chosen.data, chosen.durability)), chosen)
        except StartError as error:
            # Only the lock beside the file is worth waiting for.
            if not isinstance(error.__cause__, BlockingIOError) or trio.current_time() > deadline:
                raise
        await trio.sleep(0.05)
