"""``rtlite pipe``: run a program, or read from another, and stream what it prints."""

from __future__ import annotations

import math
import os
import sys

import click
import trio

from rtlite import settings
from rtlite.cli import options, output
from rtlite.cli.client import check, connected
from rtlite.cli.options import Server
from rtlite.cli.pipeline import Command, Output, Source, StandardInput, heeded
from rtlite.cli.program import run
from rtlite.cli.relay import Relay
from rtlite.errors import InvalidRequest
from rtlite.model import check_stream


def _stream(_: click.Context, __: click.Parameter, text: str) -> str:
    try:
        return check_stream(text)
    except InvalidRequest as error:
        raise click.BadParameter(error.detail) from error


def _size(value: str | int) -> int:
    try:
        return settings.size(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is {error}.") from error


@click.command()
@click.argument("stream", callback=_stream)
@click.argument("command", metavar="[-- COMMAND…]", nargs=-1, type=click.UNPROCESSED)
@click.option("--text", "as_text", is_flag=True, help="Publish every line as text, also one that is JSON.")
@click.option(
    "--buffer",
    metavar="SIZE",
    type=_size,
    default="1GiB",
    show_default=True,
    help="What may wait on disk while the server is away; then the program is held up.",
)
@click.option(
    "--wait",
    metavar="DURATION",
    type=options.duration,
    default="60s",
    show_default=True,
    help="How long to try to send the rest once the program has ended.",
)
@options.server_options
def pipe(
    stream: str,
    command: tuple[str, ...],
    as_text: bool,
    buffer: int,
    wait: float,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Stream what a program prints, line by line.

    What the COMMAND writes to its standard output goes to the stream, what it writes to its standard
    error to the stream's channel "errors"; both are passed through as well. A line that is JSON is
    published as JSON. The last event, "exit", tells the exit status, which is rtlite's own. Without a
    COMMAND it is standard input that is streamed.

    \b
    rtlite pipe nightly -- ./backup.sh --all
    tail -f app.log | rtlite pipe app
    """
    _open_what_is_closed()
    if not command and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("Give a command after --, or pipe something in.")
    server = options.server_or_dev(url, key, dev)
    check(server)
    sys.exit(run(_pipe, server, stream, command, as_text, buffer, wait))


def _open_what_is_closed() -> None:
    """Without a descriptor 0, 1 or 2, the next file or socket would be given its number, and lines written into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


async def _pipe(server: Server, stream: str, command: tuple[str, ...], as_text: bool, buffer: int, wait: float) -> int:
    source: Source = Command(command) if command else StandardInput()
    relay = Relay(server.url, stream, buffer)
    stopped_by = 0
    with trio.open_signal_receiver(*heeded()) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                nonlocal stopped_by
                async for number in signals:
                    if not source.signal(number):  # the program has ended: it is the waiting that is to end
                        stopped_by = number
                        nursery.cancel_scope.cancel()

            nursery.start_soon(relay.run, connected(server, math.inf, relay.away))
            nursery.start_soon(obey)
            try:
                ended = await source.run(Output(relay, as_text=as_text))
            except OSError as error:
                output.note(f"{command[0]}: {error.strerror}")
                nursery.cancel_scope.cancel()
                return 127 if isinstance(error, FileNotFoundError) else 126
            with trio.move_on_after(wait):
                await relay.finish(ended.as_json())
            nursery.cancel_scope.cancel()
    if relay.left:
        output.note(f"lines that were not sent: {relay.left}")
    if stopped_by:
        return 128 + stopped_by
    return ended.shell_code or (1 if relay.left or not relay.finished else 0)
