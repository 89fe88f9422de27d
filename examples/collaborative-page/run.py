"""Serves a text that everyone who has the page open edits at once. Run it: python run.py"""

import subprocess
from functools import partial
from pathlib import Path

import trio

import rtlite

HERE = Path(__file__).parent
PORT = 8000  # which page.js names, too


async def main():
    if not (HERE / "node_modules").exists():
        await trio.run_process(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE)
    # With dev=True everyone knows the page's key, on this machine alone.
    async with rtlite.open(HERE / "texts.db", port=PORT, dev=True), trio.open_nursery() as nursery:
        # esbuild bundles the page and serves it for as long as its standard input is open.
        await nursery.start(partial(trio.run_process, ["npm", "start"], cwd=HERE, stdin=subprocess.PIPE))
        print("open http://127.0.0.1:8080", flush=True)


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
