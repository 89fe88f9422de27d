"""Delivers to one webhook: in order, one event at a time, each until the endpoint took it.

Events that the history keeps are read from there, from the webhook's cursor on. Those of channels that
keep none come from a queue of the webhook's own, which is filled as they pass. Publishing waits for neither:
the hub only rings a bell, or hands over a body. An endpoint that hangs has a task of its own to hang in.
"""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import orjson
import trio

from rtlite.domain.ledger import Ledger
from rtlite.errors import Reason, Refused
from rtlite.hub.hub import Hub
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Event, now_ms, rfc3339
from rtlite.protocols import webhooks as wire
from rtlite.settings import Settings
from rtlite.store import webhooks as tables
from rtlite.store.database import Database
from rtlite.store.events import last_sequence
from rtlite.store.schema import store_epoch
from rtlite.store.selections import Selection
from rtlite.store.webhooks import Attempt, Webhook
from rtlite.transports.outbound import Answer, Outbound

log = get_logger(__name__)

PAGE_EVENTS: Final = 64
PAGE_BYTES: Final = 256 * 1024
_TRY_AGAIN_SECONDS: Final = 5.0  # after trouble of our own
_SHORTEST_WAIT: Final = 0.01  # whatever the settings say, an endpoint that refuses is not asked without a pause


@attrs.frozen
class Message:
    """One event on its way. ``sequence`` is its place in the history, or ``number`` that in the queue."""

    id: str
    type: str
    channel: str
    timestamp: str
    body: bytes
    sequence: int | None = None
    number: int | None = None


@attrs.frozen
class _Page:
    """What was read: events up to ``last``, bodies of the queue, and what retention had deleted by then."""

    epoch: str
    last: int
    trimmed: int
    events: list[Event]
    queued: list[tuple[int, bytes]]


class Turns:
    """Spreads the attempts of all couriers over time, in the order in which they come.

    Each costs the event loop the better part of a millisecond, and so many at once would slow publishers.
    """

    def __init__(self, rate: int) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._free = 0.0

    async def take(self) -> None:
        """Wait for one's turn. A courier waits for one at a time, so that no busy one keeps others from theirs."""
        at = max(trio.current_time(), self._free)
        self._free = at + self._interval
        await trio.sleep_until(at)


