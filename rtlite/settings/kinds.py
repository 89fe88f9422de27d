"""What each kind of channel keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from rtlite.settings.fields import setting
from rtlite.settings.values import DAY, MIB, boolean, count, duration, size


@attrs.frozen
class KindSettings:
    """What one kind of channel keeps: the table ``[channels.KIND]`` of the file."""

    history: bool = setting(True, boolean, "keep events, so that readers can resume")
    retention_age: float = setting(7 * DAY, duration, "how long events are kept")
    retention_count: int = setting(10_000, count, "how many events a channel keeps")
    retention_bytes: int = setting(64 * MIB, size, "how many bytes of data a channel keeps")
    presence: bool = setting(True, boolean, "tell who is on a channel")


DEFAULT_KIND: Final = KindSettings()
# A stream keeps nothing until its owner turns storeHistory on (contract, "Channels").
BUILT_IN_KINDS: Final[Mapping[str, KindSettings]] = {"stream": KindSettings(history=False)}
