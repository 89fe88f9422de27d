"""What faults do to the way out of a connection: little at a time, or nowhere.

The outbox before it is as it always is: what these do not take in time waits there, and who waits too
long reads from the history.
"""

from __future__ import annotations

from typing import Final

import trio

_STEP: Final = 0.05  # seconds


class Throttled(trio.abc.SendStream):
    """So many bytes a second and no more.

    :ivar lifted: ends it; what is under way goes out at once.
    """

    def __init__(self, stream: trio.abc.SendStream, rate: float) -> None:
        self._stream = stream
        self._rate = rate
        self.lifted = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        size = max(1, int(self._rate * _STEP))
        with memoryview(data) as whole:
            for at in range(0, len(whole), size):
                piece = bytes(whole[at : at + size])
                with trio.move_on_after(len(piece) / self._rate):
                    await self.lifted.wait()
                await self._stream.send_all(piece)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The stream behind it is closed by whoever has it."""
        await trio.lowlevel.checkpoint()


class Nowhere(trio.abc.SendStream):
    """Takes everything; nothing arrives."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
