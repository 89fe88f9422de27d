from __future__ import annotations

import json
import signal

import pytest
import trio

from rtlite.cli import output
from tests.cli.conftest import rtlite, start
from tests.servers import InProcess, ServerProcess, running_server

EVERY_WAY = pytest.mark.parametrize("via", ["sse", "ws", "poll"])
LIVE = pytest.mark.parametrize("via", ["sse", "ws"])


async def listening(server: InProcess, *names: str) -> None:
    """Wait until someone listens to each of these: over a connection, or by asking again and again."""
    topics, connections = server.running.server.hub.fanout.topics, server.running.server.connections

    def heard(name: str) -> bool:
        return any(name in item.channels for item in connections) or (name in topics and topics[name].subscribers > 0)

    with trio.fail_after(20):
        while not all(map(heard, names)):  # noqa: ASYNC110
            await trio.sleep(0.01)


@EVERY_WAY
async def test_ctrl_c_ends_a_tail_cleanly(dev_server, nursery, via):
    tail = await start(nursery, "tail", "article:a", "--via", via, "--url", dev_server.url)
    await listening(dev_server, "article:a")
    tail.process.send_signal(signal.SIGINT)
    with trio.fail_after(20):
        assert await tail.process.wait() == 0
    assert tail.errors == []


@EVERY_WAY
async def test_what_was_asked_for_and_is_gone_is_said(dev_server, via):
    dev = ["--dev", "--url", dev_server.url, "--via", via]
    await rtlite("publish", "article:a", "e", *dev[:3])
    tail = await rtlite("tail", "article:a", "--since", "00000000-7", "--count", "1", *dev)
    assert tail.code == 0
    assert "article:a: events before this place are gone" in tail.err


@EVERY_WAY
async def test_a_place_that_is_none_is_said_with_what_one_may_be(dev_server, via):
    dev = ["--dev", "--url", dev_server.url, "--via", via]
    await rtlite("publish", "article:a", "e", *dev[:3])
    tail = await rtlite("tail", "article:a", "--since", "nonsense", "--count", "1", *dev)
    assert tail.code == 0
    assert "--since nonsense: no event has this id" in tail.err
    assert "an age (2h), a time (ISO 8601) or a position" in tail.err


@pytest.mark.parametrize(
    ("name", "hint"),
    [("art*", "'article:*'"), ("*", "'article:*'"), ("changes:p*", "'changes:*'"), ("a:b:*", "'a:*'"), ("a*b", ":*'")],
)
@pytest.mark.parametrize("command", [("tail",), ("record", "a.jsonl"), ("play", "a.jsonl", "--map")])
def test_a_star_that_makes_no_whole_kind_is_wrong_usage_with_a_hint(invoke, command, name, hint):
    given = f"{name}=x:y" if "--map" in command else name
    refused = invoke(*command, given, "--url", "http://127.0.0.1:9", "--key", "rtk_x")
    assert refused.exit_code == 2
    assert f"{name!r} is no pattern: a whole kind is meant by {hint}" in refused.stderr.replace("'article:*'", hint)


@EVERY_WAY
async def test_on_a_terminal_events_are_readable_and_cannot_move_the_cursor(dev_server, monkeypatch, via):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    dev = ["--dev", "--url", dev_server.url]
    published = await rtlite("publish", "article:a", "e", '{"text": "a\\u009b31m\u202eb"}', *dev)
    assert published.out.startswith("article:a  offset 1  id ")
    tail = await rtlite("tail", "article:a", "article:b", "--since", "1h", "--count", "1", "--via", via, *dev)
    assert tail.out.count("\n") == 1
    assert tail.out.endswith('  article:a  e  {"text":"a\\x9b31m\\u202eb"}\n')


@LIVE
async def test_a_whole_kind_and_channels_come_together(dev_server, nursery, via):
    tail = await start(
        nursery,
        "tail",
        "changes:*",
        "changes:product",
        "article:a",
        "--via",
        via,
        "--count",
        "3",
        "--url",
        dev_server.url,
    )
    await listening(dev_server, "changes:*", "article:a")
    for channel in ("changes:product", "article:a", "article:b", "changes:order"):
        assert (await rtlite("publish", channel, "e", f'"{channel}"', "--url", dev_server.url)).code == 0
    with trio.fail_after(20):
        assert await tail.process.wait() == 0
    events = [json.loads(line) for line in await tail.printed(3)]
    assert [event["channel"] for event in events] == ["changes:product", "article:a", "changes:order"]
    assert all(event["data"] == event["channel"] and event["event"] == "e" for event in events)
    assert all({"id", "timestamp", "offset", "position"} <= event.keys() for event in events)


@LIVE
async def test_channels_without_history_are_shown_as_well(dev_server, nursery, via):
    tail = await start(nursery, "tail", "stream:a", "--via", via, "--count", "1", "--url", dev_server.url)
    await listening(dev_server, "stream:a")
    await rtlite("publish", "stream:a", "message", '"hello"', "--url", dev_server.url)
    with trio.fail_after(20):
        assert await tail.process.wait() == 0
    assert json.loads((await tail.printed(1))[0])["data"] == "hello"
    assert tail.errors == []


