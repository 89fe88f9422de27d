"""The command ``rtlite``: its subcommands, its exit codes, and errors as one line.

Exit codes: 0 done, 1 refused or failed with one line on stderr, 2 wrong usage, 130 stopped
by Ctrl-C before it was done.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, TypeVarTuple

import click
import trio

from rtlite import __version__, log
from rtlite.cli.output import one_line
from rtlite.errors import RtliteError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Each name and the module that holds the command of this name; imported when it is wanted, since
# `rtlite publish` has no need of the server's half second of imports.
COMMANDS: Final = {
    "serve": "rtlite.cli.serve",
    "demo": "rtlite.cli.demo",
    "publish": "rtlite.cli.publish",
    "tail": "rtlite.cli.tail",
    "pipe": "rtlite.cli.pipe",
    "trigger": "rtlite.cli.trigger",
    "record": "rtlite.cli.record",
    "play": "rtlite.cli.play",
    "faults": "rtlite.cli.faults",
    "keys": "rtlite.cli.keys",
    "token": "rtlite.cli.token",
    "backup": "rtlite.cli.files",
    "check": "rtlite.cli.files",
    "config": "rtlite.cli.config",
    "graphql-schema": "rtlite.cli.graphqlschema",
    "docs": "rtlite.cli.docs",
    "openapi": "rtlite.cli.descriptions",
    "asyncapi": "rtlite.cli.descriptions",
}
INTERRUPTED: Final = 130


class Failed(click.ClickException):
    """An error of ours, shown as ``rtlite: …`` on stderr; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"rtlite: {one_line(self.message)}", file=file, err=file is None)


class Program(click.Group):
    """The group of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and (near := difflib.get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RtliteError as error:
            raise Failed(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="rtlite %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """An embedded realtime server: one process, one port, one SQLite file.

    \b
    See it work:    rtlite demo
    Start it:       rtlite serve --dev
    Listen:         rtlite tail article:hello
    Send an event:  rtlite trigger view_update
    """
    log.configure(level=logging.WARNING)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """The entry point."""
    _open_standard_streams()
    try:
        program(prog_name="rtlite")
    except KeyboardInterrupt:  # while a command's modules were still being imported
        sys.exit(INTERRUPTED)


def _open_standard_streams() -> None:
    """What was closed by who started us (``2>&-``, some service managers) leads to nowhere instead.

    Else the next file that is opened, the database say, becomes descriptor 2, and a C library's message goes into it.
    Standard input stays unreadable: there is none.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # EBADF: it is closed; what is opened now takes the lowest number, which is this
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # for as long as the process lasts
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def run(work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """``trio.run``, with what nurseries raise unwrapped: one error comes out as itself.

    Of several errors of ours the first is the one to tell; a group with anything else in it is a
    bug, and keeps its traceback.
    """
    try:
        return trio.run(work, *args)
    except BaseExceptionGroup as group:
        leaves = _leaves(group)
        if len(leaves) == 1 or all(isinstance(leaf, RtliteError) for leaf in leaves):
            raise leaves[0] from group
        raise


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
