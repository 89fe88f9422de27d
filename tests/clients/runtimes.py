"""Where the source text's JavaScript runs: Node with npm's ``ws``, Node's own WebSocket, Chromium's.

A snippet is the text's own, but for the host and the key (:func:`snippet`). What it logs
arrives as a list, like ``["Disconnected:", 4401, "credential missing or invalid"]``::

    async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
        await client.run(snippet("browser.js", server, key))
        assert await client.says() == ["Connected"]
"""

from __future__ import annotations

import base64
import functools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from tests.clients.browser import PATIENCE, Tab, open_tab
from tests.clients.pages import Site, site
from tests.servers import Doors, ungrouped

HERE = Path(__file__).parent
HOSTS = ("wss://api.misar.io", "wss://realtime.foir.io", "wss://api.foir.io")
KEY, PROJECT_KEY = "mbk_your_api_key", "pk_live_your_api_key"

# Two snippets are TypeScript; this is what a compiler erases of them.
_TYPES = {"(token: string, slug?: string)": "(token, slug)", '("view-count")!.': '("view-count").'}

# What a test runs before the reconnect function, to see the sockets that it keeps to itself.
TALKING = """
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url)
    this.addEventListener("open", () => console.log("open"))
    this.addEventListener("message", ({ data }) => console.log("message", JSON.parse(data)))
    this.addEventListener("error", () => {})
  }
}
"""

_PAGE = """<!doctype html><title>A page with a snippet</title><span id="view-count"></span>
<script>
console.log = console.error = (...values) => tell(JSON.stringify(values))
const count = document.getElementById("view-count")
new MutationObserver(() => console.log("view-count", count.textContent)).observe(count, { childList: true })
</script>
<script type="importmap">%s</script>
<script type="module">%s</script>"""

# What a page imports by the name of a package of npm comes from its build for browsers.
_BUILDS = {"socket.io-client": "socket.io-client/dist/socket.io.esm.min.js"}
# Those that have none are bundled with the program, as whoever makes a page of them does.
_BUNDLED = ("graphql-ws", "@apollo/client")


def snippet(name: str, server: Doors, key: str = KEY) -> str:
    """A snippet of the source text, with the host and the key replaced and TypeScript's types erased."""
    text = (HERE / "snippets" / name).read_text()
    if name.endswith(".ts"):
        for types, nothing in _TYPES.items():
            text = text.replace(types, nothing)
    for host in HOSTS:
        text = text.replace(host, server.ws_url).replace(host.replace("wss", "https", 1), server.url)
    return text.replace(PROJECT_KEY if PROJECT_KEY in text else KEY, key)


class Client(Protocol):
    """Something that runs JavaScript."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of its pages, for ``allowed_origins``."""

    async def run(self, program: str) -> None:
        """Run a program beside those that run already (in Chromium: in place of them)."""

    async def says(self) -> list[Any]:
        """What is logged next."""


@attrs.frozen
class NodeClient:
    process: trio.Process
    folder: Path
    lines: trio.MemoryReceiveChannel[str]
    origins: tuple[str, ...] = ()

    async def run(self, program: str) -> None:
        file = self.folder / f"program{len(list(self.folder.glob('*.mjs')))}.mjs"
        file.write_text(program)
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{file.as_uri()}\n".encode())

    async def says(self) -> list[Any]:
        with trio.fail_after(PATIENCE):
            return list(json.loads(await self.lines.receive()))


@attrs.frozen
class BrowserClient:
    tab: Tab
    pages: Site

    @property
    def origins(self) -> tuple[str, ...]:
        return (self.pages.url,)

    async def run(self, program: str) -> None:
        if any(f'"{name}' in program for name in _BUNDLED):
            program = await _bundle(program)
        await self.tab.goto(self.pages.put("/snippet", _PAGE % (_imports(program), program)))

    async def says(self) -> list[Any]:
        with trio.fail_after(PATIENCE):
            return list(json.loads(await self.tab.told.receive()))


def _imports(program: str) -> str:
    """An import map of the packages that a program names, their code in it."""
    builds = {name: HERE.parent / "node_modules" / path for name, path in _BUILDS.items() if name in program}
    code = {name: base64.b64encode(path.read_bytes()).decode() for name, path in builds.items()}
    return json.dumps({"imports": {name: f"data:text/javascript;base64,{text}" for name, text in code.items()}})


async def _bundle(program: str) -> str:
    """The program and what it imports, as one module."""
    command = [HERE.parent / "node_modules" / ".bin" / "esbuild", "--bundle", "--format=esm", "--log-level=warning"]
    bundled = await trio.run_process(command, stdin=program.encode(), capture_stdout=True, cwd=HERE.parent)
    return bundled.stdout.decode()


class Runtime(Protocol):
    def client(self) -> AbstractAsyncContextManager[Client]:
        """Start one."""


@attrs.frozen
class Node:
    """:param arguments: for Node itself; :param library: ``ws`` or ``eventsource`` for npm's, else empty."""

    folder: Path
    arguments: tuple[str, ...] = ()
    library: str = ""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        modules = self.folder / "node_modules"
        if not modules.is_symlink():
            modules.symlink_to(HERE.parent / "node_modules")
        command = ["node", "--no-warnings", *self.arguments, str(HERE / "node.mjs"), self.library]
        async with ungrouped(trio.open_nursery()) as nursery:
            process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                send, lines = trio.open_memory_channel[str](1000)
                nursery.start_soon(_split, process, send)
                client = NodeClient(process, self.folder, lines)
                assert await client.says() == ["ready"]
                yield client
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                nursery.cancel_scope.cancel()


async def _split(process: trio.Process, lines: trio.MemorySendChannel[str]) -> None:
    """Ends with the process; who still waits for a line then gets :class:`trio.EndOfChannel`."""
    assert process.stdin is not None and process.stdout is not None
    rest = b""
    async with process.stdin, process.stdout, lines:
        async for data in process.stdout:
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                lines.send_nowait(line.decode())


@attrs.frozen
class Chromium:
    url: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with site() as pages, open_tab(self.url) as tab:
            yield BrowserClient(tab, pages)


def why_no_node() -> str | None:
    """Why snippets cannot run in Node here, or ``None``."""
    return None if shutil.which("node") else "Node.js is not installed"


def why_no_npm(library: str) -> str | None:
    """Why a package of npm cannot run here, or ``None``."""
    if (HERE.parent / "node_modules" / library).is_dir():
        return why_no_node()
    return why_no_node() or f"the npm package {library} is not installed (npm ci in tests/)"


@functools.cache
def own_websocket() -> tuple[str, ...] | None:
    """The arguments with which this Node has a WebSocket of its own; ``None``: it has none."""
    for arguments in ((), ("--experimental-websocket",)):
        command = ["node", *arguments, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return arguments
    return None
