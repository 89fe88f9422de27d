"""Runs the blocks of one page, in order, in a folder of their own, beside one server.

The server is one with ``--dev``, in this process, unless the page starts its own in the background. The
port 8000 of the page is a free one here, and a secret that it writes as ``mbk_…`` is the last of these that
was printed. What a shell exports is there in the next. What a block prints is kept for the output that may
follow it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from tests.clients.browser import PATIENCE, open_tab
from tests.clients.pages import site
from tests.clients.runtimes import BrowserClient
from tests.docs import languages
from tests.docs.blocks import ROOT, Block
from tests.docs.printed import Printed, contains, free_port, listen, read, stop, tell, watch
from tests.servers import running_server, ungrouped

AGAIN_SECONDS: Final = 0.3
_OWN_SERVER: Final = "port=8000"  # in a Python program
_SECRET = re.compile(r"\b(mbk|pk_live|rts|rtk|whsec|key|eyJ)(_?)(?=[\w.+/-]{12})[\w.+/=-]+")
_NEEDS_SERVER = re.compile(r"\b8000\b|\brtlite (?!serve|demo|--|docs|graphql-schema)")


class Page:
    """:param chromium: gives the URL of a browser, or raises :class:`.Missing`.
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
        run = languages.runner(how.get("as", block.language))
        if _OWN_SERVER in block.code:
            code = block.code.replace(_OWN_SERVER, f"port={free_port()}") + how.get("then", "")
        elif any(map(_NEEDS_SERVER.search, (block.code, *block.how.values()))):
            await self.serve()
        if "first" in how:
            await self.shell(how["first"], {})
        self._said = await run(self, code, how)
        self._secrets |= {match[1] + match[2] + "…": match[0] for match in _SECRET.finditer(self._said)}
        if "shows" in how:
            assert contains(self._said, how["shows"]), f"it has no {how['shows']!r}: {self._said}"

    def here(self, text: str) -> str:
        """The text with this page's ports and secrets."""
        for shown, secret in self._secrets.items():
            text = text.replace(shown, secret)
        return re.sub(r"\b[83]000\b", lambda match: self._ports[match[0]], text)

    async def serve(self) -> None:
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

    async def shell(self, code: str, how: dict[str, str]) -> str:
        """Run shell commands; returns what they printed.

        Line by line where that is the same, so that ``rtlite`` can be started without a shell, and so be forked warm.
        """
        lines = _lines(code)
        if not any(map(_alone, lines)):
            lines = [code]
        said = [await self._line(line, {}) for line in lines[:-1]]
        return "".join([*said, await self._line(lines[-1], how)])

    async def _line(self, line: str, how: dict[str, str]) -> str:
        if words := _alone(line):
            return await self.program([sys.executable, "-m", *words], how)
        carried = "if [ -e exported ]; then . ./exported; fi; trap 'export -p >exported' EXIT"
        return await self.program(["bash", "-euo", "pipefail", "-c", f"{carried}\n{line}"], how)

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
        self.nursery.start_soon(read, process, printed)
        try:
            with trio.fail_after(2 * PATIENCE):
                if "background" in how:
                    self._stack.push_async_callback(stop, process, printed)
                await self.meanwhile(how, printed)
                if "background" in how:
                    return printed.text
                if "until" in how:
                    tell(process, signal.SIGINT)
                code = await process.wait()
                await printed.whole()
        except (trio.TooSlowError, AssertionError) as error:
            raise AssertionError(f"{' '.join(command)}\n{error}; it printed: {printed.text}") from None
        finally:
            if process.returncode is None and "background" not in how:
                await stop(process, printed)
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
            await self.shell(how["do"], {})
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
                nursery.start_soon(listen, client, printed)
                nursery.start_soon(watch, client, printed)
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
