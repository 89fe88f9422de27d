"""Token buckets per address, key or connection, in a table of bounded size.

A bucket holds ``burst`` tokens and gets ``rate`` new ones a second; what is allowed takes
one. The table forgets whoever was quiet longest, so that no flood of addresses fills the
memory; whoever is forgotten starts with a full bucket again.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Final

# Clocks count in floats: who waits exactly as long as told may miss a token by a rounding error.
_ROUNDING: Final = 1e-6


class Buckets:
    """The buckets of one limit.

    :param rate: tokens a second; 0 is no limit.
    :param burst: tokens a full bucket holds, and what a new one starts with.
    :param size: how many buckets are remembered.
    :param clock: seconds that never go back.
    """

    def __init__(
        self, rate: float, burst: float, size: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._size = size
        self._clock = clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # key → tokens, and when

    def take(self, key: Hashable, cost: float = 1) -> float:
        """Take ``cost`` tokens: 0.0 if allowed, else the seconds until it would be, and nothing is taken.

        What costs more than a whole bucket is allowed when the bucket is full, and leaves it
        in debt, so that over time ``rate`` holds for it too.
        """
        wait = self.wait(key, cost)
        if wait == 0.0 and self._rate > 0:
            self._levels[key] = (self._level(key) - cost, self._clock())
            self._levels.move_to_end(key)
            if len(self._levels) > self._size:
                self._levels.popitem(last=False)
        return wait

    def wait(self, key: Hashable, cost: float = 1) -> float:
        """What :meth:`take` would answer; takes nothing."""
        if self._rate <= 0:
            return 0.0
        missing = min(cost, self._burst) - self._level(key)
        return missing / self._rate if missing > _ROUNDING else 0.0

    def full(self, key: Hashable) -> bool:
        """Whether all tokens are there: nothing was taken lately."""
        return self._level(key) >= self._burst - _ROUNDING

    def state(self, key: Hashable) -> tuple[int, int, float]:
        """For ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset``: the burst, the whole tokens
        that are left, and the seconds until the bucket is full."""
        level = self._level(key)
        reset = (self._burst - level) / self._rate if self._rate > 0 else 0.0
        return int(self._burst), max(0, math.floor(level + _ROUNDING)), reset

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, key: Hashable) -> float:
        known = self._levels.get(key)
        if known is None:
            return self._burst
        tokens, at = known
        return min(self._burst, tokens + (self._clock() - at) * self._rate)


class Bucket:
    """A single one, of a connection say: a tenth of the memory of a table that holds one.

    Its parameters are those of :class:`Buckets`.
    """

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = self._tokens = max(1.0, burst)
        self._clock = clock
        self._at = clock()

    def take(self) -> float:
        """Take a token: 0.0 if allowed, else the seconds until it would be, and nothing is taken."""
        if self._rate <= 0:
            return 0.0
        level = self._level()
        if 1 - level > _ROUNDING:
            return (1 - level) / self._rate
        self._tokens, self._at = level - 1, self._clock()
        return 0.0

    @property
    def full(self) -> bool:
        """Whether all tokens are there: nothing was taken lately."""
        return self._level() >= self._burst - _ROUNDING

    def _level(self) -> float:
        return min(self._burst, self._tokens + (self._clock() - self._at) * self._rate)


@lru_cache(maxsize=4096)  # each request asks, and parsing an address takes 15 µs
def address_key(address: str) -> str:
    """What of a peer's address to count by.

    IPv4 as it is, also when it is mapped into IPv6 (RFC 4291, section 2.5.5.2); IPv6 by its
    /64, since that is the least one customer gets (RFC 6177); anything else verbatim.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a unix socket's peer has no address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
