"""Looking a database over, for ``rtlite check``: is the file whole, and does what it says of itself hold?

Plain synchronous sqlite3 on a read-only connection, in one read transaction, so that it
needs no server and can run beside one. A clean report means that every promise of the
store that can be read off the file holds.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Final

import attrs

from rtlite.store.connection import connect, connect_at_rest
from rtlite.store.schema import MIGRATIONS, store_epoch
from rtlite.store.wal import lost_commits
from rtlite.store.whose import stranger

_EPOCH: Final = re.compile(r"[a-z0-9]{8}")
_MOST_PROBLEMS: Final = 100


@attrs.frozen
class Report:
    """What was found. ``bytes`` counts the events' data. The file is good if ``problems`` is empty."""

    problems: list[str]
    channels: int = 0
    events: int = 0
    bytes: int = 0


def check(path: str) -> Report:
    """Look the file over. Whatever is wrong, even a file that is none, is a line in ``problems``."""
    if not Path(path).is_file():
        return Report([f"{path}: no such file"])
    # Without a WAL beside it nobody writes the file, and immutable leaves no WAL of its own behind.
    at_rest = not Path(f"{path}-wal").exists()
    try:
        if (why := stranger(path)) is not None:
            return Report([f"{path} {why}"])
        with closing(connect_at_rest(path) if at_rest else connect(path, reading=True)) as connection:
            connection.execute("BEGIN")
            report = _check(connection)
            return attrs.evolve(report, problems=[*_lost(path), *report.problems])
    except sqlite3.Error as error:
        return Report([f"{path}: {error}"])


def _lost(path: str) -> list[str]:
    lost = lost_commits(path)
    return [f"{path}-wal: damaged; {lost} or more commits in it cannot be read"] if lost else []


def _check(connection: sqlite3.Connection) -> Report:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != len(MIGRATIONS):
        return Report([f"schema version {version}; this rtlite knows {len(MIGRATIONS)}"])
    problems = [
        f"integrity: {line}"
        for (found,) in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall()
        for line in str(found).splitlines()
        if line != "ok"
    ]
    if not _EPOCH.fullmatch(store_epoch(connection)):
        problems.append(f"the store's epoch is malformed: {store_epoch(connection)!r}")
    channels = events = size = 0
    rows = connection.execute(
        "SELECT coalesce(c.name, 'channel ' || e.channel), e.channel, e.offset, e.sequence, e.id, length(e.data)"
        " FROM events e LEFT JOIN channels c ON c.id = e.channel ORDER BY e.channel, e.offset"
    )
    held = {channel: _Held() for (channel,) in connection.execute("SELECT id FROM channels").fetchall()}
    for (name, channel), share in groupby(rows, key=lambda row: (row[0], row[1])):
        counted = _Held()
        problems += counted.read(name, (row[2:] for row in share))
        if channel not in held:
            problems.append(f"{name}: events of a channel that is not listed")
        held[channel] = counted
        events += counted.count
        size += counted.bytes
    for channel, name, epoch, top, oldest, kept, trimmed in connection.execute(
        "SELECT id, name, epoch, top, oldest, bytes, trimmed FROM channels ORDER BY id"
    ):
        channels += 1
        problems += [f"{name}: {problem}" for problem in held[channel].compare(epoch, top, oldest, kept, trimmed)]
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} more problems"]
    return Report(problems, channels, events, size)


@attrs.define
class _Held:
    """What the events of one channel come to."""

    first: int | None = None
    last: int = 0
    first_sequence: int = 0
    count: int = 0
    bytes: int = 0

    def read(self, name: str, rows: Iterator[tuple[int, int, str, int]]) -> Iterator[str]:
        before, ids = 0, set[str]()
        for offset, sequence, event_id, size in rows:
            if self.first is None:
                self.first, self.first_sequence = offset, sequence
            elif offset != self.last + 1:
                yield f"{name}: offset {offset} follows {self.last}"
            if sequence <= before:
                yield f"{name}: offset {offset} has sequence {sequence}, not past {before}"
            if event_id in ids:
                yield f"{name}: offset {offset} has id {event_id!r} again"
            ids.add(event_id)
            before, self.last = sequence, offset
            self.count += 1
            self.bytes += size

    def compare(self, epoch: str, top: int, oldest: int, kept: int, trimmed: int) -> Iterator[str]:
        if not _EPOCH.fullmatch(epoch):
            yield f"epoch {epoch!r} is malformed"
        if self.first is None:
            if oldest != top + 1:
                yield f"holds no event, but says {oldest} to {top}"
        elif (self.first, self.last) != (oldest, top):
            yield f"holds {self.first} to {self.last}, but says {oldest} to {top}"
        if self.bytes != kept:
            yield f"holds {self.bytes} bytes, but says {kept}"
        if self.first is not None and self.first_sequence <= trimmed:
            yield f"holds sequence {self.first_sequence}, but says that all to {trimmed} were deleted"
