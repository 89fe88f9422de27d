"""``kill -9`` while jobs end: each has ended and its user is told, or neither."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio

from tests.faults.world import FaultyServer
from tests.servers import ServerProcess
from tests.transports.doors import Peer, head

WORKERS = 8


class Foreman:
    """Has jobs made and ended by several workers, until the server dies; notes what was acknowledged."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.ended: set[str] = set()
        self._made = 0
        self._begun = trio.Event()

    async def work_until_killed(self, moment: float) -> None:
        """:param moment: seconds from the first job to the kill."""
        self._begun = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(self._work)
            await self._begun.wait()
            await trio.sleep(moment)
            await self._server.kill()
        # The workers have met the end of their connections by now.

    async def _work(self) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self._server.port) as stream:
            peer = Peer(stream)
            with suppress(EOFError, trio.BrokenResourceError):  # killed
                while True:
                    self._made += 1
                    id = f"job-{self._made}"
                    await self._ask(peer, "POST /jobs", 201, {"type": "import", "userId": "ann", "id": id})
                    self._begun.set()
                    await self._ask(peer, f"PATCH /jobs/{id}", 200, {"status": "completed"})
                    self.ended.add(id)

    async def _ask(self, peer: Peer, start: str, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        key = str(self._server.admin_key)
        await peer.send(head(start, X_Api_Key=key, Content_Length=str(len(content))) + content)
        assert (await peer.answer()).status == status


def found(path: Path) -> dict[str, set[str]]:
    """The jobs that are said to have ended, by each of the four places that say so."""
    with closing(sqlite3.connect(path)) as connection:

        def ask(query: str) -> list[str]:
            return [row[0] for row in connection.execute(query).fetchall()]

        told = [json.loads(text) for text in ask("SELECT data FROM events WHERE name = 'notification.new'")]
        done = [json.loads(text) for text in ask("SELECT data FROM events WHERE name = 'job.completed'")]
        answers = {
            "jobs": ask("SELECT id FROM jobs WHERE status = 'completed'"),
            "events of jobs": [data["id"] for data in done],
            "notifications": [url.removeprefix("/jobs/") for url in ask("SELECT action_url FROM notifications")],
            "events of inboxes": [data["actionUrl"].removeprefix("/jobs/") for data in told],
        }
    for place, ids in answers.items():
        assert len(set(ids)) == len(ids), f"twice in {place}"
    return {place: set(ids) for place, ids in answers.items()}


async def ended_under_kills(
    path: Path, kills: int, seed: int, altered: str = ""
) -> tuple[set[str], dict[str, set[str]]]:
    """What was acknowledged, and what was found when the server was killed so many times."""
    chance = random.Random(seed)
    kept = "inbox_size = 1000000\n[channels.notifications]\nretention_count = 1000000\n"
    async with FaultyServer(path, settings=kept, altered=altered) as server:
        foreman = Foreman(server)
        for number in range(kills):
            if number:
                await server.start()
            await foreman.work_until_killed(chance.uniform(0.2, 0.5))
        await server.start()  # what the log holds is put into the file
        assert await server.terminate() == 0
    print(f"{kills} kills, {len(foreman.ended)} jobs that were acknowledged to have ended")
    return foreman.ended, found(path)


async def test_kill_between_a_jobs_end_and_its_notification_leaves_both_or_none(tmp_path: Path) -> None:
    acknowledged, answers = await ended_under_kills(tmp_path / "jobs.db", 2, 6)
    assert len(acknowledged) > 10
    everywhere = answers["jobs"]
    assert all(ids == everywhere for ids in answers.values()), {name: len(ids) for name, ids in answers.items()}
    assert acknowledged <= everywhere


async def test_telling_the_user_a_second_later_is_seen_after_one_kill(tmp_path: Path) -> None:
    _, answers = await ended_under_kills(tmp_path / "jobs.db", 1, 6, altered="apart")
    assert answers["jobs"] == answers["events of jobs"]
    assert answers["jobs"] > answers["notifications"] == answers["events of inboxes"]


@pytest.mark.full
async def test_hundred_kills_leave_no_job_without_its_notification(tmp_path: Path) -> None:
    acknowledged, answers = await ended_under_kills(tmp_path / "jobs.db", 100, 7)
    everywhere = answers["jobs"]
    assert all(ids == everywhere for ids in answers.values()), {name: len(ids) for name, ids in answers.items()}
    assert acknowledged <= everywhere
