"""Runs the blocks of one page, in order, in a folder of their own, beside one server.

The server is one with ``--dev``, in this process, unless the page starts its own in the background. The
port 8000 of the page is a free one here, and a secret that it writes as ``mbk_…`` is the last of these that
was printed. What a shell exports is there in the next. What a block prints is kept for the output that may
follow it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio

from rtlite import settings
from tests.clients.browser import PATIENCE, open_tab
from tests.clients.pages import site
from tests.clients.runtimes import BrowserClient, Client, Node, why_no_npm
from tests.docs.blocks import ROOT, Block
from tests.servers import running_server, ungrouped

MODULES = ROOT / "tests" / "node_modules"
PYTHON = [sys.executable]
AGAIN_SECONDS: Final = 0.3
_OWN_SERVER: Final = "port=8000"  # in a Python program
_SECRET = re.compile(r"\b(mbk|pk_live|rts|rtk|whsec|key|eyJ)(_?)(?=[\w.+/-]{12})[\w.+/=-]+")
_NEEDS_SERVER = re.compile(r"\b8000\b|\brtlite (?!serve|demo|--|docs|graphql-schema)")


class Missing(Exception):
    """A program that a block needs is not installed here."""


@attrs.define(eq=False)
class Printed:
    """What a running block has printed so far; who waits is told of each piece."""

    text: str = ""
    ended: bool = False
    _more: trio.Event = attrs.field(factory=trio.Event)

    def add(self, text: str) -> None:
        self.text += text
        self._tell()

    def end(self) -> None:
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        told, self._more = self._more, trio.Event()
        told.set()

    async def whole(self) -> None:
        while not self.ended:
            await self._more.wait()

    async def has(self, text: str) -> None:
        while not contains(self.text, text):
            assert not self.ended, f"ended without {text!r}: {self.text}"
            await self._more.wait()


def contains(text: str, wanted: str) -> bool:
    """Whether ``wanted`` occurs, where ``…`` stands for anything and any white space is as good as another."""
    parts = [r"\s+".join(map(re.escape, part.split())) for part in wanted.strip().split("…")]
    return re.search(r"\s*.*?\s*".join(parts), text, re.DOTALL) is not None


class Page:
    """:param chromium: gives the URL of a browser, or raises :class:`Missing`.
    :param serves: whether the page starts a server of its own.
    """

    def __init__(self, folder: Path, chromium: Callable[[], str], serves: bool) -> None:
        self.folder = folder
        self.port = free_port()
        self._ports = {"8000": str(self.port), "3000": str(free_port())}  # the second is the reader's own program
        self.nursery: trio.Nursery
        self._chromium = chromium
        self._stack = AsyncExitStack()
        self._served = serves
        self._said = ""
        self._secrets: dict[str, str] = {}

    async def run(self, block: Block) -> None:
        """:raises AssertionError: it does not do what the page says. :raises Missing: it cannot be tried here."""
        if block.is_output:
            assert contains(self._said, self.here(block.code)), f"printed instead: {self._said}"
            return
        how = {word: self.here(text) for word, text in block.how.items()}
        code = self.here(block.code) + (f"\n{how['then']}\n" if "then" in how else "")
        run = _save if "/" in how.get("as", "") else RUNNERS.get(how.get("as", block.language))
        assert run is not None, f"nothing runs a block of {block.language!r} here: mark why not"
        if _OWN_SERVER in block.code:
            code = block.code.replace(_OWN_SERVER, f"port={free_port()}") + how.get("then", "")
        elif any(map(_NEEDS_SERVER.search, (block.code, *block.how.values()))):
            await self._serve()
        if "first" in how:
            await self.command(how["first"])
        self._said = await run(self, code, how)
        self._secrets |= {match[1] + match[2] + "…": match[0] for match in _SECRET.finditer(self._said)}
        if "shows" in how:
            assert contains(self._said, how["shows"]), f"it has no {how['shows']!r}: {self._said}"

    def here(self, text: str) -> str:
        """The text with this page's ports and secrets."""
        for shown, secret in self._secrets.items():
            text = text.replace(shown, secret)
        return re.sub(r"\b[83]000\b", lambda match: self._ports[match[0]], text)

    async def _serve(self) -> None:
        if not self._served:
            self._served = True
            await self._stack.enter_async_context(running_server(dev=True, port=self.port))

    def package(self) -> None:
        """Make a copy of the package, for ``python -m rtlite`` in this folder to run."""
        if not (self.folder / "rtlite").exists():
            shutil.copytree(ROOT / "rtlite", self.folder / "rtlite", ignore=shutil.ignore_patterns("__pycache__"))

    @property
    def environment(self) -> dict[str, str]:
        """Commands find the page's server and the ``rtlite`` that is tested."""
        names = {name: value for name, value in os.environ.items() if not name.startswith("RTLITE_")}
        return names | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RTLITE_URL": f"http://127.0.0.1:{self.port}",
            "RTLITE_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }

    async def command(self, text: str) -> str:
        """Run a shell command to its end; returns what it printed."""
        return await _shell(self, text, {})

    async def program(self, command: list[str], how: dict[str, str]) -> str:
        """Run a program as a comment says; returns what it printed."""
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.environment,
            start_new_session=command[0] == "bash",  # what it started goes with it
        )
        printed = Printed()
        self.nursery.start_soon(_read, process, printed)
        try:
            with trio.fail_after(2 * PATIENCE):
                if "background" in how:
                    self._stack.push_async_callback(_stop, process, printed)
                await self.meanwhile(how, printed)
                if "background" in how:
                    return printed.text
                if "until" in how:
                    _signal(process, signal.SIGINT)
                code = await process.wait()
                await printed.whole()
        except (trio.TooSlowError, AssertionError) as error:
            raise AssertionError(f"{' '.join(command)}\n{error}; it printed: {printed.text}") from None
        finally:
            if process.returncode is None and "background" not in how:
                await _stop(process, printed)
        if "until" not in how:
            wanted = int(how.get("exit", 0))
            assert code == wanted, f"exit code {code}: {printed.text}"
        return printed.text

    async def meanwhile(self, how: dict[str, str], printed: Printed) -> None:
        """Do what is to be done while a block runs, until it has printed what it is to print, or ends."""
        async with ungrouped(trio.open_nursery()) as nursery:
            if "do" in how:
                nursery.start_soon(self._do, how, printed)
            await (printed.has(how["until"]) if "until" in how else printed.whole())
            nursery.cancel_scope.cancel()

    async def _do(self, how: dict[str, str], printed: Printed) -> None:
        if "when" in how:
            await printed.has(how["when"])
        while True:
            await self.command(how["do"])
            if "when" in how:
                return
            await trio.sleep(AGAIN_SECONDS)

    async def browse(self, html: str, how: dict[str, str]) -> str:
        """Show a page in the browser; returns what it logs, or what it shows."""
        async with site() as pages, open_tab(self._chromium()) as tab:
            client = BrowserClient(tab, pages)
            logged = "console.log = console.error = (...all) => tell(JSON.stringify(all))"
            await tab.goto(pages.put("/", f"<!doctype html><title>A page</title><script>{logged}</script><body>{html}"))
            assert "until" in how, "what is to be seen? (until)"
            printed = Printed()
            async with ungrouped(trio.open_nursery()) as nursery:
                nursery.start_soon(_listen, client, printed)
                nursery.start_soon(_watch, client, printed)
                with trio.fail_after(PATIENCE):
                    await self.meanwhile(how, printed)
                nursery.cancel_scope.cancel()
            assert not tab.errors, tab.errors
            return printed.text


