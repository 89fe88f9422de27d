"""Recording a server, this one or another, as files that can be played."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cli.conftest import rtlite, rtlite_process, start
from tests.servers import ServerProcess


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


async def test_all_that_goes_through_is_recorded_also_of_kinds_that_come_later(dev_server, nursery, tmp_path):
    recorded_all = trio.Event()

    async def record() -> None:
        done = await rtlite("record", "a.jsonl", "--count", "4", "--url", dev_server.url)
        assert (done.code, done.err) == (0, "rtlite: 4 recorded in a.jsonl\n")
        recorded_all.set()

    nursery.start_soon(record)
    await dev_server.subscribed("stream:*")
    await dev_server.subscribed("article:*")
    for channel in ("stream:a", "article:a", "weather:here", "lobby"):
        assert (await rtlite("publish", channel, "e", f'"{channel}"', "--url", dev_server.url)).code == 0
    with trio.fail_after(20):
        await recorded_all.wait()
    header = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert (header["rtlite"], header["version"], header["from"]) == ("recording", 1, dev_server.url)
    recorded = lines(tmp_path / "a.jsonl")
    assert {item["channel"]: item["data"] for item in recorded} == {
        name: name for name in ("stream:a", "article:a", "weather:here", "lobby")
    }
    assert all({"id", "event", "timestamp", "offset"} <= item.keys() for item in recorded)


async def test_history_is_recorded_and_added_to_up_to_a_count_or_a_time(dev_server, tmp_path):
    dev = ["--url", dev_server.url]
    for number in range(3):
        await rtlite("publish", "article:a", "e", str(number), *dev)
    await rtlite("publish", "article:b", "e", "7", *dev)
    done = await rtlite("record", "a.jsonl", "article:a", "--since", "1h", "--count", "2", *dev)
    assert (done.code, done.err) == (0, "rtlite: 2 recorded in a.jsonl\n")
    done = await rtlite("record", "a.jsonl", "article:*", "--since", "1h", "--for", "500ms", *dev)
    assert (done.code, done.err) == (0, "rtlite: 4 recorded in a.jsonl\n")
    assert [item["data"] for item in lines(tmp_path / "a.jsonl")] == [0, 1, 0, 1, 2, 7]


async def test_ctrl_c_ends_a_recording_with_what_it_has(dev_server, nursery, tmp_path):
    recorder = await start(nursery, "record", "a.jsonl", "article:a", "--url", dev_server.url)
    await dev_server.subscribed("article:a")
    recorder.process.send_signal(signal.SIGINT)
    with trio.fail_after(20):
        assert await recorder.process.wait() == 0
    await recorder.said("0 recorded in a.jsonl")
    assert lines(tmp_path / "a.jsonl") == []


@pytest.mark.full  # that a follower comes back without gap is shown by the tests of tail too
async def test_a_restart_of_the_server_leaves_no_gap(tmp_path, nursery):
    async with ServerProcess(tmp_path / "rtlite.db", dev=True) as server:
        recorder = await start(
            nursery, "record", "a.jsonl", "article:*", "--since", "1h", "--count", "3", "--url", server.url
        )
        await rtlite("publish", "article:a", "e", "1", "--url", server.url)
        await server.subscribed("article:*")
        await server.kill()
        await server.start()
        for number in "23":
            await rtlite("publish", "article:a", "e", number, "--url", server.url)
        with trio.fail_after(30):
            assert await recorder.process.wait() == 0
    assert [item["data"] for item in lines(tmp_path / "a.jsonl")] == [1, 2, 3]


async def test_a_key_records_what_it_may_read_and_one_that_may_read_no_kind_is_told_to_name_channels(
    dev_server, tmp_path
):
    project = await dev_server.key("project", "p")
    done = await rtlite("record", "a.jsonl", "--url", dev_server.url, "--key", project, "--for", "300ms")
    assert done.code == 0, done.err
    reader = dev_server.token("ann")
    for channel in ("notifications:ann", "notifications:bob"):
        await rtlite("publish", channel, "e", "1", "--url", dev_server.url)
    named = await rtlite(
        "record", "b.jsonl", "notifications:bob", "--url", dev_server.url, "--key", reader, "--for", "9s"
    )
    assert named.code == 1
    stranger = await dev_server.key("stream", "s")
    none = await rtlite("record", "c.jsonl", "--url", dev_server.url, "--key", stranger, "--for", "9s")
    assert none.code == 1
    assert "name the channels to record" in none.err


async def test_what_another_server_sends_is_stored_raw_and_played(dev_server, tmp_path):
    subscribe = '{"type":"subscribe","channel":"article:a"}'
    upstreams = {
        "blog.jsonl": [f"{dev_server.ws_url}/blog/ws/articles/a?token=mbk_dev", "--count", "1"],
        "events.jsonl": [f"{dev_server.ws_url}/_events?token=rtk_dev", "--send", subscribe, "--count", "1"],
        "sse.jsonl": [f"{dev_server.url}/sse/article:a?token=rtk_dev", "--count", "1"],
    }
    with trio.fail_after(20):
        async with trio.open_nursery() as recorders:
            for name, rest in upstreams.items():
                recorders.start_soon(rtlite_process, "record", name, "--from", *rest)
            await dev_server.subscribed("article:a", 3)
            await rtlite("publish", "article:a", "view_update", '{"viewCount":7}', "--url", dev_server.url)
    for name in upstreams:
        assert "token" not in (tmp_path / name).read_text()  # of the URL, that is
        assert all(isinstance(item["raw"], str) for item in lines(tmp_path / name))
        played = await rtlite("play", name, "--map", "article:*=copy:*", "--url", dev_server.url)
        assert [(item["channel"], item["event"], item["data"]) for item in played.json] == [
            ("copy:a", "view_update", {"viewCount": 7})
        ], played.err
        assert played.err == ""


async def test_graphql_and_socket_io_are_recorded_and_played(dev_server, tmp_path):
    dev = ["--url", dev_server.url]
    backend = dev_server.http("rtk_dev")
    job = (await backend.post("/jobs", json={"type": "import"})).json()["id"]
    query = "subscription ($id: ID) { jobProgress(jobId: $id) { id status progress } }"
    variables = json.dumps({"id": job})
    done: dict[str, Any] = {}

    async def record(name: str, *rest: str) -> None:
        done[name] = await rtlite_process("record", name, "--from", *rest)  # two at a time cannot be in this process

    with trio.fail_after(20):
        async with trio.open_nursery() as recorders:
            graphql = [f"{dev_server.ws_url}/graphql/ws", "--key", "pk_live_dev", "--query", query]
            recorders.start_soon(partial(record, "job.jsonl", *graphql, "--variables", variables))
            socket = f"{dev_server.url}/socket.io/?stream=s1&token=rts_dev&channel=errors"
            recorders.start_soon(partial(record, "stream.jsonl", socket, "--count", "2"))
            await dev_server.subscribed(f"jobs:{job}")
            await dev_server.subscribed("stream:s1:errors")
            for change in ({"progress": 50}, {"status": "completed"}):
                await backend.patch(f"/jobs/{job}", json=change)
            for line in ("one", {"two": 2}):
                await backend.post("/streams/s1/messages?channel=errors", json=line)
    assert "the upstream has no more to send" in done["job.jsonl"].err  # the job is over
    assert {result.code for result in done.values()} == {0}
    assert "rts_dev" not in (tmp_path / "stream.jsonl").read_text()
    played = await rtlite("play", "job.jsonl", "--map", "jobs:*=copies:*", *dev)
    assert [(item["channel"], item["event"], item["data"]["progress"]) for item in played.json] == [
        (f"copies:{job}", "job.progress", 50),
        (f"copies:{job}", "job.completed", 100),
    ], played.err
    played = await rtlite("play", "stream.jsonl", "--map", "stream:*=copy:*", *dev)
    assert [(item["channel"], item["event"], item["data"]) for item in played.json] == [
        ("copy:s1:errors", "message", "one"),
        ("copy:s1:errors", "message", {"two": 2}),
    ], played.err


async def test_an_upstream_that_refuses_is_named_and_ends_the_recording(dev_server):
    for arguments, why in [
        ((f"{dev_server.ws_url}/graphql/ws", "--query", "subscription { event(channel: 1) }"), "4403"),
        ((f"{dev_server.url}/socket.io/?stream=s1&token=nobody",), "the credential is not valid"),
        ((f"{dev_server.ws_url}/graphql/ws",), "(4406); a GraphQL subscription is asked for with --query"),
        ((f"{dev_server.url}/docs/sse",), "answers, but not with server-sent events"),
    ]:
        refused = await rtlite("record", "a.jsonl", "--for", "9s", "--from", *arguments)
        assert (refused.code, why in refused.err) == (1, True), refused.err


async def test_the_key_in_the_environment_is_not_shown_to_another_server(dev_server, monkeypatch, tmp_path):
    monkeypatch.setenv("RTLITE_KEY", "rtk_dev")
    refused = await rtlite("record", "a.jsonl", "--from", f"{dev_server.url}/sse/article:a", "--for", "9s")
    assert (refused.code, "401" in refused.err) == (1, True)
    given = await rtlite(
        "record", "a.jsonl", "--from", f"{dev_server.url}/sse/article:a", "--key", "rtk_dev", "--for", "200ms"
    )
    assert given.code == 0


def test_options_that_do_not_go_together_are_named(invoke):
    for arguments, said in [
        (["--from", "ftp://a"], "http://…, https://…, ws://… or wss://… is wanted"),
        (["article:a", "--from", "ws://a"], "--from takes neither channels nor --since"),
        (["--send", "x"], "go with --from"),
        (["--query", "x"], "go with --from"),
        (["--from", "http://a", "--send", "x"], "--send and --query are for a WebSocket"),
        (["--from", "http://a", "--query", "x"], "--send and --query are for a WebSocket"),
        (["--from", "ws://a", "--query", "x", "--send", "y"], "--query says itself what is sent"),
        (["--from", "ws://a", "--query", "x", "--variables", "{"], "no JSON"),
        (["--from", "ws://a", "--query", "x", "--variables", "[]"], "is a JSON object"),
        (["--from", "ws://a", "--variables", "{}"], "--variables goes with --query"),
        (["--since", "\x01"], "since:"),
    ]:
        result = invoke("record", "a.jsonl", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
