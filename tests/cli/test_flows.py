"""What people do with the command line, against servers that are processes of their own."""

from __future__ import annotations

import json

import jwt
import pytest
import trio

from tests.cli.conftest import rtlite, rtlite_process, start
from tests.servers import ServerProcess


@pytest.fixture
async def server(tmp_path):
    async with ServerProcess(tmp_path / "rtlite.db", shutdown_spread="0s") as running:
        yield running


def to(server: ServerProcess) -> list[str]:
    assert server.admin_key is not None
    return ["--url", server.url, "--key", server.admin_key]


async def subscribed(server: ServerProcess, channel: str) -> None:
    """Wait until someone listens to the channel."""
    operator = server.http(server.admin_key)
    with trio.fail_after(20):
        while True:
            items = (await operator.get("/api/channels", params={"prefix": channel})).json()["items"]
            if any(item["channel"] == channel and item["subscribers"] for item in items):
                return
            await trio.sleep(0.02)


async def test_what_is_published_is_printed_by_tail_from_now_on(server, nursery):
    before = await rtlite_process("publish", "article:a", "view_update", '{"viewCount": 1}', *to(server))
    assert before.code == 0
    assert before.json[0]["offset"] == 1
    tail = await start(nursery, "tail", "article:a", "--count", "2", *to(server))
    await subscribed(server, "article:a")
    again = await rtlite("publish", "article:a", "view_update", "2", "--id", "mine", *to(server))
    same = await rtlite("publish", "article:a", "view_update", "2", "--id", "mine", *to(server))
    assert again.json == same.json
    await rtlite("publish", "article:a", "view_update", "-", *to(server), stdin=b'"from stdin"')
    with trio.fail_after(20):
        assert await tail.process.wait() == 0
    events = [json.loads(line) for line in await tail.printed(2)]
    assert [(event["offset"], event["id"] == "mine", event["data"]) for event in events] == [
        (2, True, 2),
        (3, False, "from stdin"),
    ]


async def test_tail_and_publish_outlive_a_killed_server_without_gap_or_repeat(server, nursery):
    tail = await start(nursery, "tail", "article:a", "article:b", "--since", "1h", "--count", "6", *to(server))
    operator = server.http(server.admin_key)
    sent = {}
    for number in range(1, 4):
        for channel in ("article:a", "article:b"):
            if number == 3 and channel == "article:b":
                break
            body = {"channel": channel, "event": "e", "data": number}
            sent[channel] = (await operator.post("/api/publish", json=body)).json()["offset"]
    await tail.printed(5)
    await server.kill()
    await tail.said("no server answers")
    publish = await start(nursery, "publish", "article:b", "e", "3", *to(server))
    await server.start()
    with trio.fail_after(20):
        assert await publish.process.wait() == 0
        assert await tail.process.wait() == 0
    events = [json.loads(line) for line in await tail.printed(6)]
    for channel in ("article:a", "article:b"):
        assert [event["data"] for event in events if event["channel"] == channel] == [1, 2, 3]
    assert sum("no server answers" in line for line in tail.errors) == 1
    assert "answers again" in tail.errors[-1]


async def test_keys_are_made_and_revoked_beside_a_running_server_and_honoured_at_once(server):
    data = ["--data", str(server.data)]
    made = await rtlite_process("keys", "create", "--kind", "blog", "--user", "alice", "--expires", "30d", *data)
    made = made.json[0]
    async with server.websocket("/blog/ws/notifications", made["key"]) as websocket:
        listed = (await rtlite("keys", "list", *to(server))).json
        assert made["key"] not in str(listed)
        assert {"id": made["id"], "user": "alice", "revoked": None}.items() <= listed[-1].items()
        assert (await rtlite("keys", "revoke", made["id"], *data)).json[0]["revoked"] is not None
        with trio.fail_after(5), pytest.raises(Exception, match="1008"):
            await websocket.get_message()
    async with server.websocket("/blog/ws/notifications", made["key"]) as websocket:
        with trio.fail_after(5), pytest.raises(Exception, match="4401"):
            await websocket.get_message()
    unknown = await rtlite("keys", "revoke", "key_000000000000", *data)
    assert (unknown.code, unknown.err) == (1, "rtlite: there is no key with this id (404 not_found)\n")


async def test_keys_tokens_and_backups_are_made_on_the_file_when_no_server_runs(server, tmp_path):
    data = ["--data", str(server.data)]
    running = await rtlite("token", "--user", "alice", "--bare", *data)
    backup = await rtlite("backup", "running.db", *data)
    assert backup.json == [{"file": str(tmp_path / "running.db"), "bytes": backup.json[0]["bytes"]}]
    assert await server.terminate() == 0

    made = await rtlite(
        "keys", "create", "--kind", "project", "--user", "p", "--scope", "write", "--test", "--name", "ci", *data
    )
    assert made.json[0]["key"].startswith("pk_test_")
    assert [key["name"] for key in (await rtlite("keys", "list", *data)).json] == ["first start", "ci"]
    stopped = await rtlite("token", "--user", "alice", "--subscribe", "orders:*", "--ttl", "5m", *data)
    assert (await rtlite("backup", "stopped.db", *data)).code == 0
    refused = await rtlite("backup", "stopped.db", *data)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "File exists" in refused.err
    for name in ("running.db", "stopped.db"):
        checked = await rtlite("check", "--data", name)
        assert (checked.code, checked.json[0]["problems"]) == (0, [])

    await server.start()
    assert server.log.read_text().count("admin key, shown this once: rtk_") == 1
    for token in (running.out.strip(), stopped.json[0]["token"]):
        async with server.websocket("/blog/ws/notifications", token) as websocket:
            await websocket.ping()
    claims = jwt.decode(stopped.json[0]["token"], options={"verify_signature": False})
    assert claims["subscribe"] == ["orders:*"]
    assert claims["exp"] - claims["iat"] == 300
    key = server.http(made.json[0]["key"])
    assert (await key.post("/api/publish", json={"channel": "x", "event": "e"})).status_code == 201
