"""Connections that are cut between a commit and its acknowledgement: the retry gets the first answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from tests.faults.world import ALL_KEPT, FaultyServer, World
from tests.history_checker import Outcome


@attrs.define
class Proxy:
    """Stands before a server on loopback. Of ``every`` answers that pass, one is kept and its connection cut."""

    target: int
    every: int
    port: int = 0
    cuts: int = 0
    _answers: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1"))
            self.port = listeners[0].socket.getsockname()[1]
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, client: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self.target) as server, client:
            try:
                async for request in client:
                    await server.send_all(request)
                    answer = await server.receive_some()
                    self._answers += 1
                    if self._answers % self.every == 0:  # the server said it is stored, and nobody heard
                        self.cuts += 1
                        return
                    await client.send_all(answer)
            except trio.BrokenResourceError:
                pass


async def live_behind_cuts(server: FaultyServer, cuts: int) -> World:
    async with Proxy(server.port, every=3).running() as proxy:
        world = World(server, port=proxy.port, subscribers=3, patience=3)
        async with world.living():
            await world.until(lambda: proxy.cuts >= cuts)
    unknown = {item.id for item in world.attempts if item.outcome is Outcome.UNKNOWN}
    assert len(unknown) >= cuts / 2, "one event may meet several cuts"
    return world


async def test_publish_whose_answer_was_cut_is_stored_and_delivered_once_over_200_cuts(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "cut.db", settings=ALL_KEPT) as server:
        world = await live_behind_cuts(server, 200)
    assert await world.violations() == []
    assert len(world.log) == world.acknowledged
    assert any(item.duplicate for item in world.attempts)


async def test_storing_a_retried_publish_again_is_seen_by_the_checker(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "cut.db", settings=ALL_KEPT, altered="forgetful") as server:
        world = await live_behind_cuts(server, 20)
    assert "duplicate_in_log" in {violation.check for violation in await world.violations()}
