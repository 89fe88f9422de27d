"""The books of the webhooks: few transactions, and none lost."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import trio
from trio.abc import Clock

from rtlite.domain.ledger import Ledger
from rtlite.errors import StorageFailed
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store import schema
from rtlite.store import webhooks as tables
from rtlite.store.webhooks import Attempt, Webhook
from tests.domain.hooked import Instant

HOOK = Webhook("wh_1", "https://example.com/", ("a:*",), "", "whsec_x", 0, 0)


class Counting(Instant):
    async def write(self, work, *, vital=False):
        result = await super().write(work, vital=vital)
        self.writes += 1
        return result


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Ledger, Counting]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        tables.insert(connection, tables.row_of(HOOK))
        database = Counting(connection)
        ledger = Ledger(database, Settings(), Metrics())  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ledger.run)
            yield ledger, database
            nursery.cancel_scope.cancel()


def attempt(number: int) -> Attempt:
    return Attempt("wh_1", f"msg_{number}", "e", "a:b", 1, number, 1, 200, None)


async def test_a_thousand_deliveries_a_second_cost_a_handful_of_transactions(autojump_clock: Clock) -> None:
    async with opened() as (ledger, database):
        for number in range(1000):
            ledger.note(attempt(number))
            ledger.touch(HOOK)
            await trio.sleep(0.001)
        await trio.sleep(1)
        assert len(tables.attempts(database.connection, "wh_1", 2**53, 2000)) == 1000
        assert database.writes <= 7


async def test_what_could_not_be_stored_is_stored_later_in_its_order(autojump_clock: Clock) -> None:
    async with opened() as (ledger, database):
        database.refusal = StorageFailed("no disk")
        ledger.note(attempt(1))
        ledger.enqueue("wh_1", b"one")
        await trio.sleep(1)
        ledger.note(attempt(2))
        ledger.enqueue("wh_1", b"two")
        with pytest.raises(StorageFailed):
            await ledger.flush()
        database.refusal = None
        await trio.sleep(6)
        found = tables.attempts(database.connection, "wh_1", 2**53, 10)
        assert [item.message for _, item in found] == ["msg_2", "msg_1"]
        assert [body for _, body in tables.read_queue(database.connection, "wh_1", 0, 10)] == [b"one", b"two"]


async def test_after_someone_else_stored_all_the_next_is_stored_in_time_as_well(autojump_clock: Clock) -> None:
    async with opened() as (ledger, database):
        await trio.sleep(1)
        await ledger.flush()
        ledger.note(attempt(1))
        await trio.sleep(1)
        assert len(tables.attempts(database.connection, "wh_1", 2**53, 10)) == 1


async def test_a_courier_hears_of_what_waits_once_it_is_stored(autojump_clock: Clock) -> None:
    async with opened() as (ledger, database):
        heard: list[int] = []
        ledger.bells["wh_1"] = lambda: heard.append(tables.waiting(database.connection, "wh_1")[0])
        ledger.enqueue("wh_1", b"one")
        ledger.enqueue("wh_2", b"of one that was deleted")
        await trio.sleep(1)
        assert heard == [1]
        assert tables.waiting(database.connection, "wh_2") == (0, 0)
