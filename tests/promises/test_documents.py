"""Documents under random edits, random disconnects and ``kill -9``: all converge, and nothing that was seen is lost."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pycrdt
import pytest
import trio
import trio_websocket

from rtlite.domain.replica import Replica, squashed
from rtlite.store import documents, schema
from rtlite.store.documents import Log
from tests.editors import Editor
from tests.servers import ServerProcess

KEY = "rtk_dev"
ROOM = "r"


class Writer(Editor):
    """Adds words to a list, and takes some away. It notes what of others has reached it."""

    def __init__(self, number: int, dice: random.Random) -> None:
        super().__init__()
        self.number = number
        self.dice = dice
        self.words: pycrdt.Array[Any] = self.doc.get("a", type=pycrdt.Array)
        self.seen: set[str] = set()
        self.removed: set[str] = set()
        self._count = 0
        self._watching = self.words.observe(self._watch)

    def _watch(self, event: Any) -> None:
        if not self._listening:  # it came from the server
            self.seen.update(word for part in event.delta for word in part.get("insert", ()))

    async def edit(self) -> None:
        if len(self.words) > 5 and self.dice.random() < 0.2:
            index = self.dice.randrange(len(self.words))
            self.removed.add(self.words[index])
            del self.words[index]
        else:
            self._count += 1
            self.words.insert(self.dice.randint(0, len(self.words)), f"{self.number}.{self._count}")
        await self._send()

    async def live(self, server: ServerProcess, pause: float, over: trio.Event) -> None:
        """Connect, stay a while, edit all the time, come back; until it is over, and then until the end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.write, pause, over)
            while True:
                patience = float("inf") if over.is_set() else self.dice.uniform(0.3, 3)
                try:
                    with trio.move_on_after(patience):
                        async with server.websocket(f"/collab/{ROOM}", KEY) as socket:
                            await self.talk(socket)
                except (OSError, trio_websocket.HandshakeError, trio_websocket.ConnectionClosed, trio.TooSlowError):
                    pass
                await trio.sleep(self.dice.uniform(0.02, 0.2))

    async def write(self, pause: float, over: trio.Event) -> None:
        while True:
            await trio.sleep(self.dice.uniform(0, 2 * pause))
            if over.is_set():
                return
            # Cut off in the middle, the edit stays, and goes with the next connection.
            with suppress(trio_websocket.ConnectionClosed, trio.BrokenResourceError):
                await self.edit()


def words_on_disk(path: Path, copy: Path) -> set[str]:
    """What the file holds after a kill, read from a copy of it and of its log."""
    copy.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        if part.suffix not in {".lock", ".sock", ".log"}:
            shutil.copy(part, copy)
    with closing(sqlite3.connect(copy / path.name)) as connection:
        replica = Replica.load(documents.load(connection, ROOM)[1])
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(replica.diff())
    return set(doc.get("a", type=pycrdt.Array).to_py() or [])


async def run(tmp_path: Path, count: int, seconds: float, between: float, pause: float) -> tuple[int, int]:
    """Returns how many kills there were, and how many words."""
    dice = random.Random(7)
    writers = [Writer(number, random.Random(dice.random())) for number in range(count)]
    over = trio.Event()
    kills = 0
    path = tmp_path / "documents.db"
    async with ServerProcess(path, dev=True, collab_log="20KiB") as server, trio.open_nursery() as nursery:
        for writer in writers:
            nursery.start_soon(writer.live, server, pause, over)
        deadline = trio.current_time() + seconds
        while trio.current_time() < deadline or kills < 2:
            await trio.sleep(dice.uniform(0.5, 1.5) * between)
            await server.kill()
            kills += 1
            seen = {word for writer in writers for word in writer.seen if int(word.partition(".")[0]) != writer.number}
            removed = {word for writer in writers for word in writer.removed}
            kept = words_on_disk(path, tmp_path / f"copy{kills}")
            assert seen - removed <= kept, "what others had seen is gone"
            await server.start()
        over.set()
        with trio.fail_after(60):
            while True:
                there = all(writer.socket is not None and writer.synced.is_set() for writer in writers)
                if there and len({str(writer.words.to_py()) for writer in writers}) == 1:
                    break
                await trio.sleep(0.1)
        everything = {f"{writer.number}.{number}" for writer in writers for number in range(1, writer._count + 1)}
        removed = {word for writer in writers for word in writer.removed}
        words = writers[0].words.to_py()
        assert set(words) == everything - removed and len(set(words)) == len(words)
        late = Editor()
        async with late.connected(server, ROOM, KEY):
            assert late.doc.get("a", type=pycrdt.Array).to_py() == words
        nursery.cancel_scope.cancel()
        assert await server.terminate() == 0
    return kills, len(everything)


async def test_editors_converge_through_kills_and_nothing_that_one_saw_of_another_is_lost(tmp_path: Path) -> None:
    kills, words = await run(tmp_path, count=50, seconds=4, between=1.3, pause=1.0)
    assert kills >= 2 and words > 100


@pytest.mark.full
async def test_a_minute_of_that(tmp_path: Path) -> None:
    kills, words = await run(tmp_path, count=50, seconds=60, between=4, pause=1.0)
    print(f"{kills} kills, {words} words of 50 editors")
    assert kills >= 8 and words > 1000


def history(count: int) -> list[bytes]:
    """So many edits of a hundred texts, each at a random place."""
    dice = random.Random(3)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    texts = [doc.get(f"t{number}", type=pycrdt.Text) for number in range(100)]
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    for number in range(count):
        texts[number % 100].insert(dice.randint(0, number // 100), "x")
    doc.unobserve(subscription)
    return updates


@pytest.mark.full
async def test_who_joins_a_document_of_100_000_edits_is_in_sync_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "long.db"
    updates = history(100_000)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection)
        connection.execute("BEGIN")
        for start in range(0, len(updates), 1000):
            documents.append(connection, ROOM, start, Log(updates[start : start + 1000]), 1)
        connection.execute("COMMIT")
    async with ServerProcess(path, dev=True) as server:
        for name in ("the first, which the document is read for", "the second", "the third"):
            late = Editor()
            begun = time.perf_counter()
            async with late.connected(server, ROOM, KEY):
                taken = time.perf_counter() - begun
            assert sum(len(late.doc.get(f"t{number}", type=pycrdt.Text)) for number in range(100)) == 100_000
            print(f"{name}: in sync after {taken:.2f} s")
            assert taken <= 1.0


def test_a_document_is_squashed_to_little_more_than_what_it_says() -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    text = doc.get("t", type=pycrdt.Text)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    for _ in range(300):
        text.insert(0, "x" * 100)
        del text[50:]
    doc.unobserve(subscription)
    (whole,) = squashed(Log(updates)).updates
    assert len(whole) < 10_000 < sum(map(len, updates)) / 3
