"""A document brought back to what it was, in a process of its own.

pycrdt holds the interpreter while it undoes, and for each item it goes up to the root: a document that is
nested 50,000 deep takes it half a minute. A process can be left alone meanwhile, and be ended when it takes too long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Final

import trio

from rtlite.domain.contents import reverted
from rtlite.domain.replica import Broken
from rtlite.errors import Overloaded

_HEAD: Final = 8  # bytes: how long the document is, which the snapshot follows
_STACK: Final = 1024 * 1024 * 1024  # of which is used what is needed

_one_at_a_time = trio.Semaphore(1)


async def revert(document: bytes, snapshot: bytes, patience: float) -> bytes:
    """The edit of :func:`rtlite.domain.contents.reverted`.

    :raises Overloaded: it took longer than ``patience``, in seconds. :raises Broken: the CRDT failed.
    """
    with trio.move_on_after(patience):
        async with _one_at_a_time:
            done = await trio.run_process(
                [sys.executable, "-m", __name__],
                stdin=len(document).to_bytes(_HEAD, "big") + document + snapshot,
                capture_stdout=True,
                stderr=subprocess.DEVNULL,  # a panic says there what it was about, at length
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if done.returncode:
                raise Broken(f"a document could not be brought back: the process ended with {done.returncode}")
            return bytes(done.stdout)
    raise Overloaded("to bring this document back takes too long")


def _main() -> None:
    data = sys.stdin.buffer.read()
    middle = _HEAD + int.from_bytes(data[:_HEAD], "big")
    edit: list[bytes] = []
    threading.stack_size(_STACK)
    thread = threading.Thread(target=lambda: edit.append(reverted(data[_HEAD:middle], data[middle:])))
    thread.start()
    thread.join()
    if not edit:
        sys.exit(1)
    sys.stdout.buffer.write(edit[0])


if __name__ == "__main__":
    _main()