@LIVE
async def test_it_comes_back_to_a_server_that_was_killed_without_gap_or_repeat(tmp_path, nursery, via):
    async with ServerProcess(tmp_path / "rtlite.db", dev=True) as server:
        publish = ["publish", "article:a", "e", "--url", server.url]
        tail = await start(
            nursery, "tail", "article:a", "jobs:*", "--via", via, "--since", "1h", "--count", "3", "--url", server.url
        )
        await rtlite(*publish, "1")
        await tail.printed(1)
        await server.kill()
        await tail.said("no server answers")
        await server.start()
        await rtlite(*publish, "2")
        await rtlite(*publish, "3")
        with trio.fail_after(20):
            assert await tail.process.wait() == 0
    assert [json.loads(line)["data"] for line in await tail.printed(3)] == [1, 2, 3]
    await tail.said("answers again")


@LIVE
async def test_it_comes_back_to_a_server_that_stopped_in_order(tmp_path, nursery, via):
    async with ServerProcess(tmp_path / "rtlite.db", dev=True, shutdown_spread="0s") as server:
        tail = await start(nursery, "tail", "article:a", "--via", via, "--count", "1", "--url", server.url)
        await server.subscribed("article:a")
        assert await server.terminate() == 0
        await server.start()
        await rtlite("publish", "article:a", "e", "1", "--url", server.url)
        with trio.fail_after(20):
            assert await tail.process.wait() == 0


@LIVE
async def test_a_connection_that_the_operator_closes_is_not_made_again(dev_server, nursery, via):
    tail = await start(nursery, "tail", "article:a", "--via", via, "--url", dev_server.url)
    await dev_server.subscribed("article:a")
    operator = dev_server.http("rtk_dev")
    (connection,) = (await operator.get("/api/connections")).json()["items"]
    await operator.delete(f"/api/connections/{connection['id']}")
    with trio.fail_after(20):
        assert await tail.process.wait() == 1
    await tail.said("closed by the operator")
    assert len(tail.errors) == 1


@LIVE
async def test_who_may_not_read_it_is_told_so_in_one_line(via):
    async with running_server() as server:
        token = server.token("alice")
        refused = await rtlite("tail", "orders:1", "--via", via, "--url", server.url, "--key", token)
        assert refused.code == 1
        assert refused.err.count("\n") == 1
        wrong = await rtlite("tail", "article:a", "--via", via, "--url", server.url, "--key", "rtk_wrong")
        assert wrong.code == 1
        assert wrong.err.count("\n") == 1
        assert "credential" in wrong.err


@LIVE
async def test_more_channels_than_a_connection_may_have_commands_at_once_are_followed(dev_server, nursery, via):
    names = [f"article:{number}" for number in range(120)]
    tail = await start(nursery, "tail", *names, "--via", via, "--count", "1", "--url", dev_server.url)
    await listening(dev_server, *names)
    await rtlite("publish", names[-1], "e", "--url", dev_server.url)
    with trio.fail_after(20):
        assert await tail.process.wait() == 0
    assert tail.errors == []


@LIVE
async def test_over_a_unix_socket(tmp_path, via):
    async with running_server(dev=True, uds=str(tmp_path / "door")):
        url = ["--url", f"http+unix:{tmp_path / 'door'}"]
        await rtlite("publish", "article:a", "e", "7", *url)
        done = await rtlite("tail", "article:a", "--since", "1h", "--count", "1", "--via", via, *url)
    assert done.json[0]["data"] == 7


@EVERY_WAY
async def test_the_socket_beside_the_database_needs_no_key_and_any_other_wants_one(tmp_path, via):
    door = str(tmp_path / "door")
    async with running_server(data=str(tmp_path / "a.db"), uds=door):
        url = ["--url", f"http+unix:{tmp_path / 'a.db.sock'}"]
        await rtlite("publish", "article:a", "e", "7", *url)
        done = await rtlite("tail", "article:a", "--since", "1h", "--count", "1", "--via", via, *url)
        refused = await rtlite("tail", "article:a", "--via", via, "--url", f"http+unix:{door}")
    assert done.json[0]["data"] == 7
    assert refused.code == 1


def test_a_place_that_can_be_none_is_wrong_usage(invoke):
    result = invoke("tail", "article:a", "--since", "x" * 99, "--dev")
    assert result.exit_code == 2
    assert "Invalid value for '--since'" in result.stderr


@EVERY_WAY
async def test_a_line_tells_the_same_of_an_event_whichever_way_it_came(dev_server, via):
    dev = ["--dev", "--url", dev_server.url]
    (receipt,) = (await rtlite("publish", "article:a", "e", '{"a":1}', *dev)).json
    (line,) = (await rtlite("tail", "article:a", "--since", "1h", "--count", "1", "--via", via, *dev)).json
    line.pop("epoch", None)
    assert list(line) == ["id", "channel", "event", "data", "timestamp", "offset", "position"]
    assert line == {
        "id": receipt["id"],
        "channel": "article:a",
        "event": "e",
        "data": {"a": 1},
        "timestamp": receipt["timestamp"],
        "offset": 1,
        "position": f"{receipt['epoch']}-1",
    }
