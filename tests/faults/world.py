"""What the fault tests share: a channel with everyone who uses it, and a server that can be started in odd ways.

A test lets a :class:`World` live while it does harm to the server, and then asks it what was
broken::

    async with FaultyServer(tmp_path / "crash.db") as server:
        world = World(server)
        async with world.living():
            ...  # kill it, fill its disk, cut its lines
        assert await world.violations() == []

Each harm is also done to a server with one promise broken on purpose (:mod:`tests.faults.altered`),
where the same question must find something: a checker that never failed proves nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import orjson
import trio
import trio_websocket

from tests.history_checker import Attempt, History, Outcome, Session, Violation, check_history
from tests.servers import ServerProcess

PUBLISHERS = 8
HEADER = "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\nContent-Length: {length}\r\n\r\n"


class FaultyServer(ServerProcess):
    """A server process, as :class:`ServerProcess` starts it but for these.

    :param prefix: words before the command: ``strace`` and its options, say.
    :param altered: what of rtlite is changed (:mod:`tests.faults.altered`).
    :param environment: variables that it gets besides.
    :param settings: text of its ``rtlite.toml``.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        *,
        prefix: Sequence[str] = (),
        altered: str = "",
        environment: Mapping[str, str] | None = None,
        settings: str = "",
        **flags: object,
    ) -> None:
        super().__init__(data, publish_rate=0, **flags)
        self.prefix = list(prefix)
        self.altered = altered
        self.besides = dict(environment or {})
        if settings:
            config = self.data.with_name("rtlite.toml")
            config.write_text(settings)
            self._flags["config"] = config

    @property
    def command(self) -> list[str]:
        python, module, rtlite, *arguments = super().command
        program = ["tests.faults.altered", self.altered] if self.altered else [rtlite]
        return [*self.prefix, python, module, *program, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.besides}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal_stop(self) -> None:
        """SIGTERM, without waiting for the end."""
        assert self._process is not None
        self._process.terminate()

    async def freeze(self) -> None:
        """SIGSTOP, until none of its threads runs any more; what each was doing in the kernel is done."""
        os.kill(self.pid, signal.SIGSTOP)
        with trio.fail_after(10):
            while any(  # noqa: ASYNC110  # the kernel tells nobody
                stat.read_text().rpartition(") ")[2][0] not in "TtZX"
                for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")
            ):
                await trio.sleep(0.001)

    async def ended(self) -> int:
        """Wait until it ends by itself, or rather by what was done to it; returns the exit code."""
        assert self._process is not None and self._reader is not None
        with trio.fail_after(30):
            while (code := self._process.poll()) is None:  # noqa: ASYNC110  # a thread that waits cannot be cancelled
                await trio.sleep(0.01)
            await trio.to_thread.run_sync(self._reader.join, abandon_on_cancel=True)
        self._process = None
        return code


