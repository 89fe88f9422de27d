"""Retries and waits, on Trio's autojump clock and without sockets."""

from __future__ import annotations

import itertools
import os
import socket

import pytest
import trio

from rtlite.client import Client
from rtlite.client.calls import delays
from rtlite.client.failures import CallFailed, no_answer


class Scripted(Client):
    """A client whose calls are answered from a list: a value, or a failure to raise."""

    def __init__(self, *answers: object) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answers = iter(answers)
        self.calls: list[tuple[float, str, object]] = []

    async def call(self, method, path, body=None, query=None, *, wait=0.0):
        await trio.lowlevel.checkpoint()
        self.calls.append((trio.current_time(), path, query if body is None else body))
        answer = next(self.answers)
        if isinstance(answer, CallFailed):
            raise answer
        return answer


def away() -> CallFailed:
    return CallFailed("no server answers")


def test_waits_double_up_to_the_longest_and_are_drawn_from_their_upper_half():
    drawn = list(itertools.islice(delays(1.0, 8.0), 6))
    for wait, most in zip(drawn, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= wait <= most
    assert len({round(wait / most, 6) for wait, most in zip(drawn, (1, 2, 4, 8, 8, 8), strict=True)}) > 1


async def test_publish_tries_again_with_the_same_event_id(autojump_clock):
    client = Scripted(away(), CallFailed("full", 503, "overloaded"), {"id": "x"})
    assert await client.publish("article:a", "e", 1, retry_for=30) == {"id": "x"}
    ids = [body["id"] for _, _, body in client.calls]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert len(ids[0]) == 36


async def test_publish_gives_up_when_the_time_is_over(autojump_clock):
    client = Scripted(*(away() for _ in range(100)))
    with pytest.raises(CallFailed):
        await client.publish("article:a", "e", 1, retry_for=30)
    times = [at for at, _, _ in client.calls]
    assert 15 <= times[-1] - times[0] <= 30
    assert len(times) < 15  # backed off, not hammered


async def test_publish_does_not_repeat_what_was_refused(autojump_clock):
    client = Scripted(CallFailed("not yours", 403, "forbidden"))
    with pytest.raises(CallFailed, match="not yours"):
        await client.publish("article:a", "e", 1, retry_for=30)


async def test_publish_waits_as_long_as_the_server_asks(autojump_clock):
    client = Scripted(CallFailed("slow down", 429, "rate_limited", retry_after=7.0), {"id": "x"})
    await client.publish("article:a", "e", 1, retry_for=30)
    (first, _, _), (second, _, _) = client.calls
    assert second - first >= 7


async def test_newest_is_the_position_of_the_newest_event():
    client = Scripted({"items": [{"epoch": "abcdef12", "offset": 9}], "next": None})
    assert await client.newest("article:a") == "abcdef12-9"


async def test_newest_of_an_empty_channel_is_where_it_begins():
    client = Scripted({"items": [], "next": None}, {"items": [], "next": "abcdef12-0"})
    assert await client.newest("article:a") == "abcdef12-0"


async def test_newest_does_not_skip_an_event_that_comes_meanwhile():
    came = {"items": [{"epoch": "abcdef12", "offset": 1}], "next": "abcdef12-1"}
    client = Scripted({"items": [], "next": None}, came)
    assert await client.newest("article:a") == "abcdef12-0"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "127.0.0.1:8000", "http://", "http://a:b", "http://a/?token=x"])
def test_a_url_that_is_none_is_refused_before_anything_is_sent(url):
    with pytest.raises(CallFailed, match="the URL of a server is"):
        Client(url)


@pytest.mark.parametrize("key", ["", "schlüssel", "a\nb"])
def test_a_key_that_fits_no_header_is_refused(key):
    with pytest.raises(CallFailed, match="the key holds"):
        Client("http://127.0.0.1:1", key)


async def test_nobody_there_is_temporary_and_says_what_the_system_said():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with Client(f"http://127.0.0.1:{free.getsockname()[1]}") as client:
            with pytest.raises(CallFailed, match="Connection refused") as caught:
                await client.call("GET", "/healthz")
    assert caught.value.temporary


async def test_an_answer_that_is_not_ours_is_said_to_be_so():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def other(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, other, listeners)
        port = listeners[0].socket.getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(CallFailed, match="not as rtlite does"):
                await client.call("GET", "/healthz")
        nursery.cancel_scope.cancel()


async def test_a_socket_path_longer_than_an_address_is_reached_through_its_folder(tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "rtlite.db.sock"
    descriptor = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        os.close(descriptor)
        listening.listen()
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                stream, _ = await trio.to_thread.run_sync(listening.accept, abandon_on_cancel=True)
                with stream:
                    stream.recv(4096)
                    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

            nursery.start_soon(answer)
            async with Client(f"http+unix:{path}") as client:
                assert await client.answers()
    async with Client(f"http+unix:{path}") as client:
        assert not await client.answers()


@pytest.mark.parametrize(
    ("wait", "seconds"), [("25", 25.0), ("25s", 25.0), ("1.5m", 90.0), ("500ms", 0.5), ("soon", 0.0), ("s", 0.0)]
)
async def test_an_answer_is_given_the_time_that_the_server_may_wait(wait: str, seconds: float) -> None:
    waits = []

    class Asked(Scripted):
        async def call(self, method, path, body=None, query=None, *, wait=0.0):
            waits.append(wait)
            return await super().call(method, path, body, query)

    await Asked({"items": [], "next": "x-1"}).history("article:a", wait=wait)
    assert waits == [seconds]


def test_a_host_that_there_is_not_is_said_in_words():
    error = OSError("all attempts failed")
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert str(no_answer("http://nosuch.invalid", error)) == "no server answers at http://nosuch.invalid: no such host"
