"""Database files for tests: written to, looked for, on a disk that is small or fails."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from rtlite.errors import StartError
from rtlite.store import connection as connection_module
from rtlite.store import schema
from rtlite.store.database import open_database


async def put(database, name, value="x"):
    insert = "INSERT INTO meta VALUES (?, ?)"
    await database.write(lambda connection: connection.execute(insert, (name, value)).rowcount)


async def names(database):
    query = "SELECT name FROM meta WHERE name NOT IN ('epoch', 'unsynced_boot') ORDER BY name"
    return await database.read(lambda connection: [row[0] for row in connection.execute(query).fetchall()])


def size_of(path):
    return os.stat(path).st_size


@contextmanager
def no_trace():
    """No database thread and no descriptor of its own is left behind."""
    before = open_files()
    yield
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(5)
            assert not thread.is_alive()
    assert open_files() == before


def open_files():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "r.db" in target:
            found.append(target)
    return sorted(found)


async def refusal(path):
    """The one line with which the file is refused; checks that nothing is left behind."""
    with no_trace(), pytest.raises(StartError) as raised:
        async with open_database(str(path)):
            pytest.fail("it was opened")
    text = str(raised.value)
    assert "\n" not in text
    return text


class Faults:
    """Statements of the writing connection fail as the test says; the rest goes to SQLite."""

    def __init__(self, monkeypatch):
        self.opened = 0
        self.failing = {}
        connect = connection_module.connect

        def faulty_connect(path, reading):
            if reading:
                return connect(path, reading)
            self.opened += 1
            if (error := self.failing.get("connect")) is not None:
                raise error
            connect(path, reading).close()  # makes the file with its mode
            faults = self

            class Connection(sqlite3.Connection):
                def execute(self, statement, *parameters):
                    for beginning, error in faults.failing.items():
                        if statement.startswith(beginning):
                            raise error
                    return super().execute(statement, *parameters)

            return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)

        monkeypatch.setattr(connection_module, "connect", faulty_connect)


STRANGERS = {
    "a diary": "is not an SQLite database",
    "another program": "not one of rtlite's",
    "another program, killed": "not one of rtlite's",
    "another program, running": "not one of rtlite's",
    "a newer rtlite": "newer rtlite (schema 99",
}


def stranger(path, whose):
    """A folder, open to everyone, with an ``r.db`` in it that is not this rtlite's."""
    folder = path / "theirs"
    folder.mkdir(mode=0o755)
    file = folder / "r.db"
    if whose == "a diary":
        file.write_text("Dear diary, " * 100)
    else:
        with closing(sqlite3.connect(path / "made.db", isolation_level=None)) as connection:
            if whose == "a newer rtlite":
                schema.migrate(connection)
                connection.execute("PRAGMA user_version = 99")
            else:
                if "," in whose:  # its table is in the log alone
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("CREATE TABLE recipes (name)")
            ends = {"another program, killed": ("", "-wal"), "another program, running": ("", "-wal", "-shm")}
            for end in ends.get(whose, ("",)):
                shutil.copy(f"{path / 'made.db'}{end}", f"{file}{end}")
    for part in folder.iterdir():
        part.chmod(0o644)
        os.utime(part, (1_000_000_000, 1_000_000_000))
    os.utime(folder, (1_000_000_000, 1_000_000_000))
    return folder


def look(folder):
    """What is there: names, modes, times and contents."""
    parts = [folder, *sorted(folder.iterdir())]
    return [
        (part.name, part.stat().st_mode, part.stat().st_mtime_ns, part.is_file() and part.read_bytes())
        for part in parts
    ]


def sqlite_error(code, text="injected"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def remount(target, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(target)], check=True)


def crashed(path, copy):
    """Make ``copy`` what the next process would find of the open file, were this one killed now."""
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")


def start(program, path):
    """A second process that runs ``program`` and has come to where it says ``locked``."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    return process


WRITER = """
import sys
import trio
from rtlite.errors import StorageFailed
from rtlite.store.database import open_database

async def main():
    async with open_database(sys.argv[1]) as database:
        for number in range(60):
            name = f"{number:05}"
            try:
                await database.write(lambda c: c.execute("INSERT INTO meta VALUES (?, 'x')", (name,)).rowcount)
                print("ok-" + name)
            except StorageFailed:
                print("no-" + name)

trio.run(main)
"""
