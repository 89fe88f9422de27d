"""Tables on a terminal, however narrow it is: no word of a table is broken, so that an id can be copied.

What does not fit is folded between words. If that is not enough, each row becomes a block of lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_BETWEEN: Final = 2
_LEAST: Final = 6  # of a column whose words may be broken


def drawn(titles: Sequence[str], rows: Sequence[Sequence[str]], free: Sequence[str]) -> None:
    """Print it; words are broken in the columns ``free`` alone."""
    console = Console(highlight=False)
    columns = list(zip(titles, *rows, strict=True))
    widths = fitted(
        [max(map(cell_len, column)) for column in columns],
        [min(_LEAST if column[0] in free else math.inf, max(map(_longest_word, column))) for column in columns],
        console.width - _BETWEEN * (len(columns) - 1),
    )
    if widths is None:
        _print_blocks(console, titles, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for title, width in zip(titles, widths, strict=True):
        table.add_column(title, width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def fitted(wanted: Sequence[int], least: Sequence[float], width: int) -> list[int] | None:
    """The columns' widths, the widest made narrower until all fit; ``None`` if they cannot."""
    widths = list(wanted)
    while sum(widths) > width:
        spare = [(now, place) for place, now in enumerate(widths) if now > least[place]]
        if not spare:
            return None
        widths[max(spare)[1]] -= 1
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _print_blocks(console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    indent = max(map(cell_len, titles)) + _BETWEEN
    for number, row in enumerate(rows):
        if number:
            console.print()
        for title, cell in zip(titles, row, strict=True):
            if cell:
                line = Text.assemble((title, "bold"), " " * (indent - cell_len(title)), cell)
                console.print(line, soft_wrap=True)
