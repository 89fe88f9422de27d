"""``rtlite publish``: hand in one event."""

from __future__ import annotations

import sys

import click
import orjson
import trio

from rtlite.cli import options, output
from rtlite.cli.client import connected
from rtlite.cli.options import Server
from rtlite.cli.program import run
from rtlite.client import CallFailed, Receipt
from rtlite.model import new_event_id


@click.command()
@click.argument("channel")
@click.argument("event")
@click.argument("data", metavar="[JSON | -]", required=False)
@click.option(
    "--id", metavar="ID", help="The event's id; the same id again is not published again.  [default: a new one]"
)
@click.option(
    "--retry-for",
    metavar="DURATION",
    type=options.duration,
    default="30s",
    show_default=True,
    help="How long to go on while the server cannot be reached or is overloaded; 0 tries once.",
)
@options.json_option
@options.server_options
def publish(
    channel: str,
    event: str,
    data: str | None,
    id: str | None,
    retry_for: float,
    as_json: bool,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Publish an EVENT on a CHANNEL.

    Its data is JSON; "-" reads it from stdin. Without any, it is null.

    \b
    rtlite publish article:hello view_update '{"viewCount": 7}'
    """
    server = options.server_or_dev(url, key, dev)
    value = _parse(sys.stdin.buffer.read() if data == "-" else (data or "null").encode(errors="surrogateescape"))
    receipt = run(_publish, server, channel, event, value, id or new_event_id(), retry_for)
    if output.wants_json(as_json):
        output.json_line(receipt)
    else:
        click.echo(f"{receipt['channel']}  offset {receipt['offset']}  id {receipt['id']}")


def _parse(text: bytes) -> object:
    """The text as it is, once it is known to be JSON: numbers keep all their digits."""
    try:
        orjson.loads(text)
    except ValueError as error:
        hint = " (a text has quotes of its own: '\"hello\"')" if text[:1].isalpha() else ""
        raise click.BadParameter(f"not JSON: {error}{hint}", param_hint="JSON") from error
    return orjson.Fragment(text)


async def _publish(server: Server, channel: str, event: str, data: object, id: str, retry_for: float) -> Receipt:
    deadline = trio.current_time() + retry_for
    try:
        async with connected(server, retry_for) as client:
            left = max(0.0, deadline - trio.current_time())
            return await client.publish(channel, event, data, id, retry_for=left)
    except CallFailed as failure:
        if not failure.temporary or not retry_for:
            raise
        # It may have been stored, and the answer lost: with its id, a later try is safe.
        text = f"{failure}; gave up after {retry_for:g} s (to try again: --id {id})"
        raise CallFailed(text, failure.status, failure.code) from failure
