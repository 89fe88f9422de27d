"""Faults, as the clients that people have meet them: npm's ws, EventSource, socket.io-client, graphql-ws, y-websocket.

Each test sets a fault over HTTP, as an operator does, and looks at what the client logs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing

from rtlite.settings import KindSettings
from tests.clients.runtimes import Client, Node, why_no_npm
from tests.servers import InProcess, running_server

SETTINGS: dict[str, Any] = {"dev": True, "outbox": 64 * 1024, "sse_retry_busy": 0.1}


@attrs.frozen
class Scene:
    """A server, its operator, and a client that logs."""

    server: InProcess
    operator: httpx.AsyncClient
    client: Client

    async def fault(self, kind: str, **asked: Any) -> str:
        answer = await self.operator.post("/api/faults", json={"kind": kind, **asked})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def clear(self) -> None:
        assert (await self.operator.delete("/api/faults")).status_code == 200

    async def struck(self) -> list[int]:
        return [fault["struck"] for fault in (await self.operator.get("/api/faults")).json()["items"]]

    async def publish(self, channel: str, *data: Any, event: str = "tick") -> None:
        for value in data:
            body = {"channel": channel, "event": event, "data": value}
            assert (await self.operator.post("/api/publish", json=body)).status_code == 201

    async def says(self, *said: Any) -> None:
        """The client says this next, line by line."""
        for line in said:
            assert await self.client.says() == line

    async def server_has(self, text: str) -> None:
        """The document is stored with this text."""
        with trio.fail_after(10):
            while (await self.operator.get("/collab/r/document?format=text")).text != text:  # noqa: ASYNC110  # state of another party
                await trio.sleep(0.01)

    async def says_nothing(self) -> None:
        """By the time that all other tasks are done, and a round trip after that."""
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.move_on_after(0.2):
            raise AssertionError(await self.client.says())


@asynccontextmanager
async def scene(folder: Path, *libraries: str, **settings: Any) -> AsyncIterator[Scene]:
    for library in libraries:
        if why := why_no_npm(library):
            pytest.skip(why)
    async with (
        Node(folder, library="ws").client() as client,
        running_server(**{**SETTINGS, **settings}) as server,
    ):
        yield Scene(server, server.http("rtk_dev"), client)


# --- a program per protocol: it logs ["heard", n] for each event, and what becomes of its connection


def events(server: InProcess, since: str = "") -> str:
    """``/_events`` over npm's ws."""
    return f"""
    const socket = globalThis.socket = new WebSocket("{server.ws_url}/_events?token=pk_live_dev")
    const ask = {json.dumps({"type": "subscribe", "channel": "changes:p"} | ({"since": since} if since else {}))}
    socket.addEventListener("open", () => socket.send(JSON.stringify(ask)))
    socket.addEventListener("message", ({{ data }}) => {{
      const message = JSON.parse(data)
      if (message.type === "subscribed") console.log("connected")
      else if (message.type === undefined) console.log("heard", message.data)
    }})
    socket.addEventListener("close", ({{ code, reason }}) => console.log("closed", code, reason))
    socket.addEventListener("error", ({{ message }}) => console.log("refused", message))
    """


def commands(server: InProcess) -> str:
    token = server.token("ann", role="admin")
    return f"""
    const socket = new WebSocket("{server.ws_url}/ws?token={token}")
    const ask = {{ type: "subscribe", data: {{ channel: "changes:p" }} }}
    socket.addEventListener("open", () => socket.send(JSON.stringify(ask)))
    socket.addEventListener("message", ({{ data }}) => {{
      const message = JSON.parse(data)
      if (message.type === "subscribed") console.log("connected")
      else if (message.type === "tick") console.log("heard", message.data)
    }})
    socket.addEventListener("close", ({{ code, reason }}) => console.log("closed", code, reason))
    """


