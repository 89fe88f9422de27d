"""The demonstration's clients: one per protocol, each as its users write it, waiting for one message."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import orjson
import trio
from trio_websocket import open_websocket_url

from rtlite.cli.desk import NewToken, dev_token
from rtlite.client import Client

_BLOG_KEY: Final = "mbk_dev"
_PROJECT_KEY: Final = "pk_live_dev"
_COMMAND: Final = '{"type":"subscribe","data":{"channel":"article:hello"}}'
_SUBSCRIBE: Final = '{"type":"subscribe","channel":"article:hello"}'
_CHANGES: Final = 'subscription { recordChanged(modelKey: "product") { type record { id naturalKey data } } }'
_SILENCE: Final = 10.0  # seconds

Happening = Callable[[Client], Awaitable[float]]
"""Lets something happen, as an operator may; returns when, of :func:`trio.current_time`."""


async def _a_view(operator: Client) -> float:
    return await _done(operator, "POST", "/blog/v1/articles/hello/views", {})


async def _a_line(operator: Client) -> float:
    return await _done(operator, "POST", "/streams/demo/messages", {"checked": 120})


async def _a_record(operator: Client) -> float:
    body = {"naturalKey": "blue-mug", "data": {"name": "Blue mug", "price": 12.5}}
    return await _done(operator, "POST", "/records/product", body)


async def _a_job(operator: Client) -> float:
    job = (await operator.call("POST", "/jobs", {"type": "import", "userId": "dev"}))["id"]
    await operator.call("PATCH", f"/jobs/{job}", {"status": "running", "progress": 40})
    return await _done(operator, "PATCH", f"/jobs/{job}", {"status": "completed", "result": {"imported": 120}})


async def _done(operator: Client, method: str, path: str, body: dict[str, Any]) -> float:
    now = trio.current_time()
    await operator.call(method, path, body)
    return now


@attrs.define
class Listener:
    """One client: how it connects, what it asks for, what it waits to hear of, and what it got when.

    ``sign`` is what the message it waits for contains.
    """

    protocol: str
    url: str
    channel: str
    listen: Callable[[Listener], Awaitable[None]]
    happening: Happening = _a_view
    key: str = _BLOG_KEY
    ask: str = ""
    sign: str = "view_update"
    arrived: str = ""
    at: float = math.nan
    took: float = math.nan
    done: trio.Event = attrs.field(factory=trio.Event)

    def got(self, message: str | bytes) -> bool:
        """Whether this is what it waits for."""
        text = message if isinstance(message, str) else message.decode()
        if self.sign in text:
            self.at = trio.current_time()
            self.arrived = text
            self.done.set()
        return self.done.is_set()


def listeners(url: str) -> list[Listener]:
    """One per protocol that there is, and one for each thing that they tell of."""
    ws, token = url.replace("http", "ws", 1), dev_token(NewToken("dev"))
    notifications, article, changes = "notifications:dev", "article:hello", "changes:product"
    streams = f"{ws}/socket.io/?stream=demo"

    def events(label: str, channel: str, happening: Happening, sign: str) -> Listener:
        return Listener(label, f"{url}/sse/{channel}", channel, _with_eventsource, happening, token, sign=sign)

    return [
        Listener("blog notifications", f"{ws}/blog/ws/notifications", notifications, _with_header, sign="milestone"),
        Listener("blog article", f"{ws}/blog/ws/articles/hello", article, _with_query),
        Listener("commands", f"{ws}/ws", article, _with_query, key=token, ask=_COMMAND),
        Listener("event channels", f"{ws}/_events", article, _with_query, key=token, ask=_SUBSCRIBE),
        events("server-sent events", article, _a_view, "view_update"),
        Listener("Socket.IO", streams, "stream:demo", _with_socketio, _a_line, "rts_dev", sign="message"),
        Listener("GraphQL", f"{ws}/graphql/ws", changes, _with_graphql, _a_record, _PROJECT_KEY, _CHANGES, "next"),
        events("records", changes, _a_record, "CREATED"),
        events("jobs", "jobs:*", _a_job, "job.completed"),
        events("notifications", notifications, _a_job, "notification.new"),
    ]


async def _with_header(client: Listener) -> None:
    """As the blog's npm ``ws`` snippet does: the key in the Authorization header."""
    headers = [(b"Authorization", f"Bearer {client.key}".encode())]
    async with open_websocket_url(client.url, extra_headers=headers) as socket:
        while not client.got(await socket.get_message()):
            pass


async def _with_query(client: Listener) -> None:
    """As the browser snippets do: the credential in ``?token=``."""
    async with open_websocket_url(f"{client.url}?token={client.key}") as socket:
        if client.ask:
            await socket.send_message(client.ask)
        while not client.got(await socket.get_message()):
            pass


async def _with_eventsource(client: Listener) -> None:
    """As an EventSource does; shown are the lines of its event."""
    url, slash, path = client.url.partition("/sse/")
    lines = b""
    async with (
        Client(url, client.key) as http,
        http.stream(slash + path, {}, {"Accept": "text/event-stream"}, silence=_SILENCE) as pieces,
    ):
        async for piece in pieces:
            *events, lines = (lines + piece).split(b"\n\n")
            if any(client.got(event.replace(b"\n", b"  ")) for event in events):
                return


async def _with_socketio(client: Listener) -> None:
    """As socket.io-client does over WebSocket: it is opened, joins the namespace, and answers pings."""
    async with open_websocket_url(f"{client.url}&token={client.key}&EIO=4&transport=websocket") as socket:
        while not client.got(message := await socket.get_message()):
            if message in ("2", b"2"):
                await socket.send_message("3")
            elif message[:1] in ("0", b"0"):
                await socket.send_message("40")


async def _with_graphql(client: Listener) -> None:
    """As npm's graphql-ws does: the credential in the first message, then the operation."""
    async with open_websocket_url(client.url, subprotocols=["graphql-transport-ws"]) as socket:
        await socket.send_message(_json(type="connection_init", payload={"apiKey": client.key}))
        while not client.got(message := await socket.get_message()):
            if orjson.loads(message)["type"] == "connection_ack":
                await socket.send_message(_json(id="1", type="subscribe", payload={"query": client.ask}))


def _json(**fields: Any) -> str:
    return orjson.dumps(fields).decode()
