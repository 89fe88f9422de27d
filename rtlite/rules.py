"""Types with a rule, from which descriptions are made: what a channel, an id or a time looks like.

To mypy and cattrs, ``Channel`` is a text. Its rule is in JSON Schema, and says what the checks of
:mod:`rtlite.model` hold. What only a setting knows is a function of the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from rtlite.model import MAX_CHANNEL, MAX_EVENT_ID, MAX_EVENT_NAME, MAX_USER


class Rule:
    """Keywords of JSON Schema (draft 2020-12) for the type that this annotates.

    ``Rule(minimum=1, maximum=lambda settings: settings.max_page)``
    """

    def __init__(self, **keywords: Any) -> None:
        self._keywords = keywords

    def keywords(self, settings: Any) -> Mapping[str, Any]:
        return {name: value(settings) if callable(value) else value for name, value in self._keywords.items()}


def of(setting: str) -> Callable[[Any], Any]:
    """The value of a setting."""
    return lambda settings: getattr(settings, setting)


Channel = Annotated[
    str, Rule(minLength=1, maxLength=MAX_CHANNEL, pattern=r"^(?!\*$)(?!.*:\*$)[!-~]+$", examples=["article:hello"])
]
Subscribable = Annotated[
    str,
    Rule(
        minLength=1,
        maxLength=MAX_CHANNEL,
        pattern="^[!-~]+$",
        description="A channel, or a kind and `:*` for all channels of it.",
        examples=["article:hello", "changes:*"],
    ),
]
EventId = Annotated[str, Rule(minLength=1, maxLength=MAX_EVENT_ID, pattern="^[!-~]+$")]
EventName = Annotated[str, Rule(minLength=1, maxLength=MAX_EVENT_NAME, pattern="^[!-~]+$")]
User = Annotated[str, Rule(minLength=1, maxLength=MAX_USER, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", examples=["dev"])]
UserInChannel = Annotated[str, Rule(minLength=1, maxLength=241, pattern=r"^(?!\*$)(?!.*:\*$)[!-~]+$", examples=["dev"])]
"""Whose id stands in a channel's name."""
Id = Annotated[str, Rule(minLength=1, maxLength=64, pattern="^[A-Za-z0-9_-][A-Za-z0-9._~-]*$")]
"""Of what stands in paths and in channels' names as it is: streams, models, records."""
Timestamp = Annotated[str, Rule(format="date-time", examples=["2026-05-27T10:30:00.000Z"])]
PositionText = Annotated[
    str,
    Rule(
        pattern="^[a-z0-9]{8}-(0|[1-9][0-9]*)$",
        description="A place in a channel's history, `EPOCH-OFFSET`.",
        examples=["5f0c2a91-7"],
    ),
]
SinceText = Annotated[
    str,
    Rule(
        description="A place in history: a position, an event's id, an age such as `2h`, or a time (RFC 3339).",
        examples=["2h", "5f0c2a91-7"],
    ),
]
Duration = Annotated[
    str,
    Rule(
        pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*([mM][sS]|[sS]|[mM]|[mM][iI][nN]|[hH]|[dD]|[wW])?\s*$",
        description="A number with `ms`, `s`, `m`, `h`, `d` or `w`; seconds without.",
        examples=["30s", "2h"],
    ),
]
Count = Annotated[int, Rule(minimum=0)]
Offset = Annotated[int, Rule(minimum=1)]
NOT_BLANK: Final = r"\S"
"""The pattern of a text that is more than spaces."""
Percent = Annotated[Any, Rule(type=["number", "null"], minimum=0, maximum=100)]
Flag = Annotated[str, Rule(enum=["true", "false"], default="false")]
"""Of a query."""
