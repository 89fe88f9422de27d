"""What came before what it builds on, and waits for it. It is stored, too: see :mod:`rtlite.store.documents`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from rtlite.protocols.yjsupdates import Id

_LEAST: Final = 256  # bytes of memory that even the shortest takes


class Waiting:
    """Updates, each with what it lacks."""

    def __init__(self) -> None:
        self._lacks: dict[bytes, Sequence[Id]] = {}
        self._by_client: dict[int, dict[bytes, int]] = defaultdict(dict)
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lacks)

    def __contains__(self, update: bytes) -> bool:
        return update in self._lacks

    @staticmethod
    def weight(update: bytes) -> int:
        """What it counts of the memory that may be taken."""
        return max(_LEAST, len(update))

    def add(self, update: bytes, lacks: Sequence[Id]) -> None:
        """Until something of ``lacks`` is known."""
        if update in self._lacks:
            return
        self._lacks[update] = lacks
        self.size += self.weight(update)
        for client, clock in lacks:
            of_client = self._by_client[client]
            of_client[update] = min(clock, of_client.get(update, clock))

    def due(self, client: int, known: int) -> list[bytes]:
        """Take those out that waited for what is known now of a client."""
        found = [update for update, clock in self._by_client.get(client, {}).items() if clock < known]
        for update in found:
            self.size -= self.weight(update)
            for other in {lacked.client for lacked in self._lacks.pop(update)}:
                del self._by_client[other][update]
                if not self._by_client[other]:
                    del self._by_client[other]
        return found
