"""Jobs: what the backend works on, how far it is, and how it ended.

Each change is one event on ``jobs:{id}``, in the same transaction. So is the notification that a
job's user gets at its end: there are both or none.
"""

from __future__ import annotations

import secrets
from typing import Any, Final
from urllib.parse import quote

import attrs
import orjson

from rtlite.auth.grants import may_subscribe
from rtlite.domain import inbox
from rtlite.domain.inbox import check_inbox, check_type
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import Identity, Kind, check_channel, check_event_id, now_ms
from rtlite.settings import Settings
from rtlite.store import jobs as tables
from rtlite.store.database import Database
from rtlite.store.inbox import Notification
from rtlite.store.jobs import STATUSES, Job
from rtlite.transports.connections import Connections

CREATED: Final = "job.created"
PROGRESS: Final = "job.progress"
PAGE: Final = 100
_CHANNEL: Final = "jobs:"


@attrs.frozen
class _Change:
    """What is to be different; ``None`` leaves it as it is."""

    progress: float | None
    status: str | None
    result: bytes | None
    error: str | None


class Jobs:
    """The jobs of one server."""

    def __init__(self, hub: Hub, database: Database, connections: Connections, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._connections = connections
        self._settings = settings
        hub.sweeper.chores.append(self.forget)

    async def create(self, type: str, user: str | None = None, id: str | None = None) -> tuple[Job, bool]:
        """A new job, which is pending; also says whether it is new.

        :param user: whose it is: who may read it, and is told of its end.
        :param id: the caller's own, so that it can ask again: once it is there, it is answered as it is.
        :raises InvalidRequest: a field breaks its rule. :raises Conflict: the id is another job's.
        """
        check_type(type)
        if user is not None:
            check_inbox("userId", user)
        if id is not None:
            check_job(id)

        def work(transaction: Transaction) -> tuple[Job, bool]:
            known = None if id is None else tables.find(transaction.connection, id)
            if known is not None:
                if (known.type, known.user) != (type, user):
                    raise Conflict("there is another job with this id", code="exists")
                return known, False
            now = now_ms()
            job = Job(id or f"job_{secrets.token_hex(8)}", type, user=user, created=now, updated=now)
            tables.insert(transaction.connection, job)
            transaction.publish(channel_of(job.id), CREATED, job.as_json())
            return job, True

        return await self._hub.transact(work)

    async def update(
        self,
        id: str,
        *,
        progress: float | None = None,
        status: str | None = None,
        result: Any = None,
        error: str | None = None,
    ) -> Job:
        """Say how far a job is, or how it ended.

        Progress makes a pending job a running one, and what is completed is at 100. What is as
        asked for already stays as it is, without an event, so that it is safe to ask again.

        :param progress: from 0 to 100. :param result: any JSON value.
        :raises InvalidRequest: a field breaks its rule. :raises NotFound: there is no such job.
        :raises Conflict: the job is over, or was running and cannot be pending again.
        """
        change = self._checked(progress, status, result, error)

        def work(transaction: Transaction) -> Job:
            known = tables.find(transaction.connection, id)
            if known is None:
                raise NotFound("no such job")
            job = _changed(known, change)
            if job == known:
                return known
            if known.over:
                raise Conflict(f"the job is over: it is {known.status}", code="job_over")
            if job.status == "pending" and known.status == "running":
                raise Conflict("status: a job that was running is not pending again", code="job_running")
            job = attrs.evolve(job, updated=now_ms())
            tables.change(transaction.connection, job)
            transaction.publish(channel_of(id), f"job.{job.status}" if job.over else PROGRESS, job.as_json())
            if job.over and job.user is not None:
                inbox.deliver(transaction, _notice(job, job.user), self._settings)
            return job

        return await self._hub.transact(work)

    async def find(self, id: str) -> Job:
        """:raises NotFound: there is no such job."""
        found = await self._database.read(lambda connection: tables.find(connection, id))
        if found is None:
            raise NotFound("no such job")
        return found

    async def ended(self, channel: str) -> Job | None:
        """The job of this channel, if it is over: then the channel has no more to tell."""
        id = channel.removeprefix(_CHANNEL)
        job = await self._database.read(lambda connection: tables.find(connection, id))
        return job if job is not None and job.over else None

    async def page(
        self, *, user: str | None = None, status: str | None = None, after: str | None = None, limit: int = PAGE
    ) -> tuple[list[Job], str | None]:
        """The newest first, and where the next page begins: those of one user, or of all, with one status, or any.

        :param after: where the page before this one said. :raises InvalidRequest: a field breaks its rule.
        """
        _check_status(status)
        before = inbox.place(after)
        found, more = await self._database.read(lambda connection: tables.page(connection, user, status, before, limit))
        return found, str(found[-1].number) if more else None

    async def forget(self, now: int) -> None:
        """Delete what the settings ``job_age`` and ``job_count`` let go, in short writes. ``now`` is in ms."""
        cutoff = now - int(self._settings.job_age * 1000)
        while True:
            gone = await self._database.write(
                lambda connection: tables.forget_untouched(connection, cutoff), vital=True
            )
            self._end_readers(gone)
            if len(gone) < tables.STEP:
                break
        last = await self._database.read(lambda connection: tables.last_kept(connection, self._settings.job_count))
        while last is not None:
            gone = await self._database.write(
                lambda connection, last=last: tables.forget_ended(connection, last),  # type: ignore[misc]
                vital=True,
            )
            self._end_readers(gone)
            if len(gone) < tables.STEP:
                break

    def _end_readers(self, gone: list[str]) -> None:
        """Who could read a job because it was its own cannot any more: the id is free for another's."""
        for channel in map(channel_of, gone):
            if self._hub.fanout.listening(channel):
                self._connections.drop(channel, lambda identity, channel=channel: self._rests_on_job(identity, channel))  # type: ignore[misc]

    def _rests_on_job(self, identity: Identity, channel: str) -> bool:
        return identity.kind is Kind.JWT and not may_subscribe(identity, channel, self._settings)

    def _checked(self, progress: object, status: str | None, result: Any, error: str | None) -> _Change:
        if progress is not None and (
            isinstance(progress, bool) or not isinstance(progress, int | float) or not 0 <= progress <= 100
        ):
            raise InvalidRequest("progress: a number from 0 to 100 is wanted")
        _check_status(status)
        try:
            encoded = None if result is None else orjson.dumps(result)
            size = len(encoded or b"") + len((error or "").encode())
        except (TypeError, ValueError) as mistake:
            raise InvalidRequest("result, error: JSON is wanted") from mistake
        if size > self._settings.job_bytes:
            raise InvalidRequest(f"result, error: {self._settings.job_bytes} bytes together at most")
        return _Change(progress, status, encoded, error)


def _changed(job: Job, change: _Change) -> Job:
    status = change.status or ("running" if change.progress is not None and job.status == "pending" else job.status)
    progress = job.progress if change.progress is None else change.progress
    return attrs.evolve(
        job,
        status=status,
        progress=100 if change.status == "completed" else progress,
        result=job.result if change.result is None else change.result,
        error=job.error if change.error is None else change.error,
    )


def _notice(job: Job, user: str) -> Notification:
    """What a job's user is told at its end; ``action_url`` is the job's path in the API."""
    return inbox.about(
        user, f"job_{job.status}", f"{job.type}: {job.status}", job.error, f"/jobs/{quote(job.id, safe='')}"
    )


def channel_of(job: str) -> str:
    """The channel of a job."""
    return _CHANNEL + job


def job_of(channel: str) -> str | None:
    """The id of the job whose channel this is; ``None`` if it is none's."""
    kind, found, id = channel.partition(_CHANNEL)
    return id if found and not kind else None


def check_job(id: str) -> str:
    """Return a job's id. :raises InvalidRequest: this cannot be one."""
    check_event_id(id)
    try:
        check_channel(channel_of(id))
    except InvalidRequest as error:
        raise InvalidRequest("id: a job's is not *, nor does it end with :*") from error
    return id


def _check_status(status: str | None) -> None:
    if status is not None and status not in STATUSES:
        raise InvalidRequest(f"status: one of {', '.join(STATUSES)} is wanted")
