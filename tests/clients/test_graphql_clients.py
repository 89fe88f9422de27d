"""Real clients of GraphQL: npm's graphql-ws and Apollo's client in Node and Chromium, Python's gql, and curl.

The JavaScript of the source text's reference runs unchanged but for the host and the key.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.clients.runtimes import Client, Runtime, snippet
from tests.servers import Doors, ServerProcess, running_server

CHANNEL = "changes:product"
LATER = "// Later, to unsubscribe:"


async def call(http: httpx.AsyncClient, method: str, path: str, **body: Any) -> Any:
    answer = await http.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def subscribing() -> str:
    """The text's subscription. What it does later is done when a record says ``{"stop": true}``."""
    now, _, later = snippet_text("graphql-subscribe.js").partition(LATER)
    shown = 'console.log("Record changed:", data);'
    assert shown in now
    return now.replace(shown, f"{shown}\nif (data.data.recordChanged.record.data.stop) {{ {later} }}")


def snippet_text(name: str) -> str:
    return (Path(__file__).parent / "snippets" / name).read_text()


class TestTheText:
    """*"Subscribe to real-time change events for specific models"*."""

    async def test_the_subscription_hears_every_type_of_change_until_it_unsubscribes(self, graphql: Runtime) -> None:
        async with graphql.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop")
            await client.run(snippet("graphql.js", server, key) + subscribing())
            await server.subscribed(CHANNEL)
            backend = server.http(await server.key("project", "shop", write=True))
            record = await call(backend, "POST", "/records/product", naturalKey="blue-mug", data={"price": 1})
            path = f"/records/product/{record['id']}"
            assert await changed(client) == ["CREATED", "blue-mug", {"price": 1}]
            await call(backend, "PATCH", path, data={"stock": 2})
            assert await changed(client) == ["UPDATED", "blue-mug", {"price": 1, "stock": 2}]
            await call(backend, "POST", f"{path}/publish")
            assert await changed(client) == ["PUBLISHED", "blue-mug", {"price": 1, "stock": 2}]
            await call(backend, "POST", f"{path}/unpublish")
            assert await changed(client) == ["UNPUBLISHED", "blue-mug", {"price": 1, "stock": 2}]
            await call(backend, "PUT", path, data={"stop": True})
            assert await changed(client) == ["UPDATED", "blue-mug", {"stop": True}]
            assert await client.says() == ["Subscription complete"]
            await call(backend, "DELETE", path)
            with trio.fail_after(5):
                # The client leaves when it listens to nothing.
                while len(server.running.server.connections) > 0:  # noqa: ASYNC110  # state of another party
                    await trio.sleep(0.01)

    async def test_a_customers_token_beside_the_key_is_taken_too(self, graphql: Runtime) -> None:
        async with graphql.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop")
            first = (
                f'import {{ createClient }} from "graphql-ws"\nconst customerAccessToken = "{server.token("ann")}"\n'
            )
            inbox = """client.subscribe({ query: "subscription { notificationReceived { title userId } }" }, {
              next({ data }) { console.log("Received:", data) },
              error(err) { console.log("error", JSON.stringify(err)) },
              complete() {},
            })"""
            await client.run(first + snippet("graphql-customer.js", server, key) + subscribing() + inbox)
            await server.subscribed(CHANNEL)
            await server.subscribed("notifications:ann")
            backend = server.http(await server.key("project", "shop", write=True))
            await call(backend, "POST", "/records/product", data={"price": 1})
            assert await changed(client) == ["CREATED", None, {"price": 1}]
            await call(backend, "POST", "/notifications", userId="ann", type="order_update", title="Order Shipped")
            received = {"notificationReceived": {"title": "Order Shipped", "userId": "ann"}}
            assert await client.says() == ["Received:", received]

    async def test_the_client_comes_back_by_itself_after_the_server_was_killed(
        self, graphql: Runtime, tmp_path: Path
    ) -> None:
        """*"The graphql-ws client handles reconnection automatically."*"""
        async with graphql.client() as client, process(tmp_path, client) as server, front(server) as door:
            first = 'import { createClient } from "graphql-ws"\n'
            await client.run(first + snippet("graphql-retry.js", door, server.admin_key or "") + subscribing())
            assert await client.says() == ["WebSocket connected"]
            await server.subscribed(CHANNEL)
            await server.kill()
            await server.start()
            said = []
            while (line := await client.says()) != ["WebSocket connected"]:
                said.append(line[0])
            assert set(said) <= {"WebSocket closed", "WebSocket error:"} and "WebSocket closed" in said
            await server.subscribed(CHANNEL)
            await call(await server.operator(), "POST", "/records/product", data={"price": 1})
            assert await changed(client) == ["CREATED", None, {"price": 1}]

    async def test_where_nobody_listens_it_gives_up_at_once(self, graphql: Runtime, tmp_path: Path) -> None:
        """Of its own accord graphql-ws tries again after a close, not after the error of a refused connection."""
        async with graphql.client() as client, process(tmp_path, client) as server:
            first = 'import { createClient } from "graphql-ws"\n'
            await client.run(first + snippet("graphql-retry.js", server, server.admin_key or "") + subscribing())
            assert await client.says() == ["WebSocket connected"]
            await server.subscribed(CHANNEL)
            await server.kill()
            said = []
            while (word := (await client.says())[0]) != "Subscription error:":
                said.append(word)
            assert said.count("WebSocket closed") in {1, 2} and "WebSocket connected" not in said