def blog(server: InProcess) -> str:
    return f"""
    const socket = new WebSocket("{server.ws_url}/blog/ws/articles/p?token=mbk_dev")
    socket.addEventListener("open", () => console.log("connected"))
    socket.addEventListener("message", ({{ data }}) => console.log("heard", JSON.parse(data).data))
    socket.addEventListener("close", ({{ code, reason }}) => console.log("closed", code, reason))
    """


def sse(server: InProcess) -> str:
    return f"""
    import {{ EventSource }} from "eventsource"
    const source = new EventSource("{server.url}/sse/changes:p?token=pk_live_dev")
    source.addEventListener("connected", () => console.log("connected"))
    source.addEventListener("message", ({{ data }}) => console.log("heard", JSON.parse(data).data))
    source.addEventListener("error", error => console.log("error", error.code ?? null, source.readyState))
    """


def socketio(server: InProcess, *transports: str) -> str:
    options = {
        "transports": transports or ["polling", "websocket"],
        "query": {"stream": "p", "token": "rts_dev"},
        "reconnectionDelay": 20,
        "reconnectionDelayMax": 50,
    }
    return f"""
    import {{ io }} from "socket.io-client"
    const socket = globalThis.socket = io({json.dumps(server.url)}, {json.dumps(options)})
    socket.on("connect", () => console.log("connected"))
    socket.on("message", data => console.log("heard", data))
    socket.on("disconnect", reason => console.log("disconnect", reason))
    let refused = false
    socket.on("connect_error", () => {{ if (!refused) console.log("refused"); refused = true }})
    """


def graphql(server: InProcess) -> str:
    return f"""
    import {{ createClient }} from "graphql-ws"
    const client = createClient({{
      url: "{server.ws_url}/graphql/ws",
      connectionParams: {{ apiKey: "pk_live_dev" }},
      retryWait: () => Promise.resolve(),
      on: {{
        connected: () => console.log("connected"),
        closed: ({{ code, reason }}) => console.log("closed", code, reason),
      }},
    }})
    client.subscribe({{ query: 'subscription {{ event(channel: "changes:p") {{ data }} }}' }}, {{
      next: ({{ data }}) => console.log("heard", data.event.data),
      error: error => console.log("error", error),
      complete() {{}},
    }})
    """


PROGRAMS: dict[str, tuple[Callable[[InProcess], str], str, str]] = {
    "events": (events, "changes:p", "ws"),
    "commands": (commands, "changes:p", "ws"),
    "blog": (blog, "article:p", "ws"),
    "sse": (sse, "changes:p", "eventsource"),
    "socketio": (socketio, "stream:p", "socket.io-client"),
    "graphql": (graphql, "changes:p", "graphql-ws"),
}


@pytest.mark.parametrize("protocol", PROGRAMS)
async def test_events_are_lost_or_come_twice_or_in_another_order_on_each_protocol(
    tmp_path: Path, protocol: str
) -> None:
    program, channel, library = PROGRAMS[protocol]
    async with scene(tmp_path, "ws", library) as here:
        await here.client.run(program(here.server))
        await here.says(["connected"])
        await here.server.subscribed(channel)
        await here.fault("drop", protocol=protocol, channel=channel, count=1)
        await here.fault("duplicate", user="nobody")
        event = "message" if protocol == "socketio" else "tick"
        await here.publish(channel, 1, 2, event=event)
        await here.says(["heard", 2])
        await here.clear()
        await here.fault("duplicate", protocol=protocol, count=1)
        await here.publish(channel, 3, 4, event=event)
        await here.says(["heard", 3], ["heard", 3], ["heard", 4])
        await here.fault("reorder", channel=f"{channel.partition(':')[0]}:*", latency=60_000, count=1)
        await here.publish(channel, 5, 6, 7, event=event)
        await here.says(["heard", 6], ["heard", 5], ["heard", 7])
        await here.clear()
        await here.fault("latency", protocol=protocol, latency=60_000)
        await here.publish(channel, 8, 9, event=event)
        await here.says_nothing()
        await here.clear()
        await here.says(["heard", 8], ["heard", 9])


