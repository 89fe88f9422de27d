"""The books of all webhooks: one short transaction now and then, however many deliveries there are.

A delivery must not cost publishers a commit. So what a webhook's endpoint took is noted here
and stored with all else a moment later: what a killed process had not stored is delivered once more.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from rtlite.errors import Refused
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.store import webhooks as tables
from rtlite.store.database import Database
from rtlite.store.webhooks import Attempt, Webhook

log = get_logger(__name__)

SAVE_SECONDS: Final = 0.2
_TRY_AGAIN_SECONDS: Final = 5.0
_MOST_ATTEMPTS: Final = 10_000  # that wait to be stored while the storage fails


@attrs.define
class _Pending:
    """What one transaction stores."""

    changed: dict[str, Webhook] = attrs.field(factory=dict)
    attempts: deque[Attempt] = attrs.field(factory=lambda: deque(maxlen=_MOST_ATTEMPTS))
    incoming: list[tuple[str, bytes]] = attrs.field(factory=list)
    taken: list[int] = attrs.field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.changed or self.attempts or self.incoming or self.taken)

    def put_before(self, later: _Pending) -> None:
        """What could not be stored comes first the next time."""
        self.changed |= later.changed
        self.attempts += later.attempts
        self.incoming += later.incoming
        self.taken += later.taken


class Ledger:
    """``webhooks`` are all there are, by id; ``bells`` tell a webhook's courier that something waits for it."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._pending = _Pending()
        self._some = trio.Event()
        self._flushing = trio.Lock()
        self.webhooks: dict[str, Webhook] = {}
        self.bells: dict[str, Callable[[], None]] = {}

    def touch(self, webhook: Webhook) -> None:
        """It stands otherwise than stored."""
        self._pending.changed[webhook.id] = webhook
        self._some.set()

    def note(self, attempt: Attempt) -> None:
        self._pending.attempts.append(attempt)
        self._some.set()

    def enqueue(self, webhook: str, body: bytes) -> None:
        """Let ``body`` wait for a webhook. Its bell rings once it is stored."""
        self._pending.incoming.append((webhook, body))
        self._some.set()

    def dequeue(self, number: int) -> None:
        """The endpoint took what waited under this number."""
        self._pending.taken.append(number)
        self._some.set()

    def count(self) -> None:
        """Say in the metrics how many there are in each state."""
        states = dict.fromkeys(("delivering", "failing", "disabled"), 0)
        for webhook in self.webhooks.values():
            states["disabled" if webhook.disabled else "failing" if webhook.attempts else "delivering"] += 1
        for state, number in states.items():
            self._metrics.webhooks.labels(state).set(number)

    async def run(self) -> None:
        """Store what is noted until cancelled."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            try:
                await self.flush()
            except Refused as error:  # a full disk: tried again, and meanwhile held within its bounds
                log.warning("the webhooks' books could not be stored", code=error.code)
                await trio.sleep(_TRY_AGAIN_SECONDS)
            except Exception:
                log.exception("the webhooks' books could not be stored")
                await trio.sleep(_TRY_AGAIN_SECONDS)
            await trio.sleep(SAVE_SECONDS)

    async def flush(self) -> None:
        """Store what was noted so far. :raises StorageFull, StorageFailed: it waits for the next time."""
        self.count()
        async with self._flushing:
            pending, self._pending = self._pending, _Pending()
            rows = [tables.row_of(webhook) for webhook in pending.changed.values()]
            try:
                if pending:
                    await self._database.write(lambda connection: self._store(connection, pending, rows))
            except BaseException:
                pending.put_before(self._pending)
                self._pending = pending
                self._some.set()
                raise
        for webhook in {webhook for webhook, _ in pending.incoming} & self.bells.keys():
            self.bells[webhook]()

    def _store(self, connection: sqlite3.Connection, pending: _Pending, rows: list[tuple[Any, ...]]) -> None:
        known = tables.ids(connection)  # one may have been deleted meanwhile
        tables.update(connection, rows)
        tables.log(connection, [item for item in pending.attempts if item.webhook in known], self._settings.webhook_log)
        tables.enqueue(connection, [item for item in pending.incoming if item[0] in known])
        tables.dequeue(connection, pending.taken)
