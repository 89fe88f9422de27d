"""``rtlite tail``: print events as they come."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
import orjson
import trio

from rtlite.cli import options, output
from rtlite.cli.client import connected
from rtlite.cli.options import Server
from rtlite.cli.program import run
from rtlite.cli.trouble import Gaps, Trouble
from rtlite.client import Client
from rtlite.client.eventsocket import EventSocket
from rtlite.client.eventsource import EventSource
from rtlite.client.follower import Follower, Page, Poller
from rtlite.log import escape
from rtlite.model import is_pattern

# What is printed of an event, in this order, as far as the way it came tells it.
_FIELDS: Final = ("id", "channel", "event", "data", "timestamp", "offset", "epoch", "position")


@click.command()
@click.argument("channels", metavar="CHANNEL…", nargs=-1, required=True, callback=options.patterns)
@click.option(
    "--since",
    metavar="PLACE",
    callback=options.place,
    help="An age (2h), a time (ISO 8601), an event's id or a position.  [default: now]",
)
@click.option(
    "--via",
    type=click.Choice(["sse", "ws", "poll"]),
    default="sse",
    show_default=True,
    help="Server-sent events, a WebSocket to /_events, or long polling of history.",
)
@click.option("--count", metavar="NUMBER", type=click.IntRange(min=1), help="Stop after this many events.")
@options.json_option
@options.server_options
def tail(
    channels: tuple[str, ...],
    since: str | None,
    via: str,
    count: int | None,
    as_json: bool,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Print the events of each CHANNEL as they come.

    A CHANNEL is a channel's name, or a whole kind such as changes:*. When the server goes away, it
    waits for it to come back and goes on where it was: each event is printed once. Where no history
    is kept, what came meanwhile is lost, and it says so. Ctrl-C ends it.

    \b
    rtlite tail article:hello 'changes:*'
    rtlite tail stream:nightly --since 2h
    """
    server = options.server_or_dev(url, key, dev)
    with contextlib.suppress(KeyboardInterrupt):
        run(_tail, server, tuple(dict.fromkeys(channels)), since, via, count, output.wants_json(as_json))


async def _tail(
    server: Server, channels: tuple[str, ...], since: str | None, via: str, count: int | None, as_json: bool
) -> None:
    trouble, gaps = Trouble(server.url), Gaps(since)
    send, receive = trio.open_memory_channel[Page](0)
    async with connected(server, math.inf, trouble) as client, trio.open_nursery() as nursery:
        for follower in _followers(via, client, channels, since, trouble):
            nursery.start_soon(follower.follow, send.send)
        left = count
        async for page in receive:
            gaps(page)
            for item in page.items[:left]:
                _show(item, as_json, len(channels) > 1 or is_pattern(channels[0]))
            if left is not None:
                left = max(0, left - len(page.items))
                if left == 0:
                    break
        nursery.cancel_scope.cancel()


def _followers(
    via: str, client: Client, channels: Sequence[str], since: str | None, trouble: Trouble
) -> list[Follower]:
    match via:
        case "poll":
            return [Poller(client, [channel], since, trouble) for channel in channels]
        case "ws":
            return [EventSocket(client, channels, since, trouble)]
        case _:
            return [EventSource(client, channels, since, trouble)]


def _show(item: Mapping[str, Any], as_json: bool, several: bool) -> None:
    if as_json:
        output.json_line({name: item[name] for name in _FIELDS if item.get(name) is not None or name == "data"})
        return
    stamp = item.get("timestamp")
    at = (datetime.fromisoformat(stamp) if stamp else datetime.now(UTC)).astimezone()
    parts = [click.style(f"{at:%H:%M:%S}.{at.microsecond // 1000:03}", dim=True)]
    if several:
        parts.append(click.style(item["channel"], fg="cyan"))
    parts += [click.style(item["event"], bold=True), escape(orjson.dumps(item["data"]).decode())]
    click.echo("  ".join(parts))
