"""Options that several commands take, and the flags of ``serve``, which are made of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
import click

from rtlite import settings
from rtlite.errors import InvalidRequest
from rtlite.hub.since import parse_since
from rtlite.model import check_pattern, is_pattern, now_ms
from rtlite.settings import Declared, Settings

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL: Final = "http://127.0.0.1:8000"
DEV_KEY: Final = "rtk_dev"
_EVERY: Final = "rtlite.every-setting"  # of a context whose help shows each


def checked(item: Declared) -> Callable[[str], str]:
    """A flag's type: checks the value by the setting's own rule, and leaves the text for :func:`settings.load`."""

    def check(value: str) -> str:
        try:
            item.convert(value)
        except ValueError as error:
            shown = "the value" if item.secret else repr(value)
            raise click.BadParameter(f"{shown} is {error}.") from error
        return value

    return check


def duration(value: str | float) -> float:
    """An option's type: seconds from text such as ``30s`` or ``7d``."""
    try:
        return settings.duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is {error}.") from error


def place(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """An option's callback: a place in history, as the server reads it."""
    try:
        if text is not None:
            parse_since(text, now_ms())
    except InvalidRequest as error:
        raise click.BadParameter(error.detail) from error
    return text


def pattern(name: str) -> str:
    """A channel, or a whole kind such as ``changes:*``. A ``*`` elsewhere is taken for a mistake.

    :raises click.BadParameter: it is neither.
    """
    try:
        check_pattern(name)
    except InvalidRequest as error:
        if "*" not in name:
            raise click.BadParameter(f"{name!r}: {error.detail.removeprefix('channel: ')}.") from error
    else:
        if is_pattern(name) or "*" not in name:
            return name
    kind = name.partition(":")[0].strip("*") if ":" in name else ""
    raise click.BadParameter(f"{name!r} is no pattern: a whole kind is meant by '{kind or 'article'}:*'.")


def patterns(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """An argument's callback: each is a :func:`pattern`."""
    return tuple(map(pattern, names))


def grants(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The same for what a token may do, where ``*`` is all."""
    return tuple(name if name == "*" else pattern(name) for name in names)


def metavar(item: Declared) -> str:
    """What help shows for the setting's value."""
    if choices := getattr(item.convert, "choices", None):
        return "|".join(choices)
    names: dict[Any, str] = {
        settings.duration: "DURATION",
        settings.size: "SIZE",
        settings.count: "NUMBER",
        settings.texts: "TEXT,…",
        settings.counts: "NUMBER,…",
        settings.durations: "DURATION,…",
    }
    return names.get(item.convert, "TEXT")


def shown(item: Declared, value: Any) -> str:
    """A setting's value as one would write it: ``30s``, ``1MiB``, ``a,b``."""
    if item.convert is settings.durations:
        return ",".join(settings.duration_text(part) for part in value)
    if item.convert is settings.duration:
        return settings.duration_text(value)
    if item.convert is settings.size:
        return _size(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def _size(value: int) -> str:
    for name, factor in (("GiB", 1024 * settings.MIB), ("MiB", settings.MIB), ("KiB", settings.KIB)):
        if value and value % factor == 0:
            return f"{value // factor}{name}"
    return str(value)


def setting_flags(command: F) -> F:
    """Give a command ``--config`` and one flag per setting, with the setting's help, default and variable."""
    for item in reversed(settings.declared(Settings)):
        default = shown(item, item.default)
        origin = f"default: {default}; {item.variable}" if default else item.variable
        help = f"{item.help}  [{origin}]"
        if item.convert is settings.boolean:
            negative = f"--no-{item.flag[2:]}"
            both = f"{item.flag}/{negative}"
            command = click.option(both, item.name, default=None, help=help, hidden=item.hidden)(command)
        else:
            command = click.option(item.flag, item.name, type=checked(item), metavar=metavar(item), help=help)(command)
    every = click.option(
        "--help-all", is_flag=True, is_eager=True, expose_value=False, callback=_help_all, help="Show each setting."
    )
    return config_option(every(command))


class WithSettings(click.Command):
    """A command with :func:`setting_flags`: ``--help`` shows those that most people need, ``--help-all`` each."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        left_out = (
            set()
            if _EVERY in ctx.meta
            else {item.name for item in settings.declared() if not item.common and not item.hidden}
        )
        shown = [item for item in self.get_params(ctx) if item.name not in left_out]
        with formatter.section("Options"):
            formatter.write_dl([record for item in shown if (record := item.get_help_record(ctx)) is not None])
        if left_out:
            formatter.write_paragraph()
            more = f"{ctx.command_path} --help-all, or rtlite docs settings"
            formatter.write_text(f"There are {len(left_out)} more settings, each a flag: {more}.")


def _help_all(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_EVERY] = True
        click.echo(ctx.get_help())
        ctx.exit()


def config_option(command: F) -> F:
    """``--config``, the file of settings."""
    return click.option(
        "--config",
        metavar="FILE",
        envvar="RTLITE_CONFIG",
        help="Read settings from this file.  [default: rtlite.toml, if it is here; RTLITE_CONFIG]",
    )(command)


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON lines, as into a pipe.")(command)


_DEV_HELP: Final = f"For a server started with --dev: as its admin, by the key {DEV_KEY} that all of them have."


def server_options(command: F, dev: str = _DEV_HELP) -> F:
    """``--url``, ``--key`` and ``--dev`` (which ``dev`` explains): which server to ask, and as whom."""
    for option in (
        click.option("--dev", is_flag=True, help=dev),
        click.option("--key", metavar="KEY", envvar="RTLITE_KEY", help="The key or token to present.  [RTLITE_KEY]"),
        click.option(
            "--url",
            metavar="URL",
            envvar="RTLITE_URL",
            help=f"The server; http+unix:PATH for a unix socket.  [default: {DEFAULT_URL}; RTLITE_URL]",
        ),
    ):
        command = option(command)
    return command


def data_option(command: F) -> F:
    """``--data`` and ``--config``: which database."""
    return click.option(
        "--data", metavar="FILE", help="The server's SQLite file.  [default: the setting; RTLITE_DATA]"
    )(config_option(command))


@attrs.frozen
class Server:
    """A server's address, and what to present there; ``None`` if nothing was given."""

    url: str
    key: str | None


def server(url: str | None, key: str | None, dev: bool) -> Server:
    """What :func:`server_options` gave. :raises click.UsageError: there is no key."""
    chosen = server_or_dev(url, key, dev)
    if chosen.key is None:
        raise no_key()
    return chosen


def server_or_dev(url: str | None, key: str | None, dev: bool) -> Server:
    """The same for commands that ask a server without a key whether it runs with ``--dev``."""
    return Server(url or DEFAULT_URL, DEV_KEY if dev else key)


def no_key() -> click.UsageError:
    return click.UsageError("No key: give --key (or RTLITE_KEY), or --dev for a server started with --dev.")
