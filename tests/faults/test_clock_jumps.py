"""The wall clock jumps by an hour back and by two days ahead, under a running server (libfaketime).

libfaketime makes threads slow, so there are few events here.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import time
from collections.abc import Iterator
from pathlib import Path

import trio
import trio_websocket

from tests.faults.machine import faketime
from tests.faults.world import FaultyServer, World

SETTINGS = "[channels.article]\nretention_age = '1h'\nretention_count = 1000000\n"


class Clock:
    """A server's wall clock. With ``monotonic`` its other clock jumps as well."""

    def __init__(self, file: Path, monotonic: bool = False) -> None:
        self._file = file
        self.jump("+0")
        self.environment = {
            "LD_PRELOAD": faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",  # without a cache every look at the clock opens the file
            "FAKETIME_DONT_FAKE_MONOTONIC": "0" if monotonic else "1",
        }

    def jump(self, offset: str) -> None:
        """The clock is now off by this: ``-1h``, ``+2d``. A file that is read at any moment is replaced in one step."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._file)


def http_date(text: str) -> float:
    return email.utils.parsedate_to_datetime(text).timestamp()


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def refused_with(code: int) -> Iterator[None]:
    try:
        yield
    except trio_websocket.ConnectionClosed as closed:
        assert closed.reason is not None and closed.reason.code == code
    else:
        raise AssertionError("it was let in")


async def sweeps(server: FaultyServer, clock: Clock, offset: str) -> None:
    """Jump, and let retention look at the new time for three of its intervals, once libfaketime has."""
    clock.jump(offset)
    client = await server.operator()
    expected = time.time() + {"+0": 0, "-1h": -3600, "+2d": 2 * 86400}[offset]
    with trio.fail_after(10):
        while abs(http_date((await client.get("/healthz")).headers["date"]) - expected) > 60:  # noqa: ASYNC110  # libfaketime tells nobody
            await trio.sleep(0.02)
    await trio.sleep(0.35)


async def test_clock_that_jumps_drops_nobody_deletes_nothing_and_starts_no_storm(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    async with FaultyServer(
        tmp_path / "clock.db", settings=SETTINGS, environment=clock.environment, sweep_interval="100ms"
    ) as server:
        world = World(server, publishers=2)
        client = server.http(world.key)
        answer = await client.post("/api/tokens", json={"user": "ann", "ttl": "3h"})
        path = f"/blog/ws/articles/world?token={answer.json()['token']}"
        async with world.living(), server.websocket(path) as admitted:
            await server.subscribed("article:world", 2)
            for offset in ("-1h", "+2d"):
                await sweeps(server, clock, offset)
                reached = world.acknowledged + 4
                await world.until(lambda reached=reached: world.acknowledged >= reached)
            async with server.websocket(path) as late:
                with refused_with(4401), trio.fail_after(5):  # a new login follows the wall clock
                    await late.get_message()
            with trio.fail_after(5):  # who was let in has a deadline on the other clock
                await admitted.get_message()
            with trio.fail_after(5):  # who was refused is gone a moment after it read the close
                while len((await client.get("/api/connections")).json()["items"]) != 2:
                    pass
            await sweeps(server, clock, "+0")
            async with server.websocket(f"{path}&since=1h") as again:
                with trio.fail_after(5):
                    await again.get_message()
        assert await world.violations() == [], "all of the history is there"
        assert world.greetings == 1
        await sweeps(server, clock, "+2d")
        spent = []
        while len(spent) < 5 and min(spent, default=1.0) >= 0.5:  # a storm lasts; a neighbour's load does not
            before = processor_seconds(server.pid)
            await trio.sleep(1)
            spent.append(processor_seconds(server.pid) - before)
        print(f"{spent} s of processor time in a second each after a jump")
        assert min(spent) < 0.5
        log = server.log.read_text()
        assert "the clock leapt ahead" in log
        assert log.count("the clock leapt ahead") < 60, "once for each pass at most"


DOORS = {"/blog/ws/articles/x": 1008, "/ws": 4401, "/_events": 4401}


async def test_token_that_expires_ends_its_connections_on_time_though_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    async with FaultyServer(tmp_path / "clock.db", environment=clock.environment, jwt_leeway="0s") as server:
        client = await server.operator()
        answer = await client.post("/api/tokens", json={"user": "ann", "ttl": "4s"})
        async with contextlib.AsyncExitStack() as stack:
            connect = [server.websocket(f"{path}?token={answer.json()['token']}") for path in DOORS]
            websockets = [await stack.enter_async_context(websocket) for websocket in connect]
            with trio.fail_after(4):
                while len((await client.get("/api/connections")).json()["items"]) < len(DOORS):
                    pass
            clock.jump("-1h")
            with trio.fail_after(6):
                for websocket, code in zip(websockets, DOORS.values(), strict=True):
                    with refused_with(code):
                        while True:  # the command sockets say why before they close
                            await websocket.get_message()


async def test_retention_that_believes_any_clock_is_seen_by_the_checker(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    async with FaultyServer(
        tmp_path / "clock.db",
        settings=SETTINGS,
        environment=clock.environment,
        altered="gullible",
        sweep_interval="100ms",
    ) as server:
        world = World(server, publishers=2, patience=1)
        async with world.living():
            await world.until(lambda: world.acknowledged >= 20)
            first = (await world.history())[0]
            await sweeps(server, clock, "+2d")
            with trio.fail_after(30):  # a pass may be late on a busy machine
                while (await world.history())[:1] == [first]:  # noqa: ASYNC110  # nobody is told
                    await trio.sleep(0.05)
    assert {violation.check for violation in await world.violations()} >= {"lost_ack", "offset_hole"}
