"""One task commits and fans out; publishers wait for it.

Trio shuffles runnable tasks: if each publisher awaited the store and then fanned out,
half of all neighbours on a channel would arrive swapped. So one task drains the queue
into one transaction, fans out in offset order, and then wakes the publishers. That is
also group commit: 64 waiting publishers cost one fsync.

What needs no disk does not wait for it: it has a queue and a task of its own. The two
take turns at fanning out.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import trio

from rtlite.errors import Refused
from rtlite.hub.batches import Batches
from rtlite.hub.fanout import Fanout
from rtlite.hub.passing import Passing
from rtlite.hub.queues import Done, Job, Queue, Queues
from rtlite.hub.slices import Pace
from rtlite.hub.topics import Outbox, Topic
from rtlite.hub.transactions import Work
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Event, NewEvent, Published
from rtlite.store.database import Database
from rtlite.store.events import ChannelInfo, channel_info
from rtlite.store.policies import Policies
from rtlite.store.schema import store_epoch

log = get_logger(__name__)

Observer = Callable[[list[Event], float], None]
"""Is told of a batch of events, and of the seconds from taking it up to its fan-out. It does not wait."""


class Committer:
    """The queues, and the tasks that drain them (:meth:`run`)."""

    def __init__(self, database: Database, fanout: Fanout, policies: Policies, metrics: Metrics) -> None:
        self._database = database
        self._fanout = fanout
        self._policies = policies
        self._metrics = metrics
        self._queues = Queues(policies.settings, metrics)
        self._batches = Batches(database, policies, metrics)
        self._passing = Passing()
        self._fanning_out = trio.Lock()
        self.observer: Observer | None = None

    async def publish(self, events: list[NewEvent], origin: Outbox | None = None) -> list[Published]:
        """Commit ``events`` atomically, fan them out, and return what became of each.

        A publisher that is cancelled while it waits does not know: its events may be stored.

        :param origin: the connection that these events are not delivered to.
        :raises Overloaded: the queue is full. :raises StorageFull, StorageFailed: nothing was stored.
        """
        job = self._job(events, origin)
        await self._wait(job)
        return job.published

    def publish_soon(self, event: NewEvent, done: Done) -> None:
        """As :meth:`publish`, of one event, without a task that waits.

        :raises Overloaded: the queue is full.
        """
        kept, version = self._policies.of(event.channel).history, self._policies.version
        self._queues.submit(Job([event], durable=kept, version=version, size=len(event.data), on_done=done))

    def _job(self, events: list[NewEvent], origin: Outbox | None = None) -> Job:
        size = 0
        durable = False
        for event in events:
            size += len(event.data)
            durable = durable or self._kept(event)
        version = self._policies.version
        return Job(events, origin=origin, durable=durable, version=version, count=len(events), size=size)

    def _kept(self, event: NewEvent) -> bool:
        return self._policies.of(event.channel).history

    async def transact(self, work: Work, size: int = 0) -> Any:
        """Run ``work`` in a transaction of its own outcome: what it refuses is raised here and rolls only it back.

        If another transaction of the batch fails, ``work`` is run again from the start.

        :param size: bytes that wait with it, where they are many.
        :raises Overloaded: the queue is full. :raises StorageFull, StorageFailed: nothing was stored.
        """
        job = Job(work=work, size=size)
        await self._wait(job)
        return job.result

    async def reconfigure(self, work: Work, apply: Callable[[Any], None]) -> Any:
        """As :meth:`transact`, for a change of what channels keep (:mod:`rtlite.store.policies`).

        :param apply: called with what ``work`` returned, once it is committed. It puts the change into the
            policies: what was published before is delivered by then, and what comes after is judged by them.
        """
        job = Job(work=work, apply=apply)
        await self._wait(job)
        return job.result

    async def attach(self, topic: Topic) -> None:
        """Set the topic's cursor to what has been fanned out, in order with everything else."""
        await self._wait(Job(topic=topic, durable=topic.history, count=0))

    async def _wait(self, job: Job) -> None:
        done = trio.Event()
        job.on_done = lambda published, error: done.set()
        self._queues.submit(job)
        await done.wait()
        if job.error is not None:
            raise job.error

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit and fan out until cancelled; then what waits, too, so that whoever waits for it is told.

        The tasks that drain the queues end by these being closed. The passing one may hand on to the durable one.
        """
        await self._batches.begin()
        durable, passing = self._queues.durable, self._queues.passing
        async with trio.open_nursery() as storing:
            storing.start_soon(self._drain, durable)
            try:
                async with trio.open_nursery() as handing_on:
                    handing_on.start_soon(self._drain, passing)
                    task_status.started()
                    try:
                        await trio.sleep_forever()
                    finally:
                        self._queues.refuse()
                        passing.close()
            finally:
                durable.close()

    async def _drain(self, queue: Queue) -> None:
        with trio.CancelScope(shield=True):
            while await queue.gather():
                batch = self._queues.take(queue)
                started = time.perf_counter()
                await self._batches.store(batch)
                taken = time.perf_counter() - started
                queue.committed(batch, taken)
                self._metrics.commit_seconds.observe(taken)
                try:  # as `async with` would, but for a turn of the scheduler that each batch would wait
                    self._fanning_out.acquire_nowait()
                except trio.WouldBlock:
                    await self._fanning_out.acquire()
                try:
                    if queue is self._queues.passing:
                        batch = self._still_passing(batch)
                    await self._fan_out(batch, started)
                finally:
                    self._fanning_out.release()
                for job in batch:
                    try:
                        job.on_done(job.published, job.error)
                    except Exception:
                        log.exception("a publisher could not be told what became of its events")

    def _still_passing(self, batch: list[Job]) -> list[Job]:
        """While these waited for their turn, history may have been turned on for some: they go to the other queue."""
        version = self._policies.version
        for job in batch:
            if job.version != version and any(map(self._kept, job.events)):
                job.durable = True
                self._queues.add(job)
        return [job for job in batch if not job.durable]

    async def _fan_out(self, batch: list[Job], taken_up: float) -> None:
        for job in batch:
            if job.apply is not None and job.error is None:
                job.apply(job.result)
                self._batches.forget()
        if events := await self._fresh(batch):
            started = time.perf_counter()
            self._metrics.commit_events.observe(len(events))
            self._metrics.published.inc(len(events))
            await self._fanout.deliver(events, _muted(batch))
            self._metrics.fanout_seconds.observe(time.perf_counter() - started)
            if self.observer is not None:
                self._observe(self.observer, events, time.perf_counter() - taken_up)
        if any(job.topic is not None for job in batch):
            await self._attach(batch)

    @staticmethod
    def _observe(observer: Observer, events: list[Event], seconds: float) -> None:
        try:
            observer(events, seconds)
        except Exception:
            log.exception("what was published could not be observed")

    async def _fresh(self, batch: list[Job]) -> list[Event]:
        """All new events, in order: those that were stored, and those that pass, which get their offsets here."""
        events: list[Event] = []
        pace = Pace()
        duplicates = 0
        for job in batch:
            if job.error is not None:
                continue
            for number, item in enumerate(job.published):
                if isinstance(item, NewEvent):
                    item = job.published[number] = self._passing.place(item)
                    await pace.pause()
                if item.duplicate:
                    duplicates += 1
                else:
                    events.append(item.event)
        if duplicates:
            self._metrics.duplicates.inc(duplicates)
        return events

    async def _attach(self, batch: list[Job]) -> None:
        """Nothing else commits meanwhile, so what the table holds is what was fanned out."""
        topics = [job.topic for job in batch if job.topic is not None and job.topic.cursor is None]
        stored = [topic for topic in topics if topic.history]
        channels = [topic.channel for topic in stored if topic.selection is None]

        def look_up(connection: sqlite3.Connection) -> tuple[str, dict[str, ChannelInfo | None]]:
            return store_epoch(connection), {name: channel_info(connection, name) for name in channels}

        try:
            epoch, found = await self._database.read(look_up) if stored else ("", {})
        except Refused as error:
            self._metrics.storage_errors.labels(error.code).inc()
            for job in batch:
                if job.topic in topics:
                    job.fail(error, error)
            return
        for topic in topics:
            if topic.selection is not None:
                topic.epoch, topic.cursor = epoch if topic.history else "", self._batches.sequence
            elif topic.history:
                info = found[topic.channel]
                topic.epoch, topic.cursor = (info.epoch, info.top) if info else (epoch, 0)
            else:
                topic.epoch, topic.cursor = self._passing.top(topic.channel)


def _muted(batch: list[Job]) -> dict[Outbox, set[tuple[str, int]]]:
    """Whom not to send what: each job's own connection."""
    muted: dict[Outbox, set[tuple[str, int]]] = {}
    for job in batch:
        if job.origin is not None and job.error is None:
            own = muted.setdefault(job.origin, set())
            own.update((item.event.channel, item.event.offset) for item in job.published if not item.duplicate)
    return muted
