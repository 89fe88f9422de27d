from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from rtlite.cli import output
from rtlite.store.database import open_database
from tests.store.files import look, stranger


@pytest.fixture
def database(tmp_path) -> str:
    path = str(tmp_path / "rtlite.db")

    async def make() -> None:
        async with open_database(path):
            pass

    trio.run(make)
    return path


def test_check_prints_a_summary(invoke, database):
    result = invoke("check", "--data", database)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"file": database, "problems": [], "channels": 0, "events": 0, "bytes": 0}


def test_check_finds_the_file_of_the_settings(invoke, database, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    assert invoke("check").stdout == "rtlite.db: 0 channels, 0 events, 0 bytes of data\n"
    assert invoke("check", env={"RTLITE_DATA": "other.db"}).stderr == "rtlite: other.db: no such file\n"


def test_check_exits_with_1_if_something_is_wrong(invoke, database):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO channels VALUES (1, 'article:a', 'article', 'abcdef12', 5, 1, 0, 0, 0, 0)")
    result = invoke("check", "--data", database)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"]
    assert result.stderr.startswith(f"rtlite: {database}: article:a")


def test_check_says_what_a_file_is_that_is_no_database(invoke):
    Path("rtlite.db").write_text("not a database, but long enough to be taken for one" * 100)
    result = invoke("check")
    assert result.exit_code == 1
    assert "not a database" in result.stderr


@pytest.mark.parametrize("command", [("backup", "copy.db"), ("keys", "list"), ("token", "--user", "a"), ("check",)])
def test_data_in_memory_has_no_file_to_work_on(invoke, command):
    result = invoke(*command, "--data", ":memory:")
    assert result.exit_code == 1
    assert "in memory" in result.stderr


@pytest.mark.parametrize("command", [("backup", "copy.db"), ("keys", "list"), ("token", "--user", "a"), ("check",)])
def test_a_file_that_is_not_there_is_not_created(invoke, command):
    result = invoke(*command, "--data", "typo.db")
    assert result.exit_code == 1
    assert "typo.db: no such file" in result.stderr
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "command", [("serve",), ("backup", "copy.db"), ("keys", "list"), ("token", "--user", "a"), ("check",)]
)
def test_a_file_of_another_program_is_left_as_it_was(invoke, tmp_path, command):
    folder = stranger(tmp_path, "another program, killed")
    before = look(folder)
    result = invoke(*command, "--data", str(folder / "r.db"))
    assert result.exit_code == 1
    assert "rtlite's" in result.stderr
    assert look(folder) == before
