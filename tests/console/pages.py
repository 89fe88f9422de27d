"""The console in a tab: opening it, going to its views, pressing its buttons, and how large and dark it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Final

import pytest

from tests.clients.browser import Tab, open_tab
from tests.servers import InProcess, running_server

STATIC: Final = resources.files("rtlite.console").joinpath("static")
LIVE: Final = "document.querySelector('#status').dataset.state === 'live'"
LOOKS: Final = [
    (1280, 800, "light"),
    (360, 740, "dark"),
    pytest.param((1280, 800, "dark"), marks=pytest.mark.full),
    pytest.param((360, 740, "light"), marks=pytest.mark.full),
]
IDS: Final = ["wide, light", "phone, dark", "wide, dark", "phone, light"]


@asynccontextmanager
async def opened(chromium: str, view: str = "", **settings: Any) -> AsyncIterator[tuple[InProcess, Tab]]:
    """A server with ``--dev``, whose console is open at a view; in the end nothing went wrong in the page."""
    async with running_server(dev=True, **settings) as server, open_tab(chromium) as tab:
        await tab.goto(f"{server.url}/#/{view}")
        await tab.until("document.querySelector('main h1') && " + LIVE)
        yield server, tab
        assert tab.errors == []


async def show(tab: Tab, view: str) -> None:
    """Go to a view, and wait until it is there."""
    hash = json.dumps("#/" + view)
    await tab.evaluate(
        f"location.hash === {hash} || (document.querySelector('main h1')?.remove(), location.hash = {hash})"
    )
    await tab.until("document.querySelector('main h1') !== null && " + LIVE)


async def says(tab: Tab, text: str, within: str = "main") -> None:
    await tab.until(f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})")


async def fill(tab: Tab, **fields: str) -> None:
    for name, value in fields.items():
        await tab.evaluate(f"document.querySelector('main [name={name}]').value = {json.dumps(value)}")


async def press(tab: Tab, text: str, within: str = "body") -> None:
    """Click the last button with this text: a dialog stands at the end."""
    button = (
        f"[...document.querySelectorAll('{within} button')].filter(it => it.textContent === {json.dumps(text)}).at(-1)"
    )
    await tab.until(f"{button} && !{button}.disabled && {button}.ariaDisabled !== 'true'")
    await tab.evaluate(f"document.querySelector('#aimed')?.removeAttribute('id'); {button}.id = 'aimed'")
    await tab.click("#aimed")


async def publish(server: InProcess, channel: str, data: Any, event: str = "view_update") -> dict[str, Any]:
    body = {"channel": channel, "event": event, "data": data}
    answer = await server.http("rtk_dev").post("/api/publish", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@asynccontextmanager
async def logged_in(chromium: str, **settings: Any) -> AsyncIterator[tuple[InProcess, Tab]]:
    """A server without ``--dev``, and its console, where an operator is logged in."""
    async with running_server(**settings) as server, open_tab(chromium) as tab:
        await tab.goto(f"{server.url}/console/icon.svg")
        login = json.dumps({"key": await server.key("admin", "op")})
        asked = f"fetch('/api/session', {{method: 'POST', body: {json.dumps(login)}}}).then(it => it.ok)"
        assert await tab.evaluate(asked)
        await tab.goto(server.url)
        yield server, tab
        assert tab.errors == []


async def look(tab: Tab, width: int, height: int, theme: str) -> None:
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
    )
    features = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}  # no colour is halfway to another
    await tab.call(
        "Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in features.items()]
    )
