"""Publishing events each at its time, on a clock that jumps."""

from __future__ import annotations

import math
from functools import partial
from itertools import islice, pairwise
from typing import Any

import orjson
import pytest
import trio

from rtlite.cli.player import Due, drawn, pauses, play, repeated
from rtlite.cli.recording import Recorder, opened
from rtlite.client import CallFailed
from rtlite.model import rfc3339

AWAY = CallFailed("no server answers")


class Server:
    """Notes what was published and when; each publish takes ``seconds``, and ``script`` is how the first ones fail."""

    def __init__(self, *script: CallFailed, seconds: float = 0.0) -> None:
        self.script = list(script)
        self.seconds = seconds
        self.requests: list[tuple[float, list[dict[str, Any]]]] = []

    async def publish(self, *, retry_for: float, **event: Any) -> dict[str, Any]:
        (receipt,) = await self._take([event])
        return receipt

    async def send(self, method: str, path: str, content: bytes, content_type: str) -> dict[str, Any]:
        assert (method, path, content_type) == ("POST", "/api/publish/batch", "application/x-ndjson")
        return {"items": await self._take([orjson.loads(line) for line in content.splitlines()])}

    async def _take(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.requests.append((trio.current_time(), events))
        await trio.sleep(self.seconds)
        if self.script:
            raise self.script.pop(0)
        return [{"offset": event["data"]} for event in events]

    @property
    def data(self) -> list[Any]:
        return [event["data"] for _, events in self.requests for event in events]


def at(*times: float) -> list[Due]:
    return [
        Due(time, lambda n=n: {"channel": "a:1", "event": "e", "data": n})  # type: ignore[misc]
        for n, time in enumerate(times)
    ]


async def played(server: Server, items: Any, **options: Any) -> list[Any]:
    sent: list[Any] = []
    await play(server, items, lambda event, receipt: sent.append((event["data"], receipt["offset"])), **options)  # type: ignore[arg-type]
    return sent


async def test_each_event_is_published_at_its_time(autojump_clock):
    server, began = Server(), trio.current_time()
    assert await played(server, at(0, 1, 1.25, 60)) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [round(time - began, 6) for time, _ in server.requests] == [0, 1, 1.25, 60]


@pytest.mark.parametrize(("speed", "times"), [(2.0, [0, 0.5, 30]), (0.5, [0, 2, 120]), (math.inf, [0])])
async def test_it_goes_so_many_times_as_fast(autojump_clock, speed, times):
    server, began = Server(), trio.current_time()
    await played(server, at(0, 1, 60), speed=speed)
    assert [round(time - began, 6) for time, _ in server.requests] == times
    assert server.data == [0, 1, 2]


async def test_what_is_late_goes_together_and_in_order_and_the_next_is_in_time_again(autojump_clock):
    server, began = Server(seconds=1.0), trio.current_time()
    await played(server, at(0, 0.1, 0.2, 0.3, 5))
    assert [(round(time - began, 6), [item["data"] for item in events]) for time, events in server.requests] == [
        (0, [0]),
        (1, [1, 2, 3]),
        (5, [4]),
    ]


async def test_a_thousand_at_once_are_some_batches(autojump_clock):
    server = Server()
    await played(server, at(*[0.0] * 1200))
    assert [len(events) for _, events in server.requests] == [500, 500, 200]
    assert server.data == list(range(1200))


async def test_a_batch_is_tried_again_with_the_same_ids(autojump_clock):
    server = Server(AWAY, CallFailed("slow down", 429, retry_after=3.0))
    began = trio.current_time()
    assert await played(server, at(0, 0)) == [(0, 0), (1, 1)]
    assert len({tuple(event["id"] for event in events) for _, events in server.requests}) == 1
    assert trio.current_time() - began > 3
    with pytest.raises(CallFailed, match="no server answers"):
        await played(Server(*[AWAY] * 100), at(0, 0))
    with pytest.raises(CallFailed, match="may not"):
        await played(Server(CallFailed("may not", 403)), at(0, 0))


async def test_what_was_recorded_is_replayed_in_order_to_the_millisecond(autojump_clock, tmp_path):
    path, random, time = str(tmp_path / "a.jsonl"), drawn(1), 1_764_000_000_000
    original = []
    with Recorder(path, "http://a") as recorder:
        for number in range(300):
            time += random.choice([0, 1, 7, 1500])
            event = {"channel": f"a:{number % 3}", "event": "e", "data": number, "timestamp": rfc3339(time)}
            original.append(time)
            recorder.add(event)
    server, began = Server(), trio.current_time()
    recorded = opened(path, lambda line: {name: line[name] for name in ("channel", "event", "data")})
    await played(server, [Due(at, partial(dict, event)) for at, event in recorded])
    replayed = [round((time - began) * 1000) for time, events in server.requests for _ in events]
    assert replayed == [time - original[0] for time in original]
    assert server.data == list(range(300))
    assert [event["channel"] for _, events in server.requests for event in events][:4] == ["a:0", "a:1", "a:2", "a:0"]


def test_repetitions_are_as_far_apart_as_wished_and_the_same_with_the_same_seed():
    def times(seed: int) -> list[float]:
        items = repeated(lambda number: {"data": number}, None, pauses(1.0, 0.25, drawn(seed)))
        return [item.at for item in islice(items, 50)]

    gaps = [later - earlier for earlier, later in pairwise(times(1))]
    assert all(0.75 <= gap <= 1.25 for gap in gaps)
    assert len(set(gaps)) > 40
    assert times(1) == times(1) != times(2)
    assert [item.make()["data"] for item in repeated(lambda number: {"data": number}, 3, pauses(1, 0, drawn(1)))] == [
        0,
        1,
        2,
    ]
