"""The client for threads against a server in another process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from rtlite.client import CallFailed, Closed, SyncClient
from tests.servers import InProcess


async def _in_thread(work):
    import trio

    return await trio.to_thread.run_sync(work)


async def test_publish_history_and_subscribe_wait_for_their_answers(dev_server: InProcess) -> None:
    def work() -> None:
        with SyncClient(dev_server.url, "rtk_dev") as client:
            receipt = client.publish("article:a", "e", {"n": 1}, "mine")
            assert (receipt["id"], receipt["offset"]) == ("mine", 1)
            assert [item["id"] for item in client.history("article:a")["items"]] == ["mine"]
            with client.subscribe("article:a", since="1h") as events:
                assert next(events)["data"] == {"n": 1}
                client.publish("article:a", "e", {"n": 2})
                assert next(events)["data"] == {"n": 2}
            assert client.call("GET", "/healthz")["dev"] is True

    await _in_thread(work)


async def test_threads_share_one_client(dev_server: InProcess) -> None:
    def work() -> None:
        with SyncClient(dev_server.url, "rtk_dev") as client:
            threads = [threading.Thread(target=client.publish, args=("article:a", "e", n)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(item["data"] for item in client.history("article:a")["items"]) == list(range(20))

    await _in_thread(work)


async def test_closed_by_another_thread_an_iterator_ends_and_calls_are_refused(dev_server: InProcess) -> None:
    def work() -> None:
        client = SyncClient(dev_server.url, "rtk_dev")
        with client.subscribe("article:a") as events:
            closer = threading.Timer(0.05, client.close)
            closer.start()
            assert list(events) == []
        closer.join()
        with pytest.raises(Closed):
            client.publish("article:a", "e")
        client.close()

    await _in_thread(work)


async def test_failures_come_as_they_are(dev_server: InProcess) -> None:
    def work() -> None:
        with SyncClient(dev_server.url, "rtk_wrong") as client:
            with pytest.raises(CallFailed) as caught:
                client.publish("article:a", "e")
            assert caught.value.status == 401
            with pytest.raises(CallFailed), client.subscribe("article:a"):
                raise AssertionError("the block must not begin")

    await _in_thread(work)
    with pytest.raises(CallFailed, match="the URL"):
        SyncClient("ftp://x")


async def test_a_forked_process_is_refused(dev_server: InProcess) -> None:
    def work() -> int:
        with SyncClient(dev_server.url, "rtk_dev") as client:
            child = os.fork()
            if child == 0:
                try:
                    client.publish("article:a", "e")
                except RuntimeError as error:
                    os._exit(7 if "forked" in str(error) else 8)
                os._exit(9)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert await _in_thread(work) == 7


def test_a_program_that_forgets_to_close_it_ends_all_the_same() -> None:
    program = "from rtlite.client import SyncClient; client = SyncClient('http://127.0.0.1:1'); print('done')"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - began < 25
