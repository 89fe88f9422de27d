"""Stands in for a cloud API: a server with --dev, the API's clients, and traffic that they get.

Run it: python run.py [NAME…], with the names of folders here; without, all of them. Ctrl-C ends it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import trio

import rtlite

HERE = Path(__file__).parent
PORT = 8000  # which the clients name, too
NAMES = ["blog-websocket", "command-websocket", "socketio-streams", "graphql-sse-events"]
RTLITE = [sys.executable, "-m", "rtlite"]


async def show(label, command, task_status=trio.TASK_STATUS_IGNORED, **environment):
    """Run a program, and print its lines with its name before them. It counts as started with its first line."""
    environment = {**os.environ, **environment}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, env=environment, **output)
    try:
        rest = b""
        async for data in process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                print(f"{label:>17} | {line.decode()}", flush=True)
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def prepare(server, folder):
    """What is there before the clients come."""
    file = folder / "before.json"
    for method, path, body in json.loads(file.read_text()) if file.exists() else ():
        await server.call(method, path, body)


async def connected(server, count):
    """Wait until so many clients listen: what is published before would be missed."""
    while True:
        connections = (await server.call("GET", "/api/connections"))["items"]
        if sum(bool(connection["channels"]) for connection in connections) >= count:
            return
        await trio.sleep(0.1)


async def main(names):
    if not (HERE / "node_modules").exists():
        await trio.run_process([shutil.which("npm") or "npm", "ci", "--no-audit", "--no-fund"], cwd=HERE)
    folders = [HERE / name for name in names]
    clients = [file for folder in folders for file in sorted(folder.glob("*.mjs"))]
    play = [*RTLITE, "play", "--loop", "--dev", "--url", f"http://127.0.0.1:{PORT}"]
    async with trio.open_nursery() as nursery:
        await nursery.start(show, "serve", [*RTLITE, "serve", "--dev", "--port", str(PORT)])
        async with rtlite.Client(f"http://127.0.0.1:{PORT}", "rtk_dev") as server:
            for folder in folders:
                await prepare(server, folder)
            token = (await server.call("POST", "/api/tokens", {"user": "dev", "ttl": "24h"}))["token"]
            for file in clients:
                nursery.start_soon(lambda file=file: show(file.stem, ["node", str(file)], TOKEN=token))
            await connected(server, len(clients))
        for folder in folders:
            for page in folder.glob("*.html"):
                print(f"open {page.as_uri()}?token={token}", flush=True)
            nursery.start_soon(show, "play", [*play, str(folder / "scenario.yaml")])


if __name__ == "__main__":
    try:
        trio.run(main, sys.argv[1:] or NAMES)
    except* KeyboardInterrupt:
        pass
