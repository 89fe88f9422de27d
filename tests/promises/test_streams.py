"""From replay to live over Socket.IO, while much is published: nothing lost, doubled or out of order."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import orjson
import pytest
import trio

from tests.servers import ServerProcess
from tests.transports.doors import frame, handshake, head

RATE: Final = 2_000  # messages a second
_MESSAGE: Final = re.compile(rb'42\["message",(\d+),"(m-\d+)"\]')


@attrs.define
class Publisher:
    """Publishes the numbers from 0 on, and retries what was not answered."""

    server: ServerProcess
    last: int
    published: int = 0
    _more: trio.Event = attrs.field(factory=trio.Event)

    async def reached(self, share: float) -> None:
        """Wait until this share of all is published."""
        while self.published < self.last * share:
            await self._more.wait()

    async def run(self) -> None:
        started, step = trio.current_time(), 40
        while self.published < self.last:
            numbers = range(self.published, min(self.published + step, self.last))
            await self._publish(numbers)
            self.published = numbers[-1] + 1
            self._more.set()
            self._more = trio.Event()
            await trio.sleep_until(started + self.published / RATE)

    async def _publish(self, numbers: range) -> None:
        events = [{"channel": "stream:s", "event": "message", "data": n, "id": f"m-{n}"} for n in numbers]
        client = await self.server.operator()
        while True:
            try:
                answer = await client.post("/api/publish/batch", json={"events": events})
            except httpx.TransportError:
                await trio.sleep(0.05)
                continue
            assert answer.status_code in {200, 201}, answer.text
            return


@attrs.define
class Reader:
    """One client: it notes what it hears, and comes back where it was cut off."""

    server: ServerProcess
    query: str
    polling: bool
    recovery: bool = False
    heard: list[int] = attrs.field(factory=list)
    faults: list[tuple[int, int]] = attrs.field(factory=list)
    pid: str = ""
    offset: str = ""
    rest: bytes = b""
    unrecovered: int = 0
    cuts: int = 0

    async def run(self, last: int) -> None:
        """Listen until the number before ``last`` was heard."""
        while not self.heard or self.heard[-1] < last - 1:
            try:
                await (self._poll if self.polling else self._listen)(last)
            except (OSError, EOFError, trio.BrokenResourceError, httpx.TransportError):
                assert self.recovery, "the connection broke"
                self.rest = b""
                self.cuts += 1
                await trio.sleep(0.05)

    def _target(self, transport: str) -> str:
        recovery = "&recovery=1" if self.recovery else ""
        return f"/socket.io/?EIO=4&transport={transport}&stream=s&token={self.server.admin_key}{self.query}{recovery}"

    def _connect(self) -> bytes:
        auth = {"pid": self.pid, **({"offset": self.offset} if self.offset else {})} if self.pid else {}
        return b"40" + (orjson.dumps(auth) if auth else b"")

    def _take(self, data: bytes) -> None:
        """Note the messages, and what follows none of those before."""
        if not self.heard or self.recovery:
            found = re.search(rb'40\{"sid":"[^"]+"(?:,"pid":"([^"]+)")?\}', data)
            if found and found[1]:
                self.unrecovered += bool(self.pid) and self.pid != found[1].decode()
                self.pid = found[1].decode()
        data = self.rest + data
        end = 0
        for match in _MESSAGE.finditer(data):
            number = int(match[1])
            if self.heard and number != self.heard[-1] + 1:
                self.faults.append((self.heard[-1], number))
            self.heard.append(number)
            self.offset, end = match[2].decode(), match.end()
        self.rest = data[end:][-4096:]

    async def _listen(self, last: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self.server.port) as stream:
            await stream.send_all(handshake(self._target("websocket")) + frame(self._connect()))
            while not self.heard or self.heard[-1] < last - 1:
                if not (data := await stream.receive_some(65536)):
                    raise EOFError
                self._take(data)

    async def _poll(self, last: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self.server.port) as stream:
            sid = ""

            async def ask(method: str, body: bytes = b"") -> bytes:
                request = head(f"{method} {self._target('polling')}{sid}", Content_Length=str(len(body))) + body
                await stream.send_all(request)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += await self._some(stream)
                start, _, data = data.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", start.lower())
                assert length is not None and start.startswith(b"HTTP/1.1 200"), start
                while len(data) < int(length[1]):
                    data += await self._some(stream)
                return data

            sid = "&sid=" + orjson.loads((await ask("GET"))[1:])["sid"]
            await ask("POST", self._connect())
            while not self.heard or self.heard[-1] < last - 1:
                self._take(await ask("GET") + b"\x1e")

    @staticmethod
    async def _some(stream: trio.SocketStream) -> bytes:
        data = bytes(await stream.receive_some(65536))
        if not data:
            raise EOFError
        return data


async def _replays(server: ServerProcess, publisher: Publisher, count: int, *, recovery: bool) -> list[Reader]:
    """``count`` clients come while it is published, with all kinds of wishes, over both transports."""
    readers: list[Reader] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        await publisher.reached(0.1)
        for number in range(count):
            seen = publisher.published
            wishes = ("", "&replay=1h", "&replayLimit=100", f"&replayId=m-{seen // 2}", "&replaySince=1s")
            readers.append(Reader(server, wishes[number % 5], polling=number % 2 == 1, recovery=recovery))
            nursery.start_soon(readers[-1].run, publisher.last)
            await trio.sleep(publisher.last / RATE * 0.6 / count)
    return readers


def _check(readers: list[Reader], last: int) -> None:
    for reader in readers:
        assert reader.faults == []
        assert reader.heard[-1] == last - 1
        assert reader.unrecovered == 0
        if "replay=1h" in reader.query:
            assert reader.heard[0] == 0
        if "replayId" in reader.query:
            assert reader.heard[0] == int(reader.query.rpartition("-")[2]) + 1


@pytest.mark.parametrize(
    ("count", "last"),
    [(20, 1_500), pytest.param(200, 9_000, marks=pytest.mark.full)],
    ids=["20 clients", "200 clients"],
)
async def test_every_client_gets_one_sequence_whatever_it_asks_for_and_whenever(
    count: int, last: int, tmp_path: Path
) -> None:
    async with ServerProcess(tmp_path / "streams.db", publish_rate=0) as server:
        await _create(server)
        publisher = Publisher(server, last)
        readers = await _replays(server, publisher, count, recovery=False)
    _check(readers, last)


@pytest.mark.parametrize(
    ("count", "last"),
    [(20, 2_000), pytest.param(200, 9_000, marks=pytest.mark.full)],
    ids=["20 clients", "200 clients"],
)
async def test_with_recovery_that_holds_though_the_server_is_killed(count: int, last: int, tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "streams.db", publish_rate=0) as server:
        await _create(server)
        publisher = Publisher(server, last)

        async def kill() -> None:
            for share in (0.5, 0.8):
                await publisher.reached(share)
                await server.stop(signal.SIGKILL)
                await server.start()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            readers = await _replays(server, publisher, count, recovery=True)
    _check(readers, last)
    assert sum(reader.cuts for reader in readers) >= count // 2


async def _create(server: ServerProcess) -> None:
    body: dict[str, Any] = {"storeHistory": True, "owner": "ann"}
    answer = await (await server.operator()).put("/streams/s", json=body)
    assert answer.status_code in {200, 201}, answer.text
