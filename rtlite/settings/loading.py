"""Values of settings from flags, environment and file, or from a program.

A value is taken from the first of: flag, environment, file, default. An unknown name or a
value that does not fit is an error that names it.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from rtlite.errors import StartError
from rtlite.settings.declaration import Settings, declared
from rtlite.settings.fields import Declared
from rtlite.settings.kinds import BUILT_IN_KINDS, DEFAULT_KIND, KindSettings

NOT_SETTINGS: Final = {"RTLITE_URL", "RTLITE_KEY", "RTLITE_CONFIG"}  # read by the command line's client commands


@attrs.frozen
class Loaded:
    """Settings and, for each, where its value came from: ``flag``, ``RTLITE_X``, a file's path, ``default``."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
) -> Loaded:
    """Settings from flags, environment and file, each name from the first that has it.

    :param flags: names and values as given on the command line; ``None`` values are left out.
    :param file: a TOML file that must exist; without one, ``rtlite.toml`` here is read if it is there.
    :raises StartError: for an unknown name, an ill-typed value, or a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    table, path = _read_file(file)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    known = {item.name: item for item in declared()}
    _refuse_unknown((name for name in table if name != "channels"), known, f"{path}: ")
    variables = {item.variable: item for item in known.values()}
    _refuse_unknown((name for name in environ if name.startswith("RTLITE_") and name not in NOT_SETTINGS), variables)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _refuse_unknown(given, known)
    for item in known.values():
        for origin, source, key in (
            ("flag", given, item.name),
            (item.variable, environ, item.variable),
            (path, table, item.name),
        ):
            if key in source:
                values[item.name] = _convert(item, source[key], origin)
                origins[item.name] = origin
                break
        else:
            origins[item.name] = "default"
    channels = table.get("channels", {})
    if not isinstance(channels, dict):
        raise StartError(f"{path}: channels is a table, as in [channels.article]")
    kinds = {kind: _kind(kind, entry, path) for kind, entry in channels.items()}
    settings = Settings(channels=kinds, **values)
    if settings.dev and origins["data"] == "default":
        settings = attrs.evolve(settings, data=":memory:")
        origins["data"] = "dev"
    return Loaded(settings, origins)


def of_values(values: Mapping[str, Any]) -> Settings:
    """Settings of a program's own: from these values alone, not from environment or file.

    :param values: by name; ``channels`` is a table of tables.
    :raises StartError: for an unknown name, or a value that does not fit.
    """
    known = {item.name: item for item in declared()}
    given = {name: value for name, value in values.items() if name != "channels"}
    _refuse_unknown(given, known)
    kinds = {kind: _kind(kind, entry, "settings") for kind, entry in values.get("channels", {}).items()}
    return Settings(channels=kinds, **{name: _convert(known[name], value, "settings") for name, value in given.items()})


def _read_file(file: str | os.PathLike[str] | None) -> tuple[dict[str, Any], str]:
    path = Path(file or "rtlite.toml")
    if file is None and not path.exists():
        return {}, str(path)
    try:
        return tomllib.loads(path.read_text("utf-8")), str(path)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"{path}: {error}") from error


def _kind(kind: str, entry: object, path: str) -> KindSettings:
    known = {item.name: item for item in declared(KindSettings)}
    if not isinstance(entry, dict):
        raise StartError(f"{path}: [channels.{kind}] is a table")
    _refuse_unknown(entry, known, f"{path}: [channels.{kind}] ")
    base = BUILT_IN_KINDS.get(kind, DEFAULT_KIND)
    return attrs.evolve(
        base, **{name: _convert(known[name], value, f"{path}: [channels.{kind}]") for name, value in entry.items()}
    )


def _refuse_unknown(names: Iterable[str], known: Mapping[str, Declared], where: str = "") -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise StartError(f"{where}{name}: no such setting{hint}")


def _convert(item: Declared, value: object, origin: str) -> Any:
    try:
        return item.convert(value)
    except ValueError as error:
        shown = "the value" if item.secret else repr(value)
        raise StartError(f"{origin}: {item.name}: {shown} is {error}") from error
