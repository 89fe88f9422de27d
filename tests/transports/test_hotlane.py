"""Repeats of a request are answered by one task; whatever is unusual goes back to the connection's own."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from rtlite.errors import Forbidden
from rtlite.model import Identity, Kind
from rtlite.transports.routes import Access, Call, Reply, json_reply
from tests.transports.doors import Peer, echo, head, open_door, post, route

Make = Callable[[], Reply]


class Endpoint:
    """Answers at once with the body, or when it is told to."""

    def __init__(self) -> None:
        self.slow = False
        self.waiting: list[tuple[Call, Callable[[Make], None]]] = []

    def soon(self, call: Call, done: Callable[[Make], None]) -> None:
        if call.body == b"no":
            raise Forbidden("not this")
        if call.body == b"bug":
            raise ZeroDivisionError
        self.waiting.append((call, done))
        if not self.slow:
            self.go_on()

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call, done in waiting:
            done(lambda call=call: self.reply(call))

    def reply(self, call: Call) -> Reply:
        if call.body == b"late":
            raise Forbidden("after all")
        return json_reply({"body": call.body.decode(), "user": call.identity.user})

    def routes(self, **options: Any) -> list[Any]:
        return [route("POST", "/hot", echo, lean=True, soon=self.soon, **options), route("GET", "/echo")]


async def warm(peer: Peer, **headers: str) -> None:
    """After one request, the next of its kind are answered in the hot lane."""
    await peer.send(post("/hot", b"0", **headers))
    assert (await peer.answer()).status == 200
    await trio.testing.wait_all_tasks_blocked()


async def test_repeats_are_answered_in_the_hot_lane_and_anything_else_elsewhere_in_order(autojump_clock) -> None:
    async with open_door(Endpoint().routes()) as door:
        peer = door.connect_socket()
        await warm(peer)
        for number in range(1, 4):
            await peer.send(post("/hot", str(number).encode()))
            assert (await peer.answer()).json["body"] == str(number)
        assert (door.answered("hot"), door.answered("lean")) == (3, 1)
        await peer.send(post("/hot", b"a longer body"))
        assert (await peer.answer()).json["body"] == "a longer body"
        await peer.send(head("GET /echo"))
        assert (await peer.answer()).status == 200
        assert (door.answered("hot"), door.answered("lean"), door.answered("quart")) == (3, 2, 1)
        await warm(peer)
        await peer.send(post("/hot", b"9"))
        assert (await peer.answer()).json["body"] == "9"
        assert door.answered("hot") == 4


async def test_refusals_and_our_own_mistakes_are_answered_and_the_connection_goes_on(autojump_clock, logs) -> None:
    async with open_door(Endpoint().routes()) as door:
        peer = door.connect_socket()
        for body, status, code in (
            (b"no", 403, "forbidden"),
            (b"late", 403, "forbidden"),
            (b"bug", 500, "internal_error"),
        ):
            await peer.send(post("/hot", body))  # a head of its own: the length differs
            await peer.answer()
            await trio.testing.wait_all_tasks_blocked()
            await peer.send(post("/hot", body))
            answer = await peer.answer()
            assert (answer.status, answer.code) == (status, code)
        assert door.answered("hot") == 3
        assert [entry["event"] for entry in logs] == ["a request failed"]
        assert door.faults() == 1


async def test_who_asks_is_found_out_anew_for_each_request(autojump_clock) -> None:
    async with open_door(Endpoint().routes(access=Access.CREDENTIAL)) as door:
        peer = door.connect_socket()
        await warm(peer, Authorization="Bearer rtk_test")
        await peer.send(post("/hot", b"1", Authorization="Bearer rtk_test"))
        assert (await peer.answer()).json["user"] == "root"
        door.gate._keyring._by_digest.clear()
        await peer.send(post("/hot", b"2", Authorization="Bearer rtk_test"))
        assert (await peer.answer()).status == 401
        assert door.answered("hot") == 2


async def test_a_ticket_is_good_for_one_request(autojump_clock) -> None:
    async with open_door(Endpoint().routes(access=Access.CREDENTIAL)) as door:
        ticket = door.gate._tickets.issue(Identity(Kind.BLOG, "u", "key_1"))
        first, second = door.connect_socket(), door.connect_socket()
        for peer, status in ((first, 200), (second, 401), (first, 401)):
            await peer.send(post("/hot", b"1", Authorization=f"Bearer {ticket}"))
            assert (await peer.answer()).status == status
            await trio.testing.wait_all_tasks_blocked()
        for peer in (first, second):
            await peer.send(post("/hot", b"1", Authorization=f"Bearer {ticket}"))
            assert (await peer.answer()).status == 401
        assert door.answered("hot") == 0


async def test_a_key_that_many_show_at_once_is_asked_for_in_each_go(autojump_clock) -> None:
    async with open_door(Endpoint().routes(access=Access.CREDENTIAL)) as door:
        peers = [door.connect_socket() for _ in range(4)]
        for peer in peers:
            await warm(peer, Authorization="Bearer rtk_test")
        for status in (200, 401):
            for peer in peers:
                await peer.send(post("/hot", b"1", Authorization="Bearer rtk_test"))
            for peer in peers:
                assert (await peer.answer()).status == status
            door.gate._keyring._by_digest.clear()
        assert door.answered("hot") == 8


async def test_a_token_is_not_for_the_hot_lane_since_its_rights_may_have_to_be_read(autojump_clock) -> None:
    async with open_door(Endpoint().routes(access=Access.CREDENTIAL)) as door:
        token = door.gate._tokens.sign("u")
        peer = door.connect_socket()
        for number in range(3):
            await peer.send(post("/hot", str(number).encode(), Authorization=f"Bearer {token}"))
            assert (await peer.answer()).json["user"] == "u"
        assert (door.answered("hot"), door.answered("lean")) == (0, 3)


async def test_the_publish_rate_holds_in_the_hot_lane_too(autojump_clock) -> None:
    options = {"access": Access.CREDENTIAL, "publishing": True}
    async with open_door(Endpoint().routes(**options), publish_rate=3) as door:
        peer = door.connect_socket()
        statuses = []
        for _ in range(5):
            await peer.send(post("/hot", b"1", Authorization="Bearer rtk_test"))
            answer = await peer.answer()
            assert answer.headers["x-ratelimit-limit"] == "3"
            statuses.append(answer.status)
        assert statuses == [200, 200, 200, 429, 429]
        assert door.answered("hot") == 4


async def test_a_pipelined_request_is_answered_after_the_one_under_way(autojump_clock) -> None:
    endpoint = Endpoint()
    async with open_door(endpoint.routes()) as door:
        peer = door.connect_socket()
        await warm(peer)
        endpoint.slow = True
        await peer.send(post("/hot", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(post("/hot", b"2"))
        await peer.send(head("GET /echo?n=3"))
        await trio.testing.wait_all_tasks_blocked()
        endpoint.go_on()
        endpoint.slow = False
        assert (await peer.answer()).json["body"] == "1"
        assert (await peer.answer()).json["body"] == "2"
        assert (await peer.answer()).json["query"] == {"n": "3"}


async def test_an_answer_does_not_wait_for_that_to_another_request(autojump_clock) -> None:
    endpoint = Endpoint()
    async with open_door(endpoint.routes()) as door:
        first, second = door.connect_socket(), door.connect_socket()
        await warm(first)
        await warm(second)
        endpoint.slow = True
        await first.send(post("/hot", b"1"))
        await second.send(post("/hot", b"2"))
        await trio.testing.wait_all_tasks_blocked()
        *_, later = endpoint.waiting
        del endpoint.waiting[1:]
        endpoint.go_on()
        assert (await first.answer()).json["body"] == "1"
        endpoint.waiting = [later]
        endpoint.go_on()
        assert (await second.answer()).json["body"] == "2"
        assert door.answered("hot") == 2


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_a_request_in_two_parts_is_answered_like_a_whole_one(cut: int, autojump_clock) -> None:
    async with open_door(Endpoint().routes()) as door:
        peer = door.connect_socket()
        await warm(peer)
        request = post("/hot", b"1")
        await peer.send(request[:cut])
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(request[cut:])
        assert (await peer.answer()).json["body"] == "1"


async def test_an_idle_connection_is_closed_after_75_seconds_without_a_request(autojump_clock) -> None:
    async with open_door(Endpoint().routes()) as door:
        peer = door.connect_socket()
        await warm(peer)
        for _ in range(3):
            await trio.sleep(60)
            await peer.send(post("/hot", b"1"))
            assert (await peer.answer()).json["body"] == "1"
        begun = trio.current_time()
        assert await peer.ended() == b""
        assert 74 < trio.current_time() - begun < 76
        assert door.answered("hot") == 3


async def test_a_peer_that_leaves_or_resets_ends_its_connection_only(autojump_clock) -> None:
    endpoint = Endpoint()
    async with open_door(endpoint.routes()) as door:
        stays, leaves, busy = door.connect_socket(), door.connect_socket(), door.connect_socket()
        for peer in (stays, leaves, busy):
            await warm(peer)
        endpoint.slow = True
        await busy.send(post("/hot", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        await leaves.stream.aclose()
        busy.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await busy.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(door.nursery.child_tasks) == 2  # the one whose request is under way waits for its answer
        endpoint.go_on()
        endpoint.slow = False
        await trio.testing.wait_all_tasks_blocked()
        assert len(door.nursery.child_tasks) == 1
        await stays.send(post("/hot", b"2"))
        assert (await stays.answer()).json["body"] == "2"
        assert door.faults() == 0


async def test_at_a_stop_idle_connections_end_and_a_request_under_way_is_answered(autojump_clock) -> None:
    endpoint = Endpoint()
    async with open_door(endpoint.routes()) as door:
        idle, busy = door.connect_socket(), door.connect_socket()
        await warm(idle)
        await warm(busy)
        endpoint.slow = True
        await busy.send(post("/hot", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        door.listener.stop()
        assert await idle.ended() == b""
        endpoint.go_on()
        assert (await busy.answer()).json["body"] == "1"
        assert await busy.ended() == b""


async def test_who_does_not_read_the_answers_is_not_answered_here(autojump_clock) -> None:
    async with open_door(Endpoint().routes()) as door:
        peer = door.connect_socket()
        await warm(peer)
        count = 0
        with trio.move_on_after(1):
            while True:
                await peer.send(post("/hot", b"1"))
                count += 1
                await trio.testing.wait_all_tasks_blocked()
        assert count > 10
        for _ in range(count):
            assert (await peer.answer()).json["body"] == "1"
        assert door.answered("lean") > 1  # which waits for room before it reads on
