"""``rtlite demo``: a server in memory, one client per protocol, a few events, and what each client got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
import trio

from rtlite.cli import options, output, welcome
from rtlite.cli.audience import Listener, listeners
from rtlite.cli.program import run
from rtlite.cli.serve import serve_until_signal
from rtlite.client import Client
from rtlite.errors import StartError
from rtlite.settings import Settings

if TYPE_CHECKING:
    from rtlite.server import Running

_PATIENCE: Final = 10.0


@click.command()
@click.option("--once", is_flag=True, help="Exit when every client has its event.")
@click.option(
    "--port", metavar="NUMBER", type=click.IntRange(0, 65535), default=0, help="TCP port.  [default: a free one]"
)
@options.json_option
def demo(once: bool, port: int, as_json: bool) -> None:
    """See it work: a server, its clients and what they hear.

    The server is in memory; one client per protocol connects. Prints what each got, cut to
    the terminal's width, and how long it took; then stays up for you to try; Ctrl-C ends it.
    """
    # One view of an article is what happens: readers get its count, and the author the first milestone.
    json = output.wants_json(as_json)
    chosen = Settings(port=port, data=":memory:", dev=True, blog_milestones=(1, 10, 100, 1000))

    async def show(running: Running) -> None:
        with trio.move_on_after(_PATIENCE) as patience:
            _report(await _demonstrate(running.url), json)
        if patience.cancelled_caught:
            raise StartError(f"a client got nothing within {_PATIENCE:g} s")
        if once:
            running.stop()
            return
        if json:
            output.note(f"ready on {running.url}; Ctrl-C ends it")
            return
        click.echo(f"\nrtlite ready on {running.url}; Ctrl-C ends it")
        click.echo("\n".join(welcome.dev_lines(running)))

    run(serve_until_signal, chosen, show)


async def _demonstrate(url: str) -> list[Listener]:
    """Connect them all, let one thing happen after the other, and wait until everyone heard of it."""
    connected = listeners(url)
    async with Client(url, "rtk_dev") as operator, trio.open_nursery() as nursery:
        article = {"slug": "hello", "title": "Hello, realtime", "author": "dev"}
        await operator.call("POST", "/blog/v1/articles", article)
        for client in connected:
            nursery.start_soon(client.listen, client)
        while not await _all_listen(operator, connected):  # noqa: ASYNC110  # the server is asked over HTTP
            await trio.sleep(0.005)
        for happening in dict.fromkeys(client.happening for client in connected):
            happened = await happening(operator)
            for client in connected:
                if client.happening is happening:
                    await client.done.wait()
                    client.took = client.at - happened
    return connected


async def _all_listen(operator: Client, connected: Sequence[Listener]) -> bool:
    """Whether the server has everyone on its list, with the channel that it came for."""
    items = (await operator.call("GET", "/api/connections"))["items"]
    names = [name for item in items for name in item["channels"]]
    wanted = Counter(client.channel for client in connected)
    everyone = len(items) == len(connected) and all(item["channels"] for item in items)
    return everyone and all(names.count(name) >= count for name, count in wanted.items())


def _report(connected: Sequence[Listener], as_json: bool) -> None:
    if as_json:
        for client in connected:
            took = round(client.took * 1000, 1)
            output.json_line({"protocol": client.protocol, "url": client.url, "ms": took, "arrived": client.arrived})
        return
    click.echo("An article was viewed, a script wrote a line, a record was made and a job ended.")
    click.echo("Who listens heard of it:")
    for client in connected:
        name = click.style(f"{client.protocol:{max(len(client.protocol) for client in connected)}}", bold=True)
        click.echo(f"\n{name}  {client.took * 1000:6.1f} ms  {client.url}")
        click.echo(f"  {output.cut(client.arrived, 2)}")
