"""The commands of the load generator, one a line as JSON, each answered with a line."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import picows
import uvloop

from tests.benchmarks.load import http, sockets
from tests.benchmarks.load.events import listen
from tests.benchmarks.load.fleet import Fleet, connect
from tests.benchmarks.load.graphql import operate
from tests.benchmarks.load.message import FIRST
from tests.benchmarks.load.publishers import open_publisher


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in milliseconds."""
    if not values:
        return {"p50": -1.0, "p99": -1.0, "max": -1.0}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p50": ordered[last // 2] / 1000,
        "p99": ordered[last * 99 // 100] / 1000,
        "max": ordered[last] / 1000,
    }


class Load:
    """The commands."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.number = FIRST

    async def subscribe(
        self,
        url: str,
        count: int,
        headers: dict[str, str] | None = None,
        socketio: bool = False,
        events: bool = False,
        graphql: dict[str, Any] | None = None,
        sources: tuple[str, ...] = (),
        parallel: int = 64,
    ) -> dict[str, Any]:
        """Connect ``count`` subscribers, ``parallel`` at a time, from the source addresses in turn."""
        numbers = iter(range(count))
        failures: list[str] = []

        async def work() -> None:
            for number in numbers:
                try:
                    source = sources[number % len(sources)] if sources else None
                    if events:
                        self.fleet.subscribers.append(await listen(self.fleet, url, headers, source))
                    elif graphql:
                        self.fleet.subscribers.append(await operate(self.fleet, url, graphql, source))
                    else:
                        self.fleet.subscribers.append(await connect(self.fleet, url, headers, socketio, source))
                except (OSError, picows.WSError, TimeoutError) as error:
                    failures.append(f"{type(error).__name__}: {error}")

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(parallel)))
        seconds = time.perf_counter() - started
        return {"connected": count - len(failures), "failures": failures[:3], "seconds": seconds}

    async def fan_out(
        self,
        publisher: dict[str, Any],
        messages: int,
        interval: float = 0.0,
        clocked: bool = False,
        ordered: bool = True,
        timeout: float = 60.0,
    ) -> dict[str, Any]:
        """Publish, paced or (interval 0) at once, and wait until every subscriber has everything."""
        door = await open_publisher(publisher)
        fleet, first = self.fleet, self.number
        self.number += messages
        expected = messages * len(fleet.subscribers)
        fleet.expect(expected, first, clocked)
        started = time.perf_counter()
        late = 0.0
        if interval:
            for step in range(messages):
                pause = started + step * interval - time.perf_counter()
                late = max(late, -pause)
                if pause > 0:
                    await asyncio.sleep(pause)
                await door.publish([first + step])
        else:
            await door.publish(list(range(first, first + messages)))
        complete = True
        try:
            await asyncio.wait_for(fleet.done.wait(), timeout)
        except TimeoutError:
            complete = False
        seconds = time.perf_counter() - started
        door.close()
        total = sum(range(first, first + messages))
        wrong = sum(subscriber.total != total for subscriber in fleet.subscribers)
        return {
            "seconds": seconds,
            "received": fleet.received,
            "missing": expected - fleet.received,
            "wrong": wrong if complete else -1,
            "disorder": fleet.disorder if ordered else 0,
            "late_ms": 1000 * late,
            "latency": spread(fleet.latencies),
        }

    async def settle(self, publisher: dict[str, Any], timeout: float = 30.0) -> dict[str, Any]:
        """Publish until a message has reached every subscriber: a client learns only that it is connected."""
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            answer = await self.fan_out(publisher, 1, timeout=2.0)
            if not answer["missing"]:
                await asyncio.sleep(0.3)
                return answer
        raise TimeoutError("not every subscriber hears the publisher")

    async def replay(self, url: str, headers: dict[str, str] | None, events: int) -> dict[str, Any]:
        """Connect one subscriber and count what comes until ``events`` are there."""
        self.fleet = Fleet()
        self.fleet.expect(events, 0)
        started = time.perf_counter()
        subscriber = await connect(self.fleet, url, headers)
        await asyncio.wait_for(self.fleet.done.wait(), 60)
        seconds = time.perf_counter() - started
        subscriber.transport.disconnect()
        return {"seconds": seconds, "disorder": self.fleet.disorder - 1}  # the first follows nothing

    async def hammer(self, **arguments: Any) -> dict[str, Any]:
        """Requests over keep-alive connections, one at a time on each, for so many seconds."""
        answer = await http.hammer(**arguments)
        return {**answer, "latency": spread(answer.pop("times"))}

    async def hammer_sockets(self, **arguments: Any) -> dict[str, Any]:
        """The same over WebSockets."""
        answer = await sockets.hammer(**arguments)
        return {**answer, "latency": spread(answer.pop("times"))}

    async def ping(self, url: str, headers: dict[str, str] | None, seconds: float, interval: float) -> dict[str, Any]:
        """Round trips of WebSocket pings on one connection."""
        subscriber = await connect(self.fleet, url, headers)
        times = []
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            (seconds_taken,) = await subscriber.transport.measure_roundtrip_time(1)
            times.append(1e6 * seconds_taken)
            await asyncio.sleep(interval)
        subscriber.transport.disconnect()
        return {"count": len(times), **spread(times)}

    async def close(self) -> dict[str, Any]:
        """Disconnect all; returns how many pings they got and how many the server had closed before."""
        fleet, self.fleet = self.fleet, Fleet()
        answer = {"pings": fleet.pings, "lost": fleet.lost}
        for subscriber in fleet.subscribers:
            subscriber.disconnect()
        await asyncio.sleep(0.2)
        return answer


async def main() -> None:
    load = Load()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        cpu = time.process_time()
        try:
            answer = await getattr(load, command.pop("op"))(**command)
            answer["client_cpu"] = time.process_time() - cpu
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
