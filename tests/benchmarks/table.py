"""What was measured, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measurement of one server.

    :param figures: by unit, in the order of importance: ``{"µs/message": 10.9, "messages/s": 33_000}``.
    :param remark: what the reader has to know to compare it, or what went wrong.
    """

    measured: str
    server: str
    figures: dict[str, float] = field(default_factory=dict)
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def number(value: float) -> str:
    """Three digits that count, and commas between thousands."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def lines(rows: Iterable[Row]) -> list[str]:
    """The table as text; what is measured is named once for all its servers."""
    cells = [("measured", "server", "figures")]
    last = ""
    for row in rows:
        figures = ", ".join(f"{number(value)} {unit}" for unit, value in row.figures.items())
        remark = f" ({row.remark})" if figures and row.remark else row.remark
        cells.append(("" if row.measured == last else row.measured, row.server, figures + remark))
        last = row.measured
    first, second = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    return [f"{one:<{first}}  {two:<{second}}  {three}".rstrip() for one, two, three in cells]
