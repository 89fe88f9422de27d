"""Publishing events each at its time, in order: what ``play`` and ``trigger --repeat`` do.

Events that are due together, also because a publish before them took its time, go as one batch: so
a slow link delays events, and never disorders or drops them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import Random
from typing import Any, Final

import attrs
import orjson
import trio

from rtlite.client import CallFailed, Client, Receipt
from rtlite.client.calls import delays
from rtlite.model import new_event_id

RETRY_SECONDS: Final = 30.0  # as long as `publish` goes on while the server is away
MAX_SPEED: Final = math.inf
_MOST_EVENTS: Final = 500  # in a batch, of the 10,000 that a server takes
_MOST_BYTES: Final = 1024 * 1024


@attrs.frozen
class Due:
    """An event and when it is to be published, in seconds from the start.

    ``make`` gives it when that time has come, so that the times in its data are those of then.
    """

    at: float
    make: Callable[[], dict[str, Any]]


Sent = Callable[[dict[str, Any], Receipt], None]
_ORDER: Final = ("id", "channel", "event", "data", "timestamp", "offset", "epoch")  # as tail prints events


def published(event: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
    """The event as it is now on the server."""
    whole = {**event, **receipt}
    return {name: whole[name] for name in _ORDER}


def drawn(seed: int | None) -> Random:
    """What is drawn at random, the same with the same seed."""
    return Random(seed)  # noqa: S311  # sample data and jitter, no secrets


def repeated(make: Callable[[int], dict[str, Any]], times: int | None, pauses: Iterator[float]) -> Iterator[Due]:
    """The same again and again: ``times`` times (``None``: for ever), with a pause before each but the first."""
    at, number = 0.0, 0
    while times is None or number < times:
        yield Due(at, partial(make, number))
        at += next(pauses)
        number += 1


def pauses(every: float, jitter: float, random: Random) -> Iterator[float]:
    """Seconds between two repetitions: ``every``, and up to ``jitter`` more or less."""
    while True:
        yield max(0.0, every + random.uniform(-jitter, jitter)) if jitter else every


async def play(
    client: Client, items: Iterable[Due], sent: Sent, *, speed: float = 1.0, retry_for: float = RETRY_SECONDS
) -> None:
    """Publish each at its time, ``speed`` times as fast; ``sent`` is told of each, in order.

    :raises CallFailed: one was refused, or the server was away for longer than ``retry_for`` seconds.
    """
    began = trio.current_time()
    batch: list[dict[str, Any]] = []
    lines: list[bytes] = []
    for item in items:
        at = began + item.at / speed
        if batch and (at > trio.current_time() or len(batch) >= _MOST_EVENTS or sum(map(len, lines)) > _MOST_BYTES):
            await _hand_in(client, batch, lines, sent, retry_for)
            batch, lines = [], []
        if at > trio.current_time():
            await trio.sleep_until(at)
        event = item.make()
        batch.append(event if "id" in event else {**event, "id": new_event_id()})
        lines.append(orjson.dumps(batch[-1]))
    if batch:
        await _hand_in(client, batch, lines, sent, retry_for)


async def _hand_in(
    client: Client, batch: list[dict[str, Any]], lines: list[bytes], sent: Sent, retry_for: float
) -> None:
    if len(batch) == 1:
        receipts = [await client.publish(**batch[0], retry_for=retry_for)]
    else:
        receipts = await _publish_all(client, b"\n".join(lines), retry_for)
    for event, receipt in zip(batch, receipts, strict=True):
        sent(event, receipt)


async def _publish_all(client: Client, lines: bytes, retry_for: float) -> list[Receipt]:
    """All or none, and on channels with history once, however often it is tried."""
    deadline = trio.current_time() + retry_for
    for delay in delays():
        try:
            answer = await client.send("POST", "/api/publish/batch", lines, "application/x-ndjson")
        except CallFailed as failure:
            pause = max(delay, failure.retry_after)
            if not failure.temporary or trio.current_time() + pause > deadline:
                raise
            await trio.sleep(pause)
        else:
            receipts: list[Receipt] = answer["items"]
            return receipts
    raise AssertionError("delays() never ends")
