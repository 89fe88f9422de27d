"""What commands print: readable on a terminal, JSON lines with ``--json`` or into a pipe."""

from __future__ import annotations

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


def note(text: str) -> None:
    """Say something on stderr that is no error and no result."""
    click.echo(f"rtlite: {one_line(text)}", err=True)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain columns elsewhere."""
    cells = [[escape(cell) for cell in row] for row in rows]
    if not on_terminal():
        widths = [max(len(cell) for cell in column) for column in zip(titles, *cells, strict=True)]
        for row in (titles, *cells):
            click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    # Imported here, since most commands draw no table.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in titles:
        drawn.add_column(title, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)
