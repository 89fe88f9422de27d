"""Real clients of Socket.IO: npm's socket.io-client 4 and 3 in Node and Chromium, and Python's, against rtlite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from rtlite.endpoints.socketio import Namespace, Socket
from tests.clients.runtimes import HERE, Client, Node, Runtime, why_no_npm
from tests.servers import Doors, InProcess, ServerProcess, running_server

TRANSPORTS = ["polling", "websocket", "polling, websocket"]  # the last is the default: begin with one, change over
LIBRARIES = ["socket.io-client", "socket.io-client-3"]


async def publish(server: Doors, *data: Any) -> list[str]:
    client = await server.operator()
    ids = []
    for value in data:
        answer = await client.post("/api/publish", json={"channel": "stream:s", "event": "message", "data": value})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    return ids


async def stream(server: InProcess) -> str:
    """A stream ``s`` with history; returns its owner's key."""
    key = await server.key("stream", "ann")
    await server.http(key).put("/streams/s", json={"storeHistory": True})
    return key


def program(server: Doors, token: str, transports: str, library: str = "socket.io-client", **options: Any) -> str:
    """A client that logs what happens to it, beginning with ``connect``."""
    query = {"stream": "s", "token": token, **options.pop("query", {})}
    options = {
        "transports": transports.split(", "),
        "query": query,
        "reconnectionDelay": 50,
        "forceNew": True,
    } | options
    return f"""import {{ io }} from {json.dumps(library)}
        const socket = globalThis.socket = io({json.dumps(server.url)}, {json.dumps(options)})
        socket.on("connect", () => console.log("connect", !!socket.recovered))
        socket.io.engine.on("upgrade", transport => console.log("upgrade", transport.name))
        socket.on("disconnect", reason => console.log("disconnect", reason))
        socket.on("warning", ({{ code }}) => console.log("warning", code))
        socket.on("error", ({{ code }}) => console.log("error", code))
        socket.on("message", (data, id) => console.log("message", data, id))
        """


async def says(client: Client, count: int = 1) -> list[Any]:
    """What is logged next, but for the change of transport, which comes when it comes."""
    said: list[Any] = []
    while len(said) < count:
        if (line := await client.says())[0] != "upgrade":
            said.append(line)
    return said


@pytest.fixture(params=LIBRARIES)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Node, str]:
    """Node, and the name of a library for it."""
    if why := why_no_npm(request.param):
        pytest.skip(why)
    return Node(tmp_path), request.param


# The text's, as they stand there.
_ARGUMENTS = """replayLimit: 123, // Optional, number of messages max replayed at connection
replay: '2h', // Optional
includeMetadata: false,
channel: 'errors'"""


class TestTheText:
    """*"You can subscribe a stream using a simple setup of socket.io."*"""

    async def test_the_snippet_hears_the_stream(self, socketio: Runtime) -> None:
        async with socketio.client() as client, running_server(allowed_origins=client.origins) as server:
            text = (HERE / "snippets" / "socketio.js").read_text()
            key = await server.key("stream", "ann")
            text = text.replace("https://api.bloomr.stream/", f"{server.url}/").replace("your-token-here", key)
            await client.run(text)
            assert await client.says() == ["Connected to", f"{server.url}/"]
            answer = await (await server.operator()).post(
                "/api/publish", json={"channel": "stream:dwd23RWdwE", "event": "message", "data": {"price": 42}}
            )
            assert answer.status_code == 201
            assert await client.says() == ["MESSAGE =>", {"price": 42}]

    async def test_the_snippet_with_every_query_argument_hears_the_replay_of_its_channel(
        self, socketio: Runtime
    ) -> None:
        async with socketio.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("stream", "ann")
            await server.http(key).put("/streams/dwd23RWdwE", json={"storeHistory": True})
            operator = await server.operator()
            for channel in ("stream:dwd23RWdwE", "stream:dwd23RWdwE:errors"):
                await operator.post("/api/publish", json={"channel": channel, "event": "message", "data": channel})
            token = "token: 'your-token-here', // the token you generated in your settings"
            text = (HERE / "snippets" / "socketio.js").read_text()
            text = text.replace(token, f"{token}\n{_ARGUMENTS}")
            text = text.replace("https://api.bloomr.stream/", f"{server.url}/").replace("your-token-here", key)
            await client.run(text)
            assert await client.says() == ["Connected to", f"{server.url}/"]
            assert await client.says() == ["MESSAGE =>", "stream:dwd23RWdwE:errors"]

    async def test_the_snippet_hears_why_it_is_refused(self, socketio: Runtime) -> None:
        async with socketio.client() as client, running_server(allowed_origins=client.origins) as server:
            text = (HERE / "snippets" / "socketio.js").read_text()
            await client.run(text.replace("https://api.bloomr.stream/", f"{server.url}/"))
            assert await client.says() == ["Connected to", f"{server.url}/"]
            name, said = await client.says()
            assert (name, said["code"]) == ("ERROR =>", "unauthorized")


