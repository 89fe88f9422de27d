"""A hundred thousand inputs, each a hostile or a good one with something changed: the server is what it was before.

They go over 20 connections at a time to a process of its own. Asserted at the end, and now and then between: it lives,
caught no mistake of its own, its memory grew by 50 MiB at most, someone else's latency is what it was, and every
connection, descriptor and task of the attack is gone.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio

from tests.faults.world import FaultyServer, descriptors, resident
from tests.security.corpus import CASES, get, handshake
from tests.security.corpus import post as posting
from tests.security.test_floods import MOST_MEMORY, SLACK, Victim, connect
from tests.transports.doors import BINARY, PING, TEXT, frame

CONNECTIONS: Final = 20
LONGEST: Final = 20_000
PIECES: Final = [
    b"\0",
    b"\xff",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b",",
    b"%00",
    b"\x81\xfe",
    b"\x00\x80",
    b"9" * 30,
    b"[" * 200,
]
PIECES += [b'"', b"{", b"}", b"\\ud800", b"chunked", b"Content-Length: 5", b"Upgrade: h2c", b"HTTP/2.0", b"\xc3\x28"]


def seeds() -> list[bytes]:
    event = b'{"channel":"attack:x","event":"e","data":{"a":[1,2,{"b":null}]},"id":"i"}'
    length = b"Content-Length: %d" % len(event)
    commands = b'{"type":"subscribe","channel":"article:x"}', b'{"type":"publish","channel":"a:b","event":"e","data":1}'
    good = [
        get(b"/api/channels/attack:x/history?since=1h&limit=5", b"X-Api-Key: $KEY"),
        posting(length, body=event),
        posting(b"Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)),
        posting(length, b"Content-Type: application/x-ndjson", body=event, path=b"/api/publish/batch"),
        posting(b"Content-Length: 27", body=b'{"kind":"blog","user":"ann"}', path=b"/api/tokens"),
        handshake(more=frame(b"x" * 200) + frame(b"y", BINARY) + frame(b"z", PING)),
        *[
            handshake(start=b"GET %b HTTP/1.1" % path, more=b"".join(frame(command, TEXT) for command in commands))
            for path in (b"/ws", b"/_events", b"/blog/ws/articles/a?since=1h")
        ],
    ]
    return good * 20 + [case.send for case in CASES if len(case.send) < LONGEST]


def mutated(raw: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """With one to four changes, of any kind at any place."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, length = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 4, 50])
        match rng.randrange(7):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = rng.choice(PIECES)
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                del data[at:]
            case _:
                other = rng.choice(others)
                data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data[:LONGEST])


async def attack(port: int, key: str, count: int, seed: int) -> None:
    """Send so many, each over a connection of its own; what comes back is read until there is no more for a moment."""
    given, secret = seeds(), key.encode()

    async def one(number: int) -> None:
        rng = random.Random(f"{seed}-{number}")
        data = mutated(rng.choice(given), rng, given).replace(b"$KEY", secret)
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=f"127.0.0.{2 + number % 200}")
            async with stream:
                await stream.send_all(data)
                if number % 10:
                    await stream.send_eof()
                with trio.move_on_after(0.5 if number % 10 else 0.05):
                    while await stream.receive_some(65536):
                        pass
        except (OSError, trio.BrokenResourceError):
            pass  # it was refused, and the server has closed

    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await one(number)

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(some)


@asynccontextmanager
async def victim_of(server: FaultyServer, client: httpx.AsyncClient, key: str) -> AsyncIterator[Victim]:
    """Someone else, with a reading and a writing connection."""
    reader, writer = await connect(server.port), await connect(server.port)
    async with reader.stream, writer.stream:
        assert (await reader.upgrade("/blog/ws/articles/victim", X_Api_Key=key)).status == 101
        with trio.fail_after(10):
            while not any(
                "article:victim" in item["channels"] for item in (await client.get("/api/connections")).json()["items"]
            ):
                pass
        yield Victim(reader, writer, key)


async def survive(folder: Path, count: int) -> None:
    seed = int(os.environ.get("MUTATION_SEED", "1"))
    async with FaultyServer(folder / "rtlite.db", altered="census", login_rate=0, handshake_timeout="2s") as server:
        client = await server.operator()
        key = (await client.post("/api/keys", json={"kind": "admin", "user": "victim"})).json()["key"]

        async def census() -> tuple[int, int, int]:
            tasks = (await client.get("/healthz")).json()["tasks"]
            return len((await client.get("/api/connections")).json()["items"]), descriptors(server.pid), tasks

        async def census_at_rest() -> tuple[int, int, int]:
            """Once it is the same for a second; for 15 seconds at most."""
            since, found = trio.current_time(), await census()
            with trio.move_on_after(15):
                while trio.current_time() < since + 1:
                    await trio.sleep(0.1)
                    if (now := await census()) != found:
                        since, found = trio.current_time(), now
            return found

        await attack(server.port, server.admin_key or "", 500, 0)  # warm
        async with victim_of(server, client, key) as victim:
            await victim.p99(100)
            quiet = await victim.p99(300)
            before, memory = await census_at_rest(), resident(server.pid)
        begun = time.monotonic()
        async with victim_of(server, client, key) as victim, trio.open_nursery() as nursery:

            async def watch() -> None:
                while True:
                    await victim.once()
                    await trio.sleep(0.1)

            nursery.start_soon(watch)
            await attack(server.port, server.admin_key or "", count, seed)
            nursery.cancel_scope.cancel()
        seconds, grown = time.monotonic() - begun, resident(server.pid) - memory
        async with victim_of(server, client, key) as victim:
            after = await victim.p99(300)
            left = await census_at_rest()
        text = (await client.get("/metrics")).text
        faults = next(line for line in text.splitlines() if line.startswith("rtlite_faults_total "))
        print(
            f"seed {seed}: {count} inputs in {seconds:.0f} s; memory +{grown / 2**20:.0f} MiB;"
            f" p99 {quiet * 1000:.1f} ms before, {after * 1000:.1f} ms after; {faults}"
        )
        assert "Traceback" not in (log := server.log.read_text()) and '"exception"' not in log, log[-3000:]
        assert faults == "rtlite_faults_total 0.0"
        assert grown <= MOST_MEMORY
        assert after <= 2 * quiet + SLACK
        assert left == before
        assert await server.terminate() == 0


async def test_a_thousand_mutated_inputs_change_nothing(tmp_path: Path) -> None:
    await survive(tmp_path, 1_000)


@pytest.mark.full
async def test_a_hundred_thousand_mutated_inputs_change_nothing(tmp_path: Path) -> None:
    await survive(tmp_path, 100_000)


def test_mutations_are_many_and_the_same_for_the_same_seed() -> None:
    given = seeds()
    made = [mutated(rng.choice(given), rng, given) for rng in map(random.Random, range(2_000))]
    assert made == [mutated(rng.choice(given), rng, given) for rng in map(random.Random, range(2_000))]
    assert len(set(made)) > 1_900
