"""The command. Exits with 1 if a promise was not held."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    collab,
    events,
    fanout,
    graphql,
    idle,
    install,
    lag,
    latency,
    machine,
    publish,
    replay,
    socketio,
    start,
    table,
)
from tests.benchmarks.plan import FULL, QUICK, Plan
from tests.benchmarks.promises import verdicts
from tests.benchmarks.rivals import PEERS_THAT_BROADCAST, GraphQlWs, NodeHttp
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

Measure = Callable[[Plan, list[type[Server]]], Iterator[Row]]
MEASUREMENTS: dict[str, Measure] = {
    "fanout": fanout.measure,
    "latency": latency.measure,
    "publish": publish.measure,
    "idle": idle.measure,
    "events": events.measure,
    "socketio": socketio.measure,
    "graphql": graphql.measure,
    "collab": collab.measure,
    "replay": replay.measure,
    "start": start.measure,
    "lag": lag.measure,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure rtlite beside its peers.")
    parser.add_argument("--quick", action="store_true", help="less of each: two or three minutes")
    parser.add_argument("--full", action="store_true", help="also a start with 1 GB of history")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="this measurement; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write it here  [default: .cache/benchmarks/latest.json]")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="measure the peers too")
    return parser.parse_args()


def _peers(wanted: bool) -> tuple[list[type[Server]], dict[str, str]]:
    """Those that can be run, and why the others cannot."""
    if not wanted:
        return [], {}
    skipped = install.install_peers()
    return [peer for peer in (*PEERS_THAT_BROADCAST, NodeHttp, GraphQlWs) if peer.name not in skipped], skipped


def _measure(names: list[str], plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    broadcasting = [peer for peer in peers if peer in PEERS_THAT_BROADCAST]
    special = {"publish", "graphql"}  # which have peers of their own
    for name in names:
        print(f"measuring: {name}", file=sys.stderr)
        try:
            for row in MEASUREMENTS[name](plan, peers if name in special else broadcasting):
                print("  ", *table.lines([row])[1:], file=sys.stderr)
                yield row
        except Exception as error:  # one that fails must not cost the others
            traceback.print_exc()
            yield Row(name, "", remark=f"FAILED: {error}")


def main() -> int:
    arguments = _arguments()
    plan = replace(QUICK if arguments.quick else FULL, history_gigabyte=arguments.full)
    machine.raise_fd_limit()
    try:
        install.install_client()
    except install.NotInstalled as error:
        print(f"nothing can be measured without the load generator: {error}", file=sys.stderr)
        return 2
    peers, skipped = _peers(arguments.peers)
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": arguments.quick,
        "machine": machine.facts(),
        "versions": machine.versions(),
        "skipped": skipped,
    }
    rows = list(_measure(arguments.only or list(MEASUREMENTS), plan, peers))
    judged = list(verdicts(rows))
    report["rows"] = [row.as_json() for row in rows]
    report["promises"] = [dict(zip(("promise", "measured", "held"), verdict, strict=True)) for verdict in judged]
    _print(report, rows, judged)
    path = Path(arguments.json or install.CACHE / "latest.json")
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {path}", file=sys.stderr)
    return 0 if all(held for _, _, held in judged) and not any("FAILED" in row.remark for row in rows) else 1


def _print(report: dict[str, Any], rows: list[Row], judged: list[tuple[str, str, bool]]) -> None:
    for part in ("machine", "versions"):
        print(f"{part}: {', '.join(f'{name} {value}' for name, value in report[part].items())}")
    print(f"date: {report['date']}{', a quick run' if report['quick'] else ''}")
    for name, why in report["skipped"].items():
        print(f"skipped: {name}: {why}")
    print("\n" + "\n".join(table.lines(rows)) + "\n")
    for promise, measured, held in judged:
        print(f"{'held' if held else 'MISSED':6}  {promise}: {measured}")


if __name__ == "__main__":
    sys.exit(main())
