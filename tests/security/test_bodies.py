"""What waits for its end in memory: bodies are bounded, all connections together, in both lanes."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from rtlite.errors import Overloaded
from rtlite.settings import MIB
from rtlite.transports.bodies import Bodies
from tests.faults.world import FaultyServer, resident
from tests.transports.doors import Peer, head, post, serving, tcp

LANES = {"lean": "/api/publish/batch", "quart": "/api/keys"}
EVENT = {"channel": "a:b", "event": "e"}


@pytest.mark.parametrize("path", LANES.values(), ids=LANES)
@pytest.mark.parametrize(
    "length", [{"Content_Length": "1000000"}, {"Transfer_Encoding": "chunked"}], ids=["sized", "chunked"]
)
async def test_the_body_of_a_stranger_is_not_waited_for(path: str, length: dict[str, str]) -> None:
    async with serving() as server:
        peer = await tcp(server)
        await peer.send(head(f"POST {path}", **length))
        with trio.fail_after(5):
            assert (await peer.answer()).code == "unauthorized"
        assert server.running.server.http is not None


@pytest.mark.parametrize("path", LANES.values(), ids=LANES)
async def test_a_body_too_many_is_503_and_small_requests_go_on(path: str) -> None:
    async with serving(upload_bytes=1_500_000) as server:
        key = await server.key("admin", "root")

        async def begin() -> Peer:
            peer = await tcp(server)
            await peer.send(head(f"POST {path}", X_Api_Key=key, Content_Length="1000000"), b"[")
            return peer

        first = await begin()
        with trio.fail_after(5):
            while (answer := await _refusal(await begin())) is None:
                pass
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "1")
        other = await tcp(server)
        await other.send(post("/api/publish", EVENT, X_Api_Key=key))
        assert (await other.answer()).status == 201
        await trio.aclose_forcefully(first.stream)
        with trio.fail_after(5):
            while await _refusal(await begin()) is not None:  # noqa: ASYNC110  # until its end is noticed
                await trio.sleep(0.01)


async def _refusal(peer: Peer):  # type: ignore[no-untyped-def]
    with trio.move_on_after(0.3):
        return await peer.answer()
    await trio.aclose_forcefully(peer.stream)
    return None


async def test_bodies_that_arrive_at_one_time_are_bounded_together(tmp_path: Path) -> None:
    """From 20 connections, with a key and without: 16 MiB each."""
    async with FaultyServer(tmp_path / "rtlite.db") as server:
        before, most = resident(server.pid), 0

        async def send(key: str) -> None:
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            raw = head("POST /api/publish/batch", X_Api_Key=key, Content_Length=str(16 * MIB))
            async with stream:
                with trio.move_on_after(2):
                    try:
                        await stream.send_all(raw + b"\n" * (16 * MIB - 1))
                        await trio.sleep_forever()
                    except trio.BrokenResourceError:
                        pass

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, resident(server.pid) - before)
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            async with trio.open_nursery() as senders:
                for number in range(20):
                    senders.start_soon(send, (server.admin_key or "") if number % 2 else "rtk_wrong")
            nursery.cancel_scope.cancel()
        print(f"memory +{most / MIB:.0f} MiB at most")
        assert most < 50 * MIB
        assert (await (await server.operator()).post("/api/publish", json=EVENT)).status_code == 201


def test_room_is_given_back_whatever_happens_and_one_body_alone_always_fits() -> None:
    bodies = Bodies(100)
    with pytest.raises(ZeroDivisionError), bodies.room(200):
        with pytest.raises(Overloaded), bodies.room(1):
            pass
        raise ZeroDivisionError
    assert bodies.held == 0
    with bodies.room(60), bodies.room(40), pytest.raises(Overloaded), bodies.room(1):
        pass
    assert bodies.held == 0
