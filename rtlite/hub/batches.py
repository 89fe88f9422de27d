"""Storing a batch in one transaction: it costs one fsync, and what fails in it fails alone.

Here it is known, too, where channels stand (:class:`Appender`). After whatever is rolled back,
that is forgotten and looked up anew: an offset that was not committed is given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import islice

from rtlite.errors import Refused, StorageFailed
from rtlite.hub import transactions
from rtlite.hub.queues import Job
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Published
from rtlite.store.database import Database
from rtlite.store.events import Appender, last_sequence
from rtlite.store.policies import Policies

log = get_logger(__name__)


class Batches:
    """They are stored one after another."""

    def __init__(self, database: Database, policies: Policies, metrics: Metrics) -> None:
        self._database = database
        self._policies = policies
        self._metrics = metrics
        self._appender = Appender(0)

    async def begin(self) -> None:
        """Find out where the last run ended. :raises StorageFailed: the database could not be read."""
        self._appender = Appender(await self._database.read(last_sequence))

    @property
    def sequence(self) -> int:
        """That of the newest event that was stored."""
        return self._appender.sequence

    def forget(self) -> None:
        """What was known of channels may not be so any more."""
        self._appender.forget(self._appender.sequence)

    async def store(self, batch: list[Job]) -> None:
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
                        await self.store([job])

    def _fail(self, jobs: list[Job], error: Refused, cause: BaseException) -> None:
        self._metrics.storage_errors.labels(error.code).inc()
        for job in jobs:
            job.fail(error, cause)

    def _placed(self, jobs: list[Job]) -> Callable[[sqlite3.Connection], None]:
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

    def _store(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """On the database thread, in one transaction: every job, in order."""
        appender, policies = self._appender, self._policies

        def append(event: NewEvent) -> Published | NewEvent:
            # A passing event gets its offset after the commit, in the order of the jobs.
            return appender.append(event, connection) if policies.of(event.channel).history else event

        for job in jobs:
            if job.work is None:
                job.published = [append(event) for event in job.events]
            else:
                try:
                    job.result, job.published = transactions.run(job.work, connection, appender, append)
                except Refused as error:  # of this job alone
                    job.error = error
        appender.flush(connection)
