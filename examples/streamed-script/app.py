"""A script whose output is watched in a page. Run it: python app.py [PORT]"""

import subprocess
import sys
from pathlib import Path

import trio
from quart import redirect, render_template
from quart_trio import QuartTrio

import rtlite

HERE = Path(__file__).parent
DATABASE = HERE / "output.db"
COMMAND = [sys.executable, "-u", str(HERE / "script.py")]  # -u: it prints each line at once
PIPE = [sys.executable, "-m", "rtlite", "pipe", "nightly", "--url", f"http+unix:{DATABASE}.sock", "--"]

app = QuartTrio(__name__)
rt: rtlite.Embedded
runs: trio.Nursery


@app.get("/")
async def index():
    # It reads this script's two outputs, and no other stream.
    token = rt.token("visitor", subscribe=["stream:nightly", "stream:nightly:errors"], ttl=24 * 3600)
    return await render_template("index.html", token=token)


@app.post("/runs")
async def begin():
    runs.start_soon(run)
    return redirect("/", 303)


async def run():
    await trio.run_process(PIPE + COMMAND, check=False, stdin=subprocess.DEVNULL)


async def main():
    global rt, runs
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    async with rtlite.open(DATABASE, port=port, app=app) as rt, trio.open_nursery() as runs:
        await rt.call("PUT", "/streams/nightly", {"storeHistory": True})
        print(f"open {rt.url}", flush=True)
        await run()
        await trio.sleep_forever()


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
