"""What a channel keeps: what its kind's settings say, or its stream's owner.

Whoever asks whether a channel has history, and how much of it, asks here.
"""

from __future__ import annotations

from functools import lru_cache

from rtlite.model import stream_of
from rtlite.settings import KindSettings, Settings


class Policies:
    """One server's answers; the streams' own are put in by :mod:`rtlite.domain.streams`.

    :ivar version: changes whenever an answer may have changed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.version = 0
        self._streams: dict[str, KindSettings] = {}
        self.of = lru_cache(1024)(self._of)
        """What holds for a channel. Each event asks."""

    def _of(self, channel: str) -> KindSettings:
        if channel.startswith("stream:") and self._streams:
            own = self._streams.get(stream_of(channel) or "")
            if own is not None:
                return own
        return self.settings.for_kind(channel.partition(":")[0])

    def keeps(self, name: str) -> bool:
        """Whether what this channel or pattern brings can be read later.

        Of streams some are kept and others not, so all of them together have no history.
        """
        return name != "stream:*" and self.of(name).history

    def set_stream(self, stream: str, own: KindSettings | None) -> None:
        """What its owner wants for a stream; ``None`` is what the kind has."""
        if own is None or own == self.settings.for_kind("stream"):
            self._streams.pop(stream, None)
        else:
            self._streams[stream] = own
        self.of = lru_cache(1024)(self._of)  # a new one: what another thread finds out just now, it puts into the old
        self.version += 1

    def strictest(self, kind: str) -> KindSettings:
        """Of each bound, the smallest that any channel of a kind has."""
        every = [self.settings.for_kind(kind), *(self._streams.values() if kind == "stream" else ())]
        return KindSettings(
            retention_age=min(keep.retention_age for keep in every),
            retention_count=min(keep.retention_count for keep in every),
            retention_bytes=min(keep.retention_bytes for keep in every),
        )
