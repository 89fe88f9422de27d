"""How often a room delivers: at once while little happens, and together what comes while much does."""

from __future__ import annotations

import math
from typing import Final

import trio

_SPARE: Final = 10  # deliveries that need no pause, after as many pauses in which there was none


class Tempo:
    """Pauses between deliveries, once there are more than one a pause for a while.

    Each delivery costs a write to every reader. What comes in a pause goes out in the same writes.
    """

    def __init__(self) -> None:
        self._due = -math.inf  # when the next delivery would be due, if they came evenly

    async def rest(self, pause: float) -> None:
        """After a delivery: wait, if they came faster than one in ``pause`` seconds."""
        now = trio.current_time()
        self._due = max(self._due, now - _SPARE * pause) + pause
        await trio.sleep_until(max(self._due, now))
