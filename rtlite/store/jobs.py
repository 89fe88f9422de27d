"""Jobs: what runs for whom, and how far it is.

Every function runs on a database thread, in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Final, TypedDict

import attrs
import orjson

from rtlite.model import rfc3339
from rtlite.rules import EventId, EventName, Percent, Rule, Timestamp, UserInChannel

STEP: Final = 500
"""The most jobs that one short write deletes."""
PAGE_BYTES: Final = 4 * 1024 * 1024
"""The most bytes of results in a page."""
ENDS: Final = ("completed", "failed", "cancelled")
STATUSES: Final = ("pending", "running", *ENDS)

_OF_USER: Final = "user = ? AND "
_OF_STATUS: Final = "status = ? AND "
_COLUMNS: Final = "id, type, status, progress, user, result, error, created, updated, number"

Status = Annotated[str, Rule(enum=list(STATUSES))]


class JobJson(TypedDict):
    """A job, as it is answered and as it is told."""

    id: EventId
    type: EventName
    status: Status
    progress: Percent
    userId: UserInChannel | None
    result: Any
    error: str | None
    createdAt: Timestamp
    updatedAt: Timestamp


@attrs.frozen
class Job:
    """``progress`` is a percentage, ``result`` JSON text; times are in milliseconds since 1970.

    ``number`` counts jobs in the order in which they were created; pages go by it.
    """

    id: str
    type: str
    status: str = "pending"
    progress: float | None = None
    user: str | None = None
    result: bytes | None = None
    error: str | None = None
    created: int = 0
    updated: int = 0
    number: int = attrs.field(default=0, eq=False)

    @property
    def over(self) -> bool:
        return self.status in ENDS

    def as_json(self) -> JobJson:
        return {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "progress": self.progress,
            "userId": self.user,
            "result": None if self.result is None else orjson.Fragment(self.result),
            "error": self.error,
            "createdAt": rfc3339(self.created),
            "updatedAt": rfc3339(self.updated),
        }


def insert(connection: sqlite3.Connection, job: Job) -> None:
    """Add a job; its number is given here."""
    connection.execute(
        "INSERT INTO jobs (id, type, status, progress, user, result, error, created, updated, ended)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.type,
            job.status,
            job.progress,
            job.user,
            job.result,
            job.error,
            job.created,
            job.updated,
            job.updated if job.over else None,
        ),
    )


def change(connection: sqlite3.Connection, job: Job) -> None:
    """Store what may change of a job that is there."""
    connection.execute(
        "UPDATE jobs SET status = ?, progress = ?, result = ?, error = ?, updated = ?, ended = ? WHERE id = ?",
        (job.status, job.progress, job.result, job.error, job.updated, job.updated if job.over else None, job.id),
    )


def find(connection: sqlite3.Connection, id: str) -> Job | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone()  # noqa: S608  # a constant
    return Job(*row) if row else None


def belongs_to(connection: sqlite3.Connection, id: str, user: str) -> bool:
    """Whether there is such a job, and it is this user's."""
    return connection.execute("SELECT 1 FROM jobs WHERE id = ? AND user = ?", (id, user)).fetchone() is not None


def page(
    connection: sqlite3.Connection, user: str | None, status: str | None, before: int, limit: int
) -> tuple[list[Job], bool]:
    """The newest first, those with a number below ``before``; also whether there are more.

    A page is cut where its results pass ``PAGE_BYTES``; it has one job at least.
    """
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE {_OF_USER if user is not None else ''}"  # noqa: S608  # constants
        f"{_OF_STATUS if status is not None else ''}number < ? ORDER BY number DESC LIMIT ?",
        [*(value for value in (user, status) if value is not None), before, limit + 1],
    )
    found: list[Job] = []
    size = 0
    for row in cursor:
        job = Job(*row)
        size += len(job.result or b"")
        if found and (len(found) == limit or size > PAGE_BYTES):
            cursor.close()  # a half-read cursor would keep the WAL from being checkpointed
            return found, True
        found.append(job)
    return found, False


def forget_untouched(connection: sqlite3.Connection, cutoff: int) -> list[str]:
    """Delete up to ``STEP`` jobs, over or not, that nothing has changed since ``cutoff`` (ms); returns their ids."""
    return _ids(
        connection.execute(
            "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE updated < ? ORDER BY updated LIMIT ?)"
            " RETURNING id",
            (cutoff, STEP),
        )
    )


def last_kept(connection: sqlite3.Connection, count: int) -> tuple[int, int] | None:
    """The end and the number of the first job that is over and past the ``count`` that ended last."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT ended, number FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC, number DESC LIMIT 1 OFFSET ?",
        (count,),
    ).fetchone()
    return row


def forget_ended(connection: sqlite3.Connection, last: tuple[int, int]) -> list[str]:
    """Delete up to ``STEP`` jobs that ended no later than :func:`last_kept` said; returns their ids."""
    return _ids(
        connection.execute(
            "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE ended IS NOT NULL"
            " AND (ended, number) <= (?, ?) ORDER BY ended, number LIMIT ?) RETURNING id",
            (*last, STEP),
        )
    )


def _ids(cursor: sqlite3.Cursor) -> list[str]:
    return [str(row[0]) for row in cursor.fetchall()]
