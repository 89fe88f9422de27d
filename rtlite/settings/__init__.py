"""Every setting, declared once: name, default, unit, help.

Flags, ``RTLITE_*`` variables, ``rtlite.toml``, ``--help``, ``rtlite config`` and the docs all
read the declaration. Others import the names below from here.

    declaration.py  the settings of a server, and how they are listed
    kinds.py        what each kind of channel keeps
    fields.py       one setting: how it is declared, and what its declaration says
    values.py       how values are written: durations, sizes, numbers, lists
    loading.py      values from flags, environment and file: which comes first, and what is refused
"""

from rtlite.settings.declaration import DEV_JWT_SECRET, Settings, control_path, declared
from rtlite.settings.fields import Declared
from rtlite.settings.kinds import BUILT_IN_KINDS, KindSettings
from rtlite.settings.loading import Loaded, load, of_values
from rtlite.settings.values import (
    DAY,
    HOUR,
    KIB,
    MIB,
    MINUTE,
    SECOND,
    boolean,
    count,
    counts,
    duration,
    duration_text,
    durations,
    public_url,
    size,
    texts,
)

__all__ = [
    "BUILT_IN_KINDS",
    "DAY",
    "DEV_JWT_SECRET",
    "HOUR",
    "KIB",
    "MIB",
    "MINUTE",
    "SECOND",
    "Declared",
    "KindSettings",
    "Loaded",
    "Settings",
    "boolean",
    "control_path",
    "count",
    "counts",
    "declared",
    "duration",
    "duration_text",
    "durations",
    "load",
    "of_values",
    "public_url",
    "size",
    "texts",
]
