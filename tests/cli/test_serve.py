"""The server as a process: ready, in use, stopped."""

from __future__ import annotations

import base64
import os
import shlex
import signal
import socket
import subprocess
from functools import partial

import trio
from trio_websocket import open_websocket_url

from rtlite.settings import DEV_JWT_SECRET
from tests.cli.conftest import rtlite, rtlite_process, start
from tests.servers import ServerProcess


async def test_the_first_start_makes_an_admin_key_and_a_second_server_on_the_file_is_refused(tmp_path):
    data = tmp_path / "rtlite.db"
    async with ServerProcess(data) as server:
        assert (await server.http(server.admin_key).get("/api/keys")).status_code == 200
        assert data.stat().st_mode & 0o777 == 0o600
        second = await rtlite_process("serve", "--port", "0", "--data", str(data))
    assert (second.code, second.out) == (1, "")
    assert second.err == f"rtlite: {data} is in use by another rtlite\n"


async def test_dev_prints_its_credentials_and_a_line_to_paste_per_protocol(nursery, tmp_path):
    server = await start(nursery, "serve", "--dev", "--port", "0")
    lines = await server.printed(20)
    url = lines[0].removeprefix("rtlite ready on ")
    text = "\n".join(lines)
    assert url.startswith("http://127.0.0.1:")
    for secret in ("mbk_dev", "pk_live_dev", "rts_dev", "rtk_dev", DEV_JWT_SECRET):
        assert secret in text
    pasted = {line[2:22].strip(): line[22:] for line in lines}
    answer = await trio.run_process(["sh", "-c", pasted["publish"]], capture_stdout=True, capture_stderr=True)
    assert b'"offset":1' in answer.stdout
    for label, told in (
        ("records", b'"version":1'),
        ("jobs", b'"status":"pending"'),
        ("notifications", b'"title":"Order Shipped"'),
        ("GraphQL", b'"data":{"name":"Blue mug"}'),
    ):
        answer = await trio.run_process(pasted[label], shell=True, capture_stdout=True, capture_stderr=True)
        assert told in answer.stdout, answer.stdout
    ws = url.replace("http", "ws")
    assert f'createClient({{url: "{ws}/graphql/ws", ' in pasted["subscriptions"]
    assert f"{ws}/blog/ws/notifications?token=mbk_dev" in text
    assert f"{ws}/blog/ws/articles/hello?token=mbk_dev" in text
    assert f'new WebSocket("{ws}/_events?apiKey=pk_live_dev")' in text

    # As they stand: a socket, a stream, and the sample event that reaches it.
    async with open_websocket_url(pasted["commands"]) as commands:
        assert '"type":"connected"' in await commands.get_message()
    assert f'WebsocketProvider("{ws}/collab", "notes", new Y.Doc(), {{params: {{apiKey: ' in pasted["collaboration"]
    async with open_websocket_url(f"{ws}/collab/notes?apiKey=pk_live_dev") as room:
        assert (await room.get_message())[:2] == b"\0\0"  # sync step 1: what the server lacks
    stream = await nursery.start(
        partial(
            trio.run_process,
            pasted["server-sent events"],
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    )
    seen = b""
    with trio.fail_after(20):
        while b"event: connected" not in seen:
            seen += await stream.stdout.receive_some()
        event = shlex.split(pasted["sample events"])
        assert (await rtlite(*event[1:])).code == 0
        while b'"event":"UPDATED"' not in seen:
            seen += await stream.stdout.receive_some()
    stream.kill()
    assert not any(tmp_path.iterdir())  # data is in memory
    server.process.send_signal(signal.SIGTERM)
    assert await server.process.wait() == 0


async def test_a_second_signal_ends_it_though_a_client_holds_on(tmp_path):
    async with ServerProcess(tmp_path / "rtlite.db", dev=True, close_timeout="60s", shutdown_timeout="60s") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as deaf:
            deaf.sendall(
                b"GET /blog/ws/notifications?token=mbk_dev HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                + base64.b64encode(os.urandom(16))
                + b"\r\n\r\n"
            )
            deaf.settimeout(10)
            assert b"101" in await trio.to_thread.run_sync(deaf.recv, 4096)
            os.kill(server.pid, signal.SIGTERM)
            assert await trio.to_thread.run_sync(deaf.recv, 4096)  # its close frame, which we do not answer
            with trio.fail_after(5):
                assert await server.terminate() == 128 + signal.SIGTERM


def test_a_port_that_is_taken_is_named(invoke):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", str(port), "--data", ":memory:")
    assert result.exit_code == 1
    assert result.stderr == f"rtlite: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_start_that_cannot_be_is_one_line(invoke, tmp_path):
    for arguments, said in (
        (("--dev", "--host", "0.0.0.0"), "--dev listens on loopback only"),
        (("--data", str(tmp_path / "gone" / "rtlite.db")), "No such file or directory"),
        (("--data", ":memory:", "--certfile", "gone.pem", "--port", "0"), "cannot use certfile gone.pem"),
    ):
        result = invoke("serve", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
