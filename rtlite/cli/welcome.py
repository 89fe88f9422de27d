"""What a server says when it is ready."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rtlite.settings import DEV_JWT_SECRET

if TYPE_CHECKING:
    from rtlite.server import Running

# One line to paste per protocol; {ws} is ws://HOST:PORT. For servers started with --dev.
LINES: Final = (
    ("blog notifications", "{ws}/blog/ws/notifications?token=mbk_dev"),
    ("blog article", "{ws}/blog/ws/articles/hello?token=mbk_dev"),
    (
        "in JavaScript",
        'new WebSocket("{ws}/blog/ws/articles/hello?token=mbk_dev").onmessage = (event) => console.log(event.data)',
    ),
)
_EVENT: Final = '{"channel": "article:hello", "event": "view_update", "data": {"slug": "hello", "viewCount": 1}}'


def lines(running: Running) -> Iterator[str]:
    """What ``rtlite serve`` prints: the line that says it is ready, and the credentials it alone can tell."""
    if running.admin_key is not None:
        yield f"admin key, shown this once: {running.admin_key}"
    yield f"rtlite ready on {running.url}"
    if running.server.settings.dev:
        yield from dev_lines(running.url)


def dev_lines(url: str) -> Iterator[str]:
    """The fixed credentials of ``--dev``, and a line to paste for each protocol."""
    from rtlite.server import DEV_KEYS

    yield "development only: everyone knows these credentials"
    for secret, (kind, user) in DEV_KEYS.items():
        yield _row(f"{kind.value} key", f"{secret}  (user {user})")
    yield _row("JWT secret", DEV_JWT_SECRET)
    yield _row("publish", curl(url))
    if not url.startswith("http+unix:"):
        for label, text in LINES:
            yield _row(label, text.format(ws=url.replace("http", "ws", 1)))


def curl(url: str) -> str:
    """A command that publishes an event to whoever follows the article ``hello``."""
    to = [f"{url}/api/publish"]
    if url.startswith("http+unix:"):
        to = ["--unix-socket", url.removeprefix("http+unix:"), "http://localhost/api/publish"]
    return shlex.join(["curl", *to, "-H", "Authorization: Bearer rtk_dev", "-d", _EVENT])


def _row(label: str, text: str) -> str:
    return f"  {label:20}{text}"
