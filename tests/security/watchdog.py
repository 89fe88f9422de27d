"""How long a server's event loop is held in one go, in CPU time, which a busy machine does not lengthen."""

from __future__ import annotations

import time
from typing import Any

import attrs
import trio


@attrs.define(eq=False)
class Watchdog(trio.abc.Instrument):
    """Watches the loop of the thread it is made in. Use as a context manager::

        with Watchdog() as watchdog:
            ...
        assert watchdog.longest < 0.05

    The loop looks at its sockets between two rounds; in a round each task that can run makes
    one step. ``longest`` is the longest round in seconds of CPU time; ``culprit`` is the task
    that had the largest share of it. The task that watches, a test with its client, does not
    count, unless ``everyone`` does.
    """

    everyone: bool = False
    longest: float = 0.0
    culprit: str = ""
    _round: float = 0.0
    _largest: tuple[float, str] = (0.0, "")
    _step: float = 0.0
    _own: trio.lowlevel.Task | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._step = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._own:
            return
        spent = time.thread_time() - self._step
        self._round += spent
        self._largest = max(self._largest, (spent, task.name))

    def before_io_wait(self, timeout: float) -> None:
        if self._round > self.longest:
            self.longest, self.culprit = self._round, f"{self._largest[1]} ({self._largest[0] * 1000:.1f} ms)"
        self._round, self._largest = 0.0, (0.0, "")

    def __enter__(self) -> Watchdog:
        self._own = None if self.everyone else trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: Any) -> None:
        self.before_io_wait(0)
        trio.lowlevel.remove_instrument(self)
