from __future__ import annotations

import signal

import trio

from rtlite.cli import output
from tests.cli.conftest import rtlite, start


async def test_ctrl_c_ends_a_tail_cleanly(dev_server, nursery):
    async def listening() -> None:
        topics = dev_server.running.server.hub.fanout.topics
        while not ("article:a" in topics and topics["article:a"].subscribers):  # noqa: ASYNC110
            await trio.sleep(0.01)

    tail = await start(nursery, "tail", "article:a", "--dev", "--url", dev_server.url)
    with trio.fail_after(20):
        await listening()
        tail.process.send_signal(signal.SIGINT)
        assert await tail.process.wait() == 0
    assert tail.errors == []


async def test_what_was_asked_for_and_is_gone_is_said(dev_server):
    dev = ["--dev", "--url", dev_server.url]
    await rtlite("publish", "article:a", "e", *dev)
    tail = await rtlite("tail", "article:a", "--since", "00000000-7", "--count", "1", *dev)
    assert tail.code == 0
    assert "events before this place are gone" in tail.err


async def test_on_a_terminal_events_are_readable_and_cannot_move_the_cursor(dev_server, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    dev = ["--dev", "--url", dev_server.url]
    published = await rtlite("publish", "article:a", "e", '{"text": "a\\u009b31m\u202eb"}', *dev)
    assert published.out.startswith("article:a  offset 1  id ")
    tail = await rtlite("tail", "article:a", "article:b", "--since", "1h", "--count", "1", *dev)
    assert tail.out.count("\n") == 1
    assert tail.out.endswith('  article:a  e  {"text":"a\\x9b31m\\u202eb"}\n')
