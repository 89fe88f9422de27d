"""``rtlite demo``: a server in memory, one client per protocol, one event, and what each client got."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import click
import trio
from trio_websocket import open_websocket_url

from rtlite.cli import output, welcome
from rtlite.cli.client import Client
from rtlite.cli.program import run
from rtlite.cli.serve import serve_until_signal
from rtlite.errors import StartError
from rtlite.settings import Settings

if TYPE_CHECKING:
    from rtlite.server import Running

_KEY: Final = "mbk_dev"
_PATIENCE: Final = 10.0


@attrs.define
class Demonstration:
    """One client: how it connects, and what it got when."""

    protocol: str
    url: str
    listen: Callable[[Demonstration], Awaitable[None]]
    arrived: str = ""
    at: float = math.nan
    done: trio.Event = attrs.field(factory=trio.Event)

    def got(self, message: str | bytes) -> None:
        self.at = trio.current_time()
        self.arrived = message if isinstance(message, str) else repr(message)
        self.done.set()


async def _with_header(client: Demonstration) -> None:
    """As the source text's npm ``ws`` snippet does: the key in the Authorization header."""
    async with open_websocket_url(client.url, extra_headers=[(b"Authorization", f"Bearer {_KEY}".encode())]) as socket:
        client.got(await socket.get_message())


async def _with_query(client: Demonstration) -> None:
    """As the source text's browser snippet does: the key in ``?token=``."""
    async with open_websocket_url(f"{client.url}?token={_KEY}") as socket:
        client.got(await socket.get_message())


def clients(url: str) -> list[Demonstration]:
    """One per protocol that there is."""
    ws = url.replace("http", "ws", 1)
    return [
        Demonstration("blog notifications", f"{ws}/blog/ws/notifications", _with_header),
        Demonstration("blog article", f"{ws}/blog/ws/articles/hello", _with_query),
    ]


@click.command()
@click.option("--once", is_flag=True, help="Exit when every client has its event.")
@click.option(
    "--port", metavar="NUMBER", type=click.IntRange(0, 65535), default=0, help="TCP port.  [default: a free one]"
)
def demo(once: bool, port: int) -> None:
    """See it work: a server, its clients and one event.

    The server is in memory; one client per protocol connects. Prints what each got and how long it
    took, then stays up for you to try; Ctrl-C ends it.
    """
    # One view of an article is what happens: readers get its count, and the author the first milestone.
    chosen = Settings(port=port, data=":memory:", dev=True, blog_milestones=(1, 10, 100, 1000))

    async def show(running: Running) -> None:
        with trio.move_on_after(_PATIENCE) as patience:
            _report(*await _demonstrate(running.url))
        if patience.cancelled_caught:
            raise StartError(f"a client got nothing within {_PATIENCE:g} s")
        if once:
            running.stop()
            return
        click.echo(f"\nrtlite ready on {running.url}; Ctrl-C ends it")
        click.echo("\n".join(welcome.dev_lines(running.url)))

    run(serve_until_signal, chosen, show)


async def _demonstrate(url: str) -> tuple[list[Demonstration], float]:
    """Connect them all, let one reader view an article, and wait until everyone heard of it."""
    connected = clients(url)
    async with Client(url, "rtk_dev") as operator, trio.open_nursery() as nursery:
        article = {"slug": "hello", "title": "Hello, realtime", "author": "dev"}
        await operator.call("POST", "/blog/v1/articles", article)
        for client in connected:
            nursery.start_soon(client.listen, client)
        while not await _all_listen(operator, len(connected)):  # noqa: ASYNC110  # the server is asked over HTTP
            await trio.sleep(0.005)
        published = trio.current_time()
        await operator.call("POST", "/blog/v1/articles/hello/views", {})
        for client in connected:
            await client.done.wait()
    return connected, published


async def _all_listen(operator: Client, count: int) -> bool:
    connections = (await operator.call("GET", "/api/connections"))["items"]
    return sum(bool(item["channels"]) for item in connections) == count


def _report(connected: Sequence[Demonstration], published: float) -> None:
    click.echo("One reader viewed the article hello. Everyone who listens heard of it:")
    output.table(
        ("protocol", "URL", "what arrived", "ms"),
        [
            (client.protocol, client.url, client.arrived, f"{(client.at - published) * 1000:.1f}")
            for client in connected
        ],
    )
