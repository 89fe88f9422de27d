"""A file that is not ours is told from one that is, and left as it was."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import trio

from rtlite.store import schema, whose
from rtlite.store.connection import connect
from rtlite.store.database import open_database
from tests.store.files import STRANGERS, crashed, look, put, refusal, stranger


@pytest.mark.parametrize("whose", STRANGERS)
async def test_file_that_is_not_ours_is_refused_and_left_as_it_was_with_its_folder(tmp_path, whose):
    folder = stranger(tmp_path, whose)
    before = look(folder)

    assert STRANGERS[whose] in await refusal(folder / "r.db")
    assert look(folder) == before


async def test_file_of_ours_that_is_all_in_its_log_is_opened(tmp_path):
    """A first start that was killed: the file itself does not say yet whose it is."""
    (tmp_path / "killed").mkdir()
    with closing(sqlite3.connect(tmp_path / "first.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        schema.migrate(connection)
        crashed(tmp_path / "first.db", tmp_path / "killed" / "r.db")
    assert b"rtlt" not in (tmp_path / "killed" / "r.db").read_bytes()[:100]

    async with open_database(str(tmp_path / "killed" / "r.db")) as database:
        assert await database.read(schema.store_epoch)


async def test_empty_file_is_taken(tmp_path):
    (tmp_path / "r.db").touch()
    async with open_database(str(tmp_path / "r.db")) as database:
        await put(database, "a")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_file_is_refused_without_being_opened(tmp_path, make):
    make(tmp_path / "r.db")
    with trio.fail_after(5):
        assert await refusal(tmp_path / "r.db") == f"{tmp_path}/r.db is not a file"
    assert os.listdir(tmp_path) == ["r.db"]


def test_file_of_ours_that_a_crash_left_in_the_middle_of_a_checkpoint_is_ours(tmp_path):
    path = tmp_path / "r.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection)
    path.write_bytes(path.read_bytes()[:-4096])  # its first page says how long it will be

    assert whose.stranger(str(path)) is None


def test_looking_lets_go_of_no_lock_that_this_process_has(tmp_path):
    """POSIX drops all locks on a file when the process closes it once."""
    path = str(tmp_path / "r.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection)
        connection.execute("BEGIN EXCLUSIVE")
        assert whose.stranger(path) is None
        connect(path, reading=False).close()
        other = subprocess.run([sys.executable, "-c", READER, path], capture_output=True, check=False)

    assert b"database is locked" in other.stderr


READER = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0).execute("SELECT * FROM meta")
"""
