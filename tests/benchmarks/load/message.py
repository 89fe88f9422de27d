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


def change(channel: str, number: int, size: int = SIZE) -> str:
    """A record's change with the message for its data, as a publish request's body."""
    fields = "{" + message(number, size).removeprefix('{"type":"bench",')
    model = channel.partition(":")[2]
    record = (
        f'{{"id":"rec_0123456789ab","modelKey":"{model}","naturalKey":"blue-mug","data":{fields},"version":1,'
        '"publishedVersion":null,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}'
    )
    return f'{{"channel":"{channel}","event":"UPDATED","data":{{"type":"UPDATED","record":{record}}}}}'


def event(channel: str, number: int, size: int = SIZE) -> str:
    """The same message as a publish request's body."""
    fields = "{" + message(number, size).removeprefix('{"type":"bench",')  # rtlite puts the type in itself
    return f'{{"channel":"{channel}","event":"bench","data":{fields}}}'
