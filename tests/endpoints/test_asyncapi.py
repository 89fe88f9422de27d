"""``/asyncapi.json``: AsyncAPI's own parser takes it, and what goes over each door is what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from jsonschema import Draft7Validator

from rtlite.domain.samples import SAMPLES
from rtlite.domain.told import SHAPES
from rtlite.errors import Reason
from rtlite.protocols import yjs
from rtlite.protocols.jsonschema import Schemas
from rtlite.settings import Settings
from tests.clients.runtimes import why_no_npm
from tests.endpoints.graphqlclients import GraphQLClient
from tests.servers import InProcess, running_server
from tests.streams import ask
from tests.transports.doors import tcp

PARSER = Path(__file__).parent.parent / "clients" / "asyncapi.cjs"


@attrs.define
class Described:
    """The document, and a server that it is about."""

    server: InProcess
    document: dict[str, Any]

    def messages(self, channel: str) -> dict[str, dict[str, Any]]:
        found = self.document["channels"][channel]["messages"]
        return {name: self.document["components"]["messages"][f"{channel}.{name}"] for name in found}

    def sent_by_us(self, channel: str) -> set[str]:
        refs = self.document["operations"][f"send_{channel}"]["messages"]
        return {ref["$ref"].rpartition("/")[2] for ref in refs}

    def complaints(self, schema: dict[str, Any], value: Any) -> list[str]:
        whole = {**schema, "components": self.document["components"]}
        checker = Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER)
        return [error.message for error in checker.iter_errors(value)]

    def check(self, channel: str, name: str, value: Any) -> None:
        """This is such a message."""
        complaints = self.complaints(self.messages(channel)[name]["payload"], value)
        assert complaints == [], (channel, name, value)


@pytest.fixture
async def described() -> AsyncIterator[Described]:
    async with running_server(dev=True) as server:
        yield Described(server, (await server.http().get("/asyncapi.json")).json())


async def test_the_parser_of_asyncapi_takes_it(described: Described, tmp_path: Path) -> None:
    if why := why_no_npm("@asyncapi/parser"):
        pytest.skip(why)
    file = tmp_path / "asyncapi.json"
    file.write_text(json.dumps(described.document))
    done = await trio.run_process(["node", str(PARSER), str(file)], capture_stdout=True, stderr=subprocess.STDOUT)
    said = json.loads(done.stdout)
    assert set(said["channels"]) == set(described.document["channels"])
    assert [each for each in said["diagnostics"] if each["severity"] < 2] == []  # neither errors nor warnings


async def test_every_door_that_lasts_is_in_it_and_nothing_else(described: Described) -> None:
    server = described.server.running.server
    doors = [route.pattern for route in (*server.websocket_routes, *server.event_stream_routes)]
    assert sorted(channel["address"] for channel in described.document["channels"].values()) == sorted(doors)


async def test_its_examples_are_what_it_says(described: Described) -> None:
    shown = 0
    for channel in described.document["channels"]:
        for name, message in described.messages(channel).items():
            for example in message.get("examples", ()):
                described.check(channel, name, example["payload"])
                shown += 1
    assert shown > len(SAMPLES)


async def test_it_tells_by_which_codes_each_socket_is_closed(described: Described) -> None:
    codes = {row["reason"]: row["code"] for row in described.document["channels"]["graphql_ws"]["x-close-codes"]}
    assert codes == {reason.name.lower(): reason.value.graphql for reason in Reason}
    blog = {
        row["reason"]: row["code"] for row in described.document["channels"]["blog_ws_notifications"]["x-close-codes"]
    }
    assert blog["revoked"] == 1008 and blog["unauthorized"] == 4401


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_sample_has_the_shape_of_its_event(sample: Any) -> None:
    schemas = Schemas(Settings(), "#/definitions/")
    schema = schemas.of(SHAPES[sample.name])
    checker = Draft7Validator({**schema, "definitions": schemas.named}, format_checker=Draft7Validator.FORMAT_CHECKER)
    for channel in (sample.channel, sample.channel.partition(":")[0] + ":other"):
        assert [error.message for error in checker.iter_errors(sample.data(channel))] == []


def test_there_is_a_shape_for_each_sample_and_no_other() -> None:
    assert set(SHAPES) == {sample.name for sample in SAMPLES}


# --- what goes over them


@pytest.mark.parametrize(
    ("path", "channel", "wrap"),
    [
        ("/ws", "ws", lambda type, fields: {"type": type, "data": fields}),
        ("/_events", "events", lambda type, fields: {"type": type, **fields}),
    ],
)
async def test_commands_and_their_answers(described: Described, path: str, channel: str, wrap: Any) -> None:
    token = described.server.token("ann", subscribe=["*"], publish=["*"])
    topic = "conversation:c"
    exchange = [
        ("subscribe", {"channel": topic, "presence": True, "since": "1h"}, ["subscribed", "presence_list"]),
        ("publish", {"channel": topic, "event": "chat_message", "data": {"a": 1}}, ["event", "published"]),
        ("presence", {"channel": topic, "action": "update", "data": {"x": 2}}, ["updated", "presence_news"]),
        ("presence", {"channel": topic, "action": "list"}, ["presence_list"]),
        ("presence", {"channel": topic, "action": "leave"}, ["left", "presence_news"]),
        ("presence", {"channel": topic, "action": "join"}, ["joined", "presence_news"]),
        ("ping", {}, ["pong"]),
        ("auth", {"token": token}, ["authenticated"]),
        ("unsubscribe", {"channel": topic}, ["unsubscribed"]),
        ("publish", {"channel": "*", "event": "e"}, ["error"]),
    ]
    async with described.server.websocket(path, token) as socket:
        if channel == "ws":
            described.check(channel, "connected", json.loads(await socket.get_message()))
        for number, (type, fields, answers) in enumerate(exchange):
            command = {**wrap(type, fields), "id": number}
            if not (type == "publish" and answers == ["error"]):
                described.check(channel, type, command)
            await socket.send_message(json.dumps(command))
            received = [json.loads(await socket.get_message()) for _ in answers]
            expect_all(described, channel, answers, received)


def expect_all(described: Described, channel: str, names: Iterable[str], received: list[Any]) -> None:
    """Each name has a message of its own, in whatever order they came."""
    left = list(received)
    for name in names:
        schema = described.messages(channel)[name]["payload"]
        found = next((value for value in left if not described.complaints(schema, value)), None)
        assert found is not None, (name, [described.complaints(schema, value) for value in left], left)
        left.remove(found)
    assert {*names} <= described.sent_by_us(channel)


async def test_the_blogs_sockets(described: Described) -> None:
    server = described.server
    blog = server.http("mbk_dev")
    await blog.post("/blog/v1/articles", json={"slug": "hello", "title": "Hello"})
    async with (
        server.websocket("/blog/ws/articles/hello?since=1h", "mbk_dev") as updates,
        server.websocket("/blog/ws/notifications", "mbk_dev") as notifications,
    ):
        described.check("blog_ws_articles_slug", "connected", json.loads(await updates.get_message()))
        await server.subscribed("notifications:dev")
        await blog.post("/blog/v1/articles/hello/views", json={})
        await blog.post("/blog/v1/articles/hello/reactions", json={"reaction": "like"})
        await blog.post("/blog/v1/articles/hello/comments", json={"author": "ann", "body": "Yes."})
        await blog.post("/blog/v1/subscribers", json={"email": "ann@example.com"})
        await server.http("rtk_dev").post("/api/publish", json={"channel": "article:hello", "event": "x", "data": [1]})
        for name in ("view_update", "reaction_update", "event"):
            described.check("blog_ws_articles_slug", name, json.loads(await updates.get_message()))
        for name in ("article_reaction", "new_comment", "new_subscriber"):
            described.check("blog_ws_notifications", name, json.loads(await notifications.get_message()))


@pytest.mark.parametrize("query", ["", "&includeMetadata=1"])
async def test_server_sent_events(described: Described, query: str) -> None:
    server = described.server
    stream = await ask(await tcp(server), f"/sse/changes:product?apiKey=pk_live_dev{query}")
    described.check("sse_channel", "connected", await stream.data())
    await server.http("pk_live_dev").post("/records/product", json={"data": {"name": "Mug"}})
    described.check("sse_channel", "CREATED", await stream.data())
    operator = server.http("rtk_dev")
    (connection,) = (await operator.get("/api/connections")).json()["items"]
    await operator.delete(f"/api/connections/{connection['id']}")
    described.check("sse_channel", "closed", json.loads((await stream.until("closed")).data))


async def test_the_consoles_feed(described: Described) -> None:
    stream = await ask(await tcp(described.server), "/api/live?events=1&apiKey=rtk_dev")
    wanted = {"past", "events", "snapshot"}
    await described.server.http("rtk_dev").post("/api/publish", json={"channel": "a:b", "event": "e"})
    while wanted:
        event = await stream.next()
        described.check("api_live", event.name, json.loads(event.data))
        wanted.discard(event.name)


async def test_graphql_over_websocket(described: Described) -> None:
    server = described.server
    await server.http("pk_live_dev").post("/jobs", json={"type": "import", "id": "job_9"})

    def subscribe(id: str, query: str) -> dict[str, Any]:
        return {"type": "subscribe", "id": id, "payload": {"query": query}}

    exchange = [
        ("connection_init", {"type": "connection_init", "payload": {"apiKey": "pk_live_dev"}}, ["connection_ack"]),
        ("ping_received", {"type": "ping"}, ["pong_sent"]),
        ("subscribe", subscribe("1", "{ __typename }"), ["next", "complete_sent"]),
        ("subscribe", subscribe("2", "{ nothing }"), ["error"]),
        ("subscribe", subscribe("3", 'subscription { jobProgress(jobId: "job_9") { status progress } }'), ["next"]),
        ("complete_received", {"type": "complete", "id": "3"}, []),
    ]
    peer = await tcp(server)
    await peer.upgrade("/graphql/ws", Sec_WebSocket_Protocol="graphql-transport-ws")
    client = GraphQLClient(peer)
    for name, message, answers in exchange:
        described.check("graphql_ws", name, message)
        await client.raw(json.dumps(message))
        if message.get("id") == "3" and answers:
            await server.subscribed("jobs:job_9")
            await server.http("pk_live_dev").patch("/jobs/job_9", json={"progress": 40})
        received = [await client.hear() for _ in answers]
        expect_all(described, "graphql_ws", answers, received)


@pytest.mark.parametrize(("query", "name"), [("", "message"), ("&includeMetadata=1", "event_whole")])
async def test_streams_over_socket_io(described: Described, query: str, name: str) -> None:
    server = described.server
    path = f"/socket.io/?EIO=4&transport=websocket&stream=s1&token=rts_dev{query}"
    async with server.websocket(path) as socket:
        assert (await socket.get_message()).startswith("0{")
        await socket.send_message("40")
        assert (await socket.get_message()).startswith("40{")
        await server.http("rts_dev").post("/streams/s1/messages", json={"text": "hello"})
        described.check("socket_io_", name, arguments(await socket.get_message()))


async def test_what_socket_io_refuses(described: Described) -> None:
    async with described.server.websocket("/socket.io/?EIO=4&transport=websocket&stream=s1&token=wrong") as socket:
        await socket.get_message()
        await socket.send_message("40")
        assert (await socket.get_message()).startswith("40{")
        described.check("socket_io_", "refusal", arguments(await socket.get_message()))


def arguments(packet: str) -> Any:
    """Of an event's packet."""
    assert packet.startswith("42")
    return json.loads(packet[2:])


async def test_documents_over_yjs_are_bytes(described: Described) -> None:
    async with described.server.websocket("/collab/notes", "pk_live_dev") as socket:
        first = await socket.get_message()
        assert isinstance(first, bytes)
        assert isinstance(next(iter(yjs.decode(first))), yjs.Step1)
    message = described.messages("collab_room")["sync_step_1_sent"]
    assert message["contentType"] == "application/octet-stream"
