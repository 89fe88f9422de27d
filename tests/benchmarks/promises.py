"""Whether a run held what rtlite promises; from its rows."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks import collab, events, graphql, socketio
from tests.benchmarks.fanout import BURST, PACED
from tests.benchmarks.idle import IDLE
from tests.benchmarks.publish import HTTP_16
from tests.benchmarks.start import START
from tests.benchmarks.table import Row, number


def verdicts(rows: list[Row]) -> Iterator[tuple[str, str, bool]]:
    """The promise, what was measured, whether it held. A promise whose rows were not measured is left out."""
    for measured, most in ((PACED, 12.0), (BURST, 1.0), (events.PACED, 15.0)):
        unit = "µs CPU/message"
        for row in _rows(rows, measured, "rtlite"):
            shown = "; ".join(filter(None, (number(row.figures[unit]), row.remark)))  # what is missing, if anything
            yield f"{measured}: at most {most:g} {unit}", shown, row.figures[unit] <= most and not row.remark
    for row in rows:
        for measured, most in ((IDLE, 30), (events.IDLE, 40)):
            if row.measured.startswith(measured) and row.server == "rtlite":
                each = row.figures["KiB each"]
                yield f"{row.measured}: at most {most} KiB each", number(each), each <= most and not row.remark
    ours, node = _rows(rows, HTTP_16, "rtlite"), _rows(rows, HTTP_16, "node http")
    if ours and node:
        ratio = ours[0].figures["requests/s"] / node[0].figures["requests/s"]
        yield f"{HTTP_16}: at least 0.3 × bare Node", number(ratio), ratio >= 0.3
    for row in _rows(rows, START, "rtlite"):
        if "GB" not in row.remark:
            yield f"{START} ({row.remark}): at most 1 s", number(row.figures["s"]), row.figures["s"] <= 1
        else:
            yield f"{START} ({row.remark}): at most 2 s", number(row.figures["s"]), row.figures["s"] <= 2
    yield from _socketio(rows)
    for measured in (graphql.PACED, graphql.BURST):
        yield from _beside(rows, measured, "graphql-ws", "µs CPU/message", most=0.5)
    for peer in ("y-websocket", "hocuspocus"):
        yield from _beside(rows, collab.RELAYED, peer, "µs CPU/update", most=1)
        yield from _beside(rows, collab.JOINED, peer, "ms", most=1)
    for measured in (PACED, BURST):
        ours, theirs = _rows(rows, measured, "rtlite"), _rows(rows, measured, "ws")
        if ours and theirs:
            factor = theirs[0].figures["µs CPU/message"] / ours[0].figures["µs CPU/message"]
            yield f"{measured}: npm ws is slower per message", f"{number(factor)} × rtlite's", factor > 1


def _socketio(rows: list[Row]) -> Iterator[tuple[str, str, bool]]:
    """Beside npm socket.io in the same run."""
    for measured, unit, least, most in (
        (socketio.PACED, "µs CPU/message", 0.0, 0.8),
        (socketio.BURST, "messages/s", 1.0, float("inf")),
        (next((row.measured for row in rows if row.measured.startswith(socketio.IDLE)), ""), "KiB each", 0.0, 1.0),
    ):
        yield from _beside(rows, measured, "socket.io", unit, least, most)


def _beside(
    rows: list[Row], measured: str, peer: str, unit: str, least: float = 0.0, most: float = float("inf")
) -> Iterator[tuple[str, str, bool]]:
    ours, theirs = _rows(rows, measured, "rtlite"), _rows(rows, measured, peer)
    if ours and theirs:
        ratio = ours[0].figures[unit] / theirs[0].figures[unit]
        wanted = f"at most {most:g}" if least == 0 else f"at least {least:g}"
        shown = "; ".join(filter(None, (f"{number(ratio)} ×", ours[0].remark)))
        yield f"{measured}: {wanted} × npm {peer}'s {unit}", shown, least <= ratio <= most and not ours[0].remark


def _rows(rows: list[Row], measured: str, server: str) -> list[Row]:
    return [row for row in rows if (row.measured, row.server) == (measured, server) and row.figures]
