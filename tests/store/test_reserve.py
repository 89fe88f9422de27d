from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtlite.store.database import open_database
from rtlite.store.reserve import Reserve

SIZE = 65536


def reserve(path: Path) -> Path:
    return path.with_name(f"{path.name}.reserve")


def test_room_is_taken_up_and_given_up_once(tmp_path: Path) -> None:
    held = Reserve(str(tmp_path / "r.db"), SIZE)
    assert held.hold() and not held.hold()
    found = reserve(tmp_path / "r.db").stat()
    assert (found.st_size, found.st_mode & 0o777) == (SIZE, 0o600)
    assert found.st_blocks * 512 >= SIZE, "it is no hole"
    assert not held.used

    held.release()

    assert held.used and not held.held
    assert not reserve(tmp_path / "r.db").exists()
    assert held.hold() and not held.used


def test_what_the_last_run_held_is_held_still(tmp_path: Path) -> None:
    Reserve(str(tmp_path / "r.db"), SIZE).hold()
    again = Reserve(str(tmp_path / "r.db"), SIZE)
    assert again.hold() and again.held


def test_half_of_the_room_is_left_to_everyone_else(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    greedy = Reserve(str(tmp_path / "r.db"), free.f_bavail * free.f_frsize)
    assert not greedy.hold() and not greedy.held
    greedy.release()
    assert not greedy.used
    assert not reserve(tmp_path / "r.db").exists()


@pytest.mark.parametrize(("path", "size"), [(":memory:", SIZE), ("r.db", 0)])
def test_without_a_file_or_a_size_there_is_none(
    path: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    none = Reserve(path, size)
    assert not none.hold()
    none.release()
    assert not none.used and list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = Reserve(str(tmp_path / "nowhere" / "r.db"), SIZE)
    assert not nowhere.hold() and not nowhere.held
    assert "reserve" in capsys.readouterr().out


async def test_a_database_holds_it_while_it_is_open_and_after(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with open_database(str(path), reserve=SIZE):
        assert reserve(path).stat().st_size == SIZE
    assert reserve(path).stat().st_size == SIZE