@asynccontextmanager
async def open_page(
    folder: Path, chromium: Callable[[], str] = lambda: "", *, serves: bool = False
) -> AsyncIterator[Page]:
    page = Page(folder, chromium, serves)
    async with ungrouped(trio.open_nursery()) as nursery:
        page.nursery = nursery
        async with page._stack:
            yield page
        nursery.cancel_scope.cancel()


async def _shell(page: Page, code: str, how: dict[str, str]) -> str:
    """Line by line where that is the same, so that ``rtlite`` can be started without a shell, and so be forked warm."""
    lines = _lines(code)
    if not any(map(_alone, lines)):
        lines = [code]
    said = [await _line(page, line, {}) for line in lines[:-1]]
    return "".join([*said, await _line(page, lines[-1], how)])


async def _line(page: Page, line: str, how: dict[str, str]) -> str:
    if words := _alone(line):
        return await page.program([sys.executable, "-m", *words], how)
    carried = "if [ -e exported ]; then . ./exported; fi; trap 'export -p >exported' EXIT"
    return await page.program(["bash", "-euo", "pipefail", "-c", f"{carried}\n{line}"], how)


def _lines(code: str) -> list[str]:
    """Its commands, one each; or all in one, where one goes over several lines."""
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    try:
        for line in lines:
            shlex.split(line, comments=True)
    except ValueError:  # a quotation that goes on
        return [code]
    return [code] if "<<" in code or not lines else lines


