"""What waits to be committed: two queues with one bound, emptied batch by batch.

What needs no disk does not wait for it: it has a queue of its own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from rtlite.errors import Overloaded, Refused, StorageFailed
from rtlite.hub.topics import Outbox, Topic
from rtlite.hub.transactions import Work
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Published
from rtlite.settings import Settings

BATCH_JOBS: Final = 256
BATCH_EVENTS: Final = 1000  # 16,000 in one go held the loop for 190 ms
BATCH_BYTES: Final = 4 * 1024 * 1024
_PATIENCE: Final = 0.001  # seconds

Done = Callable[[list[Published], BaseException | None], None]
"""Is told what became of events, or why they are not stored. It does not wait, nor raise."""


@attrs.define(eq=False, slots=True)
class Job:
    """What one publisher waits for: events, a transaction, or a topic's place."""

    events: list[NewEvent] = attrs.field(factory=list)
    work: Work | None = None
    topic: Topic | None = None
    published: list[Any] = attrs.field(factory=list)
    """What became of each event; until the commit, a :class:`NewEvent` where the channel keeps none."""
    result: Any = None
    error: BaseException | None = None
    origin: Outbox | None = None
    """The connection that published ``events`` and does not want them back."""
    durable: bool = True
    """Whether anything of it goes to the disk."""
    version: int = 0
    """Of the policies that said so."""
    apply: Callable[[Any], None] | None = None
    """Makes what ``work`` has stored hold for all that follows."""
    count: int = 1
    size: int = 0
    on_done: Done = lambda published, error: None

    def fail(self, error: Refused, cause: BaseException) -> None:
        """With an error of its own, since each is raised in a task of its own and gathers its traceback there."""
        self.error = type(error)(error.detail, code=error.code)
        self.error.__cause__ = cause


class Queue(deque[Job]):
    """Jobs that wait for the task that drains them."""

    def __init__(self) -> None:
        super().__init__()
        self._wake = trio.Event()
        self._crowd = 0  # publishers who wait at a time: those of the last batch, and those who came meanwhile
        self._patience = 0.0  # seconds to wait for as many again
        self._closed = False

    def put(self, job: Job) -> None:
        self.append(job)
        if len(self) == 1:
            self._wake.set()

    def close(self) -> None:
        """Nobody puts anything into it any more."""
        self._closed = True
        self._wake.set()

    async def gather(self) -> bool:
        """Wait for a job, and let publishers who are about to ask do so; ``False`` once it is closed and empty.

        Each commit costs an fsync, whether of 9 events or of 16. Those that the last commit answered
        are likely to come back. They are waited for no longer than a part of what a commit takes, and
        not at all by a publisher that is alone.
        """
        if not self and not self._closed:
            self._wake = trio.Event()
        await self._wake.wait()
        until = time.perf_counter() + self._patience  # the disk's clock, which does not stand still for a test
        expected = min(self._crowd, BATCH_JOBS)
        waiting = 0
        while len(self) < expected and (waiting < len(self) or time.perf_counter() < until):
            waiting = len(self)
            await trio.lowlevel.checkpoint()
        return bool(self)

    def committed(self, batch: list[Job], seconds: float) -> None:
        """What the last commit was of, and took."""
        self._crowd, self._patience = len(batch) + len(self), min(seconds / 3, _PATIENCE)


class Queues:
    """:ivar events: how many wait in both. :ivar bytes: of their data."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.durable = Queue()
        self.passing = Queue()
        self.events = 0
        self.bytes = 0
        self._most_events = settings.queue_events
        self._most_bytes = settings.queue_bytes
        self._metrics = metrics

    def submit(self, job: Job) -> None:
        """:raises Overloaded: too much waits. :raises StorageFailed: :meth:`refuse` was called."""
        if self.events + job.count > self._most_events or self.bytes + job.size > self._most_bytes:
            if self._most_events < 0:
                raise StorageFailed("the server has stopped; nothing was stored")
            raise Overloaded("too many events wait to be stored; try again", headers={"Retry-After": "1"})
        self.add(job)

    def add(self, job: Job) -> None:
        """However much waits."""
        self.events += job.count
        self.bytes += job.size
        (self.durable if job.durable else self.passing).put(job)

    def refuse(self) -> None:
        """Nobody will take what is submitted from now on."""
        self._most_events = -1

    def take(self, queue: Queue) -> list[Job]:
        """The next batch."""
        batch: list[Job] = []
        size = count = 0
        while queue and len(batch) < BATCH_JOBS and count < BATCH_EVENTS and size < BATCH_BYTES:
            if batch and (queue[0].apply is not None or batch[-1].apply is not None):
                break  # what changes the rules is alone in its batch
            job = queue.popleft()
            count += job.count
            size += job.size
            batch.append(job)
        self.events -= count
        self.bytes -= size
        self._metrics.queued.set(self.events)
        return batch
