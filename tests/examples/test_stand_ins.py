"""The stand-ins for four APIs: their references' own clients, and the traffic that they get."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from tests.clients.browser import PATIENCE
from tests.clients.runtimes import snippet, why_no_npm
from tests.examples.running import EXAMPLES, START_SECONDS, copy, fits, looked_at, running
from tests.examples.test_pages import free_port

TESTS = Path(__file__).parents[1]
STAND_INS = EXAMPLES / "stand-ins"


class Here:
    """Where the clients of the examples look for a server."""

    url = "http://127.0.0.1:8000"
    ws_url = "ws://127.0.0.1:8000"


HOST = {"https://api.bloomr.stream": Here.url, "your-token-here": "rts_dev"}
# The snippet, the client that it is in, and what stands in the snippet for what is each reader's own.
SNIPPETS = [
    ("node.mjs", "blog-websocket/notifications.mjs", {}),
    ("reconnect.ts", "blog-websocket/reconnect.mjs", {}),
    ("browser.js", "blog-websocket/page.html", {}),
    ("article.ts", "blog-websocket/page.html", {}),
    (
        "socketio.js",
        "socketio-streams/output.mjs",
        {"https://api.bloomr.stream": Here.url, "your-token-here": "rts_dev"},
    ),
    ("graphql-retry.js", "graphql-sse-events/graphql.mjs", {}),
    ("graphql-subscribe.js", "graphql-sse-events/graphql.mjs", {"// Later, to unsubscribe:\nunsubscribe();\n": ""}),
    ("graphql-apollo.js", "graphql-sse-events/apollo.mjs", {}),
    ("sse-fetch.js", "graphql-sse-events/sse-fetch.mjs", {}),
    ("events.js", "graphql-sse-events/events.mjs", {"usr_abc123": "dev"}),
    ("eventsource.js", "graphql-sse-events/page.html", {}),
    ("eventsource-many.js", "graphql-sse-events/page.html", {}),
]


@pytest.mark.parametrize(("name", "client", "replaced"), SNIPPETS)
def test_the_clients_are_the_references_own_but_for_the_host(name: str, client: str, replaced: dict[str, str]) -> None:
    own = "pk_live_dev" if client.startswith("graphql") else "mbk_dev"
    text = snippet(name, Here(), own)  # type: ignore[arg-type]  # it asks for the addresses alone
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    assert text.strip() in (STAND_INS / client).read_text()


ARRIVES = {
    "notifications": "Event: {\n.*type: 'new_comment',",
    "reconnect": 'article: {"type":"view_update","slug":"my-first-post","viewCount":',
    "client": "chat_message conversation:conv-123 {",
    "output": "MESSAGE => { level: 'info', text: 'checked 120 items',",
    "replay": "MESSAGE => a message from before, which is replayed\n",
    "graphql": "Record changed: {",
    "apollo": "CREATED blue-mug\n",
    "sse-fetch": "jobs:job_9 job.progress running\n",
    "events": r"\[changes:product\] UPDATED: {",
    "play": '{"id":.*"event":"new_subscriber"',
}


async def test_one_command_shows_what_each_client_gets(chromium: str, tmp_path: Path) -> None:
    for library in ("ws", "socket.io-client", "graphql-ws", "@apollo/client"):
        if why := why_no_npm(library):
            pytest.skip(why)
    port = free_port()
    folder = copy("stand-ins", tmp_path)
    for file in (*folder.rglob("*.mjs"), *folder.rglob("*.html"), folder / "run.py"):
        file.write_text(re.sub(r"\b8000\b", port, file.read_text()))
    (folder / "node_modules").symlink_to(TESTS / "node_modules")
    async with running(folder, "run.py") as (example, _):
        with trio.fail_after(START_SECONDS + PATIENCE):
            blog = (await example.says(r"open (file:\S+blog-websocket/page.html\S+)\n"))[1]
            sse = (await example.says(r"open (file:\S+graphql-sse-events/page.html\S+)\n"))[1]
            async with looked_at(chromium, blog) as reader, looked_at(chromium, sse) as customer:
                await reader.until("document.querySelector('#view-count').textContent > 1000")
                await reader.until("document.querySelector('ol').innerText.includes('article_reaction')")
                await customer.until(
                    "document.querySelector('ol').innerText.includes('Connected to notifications:dev')"
                )
                await customer.until("document.querySelector('ol').innerText.includes('Change:')")
                await fits(reader)
                await fits(customer)
            for client, text in ARRIVES.items():
                await example.says(f" {client} \\| {text}".replace("\n.*", f"\n +{client} \\| .*"))
