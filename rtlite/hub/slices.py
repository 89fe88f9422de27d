"""Long loops in short slices, so that no single request or batch holds up everyone else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import trio

from rtlite.model import Event

SLICE_SECONDS: Final = 0.005
_EVENTS: Final = 64
_BYTES: Final = 64 * 1024


class Pace:
    """Await :meth:`pause` once in each turn of a long loop: other tasks run every few milliseconds."""

    def __init__(self) -> None:
        self._until = trio.current_time() + SLICE_SECONDS

    async def pause(self) -> None:
        if trio.current_time() > self._until:
            await trio.lowlevel.checkpoint()
            self._until = trio.current_time() + SLICE_SECONDS


def slices(events: list[Event]) -> Iterator[list[Event]]:
    """``events`` in pieces that take a millisecond or two to encode, or as long as a single one takes."""
    start = size = 0
    for number, event in enumerate(events):
        if number - start >= _EVENTS or size > _BYTES:
            yield events[start:number]
            start, size = number, 0
        size += len(event.data)
    if start < len(events):
        yield events[start:] if start else events
