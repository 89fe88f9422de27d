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
    rows = [line for line in demo.out.splitlines() if "://127.0.0.1:" in line]
    notifications, article, commands, channels, sse, streams, graphql, records, jobs, inbox = rows
    assert "/blog/ws/notifications  " in notifications
    assert '  {"type":"milestone"' in notifications
    assert "/blog/ws/articles/hello  " in article
    assert '  {"type":"view_update","slug":"hello","viewCount":1' in article
    assert "/ws  " in commands
    assert '  {"type":"view_update","channel":"article:hello","data":{"slug":"hello","viewCount":1' in commands
    assert "/_events  " in channels
    assert '  {"channel":"article:hello","event":"view_update","data":{"slug":"hello","viewCount":1' in channels
    assert "  http://" in sse
    assert "/sse/article:hello  " in sse
    assert "  id: " in sse
    assert '-1  data: {"channel":"article:hello","event":"view_update","data":{"slug":"hello"' in sse
    assert "/socket.io/?EIO=4&transport=websocket&stream=demo  " in streams
    assert '  42["message",{"checked":120}' in streams
    assert "/graphql/ws  " in graphql
    assert '"type":"next","payload":{"data":{"recordChanged":{"type":"CREATED","record":{"id":"rec_' in graphql
    assert "/sse/changes:product  " in records
    assert '"event":"CREATED","data":{"type":"CREATED","record":{"id":"rec_' in records
    assert "/sse/jobs:*  " in jobs
    assert '"event":"job.completed","data":{"id":"job_' in jobs
    assert "/sse/notifications:dev  " in inbox
    assert '"event":"notification.new","data":{"id":"notif_' in inbox
    assert '"title":"import: completed"' in inbox
    assert not any("subscribed" in row or "connected" in row for row in rows)
    assert all(0 < float(row.split()[-1]) < 1000 for row in rows)
    assert took < 10  # about 1.5 s, unless the machine is busy


async def test_demo_stays_up_until_it_is_ended(nursery):
    demo = await start(nursery, "demo")
    lines = await demo.printed(30)
    assert any(line.startswith("rtlite ready on http://127.0.0.1:") for line in lines)
    demo.process.send_signal(signal.SIGINT)
    with trio.fail_after(10):
        assert await demo.process.wait() == 0
    assert demo.errors == []
