"""A damaged log is never taken for a short one, and no log for that of another file."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rtlite.errors import StartError
from rtlite.store import backup
from rtlite.store.check import check
from rtlite.store.database import Database, open_database
from rtlite.store.wal import lost_commits

HEADER, FRAME = 32, 24 + 4096
COMMITS = 40
CRASHING = """
import os, sys, trio
from rtlite.store.database import open_database

async def main():
    async with open_database(sys.argv[1], sys.argv[2]) as database:
        for number in range(int(sys.argv[3])):
            await database.write(lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES (?, 'x')", (f"n{number:03}",)))
        os.kill(os.getpid(), 9)

trio.run(main)
"""


def crash(path: Path, durability: str = "full", commits: int = COMMITS) -> Path:
    """A database whose writer was killed after so many commits; returns its log."""
    done = subprocess.run([sys.executable, "-c", CRASHING, str(path), durability, str(commits)], check=False)
    assert done.returncode == -signal.SIGKILL
    wal = path.with_name(f"{path.name}-wal")
    assert wal.stat().st_size >= HEADER + commits * FRAME
    return wal


async def names(database: Database) -> list[str]:
    return await database.read(
        lambda c: [name for (name,) in c.execute("SELECT name FROM meta WHERE name GLOB 'n[0-9]*' ORDER BY name")]
    )


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def everything(count: int) -> list[str]:
    return [f"n{number:03}" for number in range(count)]


async def test_a_log_as_a_crash_left_it_is_read_whole(tmp_path: Path) -> None:
    crash(tmp_path / "r.db")
    assert lost_commits(str(tmp_path / "r.db")) == 0
    async with open_database(str(tmp_path / "r.db")) as database:
        assert await names(database) == everything(COMMITS)


@pytest.mark.parametrize("place", ["a page", "a frame's header", "a frame's checksum", "the log's header", "its salt"])
async def test_one_flipped_bit_in_the_log_stops_the_start_and_says_what_to_do(place: str, tmp_path: Path) -> None:
    wal = crash(tmp_path / "r.db")
    frame = HEADER + 10 * FRAME
    flip(
        wal,
        {
            "a page": frame + 2_000,
            "a frame's header": frame + 3,
            "a frame's checksum": frame + 20,
            "the log's header": 9,
            "its salt": 17,
        }[place],
    )
    damaged = wal.read_bytes()
    for _ in range(2):  # the refusal itself repairs nothing and loses nothing
        with pytest.raises(StartError, match=r"wal is damaged, .* restore a backup") as refused:
            async with open_database(str(tmp_path / "r.db")):
                pass
        assert "\n" not in str(refused.value)
        assert wal.read_bytes() == damaged
    assert any("-wal: damaged" in problem for problem in check(str(tmp_path / "r.db")).problems)


@pytest.mark.parametrize("cut", [1, 100, 4_000, FRAME])
async def test_a_torn_end_of_the_log_costs_what_was_never_acknowledged_at_most(cut: int, tmp_path: Path) -> None:
    wal = crash(tmp_path / "r.db")
    wal.write_bytes(wal.read_bytes()[:-cut])
    async with open_database(str(tmp_path / "r.db")) as database:
        assert await names(database) == everything(COMMITS - 1)


async def test_what_a_crash_tore_off_is_gone_by_the_next_start_and_cannot_be_taken_for_damage_later(
    tmp_path: Path,
) -> None:
    wal = crash(tmp_path / "r.db")
    flip(wal, wal.stat().st_size - FRAME + 2_000)
    crash(tmp_path / "r.db", commits=0)
    assert wal.stat().st_size < HEADER + 10 * FRAME
    async with open_database(str(tmp_path / "r.db")) as database:
        assert await names(database) == everything(COMMITS - 1)


async def test_an_empty_log_or_one_whose_first_sync_never_came_is_no_damage(tmp_path: Path) -> None:
    for content in (b"", bytes(100), bytes(HEADER + FRAME)):
        async with open_database(str(tmp_path / "r.db")):
            pass
        (tmp_path / "r.db-wal").write_bytes(content)
        assert lost_commits(str(tmp_path / "r.db")) == 0
        async with open_database(str(tmp_path / "r.db")):
            pass


async def test_without_fsync_a_crash_may_tear_off_many_commits_and_that_is_no_damage(tmp_path: Path) -> None:
    wal = crash(tmp_path / "r.db", "normal")
    flip(wal, HEADER + 30 * FRAME + 2_000)
    async with open_database(str(tmp_path / "r.db"), "normal") as database:
        found = await names(database)
    assert found == everything(len(found)) and 10 < len(found) < COMMITS


async def test_a_backup_can_take_the_place_of_a_file_whose_log_is_still_there(tmp_path: Path) -> None:
    path, copy = tmp_path / "r.db", tmp_path / "copy.db"
    crash(path)
    async with open_database(str(path)) as database:
        await backup.write(database, copy)
        before = await names(database)
    crash(path, commits=200)
    log = (tmp_path / "r.db-wal").read_bytes()

    shutil.copy(copy, path)

    for _ in range(2):
        async with open_database(str(path)) as database:
            assert await names(database) == before
    assert (tmp_path / "r.db-wal.old").read_bytes() == log
    assert check(str(path)).problems == []


async def test_the_log_of_a_restored_backup_is_its_own_from_the_first_start_on(tmp_path: Path) -> None:
    path, copy = tmp_path / "r.db", tmp_path / "copy.db"
    async with open_database(str(path)) as database:
        await backup.write(database, copy)
    crash(copy)
    async with open_database(str(copy)) as database:
        assert await names(database) == everything(COMMITS)
    assert not (tmp_path / "copy.db-wal.old").exists()
