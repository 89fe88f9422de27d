"""A language model's answer, token by token, to a page that may go and come back. Run it: python app.py [PORT]"""

import sys
from pathlib import Path

import trio
from model import tokens
from quart import redirect, render_template, request
from quart_trio import QuartTrio

import rtlite

app = QuartTrio(__name__)
rt: rtlite.Embedded
answers: trio.Nursery


@app.get("/")
async def index():
    return await render_template("index.html")


@app.post("/answers")
async def ask():
    question = (await request.form)["question"][:2000]
    id = (await rt.call("POST", "/jobs", {"type": "answer"}))["id"]
    await rt.publish(f"answer:{id}", "question", {"text": question})
    answers.start_soon(write, id, question)
    return redirect(f"/answers/{id}", 303)


@app.get("/answers/<id>")
async def answer(id):
    token = rt.token("visitor", subscribe=[f"answer:{id}"])  # reads this answer and no other, for an hour
    return await render_template("answer.html", id=id, token=token)


async def write(id, question):
    """Publishes the answer, whoever listens or not: each token is an event, and the channel's history is the answer."""
    try:
        async for token in tokens(question):
            await rt.publish(f"answer:{id}", "token", {"text": token})
    except Exception:
        app.logger.exception("the model failed")
        await end(id, "failed")
    else:
        await end(id, "completed")


async def end(id, status):
    await rt.publish(f"answer:{id}", "end", {"status": status})
    await rt.call("PATCH", f"/jobs/{id}", {"status": status})


async def main():
    global rt, answers
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    database = Path(__file__).with_name("answers.db")
    async with rtlite.open(database, port=port, app=app) as rt, trio.open_nursery() as answers:
        for job in (await rt.call("GET", "/jobs", query={"status": "pending", "limit": "1000"}))["items"]:
            await end(job["id"], "cancelled")  # no model goes on where it was when the program died
        print(f"open {rt.url}", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
