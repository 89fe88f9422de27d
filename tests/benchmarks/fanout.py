"""Fan-out: the server's CPU per delivered message, user and system, publishing included.

*Paced*: 1,000 subscribers, one message every 30 ms, as a busy channel has it. *Burst*: 500
subscribers and 200 messages at once (to rtlite in one batch request), where what is
consecutive can be joined. Every subscriber must have every message, in order; else the row
says what is missing. How many arrive a second is bounded by the one client as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.loading import Load, loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

PACED = "fan-out, paced"
BURST = "fan-out, burst"
SINGLE = "fan-out, burst of requests"


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    for kind in (Rtlite, *peers):
        yield paced(plan, kind)
    for kind in (Rtlite, *peers):
        yield bursts(plan, kind)
    yield _single(plan)


def paced(plan: Plan, kind: type[Server], measured: str = PACED) -> Row:
    with kind() as server, loads() as (load,):
        load("subscribe", count=plan.paced_subscribers, **server.subscriber)
        load("settle", publisher=server.publisher)
        before = server.cpu()
        answer = load("fan_out", publisher=server.publisher, messages=plan.paced_messages, interval=plan.paced_interval)
        cpu = server.cpu() - before
    figures = {"µs CPU/message": _micros(cpu, answer), "messages/s": answer["received"] / answer["seconds"]}
    return Row(measured, server.name, figures, _wrong(answer))


def bursts(plan: Plan, kind: type[Server], measured: str = BURST) -> Row:
    with kind() as server, loads() as (load,):
        load("subscribe", count=plan.burst_subscribers, **server.subscriber)
        load("settle", publisher=server.publisher)
        return _burst(plan, measured, server, load, server.publisher)


def _single(plan: Plan) -> Row:
    """rtlite's burst as 200 requests on 16 connections in place of one batch. Their order is nobody's."""
    with Rtlite() as server, loads() as (load,):
        load("subscribe", count=plan.burst_subscribers, **server.subscriber)
        load("settle", publisher=server.publisher)
        publisher = {**server.publisher, "batch": None, "connections": 16}
        return _burst(plan, SINGLE, server, load, publisher, ordered=False)


def _burst(
    plan: Plan, measured: str, server: Server, load: Load, publisher: dict[str, Any], *, ordered: bool = True
) -> Row:
    total = {"received": 0, "missing": 0, "wrong": 0, "disorder": 0, "seconds": 0.0}
    before = server.cpu()
    for _ in range(plan.bursts):
        answer = load("fan_out", publisher=publisher, messages=plan.burst_messages, ordered=ordered)
        total = {name: value + answer[name] for name, value in total.items()}
    cpu = server.cpu() - before
    figures = {"µs CPU/message": _micros(cpu, total), "messages/s": total["received"] / total["seconds"]}
    return Row(measured, server.name, figures, _wrong(total))


def _micros(cpu: float, answer: dict[str, Any]) -> float:
    return 1e6 * cpu / max(1, answer["received"])


def _wrong(answer: dict[str, Any]) -> str:
    words = []
    if answer["missing"]:
        words.append(f"MISSING {answer['missing']:,}")
    elif answer["wrong"]:
        words.append(f"WRONG at {answer['wrong']:,} subscribers")
    if answer["disorder"]:
        words.append(f"OUT OF ORDER {answer['disorder']:,}")
    return ", ".join(words)
