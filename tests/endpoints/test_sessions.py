"""Credentials of WebSockets over time, on Trio's clock; and what a client may send."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from rtlite.endpoints.sessions import Sessions
from rtlite.model import Kind, Role
from rtlite.settings import Settings
from rtlite.transports.websocket import WebSocket
from tests.transports.doors import Door, frame, open_door, websocket_route


@asynccontextmanager
async def sessions_door(**options: Any) -> AsyncIterator[Door]:
    """A door whose ``/s`` admits, and then reads and drops messages."""
    doors: list[Door] = []

    async def endpoint(websocket: WebSocket) -> None:
        sessions = Sessions(None, doors[0].gate, None, Settings(**options))  # type: ignore[arg-type]  # nothing is read
        if sessions.admit(websocket) is not None:
            await sessions.ignore_messages(websocket)

    async with open_door(websockets=[websocket_route("/s", endpoint)], **options) as door:
        doors.append(door)
        yield door


def token(door: Door, ttl: float) -> str:
    return door.gate._tokens.sign("u", Role.USER, ttl)


@pytest.mark.parametrize("leeway", [0.0, 10.0])
async def test_a_token_ends_its_connection_with_1008_at_its_expiry_and_the_leeway(
    leeway: float, autojump_clock
) -> None:
    async with sessions_door(jwt_leeway=leeway, ping_interval=10_000.0) as door:
        peer = door.connect()
        start = trio.current_time()
        await peer.upgrade(f"/s?token={token(door, 60)}")
        assert await peer.close_code() == 1008
        # exp is cut to a whole second
        assert 58.5 + leeway <= trio.current_time() - start <= 60.1 + leeway


async def test_a_token_within_its_leeway_is_let_in_for_the_rest_of_it(autojump_clock, monkeypatch) -> None:
    async with sessions_door(jwt_leeway=10.0, ping_interval=10_000.0) as door:
        secret = token(door, 60)
        later = time.time() + 65
        monkeypatch.setattr(time, "time", lambda: later)
        monkeypatch.setattr(door.gate._tokens, "_now", lambda: later)
        peer = door.connect()
        start = trio.current_time()
        await peer.upgrade(f"/s?token={secret}")
        assert await peer.close_code() == 1008
        assert 3.5 <= trio.current_time() - start <= 5.5


async def test_a_key_ends_its_connection_at_its_expiry_without_a_leeway(autojump_clock) -> None:
    async with sessions_door(ping_interval=10_000.0) as door:
        await door.gate._keyring.create(Kind.BLOG, "u", secret="mbk_short", expires_in=90)
        peer = door.connect()
        start = trio.current_time()
        await peer.upgrade("/s?token=mbk_short")
        assert await peer.close_code() == 1008
        assert trio.current_time() - start == pytest.approx(90, abs=1)


async def test_a_wall_clock_that_jumps_drops_nobody(autojump_clock, monkeypatch) -> None:
    async with sessions_door(ping_interval=10_000.0) as door:
        peer = door.connect()
        await peer.upgrade(f"/s?token={token(door, 3600)}")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
        await trio.sleep(1000)
        assert len(door.connections) == 1


@pytest.mark.parametrize("secret", ["", "?token=", "?token=mbk_wrong", "?token=eyJ.e.e", "?token=%00", "?apiKey=x"])
async def test_a_missing_or_wrong_credential_is_closed_with_4401(secret: str, autojump_clock) -> None:
    async with sessions_door() as door:
        peer = door.connect()
        assert (await peer.upgrade("/s" + secret)).status == 101
        assert await peer.close_code() == 4401


async def test_too_many_wrong_credentials_are_closed_with_1008(autojump_clock) -> None:
    async with sessions_door(login_rate=3) as door:
        codes = []
        for number in range(4):
            peer = door.connect()
            await peer.upgrade(f"/s?token=mbk_{number}")
            codes.append(await peer.close_code())
        assert codes == [4401, 4401, 4401, 1008]


async def test_messages_faster_than_the_command_rate_are_closed_with_1008(autojump_clock) -> None:
    async with sessions_door(command_rate=5, command_burst=10) as door:
        peer = door.connect()
        await peer.upgrade("/s?token=rtk_test")
        await peer.send(frame("x") * 30)
        assert await peer.close_code() == 1008


async def test_a_burst_of_messages_is_no_abuse(autojump_clock) -> None:
    async with sessions_door(command_rate=5, command_burst=10) as door:
        peer = door.connect()
        await peer.upgrade("/s?token=rtk_test")
        await peer.send(frame("x") * 10)
        await trio.sleep(20)
        assert len(door.connections) == 1


@pytest.mark.parametrize("header", ["Authorization: Bearer", "X-Api-Key:"])
async def test_a_header_works_as_well_as_the_query(header: str, autojump_clock) -> None:
    async with sessions_door() as door:
        name, _, prefix = header.partition(":")
        peer = door.connect()
        await peer.upgrade("/s", **{name.replace("-", "_"): f"{prefix} rtk_test".strip()})
        (listed,) = door.connections
        assert listed.identity is not None and listed.identity.user == "root"
