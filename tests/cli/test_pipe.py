"""``rtlite pipe`` as a process: real programs, real signals, a server that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.cli.conftest import command, rtlite_process, start
from tests.servers import InProcess, ServerProcess, running_server, ungrouped

KEPT = {"storeHistory": True}
PROGRAM = "import sys\nfor number in range({count}): print(f'line {{number}}')\nprint('done', file=sys.stderr)"


@attrs.frozen
class Done:
    code: int
    out: bytes
    err: bytes


async def piped(server: InProcess | ServerProcess, *arguments: str, key: str, stdin: bytes = b"") -> Done:
    """Run ``rtlite pipe …`` to its end."""
    with trio.fail_after(60):
        done = await trio.run_process(
            command("pipe", "--url", server.url, "--key", key, *arguments),
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return Done(done.returncode, done.stdout, done.stderr)


async def told(client: httpx.AsyncClient, channel: str = "") -> list[tuple[str, Any]]:
    """Everything in a stream's channel, in order: names and data."""
    found: list[tuple[str, Any]] = []
    query = {"channel": channel, "limit": "10000"}
    while True:
        page = (await client.get("/streams/s/messages", params=query)).json()
        assert page["recovered"]
        if not page["items"]:
            return found
        found += [(item["event"], item["data"]) for item in page["items"]]
        query["since"] = page["next"]


async def owner(server: InProcess | ServerProcess, **settings: Any) -> tuple[str, httpx.AsyncClient]:
    """A stream key, and a client with it; its stream ``s`` keeps history."""
    if isinstance(server, InProcess):
        key = await server.key("stream", "ann")
    else:
        made = await (await server.operator()).post("/api/keys", json={"kind": "stream", "user": "ann"})
        key = made.json()["key"]
    client = server.http(key)
    client.timeout = httpx.Timeout(30)
    assert (await client.put("/streams/s", json=KEPT | settings)).status_code == 201
    return key, client


async def test_a_programs_two_outputs_arrive_and_are_passed_through_and_its_exit_code_is_ours(dev_server) -> None:
    key, client = await owner(dev_server)
    program = r"""echo one; echo '{"n": 2}'; echo oops >&2; printf three; exit 3"""
    done = await piped(dev_server, "s", "--", "sh", "-c", program, key=key)
    assert done == Done(3, b'one\n{"n": 2}\nthree', b"oops\n")
    assert await told(client) == [
        ("message", "one"),
        ("message", {"n": 2}),
        ("message", "three"),
        ("exit", {"code": 3, "signal": None}),
    ]
    assert await told(client, "errors") == [("message", "oops")]


async def test_what_another_program_pipes_in_is_streamed(dev_server) -> None:
    key, client = await owner(dev_server)
    done = await piped(dev_server, "s", "--text", key=key, stdin=b"1\n\nlast")
    assert done == Done(0, b"1\n\nlast", b"")
    assert await told(client) == [
        ("message", "1"),
        ("message", ""),
        ("message", "last"),
        ("exit", {"code": None, "signal": None}),
    ]


async def test_the_first_write_makes_the_stream(dev_server) -> None:
    key = await dev_server.key("stream", "bob")
    assert (await piped(dev_server, "new", "--", "echo", "hi", key=key)).code == 0
    assert (await dev_server.http(key).get("/streams/new")).json()["owner"] == "bob"


async def test_each_line_is_there_as_soon_as_it_is_printed(nursery, dev_server) -> None:
    key, client = await owner(dev_server)
    program = "echo first; read answer; echo got $answer"
    process: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            command("pipe", "--url", dev_server.url, "--key", key, "s", "--", "sh", "-c", program),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
    )
    assert process.stdin is not None
    with trio.fail_after(20):
        while await told(client) != [("message", "first")]:  # noqa: ASYNC110
            await trio.sleep(0.02)
        await process.stdin.send_all(b"yes\n")
        await process.wait()
    assert (await told(client))[1] == ("message", "got yes")


async def test_signals_reach_the_program_and_its_last_words_the_stream(nursery, dev_server) -> None:
    key, client = await owner(dev_server)
    program = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    pipe = await start(nursery, "pipe", "--url", dev_server.url, "--key", key, "s", "--", "sh", "-c", program)
    await pipe.printed(1)
    pipe.process.send_signal(signal.SIGTERM)
    with trio.fail_after(20):
        assert await pipe.process.wait() == 9
    assert await told(client) == [("message", "ready"), ("message", "bye"), ("exit", {"code": 9, "signal": None})]


