"""A server in a thread of its own, for programs without Trio."""

from __future__ import annotations

import io
import json
import os
import queue
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import rtlite


@pytest.fixture
def server() -> Iterator[rtlite.Started]:
    with rtlite.start(dev=True, shutdown_spread=0) as started:
        yield started


def test_any_thread_publishes_and_reads(server: rtlite.Started) -> None:
    threads = [threading.Thread(target=server.publish, args=("article:a", "e", number)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item["data"] for item in server.history("article:a")["items"]) == list(range(20))
    with server.listen("article:a", since="1h") as events:
        assert sorted(next(events)["data"] for _ in range(20)) == list(range(20))


def test_it_is_a_server_like_any_other_to_its_clients(server: rtlite.Started) -> None:
    with (
        rtlite.SyncClient(server.url, server.key("blog", "alice")) as alice,
        alice.subscribe("article:a") as events,
    ):
        server.publish("article:a", "e", 1)
        assert next(events)["data"] == 1
    with rtlite.SyncClient(server.url, server.token("bob")) as bob:
        assert bob.history("article:a")["items"][0]["data"] == 1


def test_any_request_is_made_without_http(server: rtlite.Started) -> None:
    job = server.call("POST", "/jobs", {"type": "import", "userId": "bob"})
    assert server.call("GET", "/jobs", query={"userId": "bob"})["items"] == [job]
    with pytest.raises(rtlite.Refused, match="no such path"):
        server.call("GET", "/nowhere")


def test_a_callback_gets_each_event_whatever_it_raises_and_is_stopped(server: rtlite.Started) -> None:
    got: queue.Queue[Any] = queue.Queue()

    def callback(event: rtlite.Event) -> None:
        got.put(event["data"])
        if event["data"] == 1:
            raise ValueError("the callback's own mistake")

    subscriber = server.on_event(callback, "article:a")
    for number in (1, 2):
        server.publish("article:a", "e", number)
        assert got.get(timeout=5) == number
    subscriber.stop()
    subscriber.stop()
    server.publish("article:a", "e", 3)
    assert got.empty()


def test_close_ends_what_waits_and_refuses_what_comes() -> None:
    server = rtlite.start(port=None)
    called: list[object] = []
    subscriber = server.on_event(called.append, "article:a")
    with server.listen("article:a") as events:
        closer = threading.Timer(0.05, server.close)
        closer.start()
        assert list(events) == []
    closer.join()
    server.close()
    subscriber.stop()
    with pytest.raises(rtlite.Closed):
        server.publish("article:a", "e")


def test_what_is_lost_is_raised_and_the_iterator_goes_on() -> None:
    with rtlite.start(port=None, max_replay=1) as server:
        for number in range(3):
            server.publish("article:a", "e", number)
        with server.listen("article:a", since="1h") as events:
            with pytest.raises(rtlite.HistoryLost):
                next(events)
            assert next(events)["data"] == 2


def test_one_that_is_closed_leaves_no_thread_behind() -> None:
    with rtlite.start(port=None):  # the threads that are kept for the next
        pass
    before = threading.active_count()
    for _ in range(3):
        with rtlite.start(port=None) as server:
            server.on_event(print, "article:a").stop()
    assert threading.active_count() <= before


def test_refusals_come_as_they_are(server: rtlite.Started) -> None:
    with pytest.raises(rtlite.Refused):
        server.publish("article:*", "e")
    with pytest.raises(rtlite.Refused), server.listen("article:a", since="no such place"):
        raise AssertionError("the block must not begin")
    with pytest.raises(rtlite.StartError, match="no such setting"):
        rtlite.start(no_such_setting=1)


def test_what_was_published_is_in_the_file_and_a_second_start_on_it_is_refused(tmp_path) -> None:
    with rtlite.start(tmp_path / "a.db", port=None) as server:
        server.publish("article:a", "e", 1)
        with pytest.raises(rtlite.StartError):
            rtlite.start(tmp_path / "a.db", port=None)
        assert server.publish("article:a", "e", 2)["offset"] == 2
    with rtlite.start(tmp_path / "a.db", port=None) as server:
        assert [item["data"] for item in server.history("article:a")["items"]] == [1, 2]


def test_a_forked_process_is_refused_and_the_parent_goes_on(server: rtlite.Started) -> None:
    child = os.fork()
    if child == 0:
        try:
            server.publish("article:a", "e")
        except RuntimeError as error:
            os._exit(7 if "forked" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert server.publish("article:a", "e")["offset"] == 1


@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise SystemExit(3)", 3)])
def test_a_program_that_forgets_to_close_it_ends_in_order(tmp_path, end: str, code: int) -> None:
    file = tmp_path / "a.db"
    program = f"""
import rtlite
server = rtlite.start({str(file)!r})
server.on_event(print, "article:b")
print(server.publish("article:a", "e", 1)["offset"])
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (code, "1\n", "")
    assert not file.with_name("a.db-wal").exists()  # closed, not abandoned
    with rtlite.start(file, port=None) as server:
        assert [item["data"] for item in server.history("article:a")["items"]] == [1]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def _wsgi(app: Callable[..., Any]) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_beside_a_wsgi_application(server: rtlite.Started) -> None:
    def blog(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        receipt = server.publish("article:hello", "new_comment", json.load(io.BytesIO(body)))
        start_response("201 Created", [("Content-Type", "application/json")])
        return [json.dumps(receipt).encode()]

    with (
        _wsgi(blog) as url,
        rtlite.SyncClient(server.url, "rtk_dev") as reader,
        reader.subscribe("article:hello") as events,
    ):
        request = urllib.request.Request(url, b'{"text":"Hi"}', {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            receipt = json.load(answer)
        event = next(events)
    assert (event["id"], event["data"]) == (receipt["id"], {"text": "Hi"})
