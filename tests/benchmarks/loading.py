"""The load generator, from this side: a process that is sent commands and answers them."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.install import CLIENT_PYTHON, ROOT


class Load:
    """One client process. ``load("subscribe", url=…)`` runs a command of :class:`tests.benchmarks.load.Load`.

    :meth:`begin` and :meth:`end` are its two halves, for commands that run side by side.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [CLIENT_PYTHON, "-m", "tests.benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(ROOT),
            text=True,
        )

    def __call__(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.begin(op, **arguments)
        return self.end()

    def begin(self, op: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended; what it printed stands above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the load generator says: {answer['error']}")
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def loads(count: int = 1) -> Iterator[list[Load]]:
    """So many client processes, gone when the block ends."""
    running = [Load() for _ in range(count)]
    try:
        yield running
    finally:
        for load in running:
            load.stop()
