"""Runs an example as its README says: a copy of its folder, in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.clients.browser import Tab, open_tab
from tests.clients.runtimes import why_no_npm
from tests.console.axe import violations

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = [sys.executable]
START_SECONDS = 60.0
STOP_SECONDS = 15.0


class Example:
    """A started example.

    :ivar url: what it says is to be opened first.
    :ivar said: what it has printed so far.
    """

    def __init__(self, folder: Path, *command: str) -> None:
        self.folder = folder
        self.url = ""
        self.said = ""
        self._command = command
        self._process: trio.Process | None = None
        self._said_more = trio.Event()
        self._said_all = trio.Event()

    async def start(self, nursery: trio.Nursery) -> None:
        """Returns once it says ``open URL``."""
        self._said_all = trio.Event()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RTLITE_")}
        self._process = await trio.lowlevel.open_process(
            [*PYTHON, *self._command],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        nursery.start_soon(self._read, self._process)
        with trio.fail_after(START_SECONDS):
            self.url = (await self.says(r"open (\S+)\s"))[1]
            if self.url.startswith("http"):
                await self._answers()

    async def _read(self, process: trio.Process) -> None:
        assert process.stdout is not None
        async with process.stdout:
            async for data in process.stdout:
                self.said += data.decode()
                self._said_more.set()
                self._said_more = trio.Event()
        self._said_all.set()
        self._said_more.set()

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed this."""
        while (found := re.search(pattern, self.said)) is None:
            assert not self._said_all.is_set(), f"it ended, and never said {pattern}"
            await self._said_more.wait()
        return found

    async def _answers(self) -> None:
        """Flask and its like begin to listen a moment after the program said where."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        while True:
            try:
                await (await trio.open_tcp_stream(host, int(port))).aclose()
                return
            except OSError:
                await trio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL: it can do nothing about it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ctrl-C, after which it is to end by itself, and what it started with it."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        with trio.move_on_after(STOP_SECONDS):
            await self._process.wait()
            return
        await self.kill()
        raise AssertionError("Ctrl-C did not end it")

    async def restart(self, nursery: trio.Nursery) -> None:
        """Kill it in the middle of what it does, and start it again on the same port."""
        await self.kill()
        await self._said_all.wait()
        *command, _ = self._command
        self._command = (*command, self.url.rpartition(":")[2].rstrip("/"))
        self.said = ""
        await self.start(nursery)


@asynccontextmanager
async def running(folder: Path, *command: str) -> AsyncIterator[tuple[Example, trio.Nursery]]:
    example = Example(folder, *command)
    async with trio.open_nursery() as nursery:
        try:
            await example.start(nursery)
            yield example, nursery
        except BaseException:
            print(f"--- {folder.name} said ---\n{example.said}")
            raise
        finally:
            with trio.CancelScope(shield=True):
                if example._process is not None:
                    await example.stop()
            nursery.cancel_scope.cancel()


def copy(name: str, to: Path, **constants: str) -> Path:
    """A copy of an example's folder; its programs have these values (:func:`change`)."""
    folder = to / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("*.db*", "node_modules", "__pycache__"))
    change(folder, **constants)
    return folder


def change(folder: Path, **constants: str) -> None:
    """``SECONDS_A_ROW="0.01"`` gives the name of that value in the folder's programs another."""
    for file in folder.glob("*.py"):
        text = file.read_text()
        for constant, value in constants.items():
            text = re.sub(rf"^{constant} = .*$", f"{constant} = {value}", text, flags=re.MULTILINE)
        file.write_text(text)


@asynccontextmanager
async def looked_at(chromium: str, url: str) -> AsyncIterator[Tab]:
    """A tab with the page, in which no script fails."""
    async with open_tab(chromium) as tab:
        await tab.goto(url)
        yield tab
        assert tab.errors == []


async def fits(tab: Tab) -> None:
    """A phone shows all of its width, and axe-core finds nothing serious in either theme."""
    if why := why_no_npm("axe-core"):
        pytest.skip(why)
    await tab.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    assert await tab.evaluate("document.documentElement.scrollWidth") == 360
    for theme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        await tab.call("Emulation.setEmulatedMedia", features=features)
        found = await violations(tab)
        assert not found, (theme, found)
    if shots := os.environ.get("SCREENSHOTS"):
        await _photograph(tab, Path(shots))


async def _photograph(tab: Tab, folder: Path) -> None:
    title = re.sub(r"\W+", "-", await tab.evaluate("document.title"))
    for width, theme in ((360, "dark"), (1100, "light")):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        await tab.call("Emulation.setEmulatedMedia", features=features)
        await tab.screenshot(folder / f"{title}-{width}.png", width, 760)
