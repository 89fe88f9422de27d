"""Work in a thread whose stack is as deep as it may need.

Yrs deletes a type by deleting what is nested in it, and so on: 300 bytes of stack a level. A
document of 400 KiB can be nested 50,000 deep, and then the 8 MiB of a thread do not suffice, and the
process dies. A stack of the size that the document's bytes allow for costs only what is used of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import outcome
import trio

T = TypeVar("T")

_LEAST: Final = 64 * 1024 * 1024
_PER_BYTE: Final = 40  # a level takes nine bytes of an update, and 300 of the stack
_PAGE: Final = 4096
_AT_ONCE: Final = 4

_free = trio.Semaphore(_AT_ONCE)


async def on_a_deep_stack(work: Callable[[], T], size: int) -> T:
    """Run ``work``, which is about ``size`` bytes of updates, in a thread of its own. It cannot be cancelled."""
    async with _free:
        task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()

        def run() -> None:
            token.run_sync_soon(trio.lowlevel.reschedule, task, outcome.capture(work))

        before = threading.stack_size((_LEAST + _PER_BYTE * size) // _PAGE * _PAGE)
        try:
            threading.Thread(target=run, name="document", daemon=True).start()
        finally:
            threading.stack_size(before)
        result: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        return result
