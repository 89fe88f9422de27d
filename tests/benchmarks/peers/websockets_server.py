"""PyPI websockets, as its documentation broadcasts: ``broadcast(connections, message)``, here on uvloop."""

import os

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

CONNECTIONS: set[ServerConnection] = set()


async def handle(websocket: ServerConnection) -> None:
    CONNECTIONS.add(websocket)
    try:
        async for message in websocket:
            broadcast(CONNECTIONS - {websocket}, message)
    finally:
        CONNECTIONS.discard(websocket)


async def main() -> None:
    async with serve(handle, "127.0.0.1", 0, ping_interval=float(os.environ["PING_SECONDS"])) as server:
        print(f"ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


uvloop.run(main())
