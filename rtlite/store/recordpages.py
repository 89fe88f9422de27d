"""Pages of records: filtered, in an order, each beginning where the one before ended.

A page is found by walking an index in its order, or, where a filter leaves few records, by
fetching those and sorting them (:mod:`rtlite.store.recordplans`). What no index narrows down is
looked through record by record, up to a number of records; a question that would take more is refused.

The key that a page begins after ends with the record's number, so records that come, go or
change meanwhile make no page skip or repeat others.
"""

from __future__ import annotations

import base64
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson

from rtlite.errors import InvalidRequest
from rtlite.store.recordplans import Planner, Question
from rtlite.store.records import Record, record_of

_PROGRESS: Final = 20_000  # of SQLite's steps, between two looks at the clock


def page(connection: sqlite3.Connection, question: Question) -> tuple[list[Record], str | None]:
    """The records, and where the next page begins; ``None`` if there are no more.

    :raises InvalidRequest: ``after`` is not of this question, or to answer it takes looking through too many
        records, or too long.
    """
    with _within(connection, question.seconds):
        after = None if question.after is None else _values(question)
        text, bound = Planner(connection, question, after).plan()
        keys = question.order.keys
        records: list[Record] = []
        size = 0
        last: tuple[Any, ...] = ()
        cursor = connection.execute(text, (*bound, question.limit + 1))
        try:
            for row in cursor:
                if len(records) == question.limit or size >= question.size:
                    return records, _token(question, last)
                last = row[:keys]
                records.append(record_of(question.model.key, row[keys:]))
                size += len(records[-1].data)
        finally:
            cursor.close()
        return records, None


@contextmanager
def _within(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """:raises InvalidRequest: a statement takes longer, as one over very large records does."""
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, _PROGRESS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        complaint = f"to look through these records takes longer than {seconds:g} s"
        raise InvalidRequest(complaint, code="too_costly") from error
    finally:
        connection.set_progress_handler(None, _PROGRESS)


# --- where a page begins


def _token(question: Question, keys: tuple[Any, ...]) -> str:
    text = orjson.dumps([str(question.order), question.published, *keys])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _values(question: Question) -> list[Any]:
    """What ``after`` says. :raises InvalidRequest: it was not made for this order."""
    try:
        text = base64.urlsafe_b64decode(str(question.after) + "==")
        values: list[Any] = orjson.loads(text)
        order, published, *keys = values
    except (ValueError, TypeError) as error:
        raise _foreign() from error
    if [order, published] != [str(question.order), question.published] or len(keys) != question.order.keys:
        raise _foreign()
    if not all(isinstance(key, str | float) or (isinstance(key, int) and abs(key) < 2**63) for key in keys):
        raise _foreign()
    return keys


def _foreign() -> InvalidRequest:
    return InvalidRequest("after: this is no next of a page in this order", code="invalid_cursor")
