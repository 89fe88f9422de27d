"""Servers under measurement: started as a process, observed through /proc, stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.install import CACHE, ROOT

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A process that serves. Subclasses say what to run and how to connect and publish.

    Used as a context manager: it runs, in a directory of its own on the disk of the
    checkout, for the length of the block.
    """

    name: str
    ping_seconds: float = 30.0

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> None:
        """Called once it listens."""

    @property
    def subscriber(self) -> dict[str, Any]:
        """What a subscriber connects to: ``url``, and where needed ``headers`` and ``socketio``."""
        raise NotImplementedError

    @property
    def publisher(self) -> dict[str, Any]:
        """What a publisher connects to: as :func:`tests.benchmarks.load.publishers.open_publisher` wants it."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        (CACHE / "data").mkdir(parents=True, exist_ok=True)
        self._directory = tempfile.TemporaryDirectory(dir=CACHE / "data", prefix="run-", ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        try:
            self.start_seconds = self.start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._directory.cleanup()

    def start(self) -> float:
        """Start it and wait for its ready line; returns how many seconds that took."""
        # Not the settings of whoever measures, nor a PYTHONDONTWRITEBYTECODE that makes each start a first one.
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("RTLITE_", "PYTHON"))}
        self.log = (self.directory / "log").open("a+")
        started = time.perf_counter()
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=self.directory,
            text=True,
            env={**keep, "PYTHONPATH": str(ROOT), "PING_SECONDS": str(self.ping_seconds), **self.environment()},
        )
        self.printed = ""
        self._await_ready()
        seconds = time.perf_counter() - started
        self.ready()
        return seconds

    def _await_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if match := re.search(r"ready on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])
                return
        self.log.seek(0)
        raise RuntimeError(f"{self.name} did not start: {self.printed}{self.log.read()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it: it has 15 seconds for an orderly stop."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.log.close()

    @property
    def pids(self) -> list[int]:
        """The process and its children: nginx works in one of those."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system."""
        total = 0.0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS
        return total

    def rss(self) -> int:
        """Resident bytes."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE for pid in self.pids)
