"""What a server says when it is ready."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rtlite.model import Role
from rtlite.settings import DEV_JWT_SECRET

if TYPE_CHECKING:
    from rtlite.server import Running

# One line to paste per protocol; HTTP is http://HOST:PORT and WS is ws://HOST:PORT. For servers started with --dev.
LINES: Final = (
    ("blog notifications", "WS/blog/ws/notifications?token=mbk_dev"),
    ("blog article", "WS/blog/ws/articles/hello?token=mbk_dev"),
    (
        "in JavaScript",
        'new WebSocket("WS/blog/ws/articles/hello?token=mbk_dev").onmessage = (event) => console.log(event.data)',
    ),
    ("commands", "WS/ws?token=JWT"),
    (
        "event channels",
        'ws = new WebSocket("WS/_events?apiKey=pk_live_dev");'
        """ ws.onopen = () => ws.send('{"type":"subscribe","channel":"changes:product"}');"""
        " ws.onmessage = (event) => console.log(event.data)",
    ),
    ("server-sent events", "curl -N 'HTTP/sse/changes:product?apiKey=pk_live_dev'"),
    ("streams", 'io("HTTP/", {query: {stream: "demo", token: "rts_dev"}}).on("message", console.log)'),
    (
        "GraphQL",
        """curl HTTP/graphql -H 'X-Api-Key: pk_live_dev' -H 'Content-Type: application/json' -d '{"query": """
        """"{ records(modelKey: \\"product\\") { nodes { id naturalKey data } } }"}'""",
    ),
    (
        "subscriptions",
        'createClient({url: "WS/graphql/ws", connectionParams: {apiKey: "pk_live_dev"}}).subscribe({query: '
        "'subscription { recordChanged(modelKey: \"product\") { type record { id data } } }'}, "
        "{next: console.log, error: console.error, complete() {}})",
    ),
    (
        "collaboration",
        'new WebsocketProvider("WS/collab", "notes", new Y.Doc(), {params: {apiKey: "pk_live_dev"}})',
    ),
    ("records", """curl HTTP/records/product -H 'X-Api-Key: pk_live_dev' -d '{"data": {"name": "Blue mug"}}'"""),
    ("jobs", """curl HTTP/jobs -H 'X-Api-Key: pk_live_dev' -d '{"type": "import", "userId": "dev"}'"""),
    (
        "notifications",
        "curl HTTP/notifications -H 'X-Api-Key: pk_live_dev' "
        """-d '{"userId": "dev", "type": "order_update", "title": "Order Shipped"}'""",
    ),
    ("sample events", "rtlite trigger updated --url HTTP"),
)
_EVENT: Final = '{"channel": "article:hello", "event": "view_update", "data": {"slug": "hello", "viewCount": 1}}'


def lines(running: Running) -> Iterator[str]:
    """What ``rtlite serve`` prints: the line that says it is ready, and the credentials it alone can tell."""
    if running.admin_key is not None:
        yield f"admin key, shown this once: {running.admin_key}"
    yield f"rtlite ready on {running.url}"
    if running.server.settings.dev:
        yield from dev_lines(running)


def dev_lines(running: Running) -> Iterator[str]:
    """The fixed credentials of ``--dev``, and a line to paste for each protocol."""
    from rtlite.server import DEV_KEYS

    url, server = running.url, running.server
    yield "development only: everyone knows these credentials"
    for secret, (kind, user) in DEV_KEYS.items():
        yield _row(f"{kind.value} key", f"{secret}  (user {user})")
    yield _row("JWT secret", DEV_JWT_SECRET)
    yield _row("publish", curl(url))
    if not url.startswith("http+unix:"):
        token = server.tokens.sign("dev", Role.USER, server.settings.jwt_max_lifetime)
        words = {"HTTP": url, "WS": url.replace("http", "ws", 1), "JWT": token}
        for label, text in LINES:
            yield _row(label, re.sub(r"\b(HTTP|WS|JWT)\b", lambda word: words[word[1]], text))


def curl(url: str) -> str:
    """A command that publishes an event to whoever follows the article ``hello``."""
    to = [f"{url}/api/publish"]
    if url.startswith("http+unix:"):
        to = ["--unix-socket", url.removeprefix("http+unix:"), "http://localhost/api/publish"]
    return shlex.join(["curl", *to, "-H", "Authorization: Bearer rtk_dev", "-d", _EVENT])


def _row(label: str, text: str) -> str:
    return f"  {label:20}{text}"
