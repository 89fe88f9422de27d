"""``kill -9`` between any two changes of records: no record is without its event, and no event without its record.

The events of a model, one after the other, say what its records must be; the tables are held against that:
the records, their versions, and the values that are indexed.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trio

from rtlite.store import models, records
from rtlite.store.check import check
from rtlite.store.filters import index_key, look_up
from tests.faults.world import FaultyServer
from tests.servers import ServerProcess

WRITERS = 8
KEPT = "[channels.changes]\nretention_count = 1000000\nretention_bytes = '1GiB'\n"

Change = tuple[str, str, int]


class Scribe:
    """Has records changed at random by several writers, until the server dies; notes what was acknowledged."""

    def __init__(self, server: ServerProcess, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self.acknowledged: Counter[Change] = Counter()

    async def write_until_killed(self, changes: int) -> None:
        """:param changes: acknowledged ones, before the kill."""
        reached = self.acknowledged.total() + changes
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS):
                nursery.start_soon(self._write)
            with trio.fail_after(60):
                while self.acknowledged.total() < reached:  # noqa: ASYNC110
                    await trio.sleep(0.002)
            await trio.sleep(self._chance.random() * 0.01)
            await self._server.kill()

    async def _write(self) -> None:
        client = await self._server.operator()
        try:
            while True:
                await self._change(client)
        except httpx.TransportError:  # killed
            pass

    async def _change(self, client: httpx.AsyncClient) -> None:
        id = f"rec-{self._chance.randrange(30)}"
        path = f"/records/product/{id}"
        data = {"price": self._chance.randrange(5), "text": "x" * self._chance.randrange(2000)}
        kind = self._chance.choices(["CREATED", "UPDATED", "PUBLISHED", "UNPUBLISHED", "DELETED"], [3, 6, 3, 1, 1])[0]
        match kind:
            case "CREATED":
                answer = await client.post("/records/product", json={"id": id, "data": data})
            case "UPDATED":
                method = self._chance.choice(["PATCH", "PUT"])
                answer = await client.request(method, path, json={"data": data})
            case "DELETED":
                answer = await client.delete(path)
            case _:
                answer = await client.post(path + ("/publish" if kind == "PUBLISHED" else "/unpublish"))
        assert answer.status_code in {200, 201, 204, 404, 409}, answer.text
        if answer.is_success:
            self.acknowledged[kind, id, answer.json()["version"] if answer.content else 0] += 1


def told(connection: sqlite3.Connection) -> list[tuple[str, dict[str, Any]]]:
    rows = connection.execute(
        "SELECT e.name, e.data FROM events e JOIN channels c ON c.id = e.channel"
        " WHERE c.name = 'changes:product' ORDER BY e.offset"
    )
    return [(name, orjson.loads(data)["record"]) for name, data in rows]


def problems(path: Path, acknowledged: Counter[Change]) -> list[str]:
    """Wherever the events, the tables and what was acknowledged do not agree."""
    found: list[str] = []
    with closing(sqlite3.connect(path)) as connection:
        events = told(connection)
        now: dict[str, dict[str, Any]] = {}
        versions: dict[str, dict[int, Any]] = {}
        for name, record in events:
            id, before = record["id"], now.get(record["id"])
            expected = 1 if before is None else before["version"] + (name == "UPDATED")
            if (name == "CREATED") != (before is None) or record["version"] != expected:
                found.append(f"{name} of {id}, version {record['version']}, comes after {before}")
            if name == "DELETED":
                now.pop(id, None)
                versions.pop(id, None)
            else:
                now[id] = record
                versions.setdefault(id, {})[record["version"]] = record["data"]
        model = models.find(connection, "product")
        assert model is not None
        rows = connection.execute(f"SELECT {records.DRAFT_COLUMNS} FROM {records.DRAFT}").fetchall()
        stored = [records.record_of("product", row) for row in rows]
        kept = {record.id: orjson.loads(orjson.dumps(record.as_json())) for record in stored}
        found += [
            f"{id} is {kept.get(id)}, told was {now.get(id)}" for id in {*kept, *now} if kept.get(id) != now.get(id)
        ]
        indexed: set[tuple[Any, ...]] = set()
        for record in stored:
            for version in records.list_versions(connection, record, 10**9, 1000, 10**9)[0]:
                if versions.get(record.id, {}).get(version.version) != orjson.loads(version.data):
                    found.append(f"version {version.version} of {record.id} was not told")
            live = records.version_data(connection, record.number, record.published_version)
            for published, data in ((0, record.data), (1, live)):
                if data is not None:
                    indexed.add((published, *index_key(look_up(orjson.loads(data), ("price",))), record.number))
        values = connection.execute("SELECT published, kind, value, number FROM record_fields").fetchall()
        if len(values) != len(indexed) or set(values) != indexed:
            found.append(f"indexed is {sorted(values)}, and not {sorted(indexed)}")
    made = Counter((name, record["id"], 0 if name == "DELETED" else record["version"]) for name, record in events)
    for change, count in acknowledged.items():
        # To publish what is published is acknowledged as well, and happens once; to unpublish, so too.
        if change[0] != "UNPUBLISHED" and made[change] < (min(count, 1) if change[0] == "PUBLISHED" else count):
            found.append(f"{change} was acknowledged {count} times, and told {made[change]} times")
    return found


async def changed_under_kills(path: Path, kills: int, changes: int, seed: int, altered: str = "") -> list[str]:
    """What does not agree when the server was killed so many times, each after so many changes."""
    chance = random.Random(seed)
    async with FaultyServer(path, settings=KEPT, altered=altered) as server:
        scribe = Scribe(server, chance)
        await (await server.operator()).put("/models/product", json={"indexes": ["price"]})
        for number in range(kills):
            if number:
                await server.start()
            await scribe.write_until_killed(changes)
        await server.start()  # what the log holds is put into the file
        assert await server.terminate() == 0
    assert check(str(path)).problems == []
    kinds = Counter(kind for kind, *_ in scribe.acknowledged.elements())
    print(f"{kills} kills, {scribe.acknowledged.total()} acknowledged changes: {dict(kinds)}")
    return problems(path, scribe.acknowledged)


async def test_kill_between_two_changes_leaves_no_record_without_its_event_and_no_event_without_its_record(
    tmp_path: Path,
) -> None:
    assert await changed_under_kills(tmp_path / "records.db", kills=3, changes=60, seed=6) == []


async def test_telling_of_a_change_in_a_transaction_of_its_own_is_seen_after_one_kill(tmp_path: Path) -> None:
    found = await changed_under_kills(tmp_path / "records.db", kills=1, changes=30, seed=6, altered="adrift")
    assert any("told was" in problem or "comes after" in problem for problem in found)


@pytest.mark.full
async def test_20_kills_among_2000_changes_leave_every_record_with_its_events(tmp_path: Path) -> None:
    assert await changed_under_kills(tmp_path / "records.db", kills=20, changes=100, seed=20) == []
