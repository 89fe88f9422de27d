"""The programs that the console shows under Connect: each runs as it stands, against a server with ``--dev``.

A program that listens is told of an event again and again, until it prints what is in it.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from rtlite.settings import DEV_JWT_SECRET
from tests.clients.browser import find_chromium
from tests.docs.blocks import ROOT, Block
from tests.docs.languages import Missing
from tests.docs.runner import Page, open_page

FOLDER: Final = ROOT / "rtlite" / "console" / "static" / "snippets"
LANGUAGES: Final = {"js": "js", "mjs": "mjs", "sh": "sh", "py": "python", "html": "html"}
STOCK: Final = 471_147  # what the event has that nothing else has


def publish(channel: str, event: str, data: Any) -> str:
    body = json.dumps({"channel": channel, "event": event, "data": data})
    return f"curl -s http://127.0.0.1:8000/api/publish -H 'X-Api-Key: rtk_dev' -d '{body}'"


COMMENT: Final = publish("notifications:dev", "new_comment", {"comment": {"id": STOCK}})
VIEWS: Final = publish("article:hello", "view_update", {"viewCount": STOCK})
CHAT: Final = publish("conversation:conv-123", "chat_message", {"content": STOCK})
CHANGE: Final = publish(
    "changes:product",
    "UPDATED",
    {
        "type": "UPDATED",
        "record": {
            "id": "rec_1",
            "modelKey": "product",
            "naturalKey": None,
            "data": {"stock": STOCK},
            "version": 1,
            "publishedVersion": None,
            "createdAt": "2026-05-27T10:30:00Z",
            "updatedAt": "2026-05-27T10:30:00Z",
        },
    },
)
LINE: Final = publish("stream:dwd23RWdwE", "message", {"text": STOCK})
EDIT: Final = (
    "curl -s -X PUT http://127.0.0.1:8000/collab/notes/document -H 'X-Api-Key: pk_live_dev'"
    f" -H 'Content-Type: application/json' -d '{{\"content\": \"{STOCK}\"}}'"
)
# What is done while the programs of a protocol run.
WHILE: Final = {
    "blog-notifications": COMMENT,
    "blog-article": VIEWS,
    "commands": CHAT,
    "events": CHANGE,
    "sse": CHANGE,
    "socketio": LINE,
    "graphql": CHANGE,
    "collab": EDIT,
    "polling": CHANGE,
}
# Those that end by themselves, or print something else.
OTHERWISE: Final = {
    "blog-article.html": {"until": "Views: 2"},
    "blog-article.sh": {"until": "reaction_update"},
    # It says nothing while it records: it is to end after the third message, and then the file is looked at.
    "commands.sh": {
        "first": f"(for n in {{1..40}}; do {CHAT}; sleep 0.2; done) >/dev/null 2>&1 &",
        "then": "cat conversation.jsonl",
        "shows": str(STOCK),
    },
    "socketio.sh": {"shows": "line 3"},
    "graphql.sh": {"shows": '"version":1'},
    "collab.sh": {"shows": "Hello from a terminal"},
    "collab.py": {"shows": "Hello from Python"},
    "polling.sh": {"first": CHANGE, "shows": str(STOCK)},
    "terminal.sh": {"until": '"viewCount":7'},
    "terminal.py": {"until": "'viewCount': 7"},
    "terminal-curl.sh": {"shows": '"offset":'},
}
PROTOCOLS: Final = sorted({path.stem.removesuffix("-curl") for path in FOLDER.iterdir() if path.is_file()})


async def run(page: Page, name: str, text: str, how: dict[str, str]) -> None:
    try:
        await page.run(Block(name, 1, LANGUAGES[name.rpartition(".")[2]], text, how=how))
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Started for those programs alone that are for a browser."""

    def start() -> str:
        if find_chromium() is None:
            raise Missing("Chromium is not installed")
        url: str = request.getfixturevalue("chromium")
        return url

    return start


@pytest.mark.parametrize("protocol", sorted(set(PROTOCOLS) - {"webhooks"}))
async def test_the_programs_of_a_protocol_run_as_they_stand(
    protocol: str, tmp_path: Path, browser: Callable[[], str], full: bool
) -> None:
    token = jwt.encode({"sub": "dev", "exp": time.time() + 600}, DEV_JWT_SECRET, "HS256")
    async with open_page(tmp_path, browser) as page:
        for path in sorted(FOLDER.glob(f"{protocol}[.-]*"), reverse=True):
            text = path.read_text().replace("YOUR_TOKEN", token)
            if path.stem.removesuffix("-curl") != protocol or (not full and is_slow(path.name, text)):
                continue
            if path.name == "commands.sh":
                text = text.rstrip() + " --count 3\n"
            how = OTHERWISE.get(path.name) or {"do": WHILE[protocol], "until": str(STOCK)}
            await run(page, path.name, text, dict(how))


def is_slow(name: str, text: str) -> bool:
    """Whether it starts a Python or two. One is for the short run, too, and so is the one that makes the article."""
    return name not in {"sse.py", "blog-article.sh"} and (name.endswith(".py") or "rtlite " in text)


@pytest.mark.parametrize("receiver", ["webhooks.mjs", "webhooks.py"])
async def test_a_receiver_of_webhooks_takes_what_is_signed_with_its_secret(receiver: str, tmp_path: Path) -> None:
    async with open_page(tmp_path) as page:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])

        def text(name: str) -> str:
            found = (FOLDER / name).read_text().replace("3000", port)
            return re.sub(r"process\.env\.WEBHOOK_SECRET|os\.environ\[.WEBHOOK_SECRET.\]", '"whsec_…"', found)

        await run(page, "webhooks.sh", text("webhooks.sh"), {"shows": "whsec_"})
        await run(page, receiver, text(receiver), {"when": "waiting", "do": VIEWS, "until": str(STOCK)})