def _alone(line: str) -> list[str]:
    """The words of a line that is one call of ``rtlite``, which needs no shell; else none."""
    if "$" in line or not line.startswith("rtlite "):
        return []
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found = list(words)
    return [] if any(set(word) <= set("();<>|&") for word in found) else found


async def _python(page: Page, code: str, how: dict[str, str]) -> str:
    if re.search(r"^(async )?def test_", code, re.MULTILINE):
        (page.folder / "test_shown.py").write_text(code)
        plugins = ["-q", "-p", "no:cacheprovider"]
        return await page.program([sys.executable, "-m", "pytest", *plugins, "test_shown.py"], how)
    (page.folder / "shown.py").write_text(code)
    return await page.program([*PYTHON, "shown.py"], how)


async def _javascript(page: Page, code: str, how: dict[str, str]) -> str:
    """In the browser. What it imports from npm is bundled with it, as whoever makes a page of it does."""
    for library in re.findall(r"""from ["']([^."'][^"']*)["']""", code):
        _have(library)
        code = await _bundle(code)
        break
    return await page.browse(f'<script type="module">{code}</script>', how)


async def _in_node(page: Page, code: str, how: dict[str, str]) -> str:
    for library in ("ws", *re.findall(r"""from ["'](?!node:)([^."'][^"']*)["']""", code)):
        _have(library)
    printed = Printed()
    async with Node(page.folder, library="ws").client() as client, ungrouped(trio.open_nursery()) as nursery:
        nursery.start_soon(_listen, client, printed)
        await client.run(code)
        with trio.fail_after(PATIENCE):
            await page.meanwhile(how, printed)
        nursery.cancel_scope.cancel()
    return printed.text


async def _html(page: Page, code: str, how: dict[str, str]) -> str:
    return await page.browse(code, how)


async def _toml(page: Page, code: str, how: dict[str, str]) -> str:
    """What ``rtlite config`` and ``rtlite serve`` read."""
    file = page.folder / how.get("as", "rtlite.toml")
    file.write_text(code)
    return str(settings.load(environ={}, file=file).origins)


async def _yaml(page: Page, code: str, how: dict[str, str]) -> str:
    (page.folder / "scenario.yaml").write_text(code)
    return await page.program(["rtlite", "play", "scenario.yaml", "--dry-run"], how)


