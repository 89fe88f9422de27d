"""A page whose progress bar follows a job. Run it: python app.py [PORT]"""

import sys
from pathlib import Path

import trio
from quart import redirect, render_template
from quart_trio import QuartTrio

import rtlite

ROWS = 200
SECONDS_A_ROW = 0.1

app = QuartTrio(__name__)
rt: rtlite.Embedded
workers: trio.Nursery


@app.get("/")
async def index():
    jobs = (await rt.call("GET", "/jobs", query={"limit": "10"}))["items"]
    return await render_template("index.html", jobs=jobs)


@app.post("/imports")
async def begin():
    job = await rt.call("POST", "/jobs", {"type": "import"})
    workers.start_soon(work, job)
    return redirect(f"/imports/{job['id']}", 303)


@app.get("/imports/<id>")
async def progress(id):
    try:
        job = await rt.call("GET", f"/jobs/{id}")
    except rtlite.Refused as error:
        return error.detail, error.status
    token = rt.token("visitor", subscribe=[f"jobs:{id}"], ttl=24 * 3600)  # reads this job and no other
    return await render_template("import.html", job=job, token=token)


async def work(job):
    """The worker. What is done is stored with every row, so one that comes after a restart goes on there."""
    done = (job["progress"] or 0) * ROWS // 100
    for row in range(int(done), ROWS):
        await trio.sleep(SECONDS_A_ROW)  # import the row
        await rt.call("PATCH", f"/jobs/{job['id']}", {"progress": 100 * (row + 1) / ROWS})
    await rt.call("PATCH", f"/jobs/{job['id']}", {"status": "completed", "result": {"rows": ROWS}})


async def main():
    global rt, workers
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    database = Path(__file__).with_name("jobs.db")
    async with rtlite.open(database, port=port, app=app) as rt, trio.open_nursery() as workers:
        for status in ("pending", "running"):  # of before the restart
            for job in (await rt.call("GET", "/jobs", query={"status": status}))["items"]:
                workers.start_soon(work, job)
        print(f"open {rt.url}", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
