"""Events that are handed over one by one, where otherwise what is consecutive is joined."""

from __future__ import annotations

from collections.abc import Callable

from rtlite.model import Event


class Parcel(bytes):
    """One event as its subscriber gets it, and the channel it is of."""

    channel: str

    @classmethod
    def of(cls, data: bytes, channel: str) -> Parcel:
        parcel = cls(data)
        parcel.channel = channel
        return parcel


class Apart:
    """An encoder whose events are handed over one by one."""

    def __init__(self, encode: Callable[[Event], bytes]) -> None:
        self.encode = encode

    def __call__(self, event: Event) -> bytes:
        data = self.encode(event)
        return Parcel.of(data, event.channel) if data else data
