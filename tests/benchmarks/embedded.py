"""A Trio program with rtlite inside it, that publishes through the hub: ``embedded DIRECTORY PUBLISHERS SIZE SECONDS``.

Durability full, on a file. Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile

import trio

from rtlite import log
from rtlite.hub.hub import Hub
from rtlite.model import NewEvent
from rtlite.server import Running, serve
from rtlite.settings import Settings

_WARM_SECONDS = 0.5
_DATA = b'{"n":1000001,"t":1000000000000000,"pad":"' + b"x" * 69 + b'"}'


async def main(directory: str, publishers: int, size: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        async with trio.open_nursery() as nursery:
            queue = max(20_000, 2 * publishers * size)  # else most would be told to come back later
            settings = Settings(port=0, data=f"{folder}/rtlite.db", shutdown_spread=0.0, queue_events=queue)
            running: Running = await nursery.start(serve, settings)
            calls = await _publish(running.server.hub, publishers, size, seconds)
            running.stop()
    calls.sort()
    return {
        "events/s": len(calls) * size / seconds,
        "ms p50": 1000 * calls[len(calls) // 2],
        "ms p99": 1000 * calls[len(calls) * 99 // 100],
    }


async def _publish(hub: Hub, publishers: int, size: int, seconds: float) -> list[float]:
    """How long each call took that ended in the measured time."""
    begin = trio.current_time() + _WARM_SECONDS
    end = begin + seconds
    calls: list[float] = []

    async def work() -> None:
        started = trio.current_time()
        while started < end:
            events = [NewEvent("article:bench", "bench", _DATA) for _ in range(size)]
            await hub.publish_all(events)
            now = trio.current_time()
            if begin <= now <= end:
                calls.append(now - started)
            started = now

    async with trio.open_nursery() as nursery:
        for _ in range(publishers):
            nursery.start_soon(work)
    return calls


if __name__ == "__main__":
    folder, publishers, size, seconds = sys.argv[1:]
    log.configure()  # to stderr
    print(json.dumps(trio.run(main, folder, int(publishers), int(size), float(seconds))))
