"""File descriptors run out: who is connected goes on, who is not waits, and all is well when some are free again."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.faults.peers import connect
from tests.faults.world import ALL_KEPT, FaultyServer, World, descriptors

LIMIT = 300
PREFIX = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh"]


async def exhaust(server: FaultyServer, world: World) -> bool:
    """Open more connections than fit, and look at everyone; returns whether the server lives."""
    client = server.http(world.key)
    assert (await client.get("/readyz")).status_code == 200  # and the connection stays
    async with world.living():
        await world.until(lambda: world.acknowledged >= 20)
        peers = [connect(server.port) for _ in range(LIMIT)]
        try:
            with trio.move_on_after(10) as patience:
                while server.running and descriptors(server.pid) < LIMIT:  # noqa: ASYNC110  # the kernel tells nobody
                    await trio.sleep(0.01)
            if not server.running:
                await server.ended()
                await server.start()
                return False
            assert not patience.cancelled_caught, "they were to run out"
            for _ in range(3):
                reached = world.acknowledged + 50
                await world.until(lambda reached=reached: world.acknowledged >= reached)
                assert (await client.get("/readyz")).status_code == 200
        finally:
            for peer in peers:
                peer.close()
        with trio.fail_after(3):
            assert (await server.http(world.key).get("/readyz")).status_code == 200
            while descriptors(server.pid) > 100:  # noqa: ASYNC110  # as above
                await trio.sleep(0.01)
    return True


async def test_running_out_of_file_descriptors_disturbs_nobody_who_is_connected_and_passes(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "few.db", settings=ALL_KEPT, prefix=PREFIX, handshake_timeout="60s") as server:
        world = World(server)
        assert await exhaust(server, world)
        assert await server.terminate() == 0
    assert await world.violations() == []
    assert world.greetings == 1, "no subscriber had to come back"
    assert not any(item.outcome.value != "ok" for item in world.attempts)


async def test_server_that_takes_it_for_an_error_like_any_other_dies(tmp_path: Path) -> None:
    async with FaultyServer(
        tmp_path / "few.db", settings=ALL_KEPT, prefix=PREFIX, handshake_timeout="60s", altered="fragile"
    ) as server:
        assert not await exhaust(server, World(server))