class Courier:
    def __init__(
        self,
        webhook: Webhook,
        hub: Hub,
        database: Database,
        outbound: Outbound,
        ledger: Ledger,
        turns: Turns,
        settings: Settings,
        metrics: Metrics,
        listening: trio.Event,
        now: Callable[[], int] = now_ms,
    ) -> None:
        """:param listening: is set once no event passes unnoticed, or the hub refused and it is tried again."""
        self.webhook = webhook
        self._listening = listening
        self._hub = hub
        self._database = database
        self._outbound = outbound
        self._ledger = ledger
        self._turns = turns
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._selection = Selection(webhook.channels)
        self._woken = trio.Event()
        self._history: deque[Message] = deque()
        self._queue: deque[Message] = deque()
        self._read_to = self._lost_to = webhook.cursor
        self._read_queue_to = 0
        self._more_history = self._more_queued = True  # that is, there may be
        self._waiting = self._waiting_bytes = 0
        # Trio's clock does not jump: a wrong wall clock neither disables a webhook nor makes it wait for years.
        wait = max(0, (webhook.next_attempt or 0) - now()) / 1000
        self._due = trio.current_time() + min(wait, max(settings.webhook_retries))
        self._failed_at = trio.current_time()

    async def run(self) -> None:
        """Deliver until the webhook is disabled. Trouble of our own is logged and tried again."""
        self._ledger.bells[self.webhook.id] = self._hear_of_queue
        try:
            async with trio.open_nursery() as nursery:
                self._waiting, self._waiting_bytes = await self._persist(self._count_waiting)
                left = set(self.webhook.channels)
                for name in self.webhook.channels:
                    nursery.start_soon(self._listen, name, nursery, left)
                await self._persist(self._work)
                nursery.cancel_scope.cancel()
        finally:
            del self._ledger.bells[self.webhook.id]

    async def _persist(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` to its end, over and over."""
        while True:
            try:
                return await work()
            except Refused as error:
                log.warning("a webhook waits for the storage", webhook=self.webhook.id, code=error.code)
            except Exception:
                log.exception("a webhook's courier failed", webhook=self.webhook.id)
                self._metrics.faults.inc()
            self._listening.set()  # whoever waits for the beginning need not wait for the end of the trouble
            await trio.sleep(_TRY_AGAIN_SECONDS)

    async def _count_waiting(self) -> tuple[int, int]:
        return await self._database.read(lambda connection: tables.waiting(connection, self.webhook.id))

    # --- what there is to deliver

    async def _listen(self, name: str, nursery: trio.Nursery, left: set[str]) -> None:
        """Hear of what is published to one channel or pattern."""
        while True:
            lost = trio.Event()

            def on_lost(_: Reason, lost: trio.Event = lost) -> None:
                lost.set()

            try:
                subscribed = await self._hub.subscribe(
                    name, _Tap(self), wire.passing, spawn=nursery.start_soon, on_lost=on_lost
                )
            except Refused as error:
                log.warning("a webhook could not listen", webhook=self.webhook.id, code=error.code)
                subscribed = None
            left.discard(name)
            if not left:
                self._listening.set()
            try:
                self.take(b"")  # what was stored meanwhile
                if subscribed is None:
                    await trio.sleep(_TRY_AGAIN_SECONDS)
                else:
                    await lost.wait()  # what its channel keeps has changed, say
            finally:
                if subscribed is not None:
                    subscribed.close()

    def take(self, bodies: bytes) -> None:
        """Something was published: a line for each event that the history does not keep."""
        for body in bodies.split(b"\n"):
            if body:
                self._enqueue(body)
        self._more_history = True
        self._woken.set()

    def _hear_of_queue(self) -> None:
        self._more_queued = True
        self._woken.set()

    def _enqueue(self, body: bytes) -> None:
        if (
            self._waiting >= self._settings.webhook_queue_events
            or self._waiting_bytes + len(body) > self._settings.webhook_queue_bytes
        ):
            self._lose()
            return
        self._waiting += 1
        self._waiting_bytes += len(body)
        self._ledger.enqueue(self.webhook.id, body)

    def _lose(self) -> None:
        self.webhook.lost += 1
        self._metrics.webhook_lost.inc()
        self._ledger.touch(self.webhook)

    async def _next(self) -> Message | None:
        """The oldest event that was not taken yet; ``None`` if there is none."""
        if (self._more_history and not self._history) or (self._more_queued and not self._queue):
            await self._read_on()
        if self._history and self._queue:  # they are of different channels, so either order is one
            return min(self._history[0], self._queue[0], key=lambda message: message.timestamp)
        return next(iter(self._history or self._queue), None)

    async def _read_on(self) -> None:
        # Before the reading, not during it: what is published meanwhile may not be in what it sees.
        self._more_history = self._more_history and bool(self._history)
        self._more_queued = self._more_queued and bool(self._queue)
        try:
            page = await self._database.read(self._read)
        except BaseException:
            self._more_history = self._more_queued = True
            raise
        self._fill(page)

    def _read(self, connection: sqlite3.Connection) -> _Page:
        connection.execute("BEGIN")  # one view: what retention deletes meanwhile is either read or said to be gone
        try:
            last = last_sequence(connection)
            events: list[Event] = []
            queued: list[tuple[int, bytes]] = []
            if not self._history:
                events = self._selection.read(connection, self._read_to, PAGE_EVENTS, PAGE_BYTES, last)
            if not self._queue:
                queued = tables.read_queue(connection, self.webhook.id, self._read_queue_to, PAGE_EVENTS)
            return _Page(store_epoch(connection), last, self._selection.held(connection).trimmed, events, queued)
        finally:
            connection.execute("ROLLBACK")

    def _fill(self, page: _Page) -> None:
        if not self._history:
            if page.trimmed > max(self._read_to, self._lost_to):  # not once for every page up to there
                self._lost_to = page.trimmed
                log.warning("events were deleted before a webhook took them", webhook=self.webhook.id)
                self._lose()
            self._history += [_of_history(page.epoch, event) for event in page.events]
            self._read_to = page.events[-1].sequence if page.events else max(page.last, self._read_to)
            if not page.events:  # what lies between is of other channels
                self.webhook.cursor = self._read_to
        self._queue += [_of_queue(page.epoch, number, body) for number, body in page.queued]
        if page.queued:
            self._read_queue_to = page.queued[-1][0]
        self._more_history = self._more_history or bool(page.events)
        self._more_queued = self._more_queued or bool(page.queued)

    # --- delivering it

    async def _work(self) -> None:
        while self.webhook.disabled is None:
            self._woken = trio.Event()
            message = await self._next()
            if message is None:
                await self._woken.wait()
                continue
            await trio.sleep_until(self._due)
            await self._turns.take()
            at = self._now()
            headers = wire.headers(message.id, at, message.body, secrets(self.webhook, at))
            answer = await self._outbound.post(self.webhook.url, headers, message.body, self.webhook.id)
            self._settle(message, at, answer)

    def _settle(self, message: Message, at: int, answer: Answer) -> None:
        webhook = self.webhook
        attempt = webhook.attempts + 1
        self._ledger.note(attempted(webhook, message.id, message.type, message.channel, attempt, at, answer))
        self._metrics.webhook_seconds.observe(answer.duration / 1000)
        self._metrics.webhook_attempts.labels("delivered" if answer.taken else "failed").inc()
        if answer.taken:
            webhook.attempts, webhook.next_attempt, webhook.failing, webhook.failing_since = 0, None, 0, None
            self._forget(message)
        else:
            self._fail(at, answer)
        self._ledger.touch(webhook)

    def _forget(self, message: Message) -> None:
        """The endpoint has it."""
        if message.sequence is not None:
            self._history.popleft()
            self.webhook.cursor = message.sequence
        if message.number is not None:
            self._queue.popleft()
            self._waiting -= 1
            self._waiting_bytes -= len(message.body)
            self._ledger.dequeue(message.number)

    def _fail(self, at: int, answer: Answer) -> None:
        webhook, here = self.webhook, trio.current_time()
        if webhook.attempts:
            webhook.failing += round((here - self._failed_at) * 1000)
        self._failed_at = here
        waits = self._settings.webhook_retries
        wait = waits[min(webhook.attempts, len(waits) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  # to spread them
        wait = max(_SHORTEST_WAIT, wait, min(wire.retry_after(answer.retry_after, at), max(waits)))
        webhook.attempts += 1
        webhook.failing_since = webhook.failing_since or at
        if answer.status == 410:
            self._disable("gone")
        elif webhook.failing >= self._settings.webhook_disable_after * 1000:
            self._disable("failing")
        else:
            self._due = here + wait
            webhook.next_attempt = at + round(wait * 1000)

    def _disable(self, reason: str) -> None:
        self.webhook.disabled, self.webhook.next_attempt = reason, None
        log.warning("a webhook is disabled", webhook=self.webhook.id, reason=reason)


def _of_history(epoch: str, event: Event) -> Message:
    at = rfc3339(event.timestamp)
    name = f"msg_{epoch}-{event.sequence}"
    return Message(name, event.name, event.channel, at, wire.body(event), sequence=event.sequence)


def _of_queue(epoch: str, number: int, body: bytes) -> Message:
    shown = orjson.loads(body)
    return Message(f"msg_{epoch}-q{number}", shown["type"], shown["channel"], shown["timestamp"], body, number=number)


class _Tap:
    """The outbox of a webhook, as the hub sees it: always room, for it bounds what it holds by itself."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def offer(self, data: bytes) -> bool:
        self._courier.take(data)
        return True

    async def send(self, data: bytes) -> None:
        self._courier.take(data)
        await trio.lowlevel.checkpoint()

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()


def secrets(webhook: Webhook, at: int) -> list[str]:
    """What signs at ``at`` (ms): the secret, and for a while after a rotation the one before."""
    old = webhook.old_secret
    return [webhook.secret, *([old] if old and at < (webhook.old_secret_until or 0) else [])]


def attempted(
    webhook: Webhook, message: str, type: str, channel: str | None, attempt: int, at: int, answer: Answer
) -> Attempt:
    """What the log says of it."""
    error = None if answer.taken else answer.error
    return Attempt(webhook.id, message, type, channel, attempt, at, answer.duration, answer.status, error)
