"""``rtlite record``: write what goes through a server to a file, to play it again."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import click
import orjson
import trio
from click.core import ParameterSource

from rtlite.cli import options, output, upstream
from rtlite.cli.client import connected
from rtlite.cli.dialects import Over
from rtlite.cli.meaning import is_event, is_handshake
from rtlite.cli.options import Server
from rtlite.cli.program import run
from rtlite.cli.recording import Recorder
from rtlite.cli.trouble import Gaps, Trouble
from rtlite.client import CallFailed, Client
from rtlite.client.eventsource import EventSource
from rtlite.client.follower import Deliver, Page
from rtlite.domain.samples import SAMPLES
from rtlite.model import kind_of, now_ms, rfc3339

_LOOK_SECONDS: Final = 1.0  # between two looks at which channels there are
# The kinds that the protocols use; others are found once they have a channel.
_KINDS: Final = frozenset(kind_of(sample.channel) for sample in SAMPLES)
_NOT_EVENTS: Final = frozenset({"collab"})  # documents, which nobody publishes to


@attrs.frozen
class _Wanted:
    file: str
    channels: tuple[str, ...]
    since: str | None
    seconds: float | None
    count: int | None


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("channels", metavar="[CHANNEL…]", nargs=-1, callback=options.patterns)
@click.option(
    "--since",
    metavar="PLACE",
    callback=options.place,
    help="Begin with history: an age (2h), a time (ISO 8601), an event's id or a position.  [default: now]",
)
@click.option("--for", "seconds", metavar="DURATION", type=options.duration, help="Stop after this time.")
@click.option("--count", metavar="NUMBER", type=click.IntRange(min=1), help="Stop after this many events.")
@click.option(
    "--from",
    "upstream_url",
    metavar="URL",
    help="Record what another server sends: http(s): server-sent events, ws(s): a WebSocket with JSON,"
    " …/socket.io/: Socket.IO.",
)
@click.option("--send", "messages", metavar="TEXT", multiple=True, help="To a WebSocket, once connected; may repeat.")
@click.option("--query", metavar="GRAPHQL", help="Of a WebSocket that speaks graphql-transport-ws: the subscription.")
@click.option("--variables", metavar="JSON", help="The variables of --query.")
@options.server_options
@click.pass_context
def record(
    ctx: click.Context,
    file: str,
    channels: tuple[str, ...],
    since: str | None,
    seconds: float | None,
    count: int | None,
    upstream_url: str | None,
    messages: tuple[str, ...],
    query: str | None,
    variables: str | None,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Record events in FILE, with their original times.

    Each CHANNEL is a channel's name, or a whole kind such as changes:*. Without one, it is all that
    the key may read. When the server goes away, it waits for it to come back and goes on where it was.
    FILE has JSON lines; one that is a recording already is added to. Ctrl-C ends it. rtlite play replays it.

    With --from, an upstream's messages are stored as they come, but for those of its handshake. It
    is shown a key only if --key is given on the command line.

    \b
    rtlite record day.jsonl
    rtlite record article.jsonl article:hello 'changes:*' --since 2h --for 10m
    rtlite record upstream.jsonl --from 'wss://api.example/blog/ws/articles/hello?token=…'
    rtlite record upstream.jsonl --from wss://api.example/_events --key pk_live_… \\
        --send '{"type":"subscribe","channel":"changes:product"}'
    rtlite record upstream.jsonl --from wss://api.example/graphql/ws --key pk_live_… \\
        --query 'subscription { recordChanged(modelKey: "product") { type record { id modelKey data } } }'
    rtlite record upstream.jsonl --from 'https://api.example/socket.io/?stream=dwd23RWdwE&token=…'
    """
    wanted = _Wanted(file, tuple(dict.fromkeys(channels)), since, seconds, count)
    if upstream_url is None:
        if messages or query or variables:
            raise click.UsageError("--send, --query and --variables go with --from and a WebSocket.")
        server = options.server_or_dev(url, key, dev)
        origin = server.url
    else:
        given = ctx.get_parameter_source("key") is ParameterSource.COMMANDLINE
        asked = _asked(upstream_url, wanted, messages, query, variables)
        server = Server(upstream.server_of(upstream_url), key if given else None)
        origin = upstream.shown(upstream_url)
    with Recorder(file, origin) as recorder:
        with contextlib.suppress(KeyboardInterrupt):
            if upstream_url is None:
                run(_record, server, recorder, wanted)
            else:
                run(_record_upstream, server, recorder, wanted, upstream_url, asked)
        output.note(f"{recorder.count:,} recorded in {file}")