async def test_a_second_signal_stops_it_though_nobody_reads_what_it_passes_through(nursery, dev_server) -> None:
    key, client = await owner(dev_server)
    pipe: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            command("pipe", "--url", dev_server.url, "--key", key, "s", "--", "seq", "1", "100000"),
            stdout=subprocess.PIPE,
            check=False,
        )
    )
    with trio.fail_after(20):
        while not await told(client):  # noqa: ASYNC110
            await trio.sleep(0.02)
        pipe.send_signal(signal.SIGTERM)
        await trio.sleep(0.3)
        pipe.send_signal(signal.SIGTERM)
        assert await pipe.wait() == 128 + 15


async def test_under_nohup_a_hangup_ends_neither_the_pipe_nor_the_program(nursery, dev_server) -> None:
    key, client = await owner(dev_server)
    program = "echo ready; sleep 1; kill -HUP $$; echo survived"
    pipe: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            ["nohup", *command("pipe", "--url", dev_server.url, "--key", key, "s", "--", "sh", "-c", program)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    )
    with trio.fail_after(30):
        while await told(client) != [("message", "ready")]:  # noqa: ASYNC110
            await trio.sleep(0.02)
        pipe.send_signal(signal.SIGHUP)
        assert await pipe.wait() == 0
    assert await told(client) == [
        ("message", "ready"),
        ("message", "survived"),
        ("exit", {"code": 0, "signal": None}),
    ]


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
async def test_without_a_standard_output_of_its_own_everything_arrives(closed: str, dev_server) -> None:
    """A descriptor that is missing would go to the next file that is opened, and lines be written into that."""
    key, client = await owner(dev_server)
    program = "echo one; echo oops >&2; exit 3"
    pipe = command("pipe", "--url", dev_server.url, "--key", key, "s", "--", "sh", "-c", program)
    with trio.fail_after(30):
        done = await trio.run_process(["sh", "-c", f'"$@" {closed}', "sh", *pipe], check=False)
    assert done.returncode == 3
    assert await told(client) == [("message", "one"), ("exit", {"code": 3, "signal": None})]
    assert await told(client, "errors") == [("message", "oops")]


async def test_without_a_command_and_with_standard_input_closed_it_is_wrong_usage() -> None:
    pipe = command("pipe", "--url", "http://127.0.0.1:9", "--key", "rts_x", "s")
    done = await trio.run_process(["sh", "-c", '"$@" <&-', "sh", *pipe], check=False, capture_stderr=True)
    assert done.returncode == 2 and b"Give a command after --" in done.stderr


async def test_the_terminals_interrupt_reaches_the_program_once(nursery, dev_server) -> None:
    """It goes to everything in the foreground, the program included: to pass it on would double it."""
    key, client = await owner(dev_server)
    counting = (
        "import signal, sys, time\ngot = []\nsignal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "print('ready', flush=True)\nwhile not got: time.sleep(0.02)\ntime.sleep(0.3)\nsys.exit(len(got))"
    )
    pipe = command("pipe", "--url", dev_server.url, "--key", key, "s", "--", sys.executable, "-c", counting)
    inside = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    terminal: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            [sys.executable, "-c", inside, *pipe],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    )
    assert terminal.stdin is not None
    with trio.fail_after(30):
        while await told(client) != [("message", "ready")]:  # noqa: ASYNC110
            await trio.sleep(0.02)
        await terminal.stdin.send_all(b"\x03")
        assert await terminal.wait() == 1
    assert (await told(client))[-1] == ("exit", {"code": 1, "signal": None})


async def test_a_program_that_a_signal_ended_is_told_as_a_shell_does(dev_server) -> None:
    key, client = await owner(dev_server)
    assert (await piped(dev_server, "s", "--", "sh", "-c", "kill -KILL $$", key=key)).code == 128 + 9
    assert await told(client) == [("exit", {"code": None, "signal": "SIGKILL"})]


async def test_a_program_that_cannot_be_run_is_one_line(dev_server, tmp_path) -> None:
    key, client = await owner(dev_server)
    (tmp_path / "text").write_text("not a program")
    done = await piped(dev_server, "s", "--", "no-such-program", key=key)
    assert (done.code, done.err) == (127, b"rtlite: no-such-program: No such file or directory\n")
    done = await piped(dev_server, "s", "--", str(tmp_path / "text"), key=key)
    assert done.code == 126 and b"Permission denied" in done.err
    assert await told(client) == []


async def test_with_a_key_that_does_not_hold_the_program_runs_and_it_is_said(dev_server) -> None:
    done = await piped(dev_server, "s", "--", "echo", "hi", key="rts_wrong")
    assert (done.code, done.out) == (1, b"hi\n")
    assert b"rtlite: the credential is not valid (401 unauthorized); nothing more is sent\n" in done.err


