"""Within a channel everyone sees the same order, that of the offsets."""

from __future__ import annotations

import orjson
import trio

from tests.servers import running_server

PUBLISHERS, EACH, SUBSCRIBERS = 8, 100, 3


async def test_eight_publishers_and_three_subscribers_over_sockets_agree_on_one_order(tmp_path: object) -> None:
    async with running_server(publish_rate=0, data=f"{tmp_path}/order.db") as server:
        key = await server.key("admin", "operator")
        offsets: dict[str, int] = {}
        seen: list[list[str]] = [[] for _ in range(SUBSCRIBERS)]
        ready = [trio.Event() for _ in range(SUBSCRIBERS)]

        async def subscribe(number: int) -> None:
            async with server.websocket("/blog/ws/articles/order?since=1h", key) as websocket:
                await websocket.get_message()
                ready[number].set()
                while len(seen[number]) < PUBLISHERS * EACH:
                    seen[number].append(orjson.loads(await websocket.get_message())["id"])

        async def publish(number: int) -> None:
            client = server.http(key)
            for index in range(EACH):
                id = f"{number}-{index}"
                body = {"channel": "article:order", "event": "tick", "data": {"id": id}, "id": id}
                offsets[id] = (await client.post("/api/publish", json=body)).json()["offset"]

        async with trio.open_nursery() as nursery:
            for number in range(SUBSCRIBERS):
                nursery.start_soon(subscribe, number)
            for event in ready:
                await event.wait()
            for number in range(PUBLISHERS):
                nursery.start_soon(publish, number)
        by_offset = sorted(offsets, key=offsets.__getitem__)
        assert [offsets[id] for id in by_offset] == list(range(1, PUBLISHERS * EACH + 1))
        assert seen == [by_offset] * SUBSCRIBERS
