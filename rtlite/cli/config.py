"""``rtlite config``: each setting, its value, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import click

from rtlite import settings
from rtlite.cli import options, output
from rtlite.settings import Declared, KindSettings, Loaded

_HIDDEN = "***"


@attrs.frozen
class Row:
    name: str
    item: Declared
    value: Any
    origin: str

    @property
    def shown(self) -> str:
        return _HIDDEN if self.item.secret and self.value else options.shown(self.item, self.value)

    @property
    def raw(self) -> Any:
        return _HIDDEN if self.item.secret and self.value else self.value


@click.command(cls=options.WithSettings)
@options.json_option
@options.setting_flags
def config(config: str | None, as_json: bool, **flags: Any) -> None:
    """Show each setting, its value, and where it came from.

    The first of these that has it counts: a flag, an environment variable, the file, the default.
    The flags are those of `rtlite serve`. Secrets are shown as ***.
    """
    rows = list(_rows(settings.load(flags, file=config), config or "rtlite.toml"))
    if output.wants_json(as_json):
        for row in rows:
            output.json_line({"setting": row.name, "value": row.raw, "origin": row.origin})
        return
    output.table(("setting", "value", "from"), [(row.name, row.shown, row.origin) for row in rows])


def _rows(loaded: Loaded, file: str) -> Iterator[Row]:
    for item in settings.declared():
        yield Row(item.name, item, getattr(loaded.settings, item.name), loaded.origins[item.name])
    for kind, chosen in loaded.settings.channels.items():
        for item in settings.declared(KindSettings):
            yield Row(f"channels.{kind}.{item.name}", item, getattr(chosen, item.name), file)
