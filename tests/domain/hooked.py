"""Webhooks on a hub with an instant database, and endpoints that answer as a test says. Time is Trio's."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar

import attrs
import orjson
import trio

from rtlite.domain.webhooks import Webhooks
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Published
from rtlite.settings import KindSettings, Settings
from rtlite.store import schema
from rtlite.store.webhooks import Webhook
from rtlite.transports.outbound import Answer
from tests.hub import watching

T = TypeVar("T")
URL = "https://hooks.example/a"
WALL = 1_000_000_000_000
OK = 200
HANG = -1
"""An endpoint that does not answer before the request is given up, after 15 s."""


class Instant(watching.Instant):
    """With transactions, as the hub and the ledger need them."""

    async def write(self, work: Callable[[sqlite3.Connection], T], *, vital: bool = False) -> T:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise type(self.refusal)(self.refusal.detail)
        self.connection.execute("BEGIN")
        try:
            result = work(self.connection)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result


@attrs.frozen
class Delivery:
    """``at`` is in seconds from the beginning of the test."""

    at: float
    url: str
    headers: Mapping[str, str]
    payload: dict[str, Any]

    @property
    def message(self) -> str:
        return self.headers["webhook-id"]


class Endpoints:
    """In place of the way out: statuses per URL in turn, the last of which repeats."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int | Answer]] = {}
        self.got: list[Delivery] = []

    async def __aenter__(self) -> Endpoints:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def answer(self, *answers: int | Answer, url: str = URL) -> None:
        self.answers[url] = list(answers)

    async def leave(self, sender: str) -> None:
        pass

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, sender: str = "") -> Answer:
        self.got.append(Delivery(trio.current_time(), url, headers, orjson.loads(body)))
        answers = self.answers.get(url, [OK])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == HANG:
            await trio.sleep(15)
            return Answer(None, "no answer in time", 15_000)
        await trio.sleep(0.01)
        return (
            answer if isinstance(answer, Answer) else Answer(answer, None if answer < 300 else f"answered {answer}", 10)
        )

    def data(self, url: str = URL) -> list[Any]:
        """The data of what came, in order."""
        return [delivery.payload["data"] for delivery in self.got if delivery.url == url]


@attrs.define
class Bench:
    database: Instant
    endpoints: Endpoints
    hub: Hub
    webhooks: Webhooks
    metrics: Metrics
    now: Callable[[], int]
    life: trio.CancelScope
    dead: trio.Event

    async def kill(self) -> None:
        """End it as SIGKILL would; :func:`hooked` goes on with what it leaves."""
        self.life.cancel()
        await self.dead.wait()

    async def hook(self, *channels: str, **more: Any) -> Webhook:
        return (await self.webhooks.create(more.pop("url", URL), channels or ("news:*",), **more))[0]

    async def publish(self, channel: str = "news:a", *data: Any) -> list[Published]:
        return [await self.hub.publish(NewEvent(channel, "tick", orjson.dumps(item))) for item in data]

    async def log(self, webhook: Webhook) -> list[tuple[int | None, str | None]]:
        """Status and error of each attempt, the oldest first."""
        found = await self.webhooks.attempts(webhook.id, 2**53, 1000)
        return [(attempt.status, attempt.error) for _, attempt in reversed(found)]


@asynccontextmanager
async def hooked(before: Bench | None = None, wall: list[int] | None = None, **settings: Any) -> AsyncIterator[Bench]:
    """Webhooks at work until the end of the block, or until they are killed.

    :param before: whose database and endpoints these go on with, as after a restart.
    :param wall: what the wall's clock is ahead of Trio's, in milliseconds; ``WALL`` if not given.
    """
    ahead = wall or [WALL]
    chosen = Settings(channels={"passing": KindSettings(history=False)}, **settings)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:  # not used after a restart
        schema.migrate(connection)
        database = Instant(connection) if before is None else before.database
        endpoints = Endpoints() if before is None else before.endpoints
        metrics = Metrics()

        def now() -> int:
            return ahead[0] + round(trio.current_time() * 1000)

        hub = Hub(database, chosen, metrics)  # type: ignore[arg-type]
        webhooks = Webhooks(hub, database, chosen, metrics, endpoints, now)  # type: ignore[arg-type]
        dead = trio.Event()

        async def live(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            async with trio.open_nursery() as services:
                await services.start(hub.committer.run)
                await services.start(webhooks.run)
                task_status.started(services.cancel_scope)
            dead.set()

        async with trio.open_nursery() as nursery:
            life = await nursery.start(live)
            yield Bench(database, endpoints, hub, webhooks, metrics, now, life, dead)
            life.cancel()
