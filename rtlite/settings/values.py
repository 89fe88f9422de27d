"""How values are written: durations, sizes, numbers, lists.

Each function takes what a flag, a variable or the file has, and raises :class:`ValueError`,
whose text goes on after "VALUE is", for what does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

SECOND: Final = 1.0
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
KIB: Final = 1024
MIB: Final = 1024 * KIB

_DURATION_UNITS: Final = {"ms": 0.001, "s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SIZE_UNITS: Final = {"b": 1, "kb": 1000, "kib": KIB, "mb": 1000**2, "mib": MIB, "gb": 1000**3, "gib": 1024 * MIB}
_PUBLIC_URL: Final = re.compile(
    r"(https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)?/?", re.ASCII
)
_NUMBER_UNIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)")


def duration(value: object) -> float:
    """Seconds from a number or from text such as ``30s``, ``15m``, ``2h``, ``7d``."""
    return _with_unit(value, _DURATION_UNITS, SECOND, "a duration such as 30s, 15m, 2h or 7d")


def duration_text(seconds: float) -> str:
    """As one would write it: in the largest unit of which it is a whole number, as in ``7d``, ``2h``, ``90s``."""
    for unit, factor in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:.15g}{unit}"
    return f"{seconds:.15g}s"


def size(value: object) -> int:
    """Bytes from a number or from text such as ``64KiB``, ``1MiB``."""
    return int(_with_unit(value, _SIZE_UNITS, 1, "a size such as 64KiB or 1MiB"))


def _with_unit(value: object, units: Mapping[str, float], default: float, wanted: str) -> float:
    if isinstance(value, bool):
        raise ValueError(f"not {wanted}")
    if isinstance(value, int | float) and 0 <= value < float("inf"):
        return float(value)
    match = _NUMBER_UNIT.fullmatch(str(value).strip())
    factor = units.get(match[2].lower()) if match and match[2] else default
    if match is None or factor is None:
        raise ValueError(f"not {wanted}")
    number = float(match[1]) * factor
    if number == float("inf"):
        raise ValueError(f"not {wanted}")
    return number


def boolean(value: object) -> bool:
    """``true``, ``yes``, ``on``, ``1`` and their opposites."""
    text = str(value).lower()
    if text in {"true", "yes", "on", "1"}:
        return True
    if text in {"false", "no", "off", "0"}:
        return False
    raise ValueError("neither true nor false")


def count(value: object) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)):
        raise ValueError("not a whole number from 0")
    return int(str(value))


def text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A TOML list, or text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("not a list of texts")
    return tuple(item.strip() for item in items if item.strip())


def counts(value: object) -> tuple[int, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("not a list of whole numbers")
    return tuple(sorted({count(item if isinstance(item, int) else str(item).strip()) for item in items}))


def public_url(value: object) -> str:
    """``http://`` or ``https://``, a host and maybe a port; empty for none."""
    if not isinstance(value, str) or not (match := _PUBLIC_URL.fullmatch(value.lower())):
        raise ValueError("not a URL such as https://live.example or http://10.0.0.5:8000")
    return match[1] or ""


def durations(value: object) -> tuple[float, ...]:
    """Seconds, one or more times, as :func:`duration` reads each."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise ValueError("not a list of durations such as 5s, 5m, 2h")
    return tuple(duration(item) for item in items)


def choice(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in choices:
            raise ValueError(f"none of {', '.join(choices)}")
        return str(value)

    convert.choices = choices  # type: ignore[attr-defined]  # read by the command line for its help
    return convert