@asynccontextmanager
async def front(server: ServerProcess) -> AsyncIterator[Doors]:
    """What goes on to take connections while a server restarts, and lets them wait, as a proxy or a supervisor does."""

    async def serve(client: trio.SocketStream) -> None:
        async with client:
            while True:
                try:
                    upstream = await trio.open_tcp_stream("127.0.0.1", server.port)
                    break
                except OSError:
                    await trio.sleep(0.02)
            async with upstream, trio.open_nursery() as nursery:
                nursery.start_soon(copy, client, upstream, nursery.cancel_scope)
                nursery.start_soon(copy, upstream, client, nursery.cancel_scope)

    async def copy(source: trio.SocketStream, target: trio.SocketStream, both: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in source:
                await target.send_all(data)
        both.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        door = Doors()
        door.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield door
        nursery.cancel_scope.cancel()


async def changed(client: Client) -> list[Any]:
    """Type, natural key and data of the next change, once all that the text selects was found in it."""
    word, said = await client.says()
    assert word == "Record changed:", said
    change = said["data"]["recordChanged"]
    record = change["record"]
    assert set(change) == {"type", "record"}
    assert set(record) == {"id", "modelKey", "naturalKey", "data", "updatedAt"}
    assert record["modelKey"] == "product" and record["updatedAt"].endswith("Z")
    return [change["type"], record["naturalKey"], record["data"]]


_SINCE = """import { createClient } from "graphql-ws"
const variables = { modelKey: "product", since: %(since)s }
const seen = []
createClient({
  url: "%(url)s/graphql/ws",
  connectionParams: { apiKey: "%(key)s" },
  retryAttempts: 1000,
  retryWait: () => new Promise(done => setTimeout(done, 50)),
  shouldRetry: () => true,
  on: { connected: () => console.log("connected") },
}).subscribe({
  query: `subscription ($modelKey: String!, $since: String) {
    recordChanged(modelKey: $modelKey, since: $since) { type record { data } }
  }`,
  variables,
}, {
  next({ data, extensions }) {
    variables.since = extensions.position
    seen.push(data.recordChanged.record.data.number)
    if (seen.at(-1) === %(last)d) setTimeout(() => console.log("all", seen), 100)
  },
  error(error) { console.log("error", error.code, error.reason ?? JSON.stringify(error)) },
  complete() { console.log("complete") },
})
"""


class TestReconnecting:
    """*"since"* in the variables, which its next handler keeps at the position that each result carries."""

    async def test_no_change_is_lost_and_none_doubled_though_the_server_is_killed_again_and_again(
        self, graphql: Runtime, tmp_path: Path, full: bool
    ) -> None:
        count, kills = (1000, {200, 500, 800}) if full else (300, {100, 200})
        async with graphql.client() as client, process(tmp_path, client) as server:
            await client.run(since(server, "null", last=count - 1))
            assert await client.says() == ["connected"]
            await server.subscribed(CHANNEL)
            for number in range(count):
                if number in kills:
                    async with trio.open_nursery() as nursery:  # it is killed while this one is made
                        nursery.start_soon(make_surely, server, number)
                        await server.kill()
                        await server.start()
                else:
                    await make_surely(server, number)
            connections = 0
            while (said := await client.says()) == ["connected"]:
                connections += 1
            assert said == ["all", list(range(count))]
            assert connections >= len(kills)

    async def test_who_knows_where_now_is_misses_nothing_before_the_first_change(
        self, graphql: Runtime, tmp_path: Path
    ) -> None:
        async with graphql.client() as client, process(tmp_path, client) as server:
            await make_surely(server, -1)
            query = {"query": f'{{ position(channel: "{CHANNEL}") }}'}
            answer = (await (await server.operator()).post("/graphql", json=query)).json()
            await client.run(since(server, json.dumps(answer["data"]["position"]), last=0))
            assert await client.says() == ["connected"]
            await server.subscribed(CHANNEL)
            await server.kill()
            await server.start()
            await make_surely(server, 0)
            while (said := await client.says()) == ["connected"]:
                pass
            assert said == ["all", [0]]

    async def test_a_stop_of_the_server_is_survived_as_well(self, graphql: Runtime, tmp_path: Path) -> None:
        async with graphql.client() as client, process(tmp_path, client) as server:
            # By itself it comes back after a close, and gives up when a connection is refused.
            program = since(server, "null", last=1).replace("shouldRetry: () => true,", "")
            wait = "retryWait: async () => { while (!await ready()) await new Promise(done => setTimeout(done, 50)) },"
            ready = f"const ready = () => fetch('{server.url}/readyz').then(answer => answer.ok, () => false)\n"
            patient = program.replace("retryWait: () => new Promise(done => setTimeout(done, 50)),", wait)
            await client.run(ready + patient)
            assert await client.says() == ["connected"]
            await server.subscribed(CHANNEL)
            await make_surely(server, 0)
            assert await server.terminate() == 0
            await server.start()
            await make_surely(server, 1)
            while (said := await client.says()) == ["connected"]:
                pass
            assert said == ["all", [0, 1]]


def since(server: ServerProcess, position: str, last: int) -> str:
    return _SINCE % {"url": server.ws_url, "key": server.admin_key, "since": position, "last": last}


async def make_surely(server: ServerProcess, number: int) -> None:
    """Make a record with a natural key, again and again, until the server says that it is there."""
    client = await server.operator()
    with trio.fail_after(30):
        while True:
            try:
                body = {"naturalKey": f"number-{number}", "data": {"number": number}}
                answer = await client.post("/records/product", json=body)
                assert answer.status_code in {201, 409}, answer.text
                return
            except httpx.TransportError:
                await trio.sleep(0.02)


@asynccontextmanager
async def process(tmp_path: Path, client: Client) -> AsyncIterator[ServerProcess]:
    origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
    async with ServerProcess(tmp_path / "rtlite.db", **origins) as server:
        yield server


_APOLLO = """
import { gql } from "@apollo/client"
const told = name => ({
  next: ({ data, error }) => console.log(name, data ?? String(error)),
  error: error => console.log(name, "error", String(error)),
})
const changes = gql`subscription OnRecordChange($modelKey: String!) {
  recordChanged(modelKey: $modelKey) { type record { id data } }
}`
const make = gql`mutation Make($data: JSON!) { createRecord(modelKey: "product", data: $data) { id version } }`
const products = gql`query Products { records(modelKey: "product") { nodes { id data } pageInfo { hasNextPage } } }`

client.subscribe({ query: changes, variables: { modelKey: "product" } }).subscribe({
  next({ data }) {
    console.log("changed", data.recordChanged)
    if (data.recordChanged.record.data.go) go().catch(error => console.log("failed", String(error)))
  },
  error: error => console.log("failed", String(error)),
})
async function go() {
  const made = await client.mutate({ mutation: make, variables: { data: { price: 12.5 } } })
  console.log("made", made.data.createRecord)
  const { data } = await client.query({ query: products })
  console.log("found", data.records)
}
"""


class TestApollo:
    async def test_the_split_link_asks_and_changes_over_http_and_hears_over_the_websocket(
        self, graphql: Runtime
    ) -> None:
        async with graphql.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop", write=True)
            await client.run(snippet("graphql-apollo.js", server, key) + _APOLLO)
            await server.subscribed(CHANNEL)
            first = await call(server.http(key), "POST", "/records/product", data={"go": True})
            word, change = await client.says()
            assert (word, change["type"], change["record"]["data"]) == ("changed", "CREATED", {"go": True})
            said = [await client.says() for _ in range(3)]  # the answer and the event come as they come
            by_word = dict(said)
            made, found = by_word["made"], by_word["found"]
            assert made["version"] == 1 and made["__typename"] == "Record"
            assert by_word["changed"]["record"]["id"] == made["id"]
            nodes = {node["id"]: node["data"] for node in found["nodes"]}
            assert nodes == {first["id"]: {"go": True}, made["id"]: {"price": 12.5}}
            assert found["pageInfo"] == {"__typename": "PageInfo", "hasNextPage": False}

    async def test_an_error_of_a_field_is_the_clients_error(self, graphql: Runtime) -> None:
        async with graphql.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop")  # publishable: it reads, and writes nothing
            program = """
            import { gql } from "@apollo/client"
            const make = gql`mutation { createRecord(modelKey: "product", data: {}) { id } }`
            client.mutate({ mutation: make }).catch(error => console.log("refused", error.errors[0].extensions.code))
            const inbox = gql`subscription { notificationReceived { id } }`
            client.subscribe({ query: inbox }).subscribe({
              next: ({ error }) => console.log("refused", error.errors[0].extensions.code),
              error: error => console.log("refused", error.errors[0].extensions.code),
            })
            """
            await client.run(snippet("graphql-apollo.js", server, key) + program)
            assert await client.says() == ["refused", "forbidden"]
            assert await client.says() == ["refused", "forbidden"]


_RAW = """import { createClient } from "graphql-ws"
const message = (type, rest) => JSON.stringify({ type, ...rest })
const query = "subscription { event(channel: \\"changes:a\\") { id } }"
const subscribe = message("subscribe", { id: "x", payload: { query } })
createClient({
  url: "%(url)s/graphql/ws",
  connectionParams: { apiKey: "%(key)s" },
  retryAttempts: 0,
  %(options)s
}).subscribe({ query: "subscription { event(channel: \\"changes:b\\") { id } }" }, {
  next() {},
  error(error) { console.log("error", error.code) },
  complete() {},
})
"""


class TestCloseCodes:
    @pytest.mark.parametrize(
        ("code", "options"),
        [
            (4400, "on: { connected: socket => socket.send('{}') }"),
            (4400, "on: { connected: socket => socket.send('no JSON') }"),
            (4400, "on: { connected: socket => socket.send(message('unknown')) }"),
            (4401, "on: { opened: socket => socket.send(subscribe) }"),
            (4403, "connectionParams: { apiKey: 'pk_live_wrong' }"),
            (4403, "connectionParams: {}"),
            (4406, "webSocketImpl: class extends WebSocket { constructor(url) { super(url) } }"),
            (
                4406,
                "webSocketImpl: class extends WebSocket { constructor(url) { super(url, 'graphql-ws') } }",
            ),  # the old one
            (4408, "connectionParams: () => new Promise(() => {})"),
            (4409, "on: { connected: socket => { socket.send(subscribe); socket.send(subscribe) } }"),
            (4429, "on: { connected: socket => socket.send(message('connection_init')) }"),
        ],
    )
    async def test_the_client_is_told_what_it_did_wrong(self, graphql: Runtime, code: int, options: str) -> None:
        async with (
            graphql.client() as client,
            running_server(allowed_origins=client.origins, graphql_init_timeout=0.5) as server,
        ):
            key = await server.key("project", "shop")
            await client.run(_RAW % {"url": server.ws_url, "key": key, "options": options})
            assert await client.says() == ["error", code]

    async def test_a_key_that_is_revoked_while_connected_closes_with_4403(self, graphql: Runtime) -> None:
        async with graphql.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop")
            await client.run(_RAW % {"url": server.ws_url, "key": key, "options": ""})
            await server.subscribed("changes:b")
            await server.revoke(key)
            assert await client.says() == ["error", 4403]


_PYTHON = """
import asyncio, json, sys
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

url, key = sys.argv[1:]
say = lambda *words: print(json.dumps(words), flush=True)
make = gql('mutation ($data: JSON!) { createRecord(modelKey: "product", data: $data) { version data } }')
change = gql('subscription { recordChanged(modelKey: "product") { type record { data } } }')
count = gql('{ records(modelKey: "product") { nodes { data } } }')

async def main():
    http = HTTPXAsyncTransport(url=f"{url}/graphql", headers={"Authorization": f"Bearer {key}"})
    socket = WebsocketsTransport(url=f"{url.replace('http', 'ws', 1)}/graphql/ws", init_payload={"apiKey": key})
    async with Client(transport=http, fetch_schema_from_transport=%(introspection)s) as asking:
        async with Client(transport=socket) as listening:
            say("ready")
            changes = listening.subscribe(change)
            say("first", (await anext(changes))["recordChanged"])
            make.variable_values = {"data": {"by": "HTTP"}}
            say("made", (await asking.execute(make))["createRecord"])
            say("second", (await anext(changes))["recordChanged"])
            make.variable_values = {"data": {"by": "socket"}}
            say("made", (await listening.execute(make))["createRecord"])  # beside the subscription
            say("third", (await anext(changes))["recordChanged"])
            say("found", (await listening.execute(count))["records"]["nodes"])
            await changes.aclose()
            try:
                await asking.execute(gql('mutation { deleteRecord(modelKey: "product", id: "none") { id } }'))
            except TransportQueryError as error:
                say("refused", error.errors[0]["extensions"]["code"])

asyncio.run(main())
"""


class TestPython:
    @pytest.mark.parametrize("introspection", [False, True])
    async def test_gql_asks_and_changes_over_both_transports_and_hears(self, introspection: bool) -> None:
        pytest.importorskip("gql", reason="gql is not installed")
        async with running_server(graphql_introspection=introspection) as server:
            key = await server.key("project", "shop", write=True)
            async with printing(
                sys.executable, "-c", _PYTHON % {"introspection": introspection}, server.url, key
            ) as says:
                assert await says() == ["ready"]
                await server.subscribed(CHANNEL)
                await call(server.http(key), "POST", "/records/product", data={"by": "REST"})
                assert await says() == ["first", {"type": "CREATED", "record": {"data": {"by": "REST"}}}]
                assert await says() == ["made", {"version": 1, "data": {"by": "HTTP"}}]
                assert await says() == ["second", {"type": "CREATED", "record": {"data": {"by": "HTTP"}}}]
                assert await says() == ["made", {"version": 1, "data": {"by": "socket"}}]
                assert await says() == ["third", {"type": "CREATED", "record": {"data": {"by": "socket"}}}]
                word, found = await says()
                assert word == "found" and len(found) == 3
                assert await says() == ["refused", "not_found"]


@asynccontextmanager
async def printing(*command: str) -> AsyncIterator[Any]:
    """A program that prints lines of JSON; yields how to read the next."""
    environment = {"NO_PROXY": "127.0.0.1", "PATH": "/usr/bin:/bin"}
    running = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, env=environment)
    rest = b""

    async def says() -> Any:
        nonlocal rest
        assert running.stdout is not None
        with trio.fail_after(20):
            while b"\n" not in rest:
                data = await running.stdout.receive_some()
                assert data, "the program ended"
                rest += data
        line, _, rest = rest.partition(b"\n")
        return json.loads(line)

    try:
        yield says
    finally:
        running.kill()
        with trio.CancelScope(shield=True):
            await running.wait()
            if running.stdout is not None:
                await running.stdout.aclose()