class TestStreams:
    @pytest.mark.parametrize("transports", TRANSPORTS)
    async def test_replay_and_then_live(self, socketio: Runtime, transports: str) -> None:
        async with socketio.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await stream(server)
            ids = await publish(server, *range(50))
            await client.run(program(server, key, transports, query={"replay": "1h"}))
            assert await says(client) == [["connect", False]]
            ids += await publish(server, *range(50, 100))
            assert await says(client, 100) == [["message", number, ids[number]] for number in range(100)]

    @pytest.mark.parametrize("transports", TRANSPORTS)
    async def test_clients_of_every_version(self, node: tuple[Node, str], transports: str) -> None:
        runtime, library = node
        async with runtime.client() as client, running_server(max_replay=10) as server:
            key = await stream(server)
            await publish(server, *range(20))
            await client.run(program(server, key, transports, library, query={"replay": "1h"}))
            assert await says(client, 2) == [["connect", False], ["warning", "replay_limit"]]
            assert [line[1] for line in await says(client, 10)] == list(range(10, 20))
            await publish(server, {"€": [1]})
            assert [line[1] for line in await says(client)] == [{"€": [1]}]
            await server.revoke(key)
            assert await says(client, 2) == [["error", "revoked"], ["disconnect", "io server disconnect"]]

    async def test_heartbeats_keep_every_kind_of_client(self, socketio: Runtime) -> None:
        async with (
            socketio.client() as client,
            running_server(
                allowed_origins=client.origins, socketio_ping_interval=0.1, socketio_ping_timeout=2.0
            ) as server,
        ):
            key = await stream(server)
            for transports in TRANSPORTS:
                await client.run(program(server, key, transports))
                assert await says(client) == [["connect", False]]
                await trio.sleep(0.5)
                await publish(server, transports)
                assert [line[:2] for line in await says(client)] == [["message", transports]]
                await client.run("globalThis.socket?.disconnect(); console.log('off')")
                said = [line[0] for line in await says(client, 1)]
                while said[-1] != "off":
                    said.append((await says(client))[0][0])


class TestRecovery:
    @pytest.mark.parametrize("transports", TRANSPORTS)
    async def test_nothing_is_missed_though_the_server_is_killed(
        self, socketio: Runtime, transports: str, tmp_path: Path, full: bool
    ) -> None:
        async with socketio.client() as client:
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", **origins) as server:
                await (await server.operator()).put("/streams/s", json={"storeHistory": True, "owner": "ann"})
                token = server.admin_key or ""
                options: dict[str, Any] = {"query": {"recovery": "true"}, "reconnectionDelayMax": 100, "timeout": 1000}
                await client.run(program(server, token, transports, **options))
                assert await says(client) == [["connect", False]]
                for number in range(0, 30 if full else 20, 10):
                    if number:  # the first time before any message came
                        await publish(server, *range(number, number + 5))
                        assert [line[1] for line in await says(client, 5)] == list(range(number, number + 5))
                    await server.stop(signal.SIGKILL)
                    await server.start()
                    ids = await publish(server, *range(number + 5, number + 10))
                    heard = []
                    while len(heard) < 5:
                        (line,) = await says(client)
                        if line[0] == "connect":
                            assert line == ["connect", True]
                        elif line[0] == "message":
                            heard.append(line[1:])
                    assert heard == [[number + 5 + index, ids[index]] for index in range(5)]


