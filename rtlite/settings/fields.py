"""One setting: how it is declared, and what its declaration says to whoever prints or reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


def setting(
    default: Any,
    convert: Callable[[object], Any],
    help: str,
    *,
    common: bool = False,
    secret: bool = False,
    hidden: bool = False,
) -> Any:
    """:param common: nearly everyone needs it: ``--help`` shows it, where ``--help-all`` shows all."""
    metadata = {"convert": convert, "help": help, "common": common, "secret": secret, "hidden": hidden}
    return attrs.field(default=default, metadata=metadata)


@attrs.frozen
class Declared:
    """What :func:`setting` was told, and the names that follow from it."""

    name: str
    default: Any
    convert: Callable[[object], Any]
    help: str
    common: bool
    secret: bool
    hidden: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "RTLITE_" + self.name.upper()
