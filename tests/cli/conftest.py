"""Ways to run commands: in this process for what they print, as processes for what they do."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
from click.testing import CliRunner, Result

from rtlite.cli.program import program
from tests import warm
from tests.servers import InProcess, running_server


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Commands set logging up for their process, which here is pytest's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a file in the current directory says anything."""
    for name in os.environ:
        if name.startswith("RTLITE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def warm_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started as :func:`command` says is forked with its imports done, by Trio too."""
    monkeypatch.setattr(subprocess, "Popen", warm.Popen)


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Run a command in this process."""

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(program, list(arguments), prog_name="rtlite", **options)

    return invoke


@pytest.fixture
async def dev_server() -> AsyncIterator[InProcess]:
    """A server in this process, with the credentials of ``--dev``."""
    async with running_server(dev=True) as running:
        yield running


@pytest.fixture
def unused_port() -> int:
    """A port where nobody listens yet."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@attrs.frozen
class Done:
    """A process that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rtlite", *arguments]


async def rtlite(*arguments: str, stdin: bytes = b"") -> Done:
    """Run ``rtlite …`` to its end, in a thread; one at a time, as it takes over this process's streams."""
    result = await trio.to_thread.run_sync(
        partial(CliRunner().invoke, program, list(arguments), prog_name="rtlite", input=stdin)
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


async def rtlite_process(*arguments: str, seconds: float = 20.0) -> Done:
    """Run ``rtlite …`` to its end, as a process."""
    with trio.fail_after(seconds):
        done = await trio.run_process(command(*arguments), capture_stdout=True, capture_stderr=True, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


async def on_terminal(*arguments: str, columns: int = 80) -> list[str]:
    """Run ``rtlite …`` to its end on a terminal that is so wide; returns the lines it shows, without colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read() -> bytes:
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # EIO: nobody has the terminal's other end any more
                return shown

    shown: list[bytes] = []

    async def look() -> None:
        shown.append(await trio.to_thread.run_sync(read))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await trio.run_process(command(*arguments), stdin=its, stdout=its, stderr=its, check=False)
            os.close(its)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown[0].decode()).replace("\r", "").split("\n")


@attrs.define
class Started:
    """A process that runs, and the lines it has printed so far."""

    process: trio.Process
    lines: list[str] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)
    news: trio.Condition = attrs.field(factory=trio.Condition)

    async def printed(self, lines: int, seconds: float = 20.0) -> list[str]:
        """Wait until this many lines are there."""
        return await self._wait(self.lines, lambda: len(self.lines) >= lines, seconds)

    async def said(self, text: str, seconds: float = 20.0) -> list[str]:
        """Wait until a line on stderr contains ``text``."""
        return await self._wait(self.errors, lambda: any(text in line for line in self.errors), seconds)

    async def _wait(self, result: list[str], there: Callable[[], bool], seconds: float) -> list[str]:
        with trio.fail_after(seconds):
            async with self.news:
                while not there():
                    await self.news.wait()
        return result

    async def read(self, stream: trio.abc.ReceiveStream, lines: list[str]) -> None:
        rest = b""
        async for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            async with self.news:
                lines += [line.decode() for line in whole]
                self.news.notify_all()


async def start(nursery: trio.Nursery, *arguments: str) -> Started:
    """Start ``rtlite …`` as a process that ends with the nursery."""
    process: trio.Process = await nursery.start(
        partial(trio.run_process, command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    )
    started = Started(process)
    assert process.stdout is not None and process.stderr is not None
    nursery.start_soon(started.read, process.stdout, started.lines)
    nursery.start_soon(started.read, process.stderr, started.errors)
    return started
