"""A start that does not come to its end takes nothing along."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import pytest
import trio

from rtlite.errors import StartError
from rtlite.server import lifecycle, serve
from rtlite.settings import Settings, control_path
from tests.servers import running_server


async def start_fails(data, **settings):
    with pytest.RaisesGroup(StartError):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, Settings(**{"data": data, "port": 0, **settings})))


async def first_key_is_shown_and_holds(data):
    async with running_server(data=data) as server:
        key = server.running.admin_key
        assert key is not None
        assert (await server.http(key).get("/api/keys")).status_code == 200
    async with running_server(data=data) as server:
        assert server.running.admin_key is None
        assert (await server.http(key).get("/api/keys")).status_code == 200


async def test_first_key_is_not_lost_to_a_start_whose_port_is_taken(tmp_path):
    data = str(tmp_path / "r.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await start_fails(data, port=taken.getsockname()[1])

    await first_key_is_shown_and_holds(data)


async def test_first_key_is_not_lost_to_a_start_whose_unix_socket_cannot_be_made(tmp_path):
    data = str(tmp_path / "r.db")
    await start_fails(data, uds=str(tmp_path / "gone" / "r.sock"))

    await first_key_is_shown_and_holds(data)


async def test_first_key_is_not_lost_to_a_start_whose_control_socket_cannot_be_made(tmp_path):
    data = str(tmp_path / "r.db")
    Path(control_path(data)).write_text("in the way")
    await start_fails(data)
    Path(control_path(data)).unlink()

    await first_key_is_shown_and_holds(data)


async def test_first_key_is_not_lost_to_a_start_that_is_cancelled_at_its_last_step(tmp_path, monkeypatch):
    data = str(tmp_path / "r.db")
    address = lifecycle.address
    with trio.CancelScope() as scope:
        monkeypatch.setattr(lifecycle, "address", lambda *args: (scope.cancel(), address(*args))[1])
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, Settings(data=data, port=0)))
    assert scope.cancelled_caught
    monkeypatch.undo()

    await first_key_is_shown_and_holds(data)
