from __future__ import annotations

import signal
import time

import trio

from tests.cli.conftest import on_terminal, rtlite_process, start


async def test_demo_once_shows_what_each_client_got_and_when():
    began = time.perf_counter()
    demo = await rtlite_process("demo", "--once")
    took = time.perf_counter() - began
    assert demo.code == 0, demo.err
    assert demo.err == ""
    found = {item["url"].partition("://127.0.0.1:")[2].partition("/")[2]: item for item in demo.json}
    arrived = {path: item["arrived"] for path, item in found.items()}
    assert '{"type":"milestone"' in arrived["blog/ws/notifications"]
    view = '"slug":"hello","viewCount":1'
    assert arrived["blog/ws/articles/hello"].startswith('{"type":"view_update",' + view)
    assert arrived["ws"].startswith('{"type":"view_update","channel":"article:hello","data":{' + view)
    assert arrived["_events"].startswith('{"channel":"article:hello","event":"view_update","data":{' + view)
    assert arrived["sse/article:hello"].startswith("id: ")
    assert (
        '-1  data: {"channel":"article:hello","event":"view_update","data":{"slug":"hello"'
        in (arrived["sse/article:hello"])
    )
    assert arrived["socket.io/?stream=demo"].startswith('42["message",{"checked":120}')
    assert (
        '"type":"next","payload":{"data":{"recordChanged":{"type":"CREATED","record":{"id":"rec_'
        in (arrived["graphql/ws"])
    )
    assert '"event":"CREATED","data":{"type":"CREATED","record":{"id":"rec_' in arrived["sse/changes:product"]
    assert '"event":"job.completed","data":{"id":"job_' in arrived["sse/jobs:*"]
    assert '"event":"notification.new","data":{"id":"notif_' in arrived["sse/notifications:dev"]
    assert '"title":"import: completed"' in arrived["sse/notifications:dev"]
    assert not any("subscribed" in text or "connected" in text for text in arrived.values())
    assert all(0 < item["ms"] < 1000 for item in demo.json)
    assert took < 10  # about 1.5 s, unless the machine is busy


async def test_on_a_terminal_each_client_has_two_lines_that_fit():
    lines = await on_terminal("demo", "--once")
    assert all(len(line) <= 80 for line in lines), [line for line in lines if len(line) > 80]
    assert len(lines) < 40
    (place,) = [number for number, line in enumerate(lines) if line.startswith("blog article ")]
    assert lines[place].split()[3] == "ms"
    assert lines[place].endswith("/blog/ws/articles/hello")
    assert lines[place + 1].startswith('  {"type":"view_update","slug":"hello","viewCount":1')


async def test_demo_stays_up_until_it_is_ended(nursery):
    demo = await start(nursery, "demo")
    await demo.said("rtlite: ready on http://127.0.0.1:")
    assert len(await demo.printed(10)) == 10
    demo.process.send_signal(signal.SIGINT)
    with trio.fail_after(10):
        assert await demo.process.wait() == 0
    assert len(demo.errors) == 1