def _asked(
    url: str, wanted: _Wanted, messages: tuple[str, ...], query: str | None, variables: str | None
) -> upstream.Wanted:
    """:raises click.UsageError: the options do not go together."""
    scheme = urlsplit(url).scheme
    if scheme not in {"http", "https", "ws", "wss"} or not urlsplit(url).netloc:
        raise click.BadParameter("http://…, https://…, ws://… or wss://… is wanted.", param_hint="--from")
    if wanted.channels or wanted.since:
        raise click.UsageError("--from takes neither channels nor --since: its URL says what is sent.")
    if (messages or query) and scheme not in {"ws", "wss"}:
        raise click.UsageError("--send and --query are for a WebSocket: ws://… or wss://…")
    if messages and query:
        raise click.UsageError("--query says itself what is sent: no --send.")
    if variables is None:
        return upstream.Wanted(messages, query)
    try:
        parsed = orjson.loads(variables)
    except ValueError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--variables") from error
    if query is None or not isinstance(parsed, dict):
        raise click.UsageError("--variables goes with --query, and is a JSON object.")
    return upstream.Wanted(messages, query, parsed)


class _Writer:
    """Writes what is delivered, until there is enough."""

    def __init__(self, recorder: Recorder, count: int | None, since: str | None) -> None:
        self._recorder = recorder
        self._gaps = Gaps(since)
        self._left = count
        self._enough = trio.Event()
        self.end = self._enough.set

    async def deliver(self, page: Page) -> None:
        # It never waits: whoever is cancelled is so while it reads, and closes what it reads from.
        self._gaps(page)
        for item in page.items:
            raw = item.get("raw")
            if self._enough.is_set() or (isinstance(raw, str) and is_handshake(raw)):
                continue
            self._recorder.add(item)
            if self._left is not None and (not isinstance(raw, str) or is_event(raw)):
                self._left -= 1
                if self._left == 0:
                    self._enough.set()

    async def finished(self, seconds: float | None) -> None:
        """Wait until there is enough, or the time is over."""
        with trio.move_on_after(math.inf if seconds is None else seconds):
            await self._enough.wait()


async def _record(server: Server, recorder: Recorder, wanted: _Wanted) -> None:
    trouble, writer = Trouble(server.url), _Writer(recorder, wanted.count, wanted.since)
    async with connected(server, math.inf, trouble) as client, trio.open_nursery() as nursery:
        if wanted.channels:
            source = EventSource(client, wanted.channels, wanted.since, trouble)
            nursery.start_soon(source.follow, writer.deliver)
        else:
            nursery.start_soon(_everything, client, wanted.since, trouble, writer.deliver)
        await writer.finished(wanted.seconds)
        nursery.cancel_scope.cancel()


async def _record_upstream(
    server: Server, recorder: Recorder, wanted: _Wanted, url: str, asked: upstream.Wanted
) -> None:
    writer = _Writer(recorder, wanted.count, wanted.since)

    async def follow(client: Client) -> None:
        try:
            await upstream.follower(client, url, asked, Trouble(server.url)).follow(writer.deliver)
        except Over:
            output.note("the upstream has no more to send")
            writer.end()

    async with Client(server.url, server.key) as client, trio.open_nursery() as nursery:
        nursery.start_soon(follow, client)
        await writer.finished(wanted.seconds)
        nursery.cancel_scope.cancel()


async def _everything(client: Client, since: str | None, trouble: Trouble, deliver: Deliver) -> None:
    """Every kind that there is or comes to be, as far as the key may read it.

    A kind that comes later is followed from the beginning of this recording on, so that its first
    events are in it too.

    :raises CallFailed: it may read none.
    """
    began = rfc3339(now_ms())
    known = {f"{kind}:*" for kind in _KINDS}
    refused: set[str] = set()

    async def follow(name: str, since: str | None) -> None:
        try:
            await EventSource(client, [name], since, trouble).follow(deliver)
        except CallFailed as failure:
            if failure.status != 403:
                raise
            refused.add(name)
            if refused == known:
                text = "this key may read no whole kind of channel: name the channels to record"
                raise CallFailed(text, 403, failure.code) from failure

    async with trio.open_nursery() as nursery:
        for name in sorted(known):
            nursery.start_soon(follow, name, since)
        while (there := await _names(client)) is not None:
            for name in sorted(there - known):
                known.add(name)
                nursery.start_soon(follow, name, since or began)
            await trio.sleep(_LOOK_SECONDS)


async def _names(client: Client) -> set[str] | None:
    """Each kind of which there is a channel, and each channel without a kind; ``None`` if that may not be asked."""
    names: set[str] = set()
    query: dict[str, str] = {}
    while True:
        try:
            page: dict[str, Any] = await client.call("GET", "/api/channels", query=query)
        except CallFailed as failure:
            if failure.temporary:
                return names  # the streams say that the server is away
            return None
        for item in page["items"]:
            name = str(item["channel"])
            kind = kind_of(name)
            if kind not in _NOT_EVENTS:
                names.add(f"{kind}:*" if ":" in name else name)
        if page["next"] is None:
            return names
        query = {"after": page["next"]}
