"""Work on the contents of a document that takes long, in a process of its own.

pycrdt holds the interpreter: to read 10 MB of small edits as JSON takes it most of a second, and to bring back a
document that is nested 50,000 deep half a minute. A process is left alone meanwhile, and ended when it takes too long.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import trio

from rtlite.domain.contents import aside, reverted
from rtlite.domain.replica import Broken
from rtlite.errors import Overloaded, Refused

_SMALL: Final = 256 * 1024  # bytes that take some 20 ms; to start a process takes 100
_STACK: Final = 1024 * 1024 * 1024  # of which is used what is needed

_at_once = trio.Semaphore(2)


async def apart(patience: float, work: Callable[..., bytes], document: bytes, *arguments: Any) -> bytes:
    """What ``work(document, *arguments)`` returns; it is a function of a module of ours.

    :raises Refused: as ``work`` does. :raises Overloaded: it took longer than ``patience``, in seconds.
    :raises Broken: the CRDT failed.
    """
    if len(document) <= _SMALL and work is not reverted:  # whose time is not a matter of size
        return await aside(lambda: work(document, *arguments), len(document))
    with trio.move_on_after(patience):
        async with _at_once:
            done = await trio.run_process(
                [sys.executable, "-m", __name__],
                stdin=pickle.dumps((work, document, arguments)),
                capture_stdout=True,
                stderr=subprocess.DEVNULL,  # a panic says there what it was about, at length
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if done.returncode:
                raise Broken(f"work on a document failed: its process ended with {done.returncode}")
            outcome: bytes | Refused = pickle.loads(done.stdout)  # noqa: S301  # our own process wrote it
            if isinstance(outcome, Refused):
                raise outcome
            return outcome
    raise Overloaded("this takes too long with this document")


def _main() -> None:
    work, document, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301  # our own process wrote it
    outcome: list[bytes | Refused] = []

    def run() -> None:
        try:
            outcome.append(work(document, *arguments))
        except Refused as error:
            outcome.append(error)

    threading.stack_size(_STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not outcome:
        sys.exit(1)
    pickle.dump(outcome[0], sys.stdout.buffer)


if __name__ == "__main__":
    _main()
