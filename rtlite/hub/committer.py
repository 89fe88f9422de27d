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
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import attrs
import orjson
import trio

from rtlite.errors import Overloaded, Refused, StorageFailed
from rtlite.hub.fanout import Fanout
from rtlite.hub.slices import Pace
from rtlite.hub.topics import Outbox, Topic
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Event, NewEvent, Published, new_epoch, new_event_id, now_ms
from rtlite.store.database import Database
from rtlite.store.events import Appender, ChannelInfo, channel_info, last_sequence
from rtlite.store.policies import Policies
from rtlite.store.schema import store_epoch

log = get_logger(__name__)

BATCH_JOBS: Final = 256
BATCH_EVENTS: Final = 1000  # 16,000 in one go held the loop for 190 ms
BATCH_BYTES: Final = 4 * 1024 * 1024
_PASSING_CHANNELS: Final = 100_000
_PATIENCE: Final = 0.001  # seconds


class Transaction:
    """What a domain function sees of the transaction it runs in, on the database thread."""

    def __init__(self, connection: sqlite3.Connection, publish: Callable[[NewEvent], Published]) -> None:
        self.connection = connection
        self._publish = publish

    def publish(self, channel: str, name: str, data: Any, id: str | None = None) -> Published:
        """Announce a change. The event is committed with the change, or neither is.

        On a channel without history its offset is not known before the commit, and is 0 here.
        """
        return self._publish(NewEvent(channel, name, orjson.dumps(data), id))


Observer = Callable[[list[Event], float], None]
"""Is told of a batch of events, and of the seconds from taking it up to its fan-out. It does not wait."""

Done = Callable[[list[Published], BaseException | None], None]
"""Is told what became of events, or why they are not stored. It does not wait, nor raise."""


@attrs.define(eq=False, slots=True)
class _Job:
    events: list[NewEvent] = attrs.field(factory=list)
    work: Callable[[Transaction], Any] | None = None
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


class _Queue(deque[_Job]):
    """Jobs that wait for the task that drains them."""

    def __init__(self) -> None:
        super().__init__()
        self.wake = trio.Event()
        self.crowd = 0  # publishers who wait at a time: those of the last batch, and those who came meanwhile
        self.patience = 0.0  # seconds to wait for as many again

    def put(self, job: _Job) -> None:
        self.append(job)
        if len(self) == 1:
            self.wake.set()