async def curl(*arguments: str) -> tuple[int, str, Any]:
    """Status, type and JSON of the answer."""
    command = ["curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code} %{content_type}", *arguments]
    done = await trio.run_process(command, capture_stdout=True)
    body, _, written = done.stdout.decode().rpartition("\n")
    status, _, type = written.partition(" ")
    return int(status), type.partition(";")[0], json.loads(body)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
class TestCurl:
    JSON, RESPONSE = "application/json", "application/graphql-response+json"

    async def test_queries_by_post_and_by_get_and_mutations_by_post_alone(self) -> None:
        async with running_server() as server:
            key = await server.key("project", "shop", write=True)
            url, shown = f"{server.url}/graphql", ("-H", f"X-Api-Key: {key}")
            post = (*shown, "-H", f"Content-Type: {self.JSON}", "-H", f"Accept: {self.RESPONSE}", url)
            make = 'mutation { createRecord(modelKey: "product", naturalKey: "mug", data: {price: 12.5}) { version } }'
            status, type, answer = await curl("-d", json.dumps({"query": make}), *post)
            assert (status, type) == (200, self.RESPONSE)
            assert answer == {"data": {"createRecord": {"version": 1}}}
            find = 'query Find($key: String!) { record(modelKey: "product", naturalKey: $key) { data } }'
            variables = {"key": "mug"}
            found = {"data": {"record": {"data": {"price": 12.5}}}}
            asked = json.dumps({"query": find, "variables": variables, "operationName": "Find"})
            assert await curl("-d", asked, *post) == (200, self.RESPONSE, found)
            get = ("-G", "--data-urlencode", f"query={find}", "--data-urlencode", f"variables={json.dumps(variables)}")
            assert (await curl(*get, *shown, url))[::2] == (200, found)
            status, _, answer = await curl("-G", "--data-urlencode", f"query={make}", *shown, url)
            assert status == 405, answer

    async def test_what_is_wrong_is_told_by_the_status(self) -> None:
        async with running_server() as server:
            key = await server.key("project", "shop")
            url, shown = f"{server.url}/graphql", ("-H", f"X-Api-Key: {key}")
            post = ("-H", f"Content-Type: {self.JSON}", "-H", f"Accept: {self.RESPONSE}", url)
            for query, wanted in (
                ("{ jobs { nodes { id } } }", 200),
                ("{ models { nodes { key } }", 400),
                ("{ nothing }", 400),
                ("subscription { notificationReceived { id } }", 400),
            ):
                status, _, answer = await curl("-d", json.dumps({"query": query}), *shown, *post)
                assert (status, "errors" in answer) == (wanted, wanted != 200), answer
            assert (await curl("-d", '{"query": "{ jobs { nodes { id } } }"}', *post))[0] == 401