async def test_events_arrive_by_the_latency_later_and_in_order(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        await here.fault("latency", protocol="events", latency=300, jitter=100)
        began = trio.current_time()
        await here.publish("changes:p", *range(5))
        await here.says(["heard", 0])
        assert trio.current_time() - began >= 0.2
        await here.says(*(["heard", number] for number in range(1, 5)))


async def test_a_client_that_asks_again_after_a_loss_gets_every_event_once_the_fault_is_over(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        await here.fault("drop", probability=0.5, seed=7, channel="changes:p")
        await here.publish("changes:p", *range(20))
        (struck,) = await here.struck()
        assert 0 < struck < 20
        heard = [(await here.client.says())[1] for _ in range(20 - struck)]
        await here.says_nothing()
        await here.clear()
        await here.client.run(events(here.server, since="1h"))
        await here.says(["connected"], *(["heard", number] for number in range(20)))
        assert heard == sorted(heard)


async def test_the_same_seed_strikes_the_same_again(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        heard = []
        for _ in range(2):
            await here.fault("drop", probability=0.5, seed=11)
            await here.publish("changes:p", *range(20))
            (struck,) = await here.struck()
            heard.append([(await here.client.says())[1] for _ in range(20 - struck)])
            await here.clear()
        assert heard[0] == heard[1] and 0 < len(heard[0]) < 20


async def test_a_fault_is_for_one_connection_by_its_id(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server).replace('"heard"', '"first"'))
        await here.says(["connected"])
        ids = {item["id"] for item in (await here.operator.get("/api/connections")).json()["items"]}
        await here.client.run(events(here.server).replace('"heard"', '"second"'))
        await here.says(["connected"])
        await here.fault("drop", connection=ids.pop())
        await here.publish("changes:p", 1)
        await here.says(["second", 1])
        await here.says_nothing()


async def test_a_socket_is_closed_with_the_code_and_the_reason_that_the_fault_names(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        await here.fault("close", code=4321, text="maintenance", protocol="events", count=1)
        await here.says(["closed", 4321, "maintenance"])
        await here.client.run(events(here.server))  # it was to strike once
        await here.says(["connected"])
        await here.fault("close", code=1006, channel="changes:*", count=1)
        await here.says(["closed", 1006, ""])


async def test_a_connection_that_comes_while_the_fault_is_set_is_closed_too(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.fault("close", code=4000, user="dev", protocol="blog")
        await here.client.run(blog(here.server))
        await here.says(["connected"], ["closed", 4000, "closed by a fault that was set"])
        await here.client.run(events(here.server))
        await here.says(["connected"])


async def test_clients_that_come_back_by_themselves_do_so_after_a_close(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws", "graphql-ws", "eventsource", "socket.io-client") as here:
        await here.client.run(graphql(here.server))
        await here.says(["connected"])
        await here.server.subscribed("changes:p")
        await here.fault("close", code=1012, count=1)
        await here.says(["closed", 1012, "closed by a fault that was set"], ["connected"])
        await here.server.subscribed("changes:p")
        await here.publish("changes:p", 1)
        await here.says(["heard", 1])
        await here.fault("close", code=4400, count=1)  # a code after which graphql-ws does not
        await here.says(["closed", 4400, "closed by a fault that was set"])
        assert (await here.client.says())[0] == "error"

        await here.client.run(sse(here.server))
        await here.says(["connected"])
        await here.fault("close", count=1)
        assert (await here.client.says())[::2] == ["error", 0]  # CONNECTING: it will be back

        await here.client.run(socketio(here.server, "websocket"))
        await here.says(["connected"])
        await here.fault("close", protocol="socketio", count=1)
        await here.says(["disconnect", "transport close"], ["connected"])


async def test_a_half_open_connection_is_silent_both_ways_until_the_fault_ends_and_then_it_is_gone(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "ws", ping_interval=0.2, pong_timeout=0.2, close_timeout=0.2) as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        await here.fault("half-open", protocol="events")
        await here.publish("changes:p", 1)
        await here.client.run("socket.send(JSON.stringify({ type: 'ping' }))")
        connections = here.server.running.server.connections
        with trio.fail_after(5):  # the server finds out by its own pings, as it does where a cable was cut
            while len(connections):  # noqa: ASYNC110  # state of another party
                await trio.sleep(0.02)
        await here.says_nothing()
        await here.clear()
        await here.says(["closed", 1006, ""])


async def test_a_client_with_a_heartbeat_notices_a_half_open_connection_and_comes_back(tmp_path: Path) -> None:
    settings = {"socketio_ping_interval": 0.3, "socketio_ping_timeout": 0.2}
    async with scene(tmp_path, "socket.io-client", **settings) as here:
        await here.client.run(socketio(here.server, "websocket"))
        await here.says(["connected"])
        await here.fault("half-open", count=1)
        await here.says(["disconnect", "ping timeout"], ["connected"])
        await here.server.subscribed("stream:p")
        await here.publish("stream:p", 1, event="message")
        await here.says(["heard", 1])


async def test_a_slow_reader_is_spilled_to_the_history_and_gets_every_event_in_order(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.client.run(events(here.server).replace("message.data)", "message.data.number)"))
        await here.says(["connected"])
        await here.fault("slow-reader", rate=40_000, protocol="events")
        await here.publish("changes:p", *({"number": number, "padding": "x" * 2_000} for number in range(60)))
        metrics = (await here.operator.get("/metrics")).text
        assert "rtlite_readers_spilled_total 1.0" in metrics
        await here.says(*(["heard", number] for number in range(5)))
        await here.clear()
        await here.says(*(["heard", number] for number in range(5, 60)))


async def test_requests_are_refused_with_a_status_and_a_time_to_come_back(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        ask = f"""
        const answer = await fetch("{here.server.url}/api/publish", {{
          method: "POST",
          headers: {{ Authorization: "Bearer pk_live_dev", "Content-Type": "application/json" }},
          body: JSON.stringify({{ channel: "changes:p", event: "tick", data: 1 }}),
        }})
        const {{ code }} = await answer.json()
        console.log(answer.status, answer.headers.get("Retry-After"), code ?? null)
        """
        await here.fault("refuse", protocol="http", status=429, retry_after=7, count=2, user="dev")
        for _ in range(2):
            await here.client.run(ask)
            await here.says([429, "7", "fault_injected"])
        await here.client.run(ask)
        await here.says([201, None, None])


async def test_connections_are_refused_and_who_tries_again_gets_in_when_the_fault_is_over(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws", "eventsource", "socket.io-client") as here:
        await here.fault("refuse", status=503)
        await here.client.run(events(here.server))
        await here.says(["refused", "Unexpected server response: 503"], ["closed", 1006, ""])
        await here.client.run(sse(here.server))
        await here.says(["error", 503, 2])  # CLOSED: an EventSource does not try again after a status
        await here.client.run(socketio(here.server))
        await here.says(["refused"])
        assert await here.struck() >= [3]
        await here.clear()
        await here.says(["connected"])


async def test_who_is_refused_by_user_or_channel_hears_it_as_soon_as_that_is_known(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws", "eventsource") as here:
        await here.fault("refuse", channel="changes:*", status=503)
        await here.client.run(sse(here.server))
        await here.says(["error", 503, 2])
        await here.client.run(events(here.server))
        await here.says(["connected"])
        assert (await here.client.says())[:2] == ["closed", 1013]
        await here.client.run(blog(here.server))
        await here.says(["connected"])
        await here.clear()
        await here.fault("refuse", user="dev", protocol="blog")
        await here.client.run(blog(here.server))
        await here.says(["connected"])
        assert (await here.client.says())[:2] == ["closed", 1013]


async def test_requests_are_answered_late_by_the_latency(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        await here.fault("latency", protocol="http", latency=300)
        began = trio.current_time()
        await here.client.run(
            f"""console.log((await fetch("{here.server.url}/notifications", {{
              headers: {{ Authorization: "Bearer {here.server.token("ann")}" }} }})).status)"""
        )
        await here.says([200])
        assert trio.current_time() - began >= 0.3


async def test_tokens_that_expire_now_end_connections_and_only_a_new_one_lets_the_client_in(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws") as here:
        old = commands(here.server)
        await here.client.run(old)
        await here.says(["connected"])
        await here.client.run(events(here.server))  # by a key, which does not expire
        await here.says(["connected"])
        await here.fault("expire")
        await here.says(["closed", 4401, "credential expired"])
        await here.client.run(old)
        await here.says(["closed", 4401, "credential missing or invalid"])
        await here.client.run(commands(here.server))
        await here.says(["connected"])
        await here.clear()
        await here.client.run(old)
        await here.says(["connected"])


async def test_on_a_full_disk_publishers_are_told_and_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    async with scene(tmp_path, "ws", channels={"live": KindSettings(history=False)}) as here:
        await here.client.run(events(here.server))
        await here.says(["connected"])
        await here.fault("disk-full", count=2)
        statuses = []
        for number in range(4):
            body = {"channel": "changes:p", "event": "tick", "data": number}
            answer = await here.operator.post("/api/publish", json=body)
            statuses.append((answer.status_code, answer.json().get("code")))
        assert statuses == [(507, "storage_full")] * 2 + [(201, None)] * 2
        await here.says(["heard", 2], ["heard", 3])
        page = (await here.operator.get("/api/channels/changes:p/history")).json()
        assert [event["data"] for event in page["items"]] == [2, 3]
        assert 'rtlite_storage_errors_total{code="storage_full"} 2.0' in (await here.operator.get("/metrics")).text
        await here.fault("disk-full")
        passing = {"channel": "live:a", "event": "tick", "data": 1}
        assert (await here.operator.post("/api/publish", json=passing)).status_code == 201


_EDITOR = """
import * as Y from "yjs"
import { WebsocketProvider } from "y-websocket"
globalThis.join = (name, token) => {
  const doc = new Y.Doc()
  const options = { params: { token }, disableBc: true, maxBackoffTime: 50 }
  const provider = new WebsocketProvider("%s/collab", "r", doc, options)
  const text = doc.getText("t")
  text.observe((_, { local }) => local || console.log(name, text.toString()))
  provider.on("sync", synced => synced && console.log(name, "synced"))
  return { provider, text }
}
console.log("ready")
"""


async def test_an_edit_that_is_lost_or_late_reaches_an_editor_of_yjs_all_the_same_and_twice_is_once(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "yjs", "y-websocket", "ws") as here:
        ann, bob = (here.server.token(name, role="collab") for name in ("ann", "bob"))
        await here.client.run(_EDITOR % here.server.ws_url)
        await here.says(["ready"])
        await here.client.run(f'globalThis.ann = join("ann", "{ann}")')
        await here.says(["ann", "synced"])
        await here.client.run(f'globalThis.bob = join("bob", "{bob}")')
        await here.says(["bob", "synced"])
        await here.fault("drop", user="bob", channel="collab:r")
        await here.client.run('ann.text.insert(0, "a")')
        await here.server_has("a")
        await here.says_nothing()
        await here.clear()
        await here.fault("close", code=1006, user="bob", count=1)
        await here.says(["bob", "a"], ["bob", "synced"])  # it asks for what it lacks when it is back
        await here.fault("duplicate", protocol="collab")
        await here.client.run('ann.text.insert(1, "b")')
        await here.says(["bob", "ab"])
        await here.clear()
        await here.fault("latency", user="bob", latency=60_000)
        await here.client.run('ann.text.insert(2, "c")')
        await here.server_has("abc")
        await here.says_nothing()
        await here.clear()
        await here.says(["bob", "abc"])
