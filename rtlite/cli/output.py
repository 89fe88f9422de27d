"""What commands print: readable on a terminal, JSON lines with ``--json`` or into a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click
import orjson

from rtlite.log import escape


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def wants_json(flag: bool) -> bool:
    """Whether to print JSON lines: asked for by ``--json``, or nobody reads along."""
    return flag or not on_terminal()


def json_line(value: Any) -> None:
    """Print one JSON value as one line, at once."""
    click.echo(orjson.dumps(value))


def one_line(text: str) -> str:
    """``text`` in one line and fit for a terminal: for errors, which may quote a peer."""
    return escape(" ".join(text.split()))


def cut(text: str, indent: int = 0) -> str:
    """As much of ``text`` as one line of the terminal takes, after so many columns."""
    from rich.cells import cell_len, set_cell_size  # a command that cuts nothing need not wait for it

    text, width = one_line(text), shutil.get_terminal_size().columns - indent
    return text if cell_len(text) <= width else set_cell_size(text, max(1, width - 1)).rstrip() + "…"


def note(text: str) -> None:
    """Say something on stderr that is no error and no result."""
    click.echo(f"rtlite: {one_line(text)}", err=True)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], free: Sequence[str] = ()) -> None:
    """Print a table: drawn on a terminal, plain columns elsewhere.

    :param free: titles of columns whose words may be broken where the terminal is narrow.
    """
    cells = [[escape(cell) for cell in row] for row in rows]
    if on_terminal():
        from rtlite.cli.tables import drawn  # most commands draw none, and need not wait for it

        drawn(titles, cells, free)
        return
    widths = [max(len(cell) for cell in column) for column in zip(titles, *cells, strict=True)]
    for row in (titles, *cells):
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
