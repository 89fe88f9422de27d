"""Documents: the server's CPU per edit that reaches an editor, and how long a document of 5 MB takes to a newcomer.

*Relayed*: 20 editors of one document, each of whom types at its own place, at a steady pace; and how long an edit
takes to another, as a median. *Initial sync*: from
the connection to the last byte of the answer to step 1, of a document of small edits that is edited before each.
The peers are y-websocket's server and ``@hocuspocus/server``, as their documentation begins; both keep documents in
memory, and ask nobody who they are. They come from ``tests/node_modules``.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.benchmarks.install import PEERS, ROOT
from tests.benchmarks.loading import Load
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

RELAYED = "collaboration, edits of 20 editors"
JOINED = "collaboration, initial sync of 5 MB"

_EDITORS = 20
_BYTES = 5_000_000
_MODULES = ROOT / "tests" / "node_modules"


class Rooms(Rtlite):
    """rtlite as ever: each edit is on the disk before anyone gets it."""

    @property
    def editor(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/collab/bench?token={self.admin}"}


class _Peer(Server):
    script: str
    package: str

    def command(self) -> list[str]:
        return [shutil.which("node") or "node", str(PEERS / self.script)]

    def environment(self) -> dict[str, str]:
        return {"NODE_PATH": str(_MODULES), "NODE_ENV": "production"}

    @property
    def editor(self) -> dict[str, Any]:
        return {"url": f"ws://127.0.0.1:{self.port}/bench"}


class YWebsocket(_Peer):
    name = "y-websocket"
    script = "ywebsocket.cjs"
    package = "y-websocket-2"


class Hocuspocus(_Peer):
    name = "hocuspocus"
    script = "hocuspocus.cjs"
    package = "@hocuspocus/server"

    @property
    def editor(self) -> dict[str, Any]:
        return {**super().editor, "prefix": "bench"}


class _Editors(Load):
    """The editors, in a process of their own: Yjs is JavaScript."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", "tests/benchmarks/load/editors.mjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"NODE_PATH": str(_MODULES)},
            text=True,
        )


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    both: list[Any] = [Rooms, *(peer for peer in (YWebsocket, Hocuspocus) if (_MODULES / peer.package).is_dir())]
    for kind in both if peers else both[:1]:
        with kind() as server, _editors() as load:
            yield _relayed(plan, server, load)
    for kind in both if peers else both[:1]:
        with kind() as server, _editors() as load:
            yield _joined(plan, server, load)


@contextlib.contextmanager
def _editors() -> Iterator[Load]:
    load = _Editors()
    try:
        yield load
    finally:
        load.stop()


def _relayed(plan: Plan, server: Any, load: Load) -> Row:
    load("open", editors=_EDITORS, **server.editor)
    load("type", rate=plan.collab_rate, seconds=1)
    before = server.cpu()
    answer = load("type", rate=plan.collab_rate, seconds=plan.collab_seconds)
    cpu = server.cpu() - before
    relayed = answer["typed"] * (_EDITORS - 1)
    wrong = f"NOT THE SAME for {answer['wrong']}" if answer["wrong"] else ""
    wrong = f"MISSING {answer['missing']}" if answer["missing"] else wrong
    figures = {"µs CPU/update": 1e6 * cpu / relayed, "updates/s": relayed / plan.collab_seconds, "ms": answer["delay"]}
    return Row(RELAYED, server.name, figures, wrong)


def _joined(plan: Plan, server: Any, load: Load) -> Row:
    load("open", editors=1, **server.editor)
    load("grow", bytes=_BYTES)
    before = server.cpu()
    answer = load("join", times=plan.collab_joins)
    cpu = server.cpu() - before
    figures = {
        "ms": statistics.median(answer["milliseconds"]),
        "ms CPU": 1000 * cpu / plan.collab_joins,
        "MB": answer["bytes"] / 1e6,
    }
    return Row(JOINED, server.name, figures)
