"""Yjs' own clients: y-websocket's provider in Node, and the example's page in two windows of Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trio

from tests.clients.browser import Tab, open_tab
from tests.clients.runtimes import Client, Node, why_no_npm
from tests.servers import Doors, ServerProcess, running_server

TESTS = Path(__file__).parent.parent
EXAMPLE = TESTS.parent / "examples" / "collaborative-page"

_EDITORS = """
import * as Y from "yjs"
import { WebsocketProvider } from "y-websocket"
console.warn = console.log
globalThis.editors = {}
globalThis.until = condition => new Promise(done => {
  const look = () => condition() ? done() : setTimeout(look, 2)
  look()
})
globalThis.join = async (name, token) => {
  const doc = new Y.Doc()
  const options = { params: { token }, disableBc: true, maxBackoffTime: 100 }
  const provider = new WebsocketProvider("%s/collab", "r", doc, options)
  provider.awareness.setLocalStateField("user", { name })
  provider.on("closed", ({ code, reason }) => console.log(name, "closed", code, reason))
  const text = doc.getText("t")
  const present = () => [...provider.awareness.getStates().values()].map(state => state.user.name).sort().join()
  const editor = { doc, provider, text, present, says: words => until(() => text.toString() === words) }
  editors[name] = editor
  await until(() => provider.synced)
  return editor
}
console.log("ready")
"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Client]:
    for library in ("yjs", "y-websocket", "ws"):
        if why := why_no_npm(library):
            pytest.skip(why)
    async with Node(tmp_path, library="ws").client() as client:
        yield client


async def run(client: Client, program: str, said: list[object]) -> None:
    """Run a program, which ends by saying this."""
    await client.run(program)
    assert await client.says() == said


class TestProvider:
    """y-websocket's ``WebsocketProvider``, as it comes from npm."""

    async def test_two_converge_and_who_comes_later_gets_the_text_and_sees_who_is_here(self, node: Client) -> None:
        async with running_server() as server:
            await run(node, _EDITORS % server.ws_url, ["ready"])
            tokens = [server.token(name, role="collab") for name in ("ann", "bob", "eve")]
            await run(
                node,
                f"""const [ann, bob] = await Promise.all([join("ann", "{tokens[0]}"), join("bob", "{tokens[1]}")])
                ann.text.insert(0, "hello ")
                bob.text.insert(0, "world ")
                await until(() => ann.text.length === 12 && bob.text.length === 12)
                await until(() => ann.present() === "ann,bob" && bob.present() === "ann,bob")
                console.log(ann.text.toString() === bob.text.toString())""",
                [True],
            )
            await run(
                node,
                f"""const eve = await join("eve", "{tokens[2]}")
                await eve.says(editors.ann.text.toString())
                await until(() => eve.present() === "ann,bob,eve")
                editors.bob.provider.destroy()
                await until(() => eve.present() === "ann,eve")
                console.log("gone")""",
                ["gone"],
            )

    async def test_who_may_only_read_reads_and_is_told_that_its_edits_are_not_taken(self, node: Client) -> None:
        async with running_server() as server:
            await run(node, _EDITORS % server.ws_url, ["ready"])
            await run(
                node,
                f"""const ann = await join("ann", "{server.token("ann", role="collab")}")
                const bob = await join("bob", "{server.token("bob")}")
                ann.text.insert(0, "hello")
                await bob.says("hello")
                bob.text.insert(0, "mine: ")""",
                [
                    f"Permission denied to access {server.ws_url}/collab/r?token={server.token('bob')}.\n"
                    "read-only: edits are dropped"
                ],
            )
            await run(
                node,
                """editors.ann.text.insert(5, " again")
                await until(() => editors.bob.text.toString() === "mine: hello again")
                await editors.ann.says("hello again")
                console.log(editors.bob.present())""",
                ["ann,bob"],
            )
            document = await server.http(server.token("bob")).get("/collab/r/document?format=text")
            assert document.text == "hello again"

    async def test_who_may_not_read_stays_away(self, node: Client) -> None:
        async with running_server() as server:
            await run(node, _EDITORS % server.ws_url, ["ready"])
            key = await server.key("stream", "ann")
            await run(node, f'join("ann", "{key}")', ["ann", "closed", 4403, "not allowed"])
            await run(node, 'join("bob", "nobody")', ["bob", "closed", 4401, "credential missing or invalid"])

    async def test_edits_made_while_the_server_was_dead_are_there_when_it_is_back(
        self, node: Client, tmp_path: Path
    ) -> None:
        async with ServerProcess(tmp_path / "rtlite.db") as server:
            await run(node, _EDITORS % server.ws_url, ["ready"])
            key = server.admin_key
            await run(
                node,
                f"""const [ann, bob] = await Promise.all([join("ann", "{key}"), join("bob", "{key}")])
                ann.text.insert(0, "seen")
                await bob.says("seen")
                console.log("seen")""",
                ["seen"],
            )
            for number in range(3):
                await server.kill()
                await run(
                    node,
                    """await until(() => !editors.ann.provider.wsconnected && !editors.bob.provider.wsconnected)
                    editors.ann.text.insert(0, "a")
                    editors.bob.text.insert(editors.bob.text.length, "b")
                    console.log(editors.ann.text.length)""",
                    [5 + 2 * number],
                )
                await server.start()
                both = "a" * (number + 1) + "seen" + "b" * (number + 1)
                await run(
                    node,
                    f"""await Promise.all([editors.ann.says("{both}"), editors.bob.says("{both}")])
                    await until(() => editors.ann.present() === "ann,bob" && editors.bob.present() === "ann,bob")
                    console.log("met")""",
                    ["met"],
                )
            document = await server.http(key).get("/collab/r/document?format=text")
            assert document.text == "aaaseenbbb"


