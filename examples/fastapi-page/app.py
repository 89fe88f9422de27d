"""A guest book in FastAPI, live in every window. Run it: python app.py [PORT [PORT_OF_RTLITE]]"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from hypercorn.asyncio import serve
from hypercorn.config import Config
from pydantic import BaseModel, Field

import rtlite

HERE = Path(__file__).parent
PORT = int(sys.argv[1]) if sys.argv[1:] else 8080
LIVE_PORT = int(sys.argv[2]) if sys.argv[2:] else 8000
PAGE = (HERE / "index.html").read_text()

live: rtlite.Started


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global live
    origins = [f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"]
    with rtlite.start(HERE / "book.db", port=LIVE_PORT, allowed_origins=origins) as live:
        yield


app = FastAPI(lifespan=lifespan)


class Guest(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=100)]


@app.get("/")
def index() -> HTMLResponse:
    token = live.token("guest", subscribe=["book:guests"])
    return HTMLResponse(PAGE.replace("{{ live }}", live.url).replace("{{ token }}", token))


# A plain def: FastAPI runs it in a thread, where it may wait until the event is on disk.
@app.post("/guests", status_code=204)
def sign(guest: Guest) -> None:
    live.publish("book:guests", "signed", guest.model_dump())


if __name__ == "__main__":
    print(f"open http://127.0.0.1:{PORT}", flush=True)
    asyncio.run(serve(app, Config.from_mapping(bind=[f"127.0.0.1:{PORT}"])))
