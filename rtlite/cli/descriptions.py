"""``rtlite openapi`` and ``rtlite asyncapi``: what a server takes and gives, for code generators and other programs."""

from __future__ import annotations

from typing import Any

import click
import orjson

from rtlite import settings
from rtlite.cli import options
from rtlite.cli.program import run
from rtlite.settings import Settings


@click.command()
@options.config_option
def openapi(config: str | None) -> None:
    """Print the HTTP API as OpenAPI (JSON).

    It is OpenAPI 3.1, and what a server with these settings shows at /openapi.json; no server need run.
    """
    _print("openapi", settings.load(file=config).settings)


@click.command()
@options.config_option
def asyncapi(config: str | None) -> None:
    """Print what is live as AsyncAPI (JSON).

    WebSockets and event streams, in AsyncAPI 3.0: what a server with these settings shows at
    /asyncapi.json; no server need run.
    """
    _print("asyncapi", settings.load(file=config).settings)


def _print(name: str, chosen: Settings) -> None:
    click.echo(orjson.dumps(run(_document, name, chosen), option=orjson.OPT_INDENT_2))


async def _document(name: str, chosen: Settings) -> dict[str, Any]:
    # Imported here, so that help need not wait for it.
    from rtlite.server import Server
    from rtlite.store.database import open_database

    async with open_database(":memory:", chosen.durability, 0) as database:
        server = Server(chosen, database, jwt_secret="x" * 64)  # it signs nothing
        document: dict[str, Any] = getattr(server, name)()
        return document
