from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.cli import spool as module
from rtlite.cli.spool import Spool


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.close()


def drained(spool: Spool, size: int = 1000) -> list[bytes]:
    found: list[bytes] = []
    while lines := spool.take(size):
        found += lines
    return found


def test_a_few_lines_never_see_the_disk(spool: Spool) -> None:
    for line in (b"a", b"", b"ccc"):
        spool.put(line)
    assert spool.size == 7 and not spool._segments
    assert spool.take(1) == [b"a"]
    assert spool.take(100) == [b"", b"ccc"]
    assert spool.take(100) == [] and spool.size == 0


def test_many_lines_come_back_in_their_order_from_files_that_go_once_they_are_read(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SEGMENT", 100_000)
    wanted = [b"%d" % number for number in range(100_000)]
    for line in wanted:
        spool.put(line)
    assert len(spool._segments) >= 4
    assert all(os.fstat(segment.file.fileno()).st_nlink == 0 for segment in spool._segments)
    assert all(os.fstat(segment.file.fileno()).st_mode & 0o077 == 0 for segment in spool._segments)
    assert drained(spool) == wanted
    assert spool.size == 0 and not spool._segments


@given(st.lists(st.one_of(st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"")), st.none()), max_size=60))
def test_whatever_the_turns_of_putting_and_taking_nothing_changes_its_place(steps: list[bytes | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_IN_MEMORY", 200)
        patch.setattr(module, "_SEGMENT", 500)
        spool, expected, found = Spool(), [], []
        for step in steps:
            if step is None:
                found += spool.take(150)
            else:
                spool.put(step)
                expected.append(step)
        assert spool.size == sum(len(line) + 1 for line in expected[len(found) :])
        assert found + drained(spool, 150) == expected
        spool.close()


def test_a_line_larger_than_what_is_asked_for_comes_whole(spool: Spool) -> None:
    spool.put(b"x" * 200_000)
    spool.put(b"y")
    assert spool._segments
    assert spool.take(10) == [b"x" * 200_000]
    assert spool.take(10) == [b"y"]


def test_on_a_full_disk_what_waits_stays_in_memory_and_nothing_is_torn(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = deque([10, 65536, 20])
    write = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: taken.popleft()], offset)

    lines = [b"%05d" % number for number in range(25_000)]
    failures = 0
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        for line in lines[:24_000]:
            try:
                spool.put(line)
            except OSError:
                failures += 1
    assert failures > 0
    assert spool.take(5) == lines[:1]
    for line in lines[24_000:]:
        spool.put(line)
    assert drained(spool) == lines[1:]


def test_what_is_closed_holds_nothing(spool: Spool) -> None:
    spool.put(b"x" * 100_000)
    spool.close()
    assert spool.take(10) == [] and spool.size == 0
