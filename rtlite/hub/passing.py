"""Channels without history: their order is in memory alone, and a restart gives them a new epoch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from rtlite.model import Event, NewEvent, Published, new_epoch, new_event_id, now_ms

_CHANNELS: Final = 100_000


class Passing:
    """Where these channels stand; those unused longest are forgotten."""

    def __init__(self) -> None:
        self._tops: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def place(self, new: NewEvent) -> Published:
        """The event, next in its channel's order."""
        epoch, top = self.top(new.channel)
        self._tops[new.channel] = (epoch, top + 1)
        return Published(Event(new.id or new_event_id(), new.channel, new.name, new.data, now_ms(), top + 1, epoch))

    def top(self, channel: str) -> tuple[str, int]:
        """Epoch and newest offset."""
        top = self._tops.get(channel)
        if top is None:
            top = self._tops[channel] = (new_epoch(), 0)
        self._tops.move_to_end(channel)
        if len(self._tops) > _CHANNELS:
            self._tops.popitem(last=False)
        return top
