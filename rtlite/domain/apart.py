"""Work on the contents of a document that takes long, in a process of its own.

pycrdt holds the interpreter: to read 10 MB of small edits as JSON takes it most of a second, and to bring back a
document that is nested 50,000 deep half a minute. A process is left alone meanwhile, and ended when it takes too long.
"""

from __future__ import annotations

import os
import subprocess  # nosec B404  # our own interpreter and module are run, with nothing of the peer in the command
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import trio

from rtlite.domain.contents import aside, read, reverted, written
from rtlite.domain.replica import Broken
from rtlite.errors import Conflict, InvalidRequest, NotFound, Overloaded, Refused

_SMALL: Final = 256 * 1024  # bytes that take some 20 ms; to start a process takes 100
_STACK: Final = 1024 * 1024 * 1024  # of which is used what is needed

_at_once = trio.Semaphore(2)


_WORKS: Final = {work.__name__: work for work in (read, written, reverted)}
_REFUSALS: Final[dict[str, type[Refused]]] = {kind.__name__: kind for kind in (InvalidRequest, Conflict, NotFound)}
"""What these refuse with."""


async def apart(patience: float, work: Callable[..., bytes], document: bytes, *arguments: Any) -> bytes:
    """What ``work(document, *arguments)`` returns; it is one of the functions of :mod:`rtlite.domain.contents`.

    :raises Refused: as ``work`` does. :raises Overloaded: it took longer than ``patience``, in seconds.
    :raises Broken: the CRDT failed.
    """
    if len(document) <= _SMALL and work is not reverted:  # whose time is not a matter of size
        return await aside(lambda: work(document, *arguments), len(document))
    with trio.move_on_after(patience):
        async with _at_once:
            done = await trio.run_process(
                [sys.executable, "-m", __name__],
                stdin=_packed(work.__name__, [document, *arguments]),
                capture_stdout=True,
                stderr=subprocess.DEVNULL,  # a panic says there what it was about, at length
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if done.returncode:
                raise Broken(f"work on a document failed: its process ended with {done.returncode}")
            kind, (outcome, *rest) = _unpacked(done.stdout)
            if kind:
                raise _REFUSALS[kind](outcome, code=rest[0])
            return bytes(outcome)
    raise Overloaded("this takes too long with this document")


def _packed(name: str, values: Sequence[Any]) -> bytes:
    """A name and values of JSON or bytes: a line of JSON, then the bytes that it tells the lengths of."""
    blobs = [value for value in values if isinstance(value, bytes)]
    shown = [{"bytes": len(value)} if isinstance(value, bytes) else {"json": value} for value in values]
    return orjson.dumps([name, shown]) + b"\n" + b"".join(blobs)


def _unpacked(data: bytes) -> tuple[str, list[Any]]:
    end = data.index(b"\n") + 1
    name, shown = orjson.loads(data[:end])
    values: list[Any] = []
    for item in shown:
        if "json" in item:
            values.append(item["json"])
        else:
            values.append(data[end : end + item["bytes"]])
            end += item["bytes"]
    return name, values


def _main() -> None:
    name, arguments = _unpacked(sys.stdin.buffer.read())
    answer: list[bytes] = []

    def run() -> None:
        try:
            answer.append(_packed("", [_WORKS[name](*arguments)]))
        except Refused as error:
            answer.append(_packed(type(error).__name__, [error.detail, error.code]))

    threading.stack_size(_STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not answer:
        sys.exit(1)
    sys.stdout.buffer.write(answer[0])


if __name__ == "__main__":
    _main()
