"""The console's view Connect: each try-out really connects, hears an event, and gets what it missed."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Final

import pytest

from tests.clients.runtimes import why_no_npm
from tests.console.axe import violations
from tests.console.pages import IDS, LOOKS, STATIC, logged_in, look, opened, press, publish, says, show
from tests.console.test_snippets import FOLDER, PROTOCOLS
from tests.console.tryouts import LOG, PUBLISH, choose, connect, hears

# What the short run looks at; the long one looks at all.
SOME: Final = {"light": ["connect/collab"], "dark": ["publish", "faults", "connect/webhooks"]}


async def test_without_dev_each_try_out_makes_a_credential_of_its_own_for_a_while(chromium: str) -> None:
    async with logged_in(chromium, webhook_private=True) as (server, tab):
        for protocol in PROTOCOLS:
            await choose(tab, protocol)
            assert "_dev" not in await tab.evaluate("document.querySelector('.snippet code').textContent")
            if protocol == "webhooks":  # it is the operator's to say where to
                url = f"{server.url}/streams/hooks/messages?token={await server.key('stream', 'op')}"
                await tab.evaluate(f"document.querySelector('main input[type=url]').value = {json.dumps(url)}")
            await connect(tab, dev=False)
            await press(tab, PUBLISH.get(protocol, "Publish a test event"))
            await hears(tab)
        held = server.running.server.keyring.list()
        assert all(key.expires is not None for key in held if key.name == "the console's try-out")


async def test_the_programs_are_made_for_this_server(chromium: str) -> None:
    """Each is the file that test_snippets.py runs, but for the address and a token."""
    async with opened(chromium) as (server, tab):
        host = server.url.removeprefix("http://")
        programs = [path for path in FOLDER.iterdir() if path.is_file()]  # an installation compiles the Python ones
        files = {path.name: path.read_text().rstrip().replace("127.0.0.1:8000", host) for path in programs}
        shown: list[str] = []
        for protocol in PROTOCOLS:
            await choose(tab, protocol)
            forms = await tab.evaluate("document.querySelectorAll('[aria-label=Program] [role=tab]').length")
            for number in range(forms):
                await tab.evaluate(f"document.querySelectorAll('[aria-label=Program] [role=tab]')[{number}].click()")
                await tab.until(
                    "(t => t && !t.includes('YOUR_TOKEN'))(document.querySelector('.snippet code').textContent)"
                )
                shown.append(await tab.evaluate("document.querySelector('.snippet code').textContent"))
        assert sorted(re.sub("eyJ[^'\"`]+", "YOUR_TOKEN", text) for text in shown) == sorted(files.values())


async def test_a_token_is_put_into_the_program_on_a_click(chromium: str) -> None:
    async with logged_in(chromium) as (server, tab):
        await choose(tab, "sse")
        code = "document.querySelector('.snippet code').textContent"
        await tab.until(f"{code}.includes('token=YOUR_TOKEN')")
        await press(tab, "Make a token for 10 minutes")
        await tab.until(f"/token=eyJ/.test({code})")
        token = await tab.evaluate(f'/token=([^"]+)/.exec({code})[1]')
        await tab.evaluate("{ const now = Date.now; Date.now = () => now() + 600_000 }")
        await connect(tab, dev=False)  # ten minutes later: with a new one
        asked = "performance.getEntriesByType('resource').filter(it => it.name.endsWith('/api/tokens')).length"
        assert await tab.evaluate(asked) == 2
        client = server.http(token)
        assert (await client.get("/api/channels/changes:product/history")).status_code == 200
        assert (await client.get("/api/channels/jobs:job_9/history")).status_code == 403


async def test_why_a_connection_ended_is_shown_with_its_code(chromium: str) -> None:
    async with opened(chromium, "connect/blog-article") as (server, tab):
        await connect(tab)
        (item,) = [
            item
            for item in (await server.http("rtk_dev").get("/api/connections")).json()["items"]
            if item["protocol"] == "blog"
        ]
        await server.http("rtk_dev").delete(f"/api/connections/{item['id']}")
        await says(tab, "Closed with 1000: closed by the operator", LOG)
        await tab.until("document.querySelector('main .state').dataset.state === 'closed'")


async def test_what_is_typed_into_one_editor_is_in_the_other_whose_cursor_stays(chromium: str) -> None:
    async with opened(chromium, "connect/collab") as (_, tab):
        await connect(tab)
        await tab.until("[...document.querySelectorAll('main textarea')].filter(it => !it.disabled).length === 2")
        first, second = (f"document.querySelectorAll('main textarea')[{number}]" for number in (0, 1))
        await tab.evaluate(f"{first}.focus()")
        await tab.call("Input.insertText", text="Hello 🦊")
        await tab.until(f"document.body && {second}.value === 'Hello 🦊'")
        await tab.evaluate(f"{second}.setSelectionRange(5, 5), {first}.setSelectionRange(0, 0)")
        await tab.call("Input.insertText", text="Oh: ")
        await says(tab, "Editor 2 hears an edit 12 characters", LOG)
        assert await tab.evaluate(f"[{second}.value, {second}.selectionStart]") == ["Oh: Hello 🦊", 9]


async def test_markup_in_an_event_stays_text(chromium: str) -> None:
    markup = "<img src=x onerror=document.title=1>"
    async with opened(chromium, "connect/terminal") as (server, tab):
        await connect(tab)
        await publish(server, "article:hello", {markup: [markup]}, markup.replace(" ", "/"))
        await says(tab, json.dumps({markup: [markup]}, separators=(",", ":")), LOG)
        assert await tab.evaluate("document.querySelectorAll('main img').length") == 0


async def test_the_arrow_keys_go_from_tab_to_tab_and_the_address_says_which(chromium: str) -> None:
    async with opened(chromium, "connect") as (_, tab):
        await tab.evaluate("document.querySelector('[role=tab]').focus()")
        for _ in range(2):
            await tab.press("ArrowRight", 39)
        chosen = "document.querySelector('[role=tab][aria-selected=true]')"
        assert await tab.evaluate(f"{chosen}.textContent") == "Commands"
        assert await tab.evaluate(f"document.activeElement === {chosen}")
        assert await tab.evaluate("location.hash") == "#/connect/commands"
        await tab.press("End", 35)
        assert await tab.evaluate(f"{chosen}.textContent") == "Terminal"


@pytest.mark.parametrize("size", LOOKS, ids=IDS)
async def test_publish_connect_and_faults_can_be_used_by_all(
    size: tuple[int, int, str], chromium: str, full: bool
) -> None:
    every = ("publish", "faults", *(f"connect/{name}" for name in PROTOCOLS))
    async with opened(chromium) as (server, tab):
        await look(tab, *size)
        await server.http("rtk_dev").post("/api/faults", json={"kind": "drop", "user": "nobody", "duration": "1m"})
        for view in every if full else SOME[size[2]]:
            await show(tab, view)
            if view.startswith("connect"):
                await connect(tab)
                await press(tab, PUBLISH.get(view.partition("/")[2], "Publish a test event"))
                await hears(tab)
            assert await violations(tab) == [], view
            assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_the_client_libraries_are_what_their_licences_file_says() -> None:
    vendor = STATIC.joinpath("vendor")
    files = {item.name for item in vendor.iterdir()}
    licences = vendor.joinpath("LICENSES.txt").read_text()
    assert files - {"LICENSES.txt"} == {line.split()[0] for line in licences.splitlines() if ".js  " in line}
    for library in ("socket.io-client", "graphql-ws", "yjs", "y-websocket", "esbuild"):
        if why := why_no_npm(library):
            pytest.skip(why)
    modules = FOLDER.parents[3] / "tests" / "node_modules"
    published = {
        "socket.io.js": "socket.io-client/dist/socket.io.esm.min.js",
        "graphql-ws.js": "graphql-ws/umd/graphql-ws.min.js",
    }
    for name, path in published.items():
        assert vendor.joinpath(name).read_bytes() == (modules / path).read_bytes()
    for library in ("socket.io-client", "graphql-ws", "yjs", "y-websocket", "esbuild", "lib0", "engine.io-client"):
        assert f"{library} {json.loads((modules / library / 'package.json').read_text())['version']}" in licences
    bundle = [modules / ".bin" / "esbuild", "--bundle", "--format=esm", "--minify", "--legal-comments=none"]
    built = subprocess.run(
        bundle, input=vendor.joinpath("yjs.entry.js").read_bytes(), capture_output=True, check=True, cwd=modules.parent
    )
    assert built.stdout == vendor.joinpath("yjs.js").read_bytes()
