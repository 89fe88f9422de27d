"""``rtlite tail``: print events as they come."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import click
import orjson
import trio

from rtlite.cli import options, output
from rtlite.cli.client import CallFailed, connected
from rtlite.cli.follower import Follower, Page
from rtlite.cli.options import Server
from rtlite.cli.program import run
from rtlite.log import escape


@click.command()
@click.argument("channels", metavar="CHANNEL…", nargs=-1, required=True)
@click.option(
    "--since", metavar="PLACE", help="An age (2h), a time (ISO 8601), an event's id or a position.  [default: now]"
)
@click.option("--count", metavar="NUMBER", type=click.IntRange(min=1), help="Stop after this many events.")
@options.json_option
@options.server_options
def tail(
    channels: tuple[str, ...],
    since: str | None,
    count: int | None,
    as_json: bool,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Print the events of each CHANNEL as they come.

    When the server goes away, it waits for it to come back and goes on where it was: each event
    is printed once. Ctrl-C ends it.
    """
    server = options.server_or_dev(url, key, dev)
    with contextlib.suppress(KeyboardInterrupt):
        run(_tail, server, tuple(dict.fromkeys(channels)), since, count, output.wants_json(as_json))


async def _tail(server: Server, channels: tuple[str, ...], since: str | None, count: int | None, as_json: bool) -> None:
    trouble = _Trouble(server.url)
    send, receive = trio.open_memory_channel[tuple[Follower, Page]](0)
    async with connected(server) as client, trio.open_nursery() as nursery:
        for channel in channels:
            nursery.start_soon(_follow, Follower(client, channel, since, trouble), send)
        left = count
        async for follower, page in receive:
            if not page.recovered:
                output.note(f"{follower.channel}: events before this place are gone; going on with what is left")
            for item in page.items[:left]:
                _show(item, as_json, len(channels) > 1)
            if left is not None:
                left = max(0, left - len(page.items))
                if left == 0:
                    break
        nursery.cancel_scope.cancel()


async def _follow(follower: Follower, send: trio.MemorySendChannel[tuple[Follower, Page]]) -> None:
    while True:
        await send.send((follower, await follower.page()))


class _Trouble:
    """Says once that the server is away, and once that it is back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._away = False

    def __call__(self, failure: CallFailed | None) -> None:
        if failure is not None and not self._away:
            output.note(f"{failure}; trying again")
        elif failure is None and self._away:
            output.note(f"{self._url} answers again")
        self._away = failure is not None


def _show(item: dict[str, Any], as_json: bool, several: bool) -> None:
    if as_json:
        output.json_line(item)
        return
    at = datetime.fromisoformat(item["timestamp"]).astimezone()
    parts = [click.style(f"{at:%H:%M:%S}.{at.microsecond // 1000:03}", dim=True)]
    if several:
        parts.append(click.style(item["channel"], fg="cyan"))
    parts += [click.style(item["event"], bold=True), escape(orjson.dumps(item["data"]).decode())]
    click.echo("  ".join(parts))
