"""What somebody does who has only the README: install, start, open the console, publish, see it by each protocol."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.clients.browser import Tab, open_tab
from tests.console.pages import press, says
from tests.console.test_snippets import PROTOCOLS
from tests.console.tryouts import try_all
from tests.docs.blocks import ROOT
from tests.servers import running_server

MOST: Final = 120.0  # seconds, from the first command on
_NO_NETWORK: Final = re.compile(rb"NewConnectionError|Name or service not known|No matching distribution|timed out")


async def follow(tab: Tab, link: str) -> None:
    await tab.evaluate(f"[...document.querySelectorAll('nav a')].find(it => it.textContent === {link!r}).click()")
    await tab.until(f"document.querySelector('main h1')?.textContent === {link!r}")


async def look_around(tab: Tab, url: str) -> None:
    """Open the console, publish, and try every protocol."""
    await tab.goto(url)
    await tab.until("document.querySelector('main h1') !== null")
    await follow(tab, "Publish")
    await tab.until("document.querySelector('#data')?.value")
    await press(tab, "Publish", "main")
    await says(tab, "offset 1", ".results")
    await follow(tab, "Connect")
    assert await try_all(tab) == len(PROTOCOLS)
    assert tab.errors == []


async def test_who_opens_the_console_publishes_sees_it_by_each_protocol_and_misses_nothing(chromium: str) -> None:
    async with running_server(dev=True) as server, open_tab(chromium) as tab:
        await look_around(tab, server.url)


@pytest.mark.full
async def test_from_a_fresh_virtual_environment_it_takes_less_than_two_minutes(chromium: str, tmp_path: Path) -> None:
    began = time.monotonic()
    environment = tmp_path / "venv"
    await trio.run_process([sys.executable, "-m", "venv", environment])
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "."]
    installed = await trio.run_process(install, cwd=ROOT, capture_stderr=True, check=False)
    if installed.returncode and _NO_NETWORK.search(installed.stderr):
        pytest.skip("pip reaches no package index")
    assert installed.returncode == 0, installed.stderr.decode()
    print(f"installed after {time.monotonic() - began:.1f} s")
    serve = [environment / "bin" / "rtlite", "serve", "--dev", "--port", "0"]
    process = await trio.lowlevel.open_process(serve, stdout=subprocess.PIPE, cwd=tmp_path)
    try:
        assert process.stdout is not None
        said = ""
        with trio.fail_after(30):
            while not (ready := re.search(r"rtlite ready on (http://\S+)\n", said)):
                said += (await process.stdout.receive_some()).decode()
        async with open_tab(chromium) as tab:
            await look_around(tab, ready[1])
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            assert await process.wait() == 0
            await process.stdout.aclose()
    took = time.monotonic() - began
    share = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # of the machine, if others use it too
    print(f"all of it took {took:.1f} s; {share:.1f} programs shared each core")
    assert took < MOST * share