async def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code."""
    return await trio.run_process(
        [str(word) for word in command],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("RTLITE_")},
    )


async def rtlite(*arguments: object) -> tuple[int, str]:
    """Run a subcommand; its exit code and what it printed."""
    done = await run(sys.executable, "-m", "rtlite", *arguments)
    return done.returncode, (done.stdout + done.stderr).decode()  # type: ignore[attr-defined]


async def post(
    stream: trio.abc.Stream, key: str, body: bytes, path: str = "/api/publish"
) -> tuple[int, dict[str, Any]] | None:
    """One request over a keep-alive connection; ``None`` if the connection ended before the whole answer."""
    answer = b""
    try:
        await stream.send_all(HEADER.format(path=path, key=key, length=len(body)).encode() + body)
        while b"\r\n\r\n" not in answer:
            if not (received := await stream.receive_some()):
                return None
            answer += received
        head, _, content = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(content) < length:
            if not (received := await stream.receive_some()):
                return None
            content += received
    except trio.BrokenResourceError:
        return None
    return int(head[9:12]), orjson.loads(content)


async def flood(server: ServerProcess, channel: str, size: int) -> None:
    """Publish so many bytes, in events of 64 KiB and requests of 4 MiB."""
    event = orjson.dumps({"channel": channel, "event": "tick", "data": "x" * 65536})
    client = await server.operator()
    headers = {"Content-Type": "application/x-ndjson"}
    for done in range(0, size, 64 * 65536):
        body = b"\n".join([event] * min(64, (size - done) // 65536))
        answer = await client.post("/api/publish/batch", content=body, headers=headers, timeout=60)
        assert answer.status_code == 201, answer.text


@attrs.define(eq=False)
class World:
    """One channel of one server, publishers that retry until they are acknowledged, subscribers that resume.

    :param batch: events per request; :param padding: bytes that each event carries.
    :param patience: seconds for subscribers to see the last event; :param deadline: for each :meth:`until`;
    :param lifetime: for all of it.
    :param port: where publishers connect, if not to the server itself.
    """

    server: ServerProcess
    channel: str = "article:world"
    publishers: int = PUBLISHERS
    subscribers: int = 1
    batch: int = 1
    padding: int = 0
    port: int | None = None
    patience: float = 10.0
    deadline: float = 120.0
    lifetime: float = 240.0
    key: str = ""
    attempts: list[Attempt] = attrs.field(factory=list)
    arrivals: list[list[tuple[int, str]]] = attrs.field(factory=list)
    epochs: set[str] = attrs.field(factory=set)
    refusals: Counter[str] = attrs.field(factory=Counter)
    slowest: float = 0.0
    greetings: int = 0
    unrecovered: int = 0
    acknowledged: int = 0
    log: list[tuple[int, str]] = attrs.field(factory=list)
    _stopping: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.key = self.key or self.server.admin_key or "rtk_dev"

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Publish and follow while this lasts; then let everyone have an answer, and read what is there."""
        with trio.fail_after(self.lifetime):
            async with trio.open_nursery() as readers, self._inhabited(readers):
                yield

    @asynccontextmanager
    async def _inhabited(self, readers: trio.Nursery) -> AsyncIterator[None]:
        for _ in range(self.subscribers):
            arrivals: list[tuple[int, str]] = []
            self.arrivals.append(arrivals)
            readers.start_soon(self.follow, arrivals)
        await self.until(lambda: self.greetings >= self.subscribers)
        async with trio.open_nursery() as nursery:
            for publisher in range(self.publishers):
                nursery.start_soon(self.publish, str(publisher))
            yield
            self._stopping = True
        self.log = await self.history()
        with trio.move_on_after(self.patience):  # who misses something by then is found by the checker
            last = self.log[-1][0] if self.log else 0
            await self.until(lambda: all(seen and seen[-1][0] >= last for seen in self.arrivals))
        readers.cancel_scope.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for an answer or an arrival to make the condition true."""
        with trio.fail_after(self.deadline):
            while not condition():
                await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def violations(self) -> list[Violation]:
        """What the checker finds in what everyone saw; each publisher's events in its order, besides."""
        await trio.lowlevel.checkpoint()
        last = self.log[-1][0] if self.log else 0
        sessions = [Session(f"blog-{n}", seen, after=0, until=last) for n, seen in enumerate(self.arrivals)]
        found = check_history(History(self.attempts, sessions, self.log))
        for publisher in range(self.publishers):
            mine = [int(id.split("-")[1]) for _, id in self.log if id.startswith(f"{publisher}-")]
            if mine != list(range(len(mine))):
                found.append(Violation("publisher_order", f"publisher {publisher}"))
        return found

    async def publish(self, publisher: str) -> None:
        """Publish numbered events one request after another; retry each with its ids until it is acknowledged."""
        number, retried, answered = 0, False, True
        while not (self._stopping and answered):
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.port or self.server.port)
            except OSError:
                await trio.sleep(0.02)
                continue
            async with stream:
                while not (self._stopping and answered):
                    ids = [f"{publisher}-{number + index}" for index in range(self.batch)]
                    answered = await self._attempt(stream, publisher, ids, retried)
                    retried = not answered
                    if answered:
                        number += self.batch
                    elif self.attempts[-1].outcome is Outcome.UNKNOWN:
                        break
                    else:
                        await trio.sleep(0.02)

    async def _attempt(self, stream: trio.abc.Stream, publisher: str, ids: list[str], retried: bool) -> bool:
        data = {"padding": "x" * self.padding} if self.padding else {}
        events = [{"channel": self.channel, "event": "tick", "data": {**data, "id": id}, "id": id} for id in ids]
        body = orjson.dumps(events[0] if self.batch == 1 else {"events": events})
        path = "/api/publish" if self.batch == 1 else "/api/publish/batch"
        begun = trio.current_time()
        answer = await post(stream, self.key, body, path)
        now = trio.current_time()
        if answer is not None and answer[0] in {200, 201}:
            status, content = answer
            for id, receipt in zip(ids, content.get("items", [content]), strict=True):
                self.epochs.add(receipt["epoch"])
                # A batch does not say which of it were there already.
                repeated = status == 200 or (retried and self.batch > 1)
                self.attempts.append(
                    Attempt(publisher, id, begun, now, Outcome.OK, receipt["offset"], duplicate=repeated)
                )
            self.acknowledged += len(ids)
            self.slowest = max(self.slowest, now - begun)
        elif answer is not None:
            self.refusals[answer[1].get("code", str(answer[0]))] += 1
            self.attempts += [Attempt(publisher, id, begun, now, Outcome.FAILED) for id in ids]
        else:
            self.attempts += [Attempt(publisher, id, begun, now, Outcome.UNKNOWN) for id in ids]
        self._note()
        return self.attempts[-1].outcome is Outcome.OK

    async def follow(self, arrivals: list[tuple[int, str]]) -> None:
        """Follow the channel over the blog WebSocket; whenever it ends, resume from the last position seen."""
        position = ""
        while True:
            path = f"/blog/ws/articles/{self.channel.partition(':')[2]}?token={self.key}&since={position or '1h'}"
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.server.port)
            except OSError:
                await trio.sleep(0.02)
                continue
            # The stream is ours to close: trio-websocket forgets it when the server dies during the handshake.
            async with stream, trio.open_nursery() as nursery:
                try:
                    with trio.fail_after(5):
                        websocket = await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", path)
                    greeting = orjson.loads(await websocket.get_message())
                    self.unrecovered += not greeting["recovered"]
                    self.greetings += 1
                    self._note()
                    while True:
                        event = orjson.loads(await websocket.get_message())
                        position = event["position"]
                        arrivals.append((int(position.split("-")[1]), event["id"]))
                        self._note()
                except (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.TooSlowError):
                    nursery.cancel_scope.cancel()

    async def crash_at_random(
        self, times: int, every: int, rng: random.Random, crash: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Crash (kill and restart) after random numbers of acknowledgements, and at any point of one."""
        for _ in range(times):
            target = self.acknowledged + rng.randrange(every // 2, every)
            await self.until(lambda target=target: self.acknowledged >= target)  # type: ignore[misc]
            await trio.sleep(rng.random() * 0.01)
            if crash is not None:
                await crash()
            else:
                await self.server.kill()
                await self.server.start()

    async def history(self) -> list[tuple[int, str]]:
        """The channel's whole history, as a client reads it."""
        client = self.server.http(self.key)
        log: list[tuple[int, str]] = []
        since = "30d"
        while True:
            answer = await client.get(
                f"/api/channels/{self.channel}/history", params={"since": since, "limit": 10_000}, timeout=60
            )
            page = answer.json()
            log += [(event["offset"], event["id"]) for event in page["items"]]
            if not page["items"]:
                return log
            since = page["next"]


ALL_KEPT = "[channels.article]\nretention_count = 100000000\nretention_bytes = '10GiB'\n"


def resident(pid: int) -> int:
    """A process's memory, in bytes."""
    return _status(pid, "VmRSS") * 1024


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


def descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
