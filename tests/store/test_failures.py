"""Whose mistake an error of SQLite's is, and what is said of it."""

from __future__ import annotations

import os
import sqlite3
from types import SimpleNamespace

import pytest

from rtlite.errors import StorageFailed, StorageFull
from rtlite.store import failures
from tests.store.files import sqlite_error


@pytest.mark.parametrize(
    ("code", "free", "expected"),
    [
        (sqlite3.SQLITE_FULL, 1 << 30, StorageFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, 0, StorageFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, 1 << 30, StorageFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, 0, StorageFailed),
        (sqlite3.SQLITE_BUSY, 0, StorageFailed),
    ],
)
def test_an_io_error_is_a_full_disk_where_that_is_full_but_for_a_failed_sync(code, free, expected, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free // 4096, f_frsize=4096))
    assert type(failures.refusal(sqlite_error(code), "r.db")) is expected


def test_a_disk_that_does_not_tell_how_full_it_is_is_not_full(tmp_path):
    error = failures.refusal(sqlite_error(sqlite3.SQLITE_IOERR), str(tmp_path / "nowhere" / "r.db"))
    assert isinstance(error, StorageFailed)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN])
def test_errors_of_the_file_leave_doubt_and_are_not_ours(code):
    error = sqlite_error(code)
    assert failures.leaves_doubt(error) and not failures.is_ours(error)


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "INSERT INTO one VALUES (1, 2)", "ROLLBACK TO nowhere"])
def test_mistaken_statements_are_ours_and_leave_no_doubt(statement):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE one (x)")
    with pytest.raises(sqlite3.DatabaseError) as raised:
        connection.execute(statement)
    connection.close()
    assert failures.is_ours(raised.value) and not failures.leaves_doubt(raised.value)


def test_what_stops_a_start_is_one_line_that_names_the_file():
    assert str(failures.start_error("r.db", sqlite_error(sqlite3.SQLITE_BUSY))) == "r.db is locked by another program"
    assert str(failures.start_error("r.db", OSError(21, "Is a directory"))) == "r.db cannot be opened: Is a directory"
    assert str(failures.start_error("r.db", sqlite_error(sqlite3.SQLITE_PROTOCOL, "odd"))) == (
        "r.db cannot be opened: odd"
    )