class Committer:
    """The queues, and the tasks that drain them (:meth:`run`)."""

    def __init__(self, database: Database, fanout: Fanout, policies: Policies, metrics: Metrics) -> None:
        self._database = database
        self._fanout = fanout
        self._policies = policies
        self._settings = policies.settings
        self._metrics = metrics
        self._queue = _Queue()
        self._passing_queue = _Queue()
        self._fanning_out = trio.Lock()
        self._queued_events = 0
        self._queued_bytes = 0
        self._appender = Appender(0)
        # Channels without history are ordered in memory; a restart gives them a new epoch.
        self._passing: OrderedDict[str, tuple[str, int]] = OrderedDict()
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
        self._submit(_Job([event], durable=kept, version=version, size=len(event.data), on_done=done))

    def _job(self, events: list[NewEvent], origin: Outbox | None = None) -> _Job:
        size = 0
        durable = False
        for event in events:
            size += len(event.data)
            durable = durable or self._kept(event)
        version = self._policies.version
        return _Job(events, origin=origin, durable=durable, version=version, count=len(events), size=size)

    async def transact(self, work: Callable[[Transaction], Any], size: int = 0) -> Any:
        """Run ``work`` in a transaction of its own outcome: what it refuses is raised here and rolls only it back.

        If another transaction of the batch fails, ``work`` is run again from the start.

        :param size: bytes that wait with it, where they are many.
        :raises Overloaded: the queue is full. :raises StorageFull, StorageFailed: nothing was stored.
        """
        job = _Job(work=work, size=size)
        await self._wait(job)
        return job.result

    async def reconfigure(self, work: Callable[[Transaction], Any], apply: Callable[[Any], None]) -> Any:
        """As :meth:`transact`, for a change of what channels keep (:mod:`rtlite.store.policies`).

        :param apply: called with what ``work`` returned, once it is committed. It puts the change into the
            policies: what was published before is delivered by then, and what comes after is judged by them.
        """
        job = _Job(work=work, apply=apply)
        await self._wait(job)
        return job.result

    async def attach(self, topic: Topic) -> None:
        """Set the topic's cursor to what has been fanned out, in order with everything else."""
        await self._wait(_Job(topic=topic, durable=topic.history, count=0))

    async def _wait(self, job: _Job) -> None:
        done = trio.Event()
        job.on_done = lambda published, error: done.set()
        self._submit(job)
        await done.wait()
        if job.error is not None:
            raise job.error

    def _submit(self, job: _Job) -> None:
        if (
            self._queued_events + job.count > self._settings.queue_events
            or self._queued_bytes + job.size > self._settings.queue_bytes
        ):
            raise Overloaded("too many events wait to be stored; try again", headers={"Retry-After": "1"})
        self._enqueue(job)

    def _enqueue(self, job: _Job) -> None:
        self._queued_events += job.count
        self._queued_bytes += job.size
        (self._queue if job.durable else self._passing_queue).put(job)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit and fan out until cancelled."""
        self._appender = Appender(await self._database.read(last_sequence))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain, self._queue)
            nursery.start_soon(self._drain, self._passing_queue)
            task_status.started()

    async def _drain(self, queue: _Queue) -> None:
        while True:
            await queue.wake.wait()
            await self._gather(queue)
            batch = self._take(queue)
            started = time.perf_counter()
            await self._commit(batch)
            taken = time.perf_counter() - started
            queue.crowd, queue.patience = len(batch) + len(queue), min(taken / 3, _PATIENCE)
            self._metrics.commit_seconds.observe(taken)
            try:  # as `async with` would, but for a turn of the scheduler that each batch would wait
                self._fanning_out.acquire_nowait()
            except trio.WouldBlock:
                await self._fanning_out.acquire()
            try:
                if queue is self._passing_queue:
                    batch = self._still_passing(batch)
                await self._fan_out(batch, started)
            finally:
                self._fanning_out.release()
            for job in batch:
                try:
                    job.on_done(job.published, job.error)
                except Exception:
                    log.exception("a publisher could not be told what became of its events")
            if not queue:
                queue.wake = trio.Event()

    def _still_passing(self, batch: list[_Job]) -> list[_Job]:
        """While these waited for their turn, history may have been turned on for some: they go to the other queue."""
        version = self._policies.version
        for job in batch:
            if job.version != version and any(map(self._kept, job.events)):
                job.durable = True
                self._enqueue(job)
        return [job for job in batch if not job.durable]

    async def _fan_out(self, batch: list[_Job], taken_up: float) -> None:
        for job in batch:
            if job.apply is not None and job.error is None:
                job.apply(job.result)
                self._appender.forget(self._appender.sequence)
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

    @staticmethod
    async def _gather(queue: _Queue) -> None:
        """Let publishers who are about to ask do so: each commit costs an fsync, whether of 9 events or of 16.

        Those that the last commit answered are likely to come back. They are waited for no longer
        than a part of what a commit takes, and not at all by a publisher that is alone.
        """
        until = time.perf_counter() + queue.patience  # the disk's clock, which does not stand still for a test
        expected = min(queue.crowd, BATCH_JOBS)
        waiting = 0
        while len(queue) < expected and (waiting < len(queue) or time.perf_counter() < until):
            waiting = len(queue)
            await trio.lowlevel.checkpoint()

    def _take(self, queue: _Queue) -> list[_Job]:
        batch: list[_Job] = []
        size = count = 0
        while queue and len(batch) < BATCH_JOBS and count < BATCH_EVENTS and size < BATCH_BYTES:
            if batch and (queue[0].apply is not None or batch[-1].apply is not None):
                break  # what changes the rules is alone in its batch
            job = queue.popleft()
            count += job.count
            size += job.size
            batch.append(job)
        self._queued_events -= count
        self._queued_bytes -= size
        self._metrics.queued.set(self._queued_events)
        return batch

    async def _commit(self, batch: list[_Job]) -> None:
        """Store what is to be stored. Failures are put into their jobs."""
        storing = [job for job in batch if job.durable and job.topic is None]
        for job in batch:  # anew, if it is tried once more
            job.published, job.result, job.error = list(job.events), None, None
        if storing:
            before = self._appender.sequence
            try:
                await self._database.write(self._placed(storing))
            except Refused as error:
                self._appender.forget(before)
                self._fail(storing, error, error)
            except Exception as error:
                self._appender.forget(before)
                # Our own mistake in one job must not fail its neighbours: find it by committing each alone.
                if len(storing) == 1:
                    log.exception("a transaction failed")
                    self._fail(
                        storing, StorageFailed("internal error; nothing was stored", code="internal_error"), error
                    )
                else:
                    for job in batch:
                        await self._commit([job])

    async def _fresh(self, batch: list[_Job]) -> list[Event]:
        """All new events, in order: those that were stored, and those that pass, which get their offsets here."""
        events: list[Event] = []
        pace = Pace()
        duplicates = 0
        for job in batch:
            if job.error is not None:
                continue
            for number, item in enumerate(job.published):
                if isinstance(item, NewEvent):
                    item = job.published[number] = self._pass(item)
                    await pace.pause()
                if item.duplicate:
                    duplicates += 1
                else:
                    events.append(item.event)
        if duplicates:
            self._metrics.duplicates.inc(duplicates)
        return events

    def _fail(self, jobs: list[_Job], error: Refused, cause: BaseException) -> None:
        self._metrics.storage_errors.labels(error.code).inc()
        for job in jobs:  # one each, since each is raised in a task of its own and gathers its traceback there
            job.error = type(error)(error.detail, code=error.code)
            job.error.__cause__ = cause

    def _kept(self, event: NewEvent) -> bool:
        return self._policies.of(event.channel).history

    def _placed(self, jobs: list[_Job]) -> Callable[[sqlite3.Connection], None]:
        """What is left to do on the database thread.

        The common case, plain events on channels that were met before, gets its places here: the
        thread then hardly needs the interpreter, and the loop goes on meanwhile.
        """
        appender = self._appender
        events = [event for job in jobs for event in job.events]
        if all(job.work is None for job in jobs) and appender.knows(events):
            placed = iter(appender.place(events))
            for job in jobs:
                job.published = list(islice(placed, job.count))
            return appender.flush
        return lambda connection: self._store(connection, jobs)

    def _store(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        """On the database thread, in one transaction: every job, in order."""

        def append(event: NewEvent) -> Published | NewEvent:
            # A passing event gets its offset after the commit, in the order of the jobs.
            return self._appender.append(event, connection) if self._kept(event) else event

        for job in jobs:
            if job.work is None:
                job.published = [append(event) for event in job.events]
            else:
                self._run_work(connection, job, job.work, append)
        self._appender.flush(connection)

    def _run_work(
        self,
        connection: sqlite3.Connection,
        job: _Job,
        work: Callable[[Transaction], Any],
        append: Callable[[NewEvent], Published | NewEvent],
    ) -> None:
        appender = self._appender
        appender.flush(connection)
        before = appender.sequence
        published: list[Published | NewEvent] = []

        def publish(event: NewEvent) -> Published:
            if event.id is None:  # so that what is returned has the id it will be sent with
                event = attrs.evolve(event, id=new_event_id())
            item = append(event)
            published.append(item)
            if isinstance(item, Published):
                return item
            return Published(Event(str(event.id), event.channel, event.name, event.data, now_ms(), 0, ""))

        connection.execute("SAVEPOINT job")
        try:
            job.result = work(Transaction(connection, publish))
            appender.flush(connection)
        except Refused as error:  # the domain says no: this job alone is undone
            connection.execute("ROLLBACK TO job")
            appender.forget(before)
            job.error = error
        else:
            job.published = published
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE job")

    def _pass(self, new: NewEvent) -> Published:
        """Order an event of a channel without history."""
        epoch, top = self._passing_top(new.channel)
        self._passing[new.channel] = (epoch, top + 1)
        return Published(Event(new.id or new_event_id(), new.channel, new.name, new.data, now_ms(), top + 1, epoch))

    def _passing_top(self, channel: str) -> tuple[str, int]:
        """Epoch and newest offset of a channel without history; those unused longest are forgotten."""
        top = self._passing.get(channel)
        if top is None:
            top = self._passing[channel] = (new_epoch(), 0)
        self._passing.move_to_end(channel)
        if len(self._passing) > _PASSING_CHANNELS:
            self._passing.popitem(last=False)
        return top

    async def _attach(self, batch: list[_Job]) -> None:
        """Nothing else commits meanwhile, so what the table holds is what was fanned out."""
        topics = [job.topic for job in batch if job.topic is not None and job.topic.cursor is None]
        stored = [topic for topic in topics if topic.history]
        channels = [topic.channel for topic in stored if topic.selection is None]

        def look_up(connection: sqlite3.Connection) -> tuple[str, dict[str, ChannelInfo | None]]:
            return store_epoch(connection), {name: channel_info(connection, name) for name in channels}

        try:
            epoch, found = await self._database.read(look_up) if stored else ("", {})
        except Refused as error:
            self._fail([job for job in batch if job.topic in topics], error, error)
            return
        for topic in topics:
            if topic.selection is not None:
                topic.epoch, topic.cursor = epoch if topic.history else "", self._appender.sequence
            elif topic.history:
                info = found[topic.channel]
                topic.epoch, topic.cursor = (info.epoch, info.top) if info else (epoch, 0)
            else:
                topic.epoch, topic.cursor = self._passing_top(topic.channel)


def _muted(batch: list[_Job]) -> dict[Outbox, set[tuple[str, int]]]:
    """Whom not to send what: each job's own connection."""
    muted: dict[Outbox, set[tuple[str, int]]] = {}
    for job in batch:
        if job.origin is not None and job.error is None:
            own = muted.setdefault(job.origin, set())
            own.update((item.event.channel, item.event.offset) for item in job.published if not item.duplicate)
    return muted
