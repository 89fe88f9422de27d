from __future__ import annotations

import signal
import time

import trio

from tests.cli.conftest import rtlite_process, start


async def test_demo_once_shows_what_each_client_got_and_when():
    began = time.perf_counter()
    demo = await rtlite_process("demo", "--once")
    took = time.perf_counter() - began
    assert demo.code == 0, demo.err
    assert demo.err == ""
    rows = [line for line in demo.out.splitlines() if "ws://" in line]
    notifications, article = rows
    assert "/blog/ws/notifications" in notifications
    assert '"type":"milestone"' in notifications
    assert "/blog/ws/articles/hello" in article
    assert '"type":"view_update","slug":"hello","viewCount":1' in article
    assert all(0 < float(row.split()[-1]) < 1000 for row in rows)
    assert took < 10  # about 1.5 s, unless the machine is busy


async def test_demo_stays_up_until_it_is_ended(nursery):
    demo = await start(nursery, "demo")
    lines = await demo.printed(14)
    assert any(line.startswith("rtlite ready on http://127.0.0.1:") for line in lines)
    demo.process.send_signal(signal.SIGINT)
    with trio.fail_after(10):
        assert await demo.process.wait() == 0
    assert demo.errors == []
