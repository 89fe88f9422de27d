"""Decision 12: whatever raises in a task of one connection ends that connection only.

In each test something of ours raises. The connection it belongs to gets a clean refusal
where one can still be given; the log gets a traceback; and a second client, connected
before, gets its events as if nothing had been, as does whoever connects after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
import trio_websocket

from rtlite.errors import Reason
from rtlite.model import NewEvent
from rtlite.protocols import jsonframes
from rtlite.transports.http import _Protocol
from rtlite.transports.lean import LeanLane
from rtlite.transports.outbox import Outbox
from rtlite.transports.routes import Router
from rtlite.transports.websocket import WebSocket, Wire
from tests.servers import InProcess
from tests.transports.doors import BINARY, Peer, frame, handshake, head, post, serving, tcp


class Bug(Exception):
    """A mistake of our own."""


@attrs.define
class Scene:
    """A server with a bystander, and the patching tool."""

    server: InProcess
    patch: pytest.MonkeyPatch
    admin: str
    bystander: Peer
    number: int = 0

    async def connect(self, path: str = "/blog/ws/articles/it", **headers: str) -> Peer:
        peer = await tcp(self.server)
        assert (await peer.upgrade(path, X_Api_Key=self.admin, **headers)).status == 101
        await self.server.subscribed("article:it") if "since" not in path else None
        return peer

    async def publish(self, channel: str = "article:it", **data: Any) -> int:
        peer = await tcp(self.server)
        await peer.send(post("/api/publish", {"channel": channel, "event": "e", "data": data}, X_Api_Key=self.admin))
        status = (await peer.answer()).status
        await trio.aclose_forcefully(peer.stream)
        return status

    async def all_is_well(self) -> None:
        """The bystander gets its events, and newcomers are served in every way."""
        self.number += 1
        assert await self.publish("article:bystander", n=self.number) == 201
        assert await self.bystander.text() == b'{"type":"e","n":%d}' % self.number
        newcomer = await tcp(self.server)
        await newcomer.send(head("GET /healthz"), head("GET /api/connections", X_Api_Key=self.admin))
        assert [(await newcomer.answer()).status for _ in range(2)] == [200, 200]
        assert (await newcomer.upgrade("/blog/ws/articles/bystander", X_Api_Key=self.admin)).status == 101
        assert not self.server.running.server.stopping.is_set()


@asynccontextmanager
async def staged(patch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Scene]:
    async with serving(**settings) as server:
        admin = await server.key("admin", "root")
        bystander = await tcp(server)
        await bystander.upgrade("/blog/ws/articles/bystander", X_Api_Key=admin)
        await server.subscribed("article:bystander")
        scene = Scene(server, patch, admin, bystander)
        await scene.all_is_well()
        yield scene


def fail(*_: Any, **__: Any) -> Any:
    raise Bug("secret detail")


async def fail_async(*_: Any, **__: Any) -> Any:
    raise Bug("secret detail")


async def refused(scene: Scene, *request: bytes) -> None:
    """500 as a problem, with nothing of the bug in it, and the connection can be used again."""
    peer = await tcp(scene.server)
    await peer.send(*request)
    answer = await peer.answer()
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret detail" not in answer.body and b"Traceback" not in answer.body
    await peer.send(head("GET /healthz"))
    assert (await peer.answer()).status == 200


async def the_gate(scene: Scene) -> None:
    gate = scene.server.running.server.gate
    with scene.patch.context() as patch:
        patch.setattr(gate, "identify", fail)
        await refused(scene, post("/api/publish", {}, X_Api_Key=scene.admin))
        await refused(scene, head("GET /api/keys", X_Api_Key=scene.admin))
        peer = await tcp(scene.server)
        await peer.upgrade("/blog/ws/notifications", X_Api_Key=scene.admin)
        assert await peer.close_code() == 1011


async def a_lean_handler(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(scene.server.running.server.hub, "publish", fail_async)
        await refused(scene, post("/api/publish", {"channel": "a:b", "event": "e"}, X_Api_Key=scene.admin))


async def a_handler_behind_quart(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(scene.server.running.server.hub.replay, "locate", fail_async)
        await refused(scene, head("GET /api/channels/a:b/history?since=2h", X_Api_Key=scene.admin))


async def a_transaction(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr("rtlite.store.blog.insert_article", fail)
        peer = await tcp(scene.server)
        await peer.send(post("/blog/v1/articles", {"slug": "a", "title": "A"}, X_Api_Key=scene.admin))
        answer = await peer.answer()
        assert answer.status in {500, 503} and answer.code == "internal_error"
        assert b"secret detail" not in answer.body


async def an_endpoint(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(scene.server.running.server.hub, "subscribe", fail_async)
        peer = await tcp(scene.server)
        await peer.upgrade("/blog/ws/articles/it", X_Api_Key=scene.admin)
        assert await peer.close_code() == 1011


async def an_encoder_in_the_fan_out(scene: Scene) -> None:
    with scene.patch.context() as patch:
        plain = await scene.connect()
        peer = await scene.connect("/blog/ws/articles/it?since=1h")
        await peer.text()
        patch.setattr(jsonframes, "flat_with_position", fail)
        assert await scene.publish(x=1) == 201
        assert await peer.close_code() == 1011
        assert await plain.text() == b'{"type":"e","x":1}'


async def an_encoder_in_a_replay(scene: Scene) -> None:
    with scene.patch.context() as patch:
        await scene.publish(x=1)
        patch.setattr(jsonframes, "flat_with_position", fail)
        peer = await scene.connect("/blog/ws/articles/it?since=1h")
        assert await peer.close_code() == 1011


async def on_lost(scene: Scene) -> None:
    with scene.patch.context() as patch:
        real = WebSocket.end

        def end(self: WebSocket, reason: Reason) -> None:
            if reason is Reason.INTERNAL_ERROR:
                raise Bug
            real(self, reason)

        patch.setattr(WebSocket, "end", end)
        peer = await scene.connect("/blog/ws/articles/it?since=1h")
        await peer.text()
        patch.setattr(jsonframes, "flat_with_position", fail)
        assert await scene.publish(x=1) == 201


async def the_heartbeat(scene: Scene) -> None:
    with scene.patch.context() as patch:
        peer = await scene.connect("/blog/ws/articles/it?since=1h")
        await scene.server.subscribed("article:it")
        patch.setattr(WebSocket, "ping", fail)
        pulse = scene.server.running.server.listener._websockets.pulse
        newest = pulse._resting[-1]
        pulse._act(newest, pulse._ask, newest.next)  # as when it is due
        assert await peer.close_code() == 1011


async def the_reader(scene: Scene) -> None:
    with scene.patch.context() as patch:
        peer = await scene.connect()
        patch.setattr(Wire, "receive_data", fail)
        await peer.send(frame("x"))
        assert await peer.close_code() == 1011


async def trio_websockets_own_handler(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(trio_websocket.WebSocketConnection, "_handle_message_event", fail_async)
        peer = await scene.connect()
        await peer.send(frame("x"))
        assert await peer.close_code() == 1011


async def a_flood_of_fragments(scene: Scene) -> None:
    peer = await scene.connect()
    await peer.send(frame(b"", BINARY, fin=False), *[frame(b"", 0, fin=False)] * 2000)
    assert await peer.close_code() == 1008


async def the_handshake(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(trio_websocket.WebSocketRequest, "accept", fail_async)
        peer = await tcp(scene.server)
        await peer.send(handshake("/blog/ws/notifications"))
        assert await peer.ended() == b""


async def the_exchange_with_hypercorn(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr(_Protocol, "handle", fail_async)
        peer = await tcp(scene.server)
        await peer.send(head("GET /healthz"))
        assert await peer.ended() == b""


async def the_application_under_hypercorn(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr("rtlite.transports.http._body", fail)
        peer = await tcp(scene.server)
        await peer.send(head("GET /healthz"))
        answer = await peer.answer()
        assert (answer.status, answer.code) == (500, "internal_error")


async def the_outboxs_writer(scene: Scene) -> None:
    with scene.patch.context() as patch:
        peer = await tcp(scene.server, receive_buffer=4096)
        await peer.upgrade("/blog/ws/articles/it", X_Api_Key=scene.admin)
        await scene.server.subscribed("article:it")
        patch.setattr(Outbox, "_write_some", fail_async)
        for _ in range(8):  # more than the kernel takes
            assert await scene.publish(x="y" * 100_000) == 201
        await peer.ended()


async def the_listener_itself(scene: Scene) -> None:
    with scene.patch.context() as patch:
        patch.setattr("rtlite.transports.listener.parse_head", fail)
        peer = await tcp(scene.server)
        await peer.send(head("GET /healthz"))
        assert await peer.ended() == b""


async def in_the_hot_lane(scene: Scene, target: Any, name: str) -> None:
    """The second publish of a connection is answered there; a mistake ends that connection."""
    peer = await tcp(scene.server)
    request = post("/api/publish", {"channel": "article:it", "event": "e", "data": {}}, X_Api_Key=scene.admin)
    await peer.send(request)
    assert (await peer.answer()).status == 201
    await trio.testing.wait_all_tasks_blocked(0.01)
    with scene.patch.context() as patch:
        patch.setattr(target, name, fail)
        await peer.send(request)
        assert await peer.ended() == b""


async def the_hot_lane(scene: Scene) -> None:
    await in_the_hot_lane(scene, Router, "answer_soon")


async def the_hot_lanes_answers(scene: Scene) -> None:
    await in_the_hot_lane(scene, LeanLane, "whole")


async def the_hot_lanes_writing(scene: Scene) -> None:
    await in_the_hot_lane(scene, Outbox, "offer")


async def whoever_is_told_what_became_of_an_event(scene: Scene) -> None:
    event = NewEvent("article:it", "e", b"{}")
    scene.server.running.server.hub.publish_soon(event, fail)
    await trio.testing.wait_all_tasks_blocked(0.05)


HOOKS: list[Callable[[Scene], Awaitable[None]]] = [
    the_hot_lane,
    the_hot_lanes_answers,
    the_hot_lanes_writing,
    whoever_is_told_what_became_of_an_event,
    the_gate,
    a_lean_handler,
    a_handler_behind_quart,
    a_transaction,
    an_endpoint,
    an_encoder_in_the_fan_out,
    an_encoder_in_a_replay,
    on_lost,
    the_heartbeat,
    the_reader,
    trio_websockets_own_handler,
    a_flood_of_fragments,
    the_handshake,
    the_exchange_with_hypercorn,
    the_application_under_hypercorn,
    the_outboxs_writer,
    the_listener_itself,
]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
async def test_one_connection_ends_and_no_other_notices(
    hook: Any, monkeypatch: pytest.MonkeyPatch, logs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(monkeypatch, close_timeout=0.3) as scene:
        hub = scene.server.running.server.hub
        await hook(scene)
        if hook is not a_flood_of_fragments:  # that one is the peer's doing, not ours
            # Quart's own logger is the standard library's; rtlite.log.configure leads it into ours.
            assert any(line.get("exc_info") for line in logs) or any(record.exc_info for record in caplog.records)
        await scene.all_is_well()
        with trio.fail_after(5):
            while "article:it" in hub.fanout.topics:  # nothing is left behind where the bug was
                for peer in Peer.opened:
                    if peer is not scene.bystander:
                        await trio.aclose_forcefully(peer.stream)
                await trio.sleep(0.01)
        await scene.all_is_well()


async def test_a_spilled_reader_whose_way_back_fails_is_closed_with_1011(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back from history is a task of the connection's own."""
    async with staged(monkeypatch, close_timeout=0.3, outbox=65536) as scene:
        peer = await tcp(scene.server, receive_buffer=4096)
        await peer.upgrade("/blog/ws/articles/it", X_Api_Key=scene.admin)
        await scene.server.subscribed("article:it")
        hub = scene.server.running.server.hub
        monkeypatch.setattr(hub.replay, "_read", fail_async)
        while not hub.fanout._metrics.spilled._value.get():
            assert await scene.publish(x="y" * 50_000) == 201
        assert await peer.close_code() == 1011
        await scene.all_is_well()