# --- the example

_TEXT = """[...document.querySelectorAll(".cm-line")].map(line => {
  const copy = line.cloneNode(true)
  copy.querySelectorAll(".cm-ySelectionCaret").forEach(caret => caret.remove())
  return copy.textContent
}).join("\\n")"""
_LABEL = """(() => {
  const label = document.querySelector(".cm-ySelectionInfo")
  const { width, height, top, bottom, left } = label.getBoundingClientRect()
  const { opacity, visibility } = getComputedStyle(label)
  const caret = label.closest(".cm-ySelectionCaret").getBoundingClientRect()
  const inside = top >= 0 && left >= 0 && bottom <= innerHeight
  return inside && width > 10 && height > 10 && opacity === "1" && visibility === "visible" && caret.height > 10
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example as npm serves it, with the packages of the tests: tests/examples says that they are the same."""
    for library in ("codemirror", "y-codemirror.next", "y-websocket", "yjs", "esbuild"):
        if why := why_no_npm(library):
            pytest.skip(why)
    command = json.loads((EXAMPLE / "package.json").read_text())["scripts"]["start"]
    program, *arguments = command.replace(":8080", ":0").split()
    folder = tmp_path_factory.mktemp("example")
    for file in EXAMPLE.glob("page.*"):
        shutil.copy(file, folder)
    shutil.copy(EXAMPLE / "index.html", folder)
    (folder / "node_modules").symlink_to(TESTS / "node_modules")
    process = subprocess.Popen(
        [TESTS / "node_modules" / ".bin" / program, *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,  # esbuild serves until this is closed
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(r"Local:\s+(http://\S+?)/$", line.strip()):
                break
        else:
            raise AssertionError("the example was not served")
        yield match[1]
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def windows(
    chromium: str, page: str, server: Doors, tokens: dict[str, str], dark: bool = False
) -> AsyncIterator[list[Tab]]:
    """A window for each name, with the example connected."""
    async with AsyncExitStack() as stack:
        tabs = []
        for name, token in tokens.items():
            tab = await stack.enter_async_context(open_tab(chromium))
            await tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
            if dark:
                features = [{"name": "prefers-color-scheme", "value": "dark"}]
                await tab.call("Emulation.setEmulatedMedia", features=features)
            query = {"server": f"{server.ws_url}/collab", "name": name, "token": token, "room": "r"}
            await tab.goto(f"{page}/?{urlencode(query)}")
            tabs.append(tab)
        for tab in tabs:
            await stands(tab, "connected")
        yield tabs


async def stands(tab: Tab, state: str) -> None:
    await tab.until(f"document.querySelector('#state').dataset.state === {json.dumps(state)}")


async def types(tab: Tab, text: str) -> None:
    for character in text:
        await tab.call("Input.insertText", text=character)


async def text_of(server: Doors, token: str) -> str:
    return (await server.http(token).get("/collab/r/document?format=text")).text


class TestTwoWindows:
    """CodeMirror with y-codemirror.next, bundled from npm."""

    async def test_two_who_type_at_once_see_the_same_and_each_others_cursor(
        self, chromium: str, page: str, tmp_path: Path
    ) -> None:
        async with running_server(allowed_origins=(page,)) as server:
            tokens = {name: server.token(name.lower(), role="collab") for name in ("Ann", "Bob")}
            async with windows(chromium, page, server, tokens) as (ann, bob):
                lower, upper = "it rains in the valley;", "THE SUN IS ON THE HILL."
                for tab in (ann, bob):
                    await tab.click(".cm-content")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(types, ann, lower)
                    nursery.start_soon(types, bob, upper)
                size = len(lower) + len(upper)
                for tab in (ann, bob):
                    await tab.until(f"({_TEXT}).length === {size}")
                text = await ann.evaluate(_TEXT)
                assert text == await bob.evaluate(_TEXT) == await text_of(server, tokens["Ann"])
                assert [letter for letter in text if letter.islower()] == [x for x in lower if x.islower()]
                assert [letter for letter in text if letter.isupper()] == [x for x in upper if x.isupper()]
                for tab, other in ((ann, "Bob"), (bob, "Ann")):
                    await tab.until(f"document.querySelector('.cm-ySelectionInfo')?.textContent === '{other}'")
                    await tab.until(_LABEL)
                    people = await tab.evaluate("[...document.querySelectorAll('#people li')].map(li => li.innerText)")
                    assert sorted(name.removesuffix(" (you)") for name in people) == ["Ann", "Bob"]
                    assert tab.errors == []
                await bob.screenshot(tmp_path / "bob.png", 900, 420)
            async with windows(chromium, page, server, {"Eve": tokens["Ann"]}) as (eve,):
                await eve.until(f"{_TEXT} === {json.dumps(text)}")

    async def test_what_is_selected_is_seen_and_a_name_may_change(
        self, chromium: str, page: str, tmp_path: Path
    ) -> None:
        async with running_server(allowed_origins=(page,)) as server:
            tokens = {name: server.token(name.lower(), role="collab") for name in ("Ann", "Bob")}
            async with windows(chromium, page, server, tokens, dark=True) as (ann, bob):
                await ann.click(".cm-content")
                for line in ("one two three", "four five six"):
                    await types(ann, line)
                    await ann.press("Enter", 13)
                await types(ann, "seven eight nine")
                await bob.until("document.querySelectorAll('.cm-line').length === 3")
                await bob.click(".cm-line:nth-of-type(2)")
                await ann.until("document.querySelector('.cm-line:nth-of-type(2) .cm-ySelectionInfo') !== null")
                await bob.press("a", 65, control=True)  # the editor's own key: a drawing may undo what the page selects
                await ann.until("document.querySelector('.cm-ySelection') !== null")
                await bob.evaluate(
                    "(name => { name.value = 'Robert'; name.dispatchEvent(new Event('input')) })"
                    "(document.getElementById('name'))"
                )
                await ann.until("document.querySelector('#people').innerText.includes('Robert')")
                background = await ann.evaluate("getComputedStyle(document.body).backgroundColor")
                assert background == "rgb(15, 17, 22)"
                await ann.screenshot(tmp_path / "ann.png", 900, 420)

    async def test_the_page_says_when_it_is_cut_off_and_what_is_typed_then_arrives(
        self, chromium: str, page: str, tmp_path: Path
    ) -> None:
        async with ServerProcess(tmp_path / "rtlite.db", allowed_origins=page) as server:
            key = server.admin_key or ""
            async with windows(chromium, page, server, {"Ann": key, "Bob": key}) as (ann, bob):
                await ann.click(".cm-content")
                await types(ann, "before ")
                await bob.until(f"{_TEXT} === 'before '")
                await server.kill()
                for tab in (ann, bob):
                    await stands(tab, "connecting")
                await types(ann, "meanwhile")
                await server.start()
                for tab in (ann, bob):
                    await stands(tab, "connected")
                    await tab.until(f"{_TEXT} === 'before meanwhile'")
                assert await text_of(server, key) == "before meanwhile"

    async def test_who_may_only_read_is_told_so(self, chromium: str, page: str) -> None:
        async with running_server(allowed_origins=(page,)) as server:
            tokens = {"Ann": server.token("ann", role="collab"), "Bob": await server.key("project", "page")}
            async with windows(chromium, page, server, tokens) as (ann, bob):
                await ann.click(".cm-content")
                await types(ann, "hello")
                await bob.until(f"{_TEXT} === 'hello'")
                await bob.click(".cm-content")
                await types(bob, "x")
                await stands(bob, "readonly")
                await types(ann, "!")
                await bob.until(f"({_TEXT}).includes('!')")
                assert await text_of(server, tokens["Ann"]) == await ann.evaluate(_TEXT) == "hello!"
                assert await bob.evaluate("document.querySelector('.cm-content').contentEditable") == "false"

    async def test_who_may_not_come_in_is_told_why(self, chromium: str, page: str) -> None:
        async with running_server(allowed_origins=(page,)) as server, open_tab(chromium) as tab:
            query = urlencode({"server": f"{server.ws_url}/collab", "token": "nobody"})
            await tab.goto(f"{page}/?{query}")
            await stands(tab, "refused")
            assert await tab.evaluate("document.querySelector('#state').innerText") == "credential missing or invalid"
