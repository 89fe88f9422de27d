"""The messages: 128 bytes of JSON that say which one they are and when they were made."""

from __future__ import annotations

import time
from typing import Final

SIZE: Final = 128
FIRST: Final = 1_000_000  # seven digits, so that all messages have the same length
_EPOCH: Final = 10**15  # likewise: microseconds with sixteen digits


def microseconds() -> int:
    return time.perf_counter_ns() // 1000 + _EPOCH


def message(number: int, size: int = SIZE) -> str:
    """What every subscriber is to receive, as rtlite's blog channel frames it."""
    text = f'{{"type":"bench","n":{number},"t":{microseconds()},"pad":"'
    return text + "x" * (size - len(text) - 2) + '"}'


def event(channel: str, number: int, size: int = SIZE) -> str:
    """The same message as a publish request's body."""
    fields = "{" + message(number, size).removeprefix('{"type":"bench",')  # rtlite puts the type in itself
    return f'{{"channel":"{channel}","event":"bench","data":{fields}}}'