async def _graphql(page: Page, code: str, how: dict[str, str]) -> str:
    await page._serve()
    async with httpx.AsyncClient(trust_env=False) as http:
        url, key = f"http://127.0.0.1:{page.port}/graphql", {"X-Api-Key": "pk_live_dev"}
        answer = (await http.post(url, json={"query": code}, headers=key)).json()
    assert "errors" not in answer, answer["errors"]
    return json.dumps(answer, ensure_ascii=False)


async def _systemd(page: Page, code: str, how: dict[str, str]) -> str:
    if shutil.which("systemd-analyze") is None:
        raise Missing("systemd-analyze is not installed")
    code = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{sys.executable}", code, flags=re.MULTILINE)
    (page.folder / "rtlite.service").write_text(code)
    return await page.program(["systemd-analyze", "verify", "./rtlite.service"], how)


async def _caddy(page: Page, code: str, how: dict[str, str]) -> str:
    if shutil.which("caddy") is None:
        raise Missing("caddy is not installed")
    (page.folder / "Caddyfile").write_text(code)
    return await page.program(["caddy", "adapt", "--config", "Caddyfile"], how)


async def _save(page: Page, code: str, how: dict[str, str]) -> str:
    """A file of that name; in a copy of the package, if it belongs there."""
    file = page.folder / how["as"]
    if how["as"].startswith("rtlite/"):
        page.package()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    return ""


async def _diff(page: Page, code: str, how: dict[str, str]) -> str:
    """A change of the package's copy. Its hunks need no line numbers: what they show is there once."""
    name, *hunks = re.sub(r"^--- .*\n\+\+\+ b/(\S+)\n@@.*\n", r"\1\n@@", code).split("@@")
    page.package()
    file = page.folder / name.strip()
    text = file.read_text()
    for hunk in hunks:
        lines = hunk.strip("\n").splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{file.name} has this {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    file.write_text(text)
    return ""


RUNNERS: Final[dict[str, Callable[[Page, str, dict[str, str]], Awaitable[str]]]] = {
    "sh": _shell,
    "python": _python,
    "js": _javascript,
    "mjs": _in_node,
    "html": _html,
    "toml": _toml,
    "yaml": _yaml,
    "graphql": _graphql,
    "systemd": _systemd,
    "diff": _diff,
    "caddyfile": _caddy,
}


async def _read(process: trio.Process, printed: Printed) -> None:
    assert process.stdout is not None
    try:
        async with process.stdout:
            async for data in process.stdout:
                printed.add(data.decode(errors="replace"))
    finally:
        printed.end()


async def _stop(process: trio.Process, printed: Printed) -> None:
    await stop_group(process)
    with trio.CancelScope(shield=True):
        await printed.whole()


async def stop_group(process: trio.Process) -> None:
    """Kill a process that was started in a session of its own, and what it started."""
    with trio.CancelScope(shield=True):
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: trio.Process, number: signal.Signals) -> None:
    """To the process, or to its session where it has one of its own."""
    with suppress(ProcessLookupError):  # nothing of it is left
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


async def _listen(client: Client, printed: Printed) -> None:
    """What a program logs, a line each; strings as they are."""
    while True:
        said: list[Any] = await client.says()
        words = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in said]
        printed.add(" ".join(words) + "\n")


async def _watch(client: BrowserClient, printed: Printed) -> None:
    """What a page shows."""
    shown = ""
    while True:
        now = str(await client.tab.evaluate("document.body?.innerText ?? ''"))
        if now != shown:
            shown = now
            printed.add(f"{now}\n")
        await trio.sleep(0.1)


def _have(library: str) -> None:
    name = "/".join(library.split("/")[: 2 if library.startswith("@") else 1])
    if why := why_no_npm(name):
        raise Missing(why)


async def _bundle(code: str) -> str:
    command = [MODULES / ".bin" / "esbuild", "--bundle", "--format=esm", "--log-level=warning"]
    bundled = await trio.run_process(command, stdin=code.encode(), capture_stdout=True, cwd=MODULES.parent)
    return bundled.stdout.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