def echo() -> Namespace:
    namespace = Namespace("/echo")

    @namespace.on("message")
    async def message(socket: Socket, *args: Any) -> tuple[Any, ...]:
        await socket.emit("back", *args)
        return args

    @namespace.on("ask")
    async def ask(socket: Socket) -> Any:
        return await socket.call("question", b"\1\2")

    return namespace


_ECHO = """import {{ io }} from {library}
const plain = value => value instanceof ArrayBuffer || value instanceof Uint8Array ? [...new Uint8Array(value)] : value
const socket = io({url} + "/echo", {{ transports: {transports}, forceNew: true }})
socket.on("back", (...values) => console.log("back", ...values.map(plain)))
socket.on("question", (bytes, answer) => answer(plain(bytes).length, new Uint8Array([7])))
socket.on("connect", () => {{
  socket.emit("message", 1, {{ a: "€" }}, new Uint8Array([1, 2, 3]), (...values) => {{
    console.log("ack", ...values.map(plain))
    socket.emit("ask", answer => console.log("answer", answer.map(plain)))
  }})
}})
const nobody = io({url} + "/nobody", {{ transports: {transports} }})
nobody.on("connect_error", error => console.log("refused", error.message))
"""


class TestNamespaces:
    @pytest.mark.parametrize("transports", TRANSPORTS)
    async def test_events_acknowledgements_and_attachments_both_ways(
        self, node: tuple[Node, str], transports: str
    ) -> None:
        runtime, library = node
        async with runtime.client() as client, running_server(namespaces=[echo()]) as server:
            await client.run(
                _ECHO.format(
                    library=json.dumps(library),
                    url=json.dumps(server.url),
                    transports=json.dumps(transports.split(", ")),
                )
            )
            said = await says(client, 4)
            assert sorted(said, key=str) == [
                ["ack", 1, {"a": "€"}, [1, 2, 3]],
                ["answer", [2, [7]]],
                ["back", 1, {"a": "€"}, [1, 2, 3]],
                ["refused", "Invalid namespace"],
            ]


_PYTHON = """
import sys, socketio
url, token, transports = sys.argv[1:]
client = socketio.Client()
say = lambda *words: (sys.stdout.write(" ".join(map(str, words)) + "\\n"), sys.stdout.flush())
client.on("connect", lambda: say("connect"))
client.on("message", lambda data, id: say("message", data))
client.on("error", lambda said: say("error", said["code"]))
client.on("disconnect", lambda *_: say("disconnect"))
client.connect(f"{url}?stream=s&replay=1h&token={token}", transports=transports.split(", "))
client.wait()
"""


class TestPython:
    @pytest.mark.parametrize("transports", TRANSPORTS)
    async def test_its_client_hears_replay_and_live_and_why_it_ends(self, transports: str) -> None:
        pytest.importorskip("socketio", reason="python-socketio is not installed")
        async with running_server() as server:
            key = await stream(server)
            await publish(server, 1, 2)
            command = [sys.executable, "-c", _PYTHON, server.url, key, transports]
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                said = b""

                async def heard(count: int) -> list[str]:
                    nonlocal said
                    with trio.fail_after(20):
                        while said.count(b"\n") < count:
                            said += await process.stdout.receive_some()  # type: ignore[union-attr]
                    return said.decode().splitlines()

                # It handles each packet in a thread of its own: in which order, the machine decides.
                assert sorted(await heard(3)) == ["connect", "message 1", "message 2"]
                await publish(server, 3)
                assert (await heard(4))[3:] == ["message 3"]
                await server.revoke(key)
                # It may tell of one end twice: of the packet that says so, and of the connection.
                ends = (await heard(6))[4:]
                if "error revoked" not in ends:
                    ends = (await heard(7))[4:]
                assert set(ends) == {"disconnect", "error revoked"}
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                    if process.stdout is not None:
                        await process.stdout.aclose()
