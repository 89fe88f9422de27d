"""Libraries that no start needs, and that take long to import: each is imported when it is first used.

A server has all of them imported, in a thread, once it is ready (:func:`load`). So its first client
of each kind finds them there, and no one who connects waits for what others will need.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

_NAMES: Final[list[str]] = []


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def later(name: str) -> Any:
    """The module ``name``, which must be installed, as far as its attributes go.

    Type checkers are to see a plain import: ``if TYPE_CHECKING: import name``, ``else: name = later("name")``.
    """
    if name not in _NAMES:
        _NAMES.append(name)
    return _Later(name)


def load() -> None:
    """Import what has not been used yet. Takes tenths of a second, in a thread of its own."""
    for name in _NAMES:
        importlib.import_module(name)
