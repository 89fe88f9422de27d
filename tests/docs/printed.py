"""What programs and pages print while they run, and whether it is what was wanted."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from contextlib import suppress
from typing import Any

import attrs
import trio

from tests.clients.runtimes import BrowserClient, Client


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


async def read(process: trio.Process, printed: Printed) -> None:
    assert process.stdout is not None
    try:
        async with process.stdout:
            async for data in process.stdout:
                printed.add(data.decode(errors="replace"))
    finally:
        printed.end()


async def stop(process: trio.Process, printed: Printed) -> None:
    await stop_group(process)
    with trio.CancelScope(shield=True):
        await printed.whole()


async def stop_group(process: trio.Process) -> None:
    """Kill a process that was started in a session of its own, and what it started."""
    with trio.CancelScope(shield=True):
        tell(process, signal.SIGKILL)
        await process.wait()


def tell(process: trio.Process, number: signal.Signals) -> None:
    """To the process, or to its session where it has one of its own."""
    with suppress(ProcessLookupError):  # nothing of it is left
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


async def listen(client: Client, printed: Printed) -> None:
    """What a program logs, a line each; strings as they are."""
    while True:
        said: list[Any] = await client.says()
        words = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in said]
        printed.add(" ".join(words) + "\n")


async def watch(client: BrowserClient, printed: Printed) -> None:
    """What a page shows."""
    shown = ""
    while True:
        now = str(await client.tab.evaluate("document.body?.innerText ?? ''"))
        if now != shown:
            shown = now
            printed.add(f"{now}\n")
        await trio.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
