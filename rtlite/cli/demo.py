"""``rtlite demo``: a server in memory, one client per protocol, one event, and what each client got."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import click
import trio
from trio_websocket import open_websocket_url

from rtlite.cli import output, welcome
from rtlite.cli.client import Client
from rtlite.cli.desk import NewToken, dev_token
from rtlite.cli.program import run
from rtlite.cli.serve import serve_until_signal
from rtlite.errors import StartError
from rtlite.settings import Settings

if TYPE_CHECKING:
    from rtlite.server import Running

_BLOG_KEY: Final = "mbk_dev"
_COMMAND: Final = '{"type":"subscribe","data":{"channel":"article:hello"}}'
_SUBSCRIBE: Final = '{"type":"subscribe","channel":"article:hello"}'
_PATIENCE: Final = 10.0


@attrs.define
class Demonstration:
    """One client: how it connects, what it asks for, and what it got when.

    ``sign`` is what the message it waits for contains.
    """

    protocol: str
    url: str
    channel: str
    listen: Callable[[Demonstration], Awaitable[None]]
    key: str = _BLOG_KEY
    ask: str = ""
    sign: str = "view_update"
    arrived: str = ""
    at: float = math.nan
    done: trio.Event = attrs.field(factory=trio.Event)

    def got(self, message: str | bytes) -> bool:
        """Whether this is what it waits for."""
        text = message if isinstance(message, str) else message.decode()
        if self.sign in text:
            self.at = trio.current_time()
            self.arrived = text
            self.done.set()
        return self.done.is_set()


async def _with_header(client: Demonstration) -> None:
    """As the blog's npm ``ws`` snippet does: the key in the Authorization header."""
    headers = [(b"Authorization", f"Bearer {client.key}".encode())]
    async with open_websocket_url(client.url, extra_headers=headers) as socket:
        while not client.got(await socket.get_message()):
            pass


async def _with_query(client: Demonstration) -> None:
    """As the browser snippets do: the credential in ``?token=``."""
    async with open_websocket_url(f"{client.url}?token={client.key}") as socket:
        if client.ask:
            await socket.send_message(client.ask)
        while not client.got(await socket.get_message()):
            pass


async def _with_eventsource(client: Demonstration) -> None:
    """As an EventSource does; shown are the lines of its event."""
    url, slash, path = client.url.partition("/sse/")
    lines = b""
    async with (
        Client(url, client.key) as http,
        http.stream(slash + path, {}, {"Accept": "text/event-stream"}, silence=_PATIENCE) as pieces,
    ):
        async for piece in pieces:
            *events, lines = (lines + piece).split(b"\n\n")
            if any(client.got(event.replace(b"\n", b"  ")) for event in events):
                return


def clients(url: str) -> list[Demonstration]:
    """One per protocol that there is."""
    ws, token = url.replace("http", "ws", 1), dev_token(NewToken("dev"))
    notifications, article = "notifications:dev", "article:hello"
    return [
        Demonstration(
            "blog notifications", f"{ws}/blog/ws/notifications", notifications, _with_header, sign="milestone"
        ),
        Demonstration("blog article", f"{ws}/blog/ws/articles/hello", article, _with_query),
        Demonstration("commands", f"{ws}/ws", article, _with_query, token, _COMMAND),
        Demonstration("event channels", f"{ws}/_events", article, _with_query, token, _SUBSCRIBE),
        Demonstration("server-sent events", f"{url}/sse/{article}", article, _with_eventsource, token),
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
        click.echo("\n".join(welcome.dev_lines(running)))

    run(serve_until_signal, chosen, show)


async def _demonstrate(url: str) -> tuple[list[Demonstration], float]:
    """Connect them all, let one reader view an article, and wait until everyone heard of it."""
    connected = clients(url)
    async with Client(url, "rtk_dev") as operator, trio.open_nursery() as nursery:
        article = {"slug": "hello", "title": "Hello, realtime", "author": "dev"}
        await operator.call("POST", "/blog/v1/articles", article)
        for client in connected:
            nursery.start_soon(client.listen, client)
        while not await _all_listen(operator, connected):  # noqa: ASYNC110  # the server is asked over HTTP
            await trio.sleep(0.005)
        published = trio.current_time()
        await operator.call("POST", "/blog/v1/articles/hello/views", {})
        for client in connected:
            await client.done.wait()
    return connected, published


async def _all_listen(operator: Client, clients: Sequence[Demonstration]) -> bool:
    """Whether the server has everyone on its list, with the channel that it came for."""
    items = (await operator.call("GET", "/api/connections"))["items"]
    names = [name for item in items for name in item["channels"]]
    wanted = Counter(client.channel for client in clients)
    everyone = len(items) == len(clients) and all(item["channels"] for item in items)
    return everyone and all(names.count(name) >= count for name, count in wanted.items())


def _report(connected: Sequence[Demonstration], published: float) -> None:
    click.echo("One reader viewed the article hello. Everyone who listens heard of it:")
    output.table(
        ("protocol", "URL", "what arrived", "ms"),
        [
            (client.protocol, client.url, client.arrived, f"{(client.at - published) * 1000:.1f}")
            for client in connected
        ],
    )
