"""A file is opened safely, or refused in one clear line and left as it was."""

from __future__ import annotations

import os
import sys

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from rtlite.errors import StartError
from rtlite.store import connection as connection_module
from rtlite.store import opening, schema
from rtlite.store.check import check
from rtlite.store.database import open_database
from tests.store.files import WRITER, names, put, refusal, remount, start


async def test_file_locked_by_another_program_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_module, "BUSY_MS", 50)
    async with open_database(str(tmp_path / "r.db")):
        pass
    holder = start(HOLDER, tmp_path / "r.db")
    try:
        with pytest.raises(StartError, match="is locked by another program"):
            async with open_database(str(tmp_path / "r.db")):
                pytest.fail("it was opened")
    finally:
        holder.communicate(b"\n")
    async with open_database(str(tmp_path / "r.db")):
        pass


async def test_file_that_may_not_be_written_is_refused(small_disk):
    async with open_database(str(small_disk / "r.db")):
        pass
    remount(small_disk, "ro")
    try:
        assert "Read-only file system" in await refusal(small_disk / "r.db")
    finally:
        remount(small_disk, "rw")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the test above mounts read-only instead")
async def test_directory_that_only_others_may_write_is_refused(tmp_path):
    async with open_database(str(tmp_path / "r.db")):
        pass
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in await refusal(tmp_path / "r.db")
    finally:
        tmp_path.chmod(0o700)


async def test_full_disk_is_named(small_disk):
    with (small_disk / "ballast").open("wb") as ballast, pytest.raises(OSError, match="No space"):
        ballast.write(b"x" * 8_000_000)
    text = await refusal(small_disk / "r.db")

    assert "full disk" in text or "disk is full" in text or "No space left" in text


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "header"])
async def test_damaged_file_is_refused_and_never_silently_empty(tmp_path, damage):
    async with open_database(str(tmp_path / "r.db")) as database:
        for number in range(200):
            await put(database, f"{number}", "x" * 1000)
    content = bytearray((tmp_path / "r.db").read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "overwritten":
        content[4096 * 20 : 4096 * 24] = b"\xff" * 4096 * 4
    else:
        content[100:200] = bytes(100)
    (tmp_path / "r.db").write_bytes(content)
    text = await refusal(tmp_path / "r.db")

    assert "damaged" in text
    assert "restore a backup" in text
    assert check(str(tmp_path / "r.db")).problems


async def test_torn_end_of_the_log_is_normal_after_a_crash(tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(WRITER.replace("trio.run(main)", "").replace("print(", "PRINT(") + CRASH)
    crashed = await trio.run_process([sys.executable, str(script), str(tmp_path / "r.db")], check=False)
    assert crashed.returncode == 9
    wal = tmp_path / "r.db-wal"
    content = wal.read_bytes()
    assert len(content) > 10_000
    wal.write_bytes(content[:-2000])
    async with open_database(str(tmp_path / "r.db")) as database:
        found = await names(database)

    assert found == [f"{number:05}" for number in range(len(found))]
    assert 50 < len(found) < 60


async def test_commits_without_fsync_that_a_reboot_may_have_cost_give_every_channel_a_new_epoch(tmp_path, monkeypatch):
    path = str(tmp_path / "normal.db")

    async def epoch_after_a_start(boot, durability, *, orderly):
        monkeypatch.setattr(opening, "_boot_id", lambda: boot)
        if not orderly:  # the file as a killed process leaves it
            monkeypatch.setattr(schema, "end_unsynced", lambda _: None)
        async with open_database(path, durability) as database:
            epoch = await database.read(schema.store_epoch)
        monkeypatch.undo()
        return epoch

    first = await epoch_after_a_start("boot-1", "normal", orderly=True)
    assert await epoch_after_a_start("boot-2", "normal", orderly=False) == first, "the last end was an orderly one"
    assert await epoch_after_a_start("boot-2", "normal", orderly=False) == first, "killed, but not rebooted"
    second = await epoch_after_a_start("boot-3", "full", orderly=True)
    assert second != first, "rebooted after commits without fsync"
    assert await epoch_after_a_start("boot-4", "full", orderly=True) == second


async def test_migration_is_told_once_and_a_new_file_is_none(tmp_path, monkeypatch):
    path = str(tmp_path / "r.db")
    newest = len(schema.MIGRATIONS)
    with capture_logs() as told:
        with monkeypatch.context() as patched:
            patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:4])
            async with open_database(path):
                pass
        for _ in range(2):
            async with open_database(path):
                pass

    lines = [line for line in told if line["log_level"] != "debug"]
    assert [(line["path"], line["schema"]) for line in lines] == [(path, f"4 to {newest}")]
    assert "backup" in lines[0]["event"]


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


CRASH = """
import os
seen = []
def PRINT(text):
    seen.append(text)
    if len(seen) == 60:
        os._exit(9)
trio.run(main)
"""