async def test_without_a_key_the_program_runs_though_the_server_wants_one() -> None:
    async with running_server() as server:
        done = await rtlite_process("pipe", "--url", server.url, "s", "--", "sh", "-c", "echo hi; exit 4")
    assert (done.code, done.out) == (4, "hi\n")
    assert "No key: give --key" in done.err and "lines that were not sent: 1" in done.err


@pytest.mark.parametrize("key", [(), ("--key", "rtk_dev")], ids=["without a key", "with a key"])
async def test_with_the_server_away_from_the_start_lines_wait_for_it(key, nursery, unused_port) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    pipe = await start(nursery, "pipe", "--url", url, *key, "s", "--", "echo", "hi")
    assert await pipe.printed(1) == ["hi"]
    await pipe.said("Connection refused; trying again")
    async with running_server(dev=True, port=unused_port):
        with trio.fail_after(20):
            assert await pipe.process.wait() == 0  # every line and the last event are acknowledged


async def test_a_refusal_does_not_stop_the_program_but_shows_in_the_exit_code(dev_server) -> None:
    await owner(dev_server)
    stranger = await dev_server.key("stream", "eve")
    done = await piped(dev_server, "s", "--", "echo", "hi", key=stranger)
    assert (done.code, done.out) == (1, b"hi\n")
    assert b"no such stream" in done.err and b"lines that were not sent: 1" in done.err
    assert (await piped(dev_server, "s", "--", "sh", "-c", "exit 4", key=stranger)).code == 4


async def test_without_a_server_the_program_runs_to_its_end_and_the_rest_is_given_up_in_time(tmp_path) -> None:
    done = await rtlite_process(
        "pipe", "--url", "http://127.0.0.1:9", "--key", "rts_x", "s", "--wait", "1s", "--", "echo", "hi"
    )
    assert (done.code, done.out) == (1, "hi\n")
    assert "Connection refused; trying again" in done.err and "lines that were not sent: 1" in done.err


def test_wrong_usage_is_2(invoke) -> None:
    for arguments in (("a:b", "--", "true"), ("s", "--buffer", "much", "--", "true"), ("s", "--wait", "soon")):
        result = invoke("pipe", "--key", "rts_x", *arguments)
        assert result.exit_code == 2, arguments


def peak_mib(pid: int) -> float:
    """The most memory that a process has had (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peaks[0]) / 1024 if peaks else 0.0  # it has ended, and nobody has asked for its exit code yet


async def through_a_kill(folder: Path, count: int) -> tuple[float, list[tuple[str, Any]], list[tuple[str, Any]]]:
    """A program prints so many lines; the server is killed in their middle and comes back.

    Returns the most memory that ``rtlite pipe`` had (MiB), and what the stream holds.
    """
    async with ServerProcess(folder / "rtlite.db") as server:
        bounds = {"count": 2 * count, "bytes": 2**30}
        key, client = await owner(server, retention=bounds)
        async with ungrouped(trio.open_nursery()) as nursery:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    command(
                        "pipe", "--url", server.url, "--key", key, "s", "--", sys.executable, "-c",
                        PROGRAM.format(count=count),
                    ),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
            peak = 0.0
            killed = False
            while process.returncode is None:
                peak = max(peak, peak_mib(process.pid))
                if not killed:
                    page = (await client.get("/streams/s/messages?order=desc&limit=1")).json()["items"]
                    if page and page[0]["offset"] > count // 3:
                        await server.kill()
                        killed = True
                        await trio.sleep(1)
                        await server.start()
                await trio.sleep(0.02)
            assert killed
        return peak, await told(client), await told(client, "errors")


def check(found: list[tuple[str, Any]], errors: list[tuple[str, Any]], count: int) -> None:
    assert len(found) == count + 1
    assert all(item == ("message", f"line {number}") for number, item in enumerate(found[:-1]))
    assert found[-1] == ("exit", {"code": 0, "signal": None})
    assert errors == [("message", "done")]


async def test_a_kill_of_the_server_in_the_middle_loses_no_line_and_doubles_none(tmp_path: Path) -> None:
    _, found, errors = await through_a_kill(tmp_path, 30_000)
    check(found, errors, 30_000)


@pytest.mark.full
async def test_a_million_lines_arrive_in_order_through_a_kill_of_the_server_in_less_than_100_mib(
    tmp_path: Path,
) -> None:
    peak, found, errors = await through_a_kill(tmp_path, 1_000_000)
    check(found, errors, 1_000_000)
    assert peak < 100
