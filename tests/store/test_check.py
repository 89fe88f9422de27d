"""``check`` passes a good file, beside a server too, and names what is wrong with a bad one."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rtlite.hub.sweeper import Sweeper
from rtlite.metrics import Metrics
from rtlite.settings import KindSettings, Settings
from rtlite.store.check import check
from rtlite.store.policies import Policies
from tests.hub.readers import new, running_hub
from tests.store.files import STRANGERS, look, stranger


@pytest.fixture
async def path(tmp_path):
    """A file with two channels, one of which retention has cut."""
    async with running_hub(tmp_path / "r.db") as hub:
        await hub.publish_all([new(name, data=b"12345") for name in ["news:a", "news:b", "news:a", "news:a"] * 3])
        settings = Settings(channels={"news": KindSettings(retention_count=5)})
        assert await Sweeper(hub.database, hub.fanout, Policies(settings), Metrics()).sweep() == 4
    return str(tmp_path / "r.db")


async def test_good_file_has_no_problems_and_is_counted(path):
    report = check(path)

    assert report.problems == []
    assert (report.channels, report.events, report.bytes) == (2, 8, 40)


async def test_file_of_a_running_server_can_be_checked_between_its_writes(path):
    async with running_hub(path) as hub:
        for number in range(20):
            await hub.publish(new())
            report = check(path)
            assert report.problems == []
            assert report.events == 9 + number


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM events WHERE channel = 1 AND offset = 7", "news:a: offset 8 follows 6"),
        ("DELETE FROM events WHERE channel = 1 AND offset = 9", "news:a: holds 5 to 8, but says 5 to 9"),
        ("UPDATE channels SET oldest = 2 WHERE id = 1", "news:a: holds 5 to 9, but says 2 to 9"),
        ("UPDATE channels SET bytes = 1 WHERE id = 1", "news:a: holds 25 bytes, but says 1"),
        ("UPDATE channels SET epoch = 'Nonsense!' WHERE id = 2", "news:b: epoch 'Nonsense!' is malformed"),
        ("UPDATE channels SET trimmed = 99 WHERE id = 1", "news:a: holds sequence 7, but says that all to 99 were"),
        ("UPDATE meta SET value = '' WHERE name = 'epoch'", "the store's epoch is malformed"),
        ("UPDATE events SET sequence = 999 WHERE channel = 1 AND offset = 6", "news:a: offset 7 has sequence"),
        ("DELETE FROM channels WHERE id = 2", "channel 2: events of a channel that is not listed"),
        ("DELETE FROM events WHERE channel = 2", "news:b: holds no event, but says 1 to 3"),
        ("DROP INDEX events_by_id; UPDATE events SET id = 'x' WHERE channel = 1", "news:a: offset 6 has id 'x' again"),
        ("PRAGMA user_version = 9", "made by a newer rtlite (schema 9;"),
        ("PRAGMA application_id = 9", "not one of rtlite's"),
        ("DROP TABLE meta", "no such table: meta"),
    ],
)
async def test_each_broken_promise_is_named(path, damage, problem):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(damage)

    assert any(problem in line for line in check(path).problems), check(path).problems


async def test_flipped_bytes_are_found(path, tmp_path):
    content = bytearray((tmp_path / "r.db").read_bytes())
    at = content.index(b"12345")
    page = at // 4096 * 4096
    content[page : page + 20] = b"\xff" * 20
    (tmp_path / "r.db").write_bytes(content)

    assert check(path).problems


def test_file_that_is_none_or_not_there_is_one_problem(tmp_path):
    (tmp_path / "diary").write_text("Dear diary, " * 100)

    assert len(check(str(tmp_path / "diary")).problems) == 1
    assert check(str(tmp_path / "no")).problems == [f"{tmp_path}/no: no such file"]
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("whose", STRANGERS)
def test_file_that_is_not_ours_is_left_as_it_was_with_its_folder(tmp_path, whose):
    folder = stranger(tmp_path, whose)
    before = look(folder)

    assert len(check(str(folder / "r.db")).problems) == 1
    assert look(folder) == before


async def test_file_with_much_damage_gives_a_list_of_bearable_length(path):
    async with running_hub(path) as hub:
        await hub.publish_all([new(f"more:{number}") for number in range(200)])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE channels SET bytes = 77777")
    problems = check(path).problems

    assert len(problems) == 101
    assert problems[-1] == "and 102 more problems"
