"""How SQLite goes about what a function asks of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def plans(connection: sqlite3.Connection, ask: Callable[[], object]) -> list[str]:
    """The steps of each statement that ``ask`` runs, as EXPLAIN QUERY PLAN tells them."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    try:
        ask()
    finally:
        connection.set_trace_callback(None)
    return [row[3] for text in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()]


def walks(steps: list[str]) -> list[str]:
    """Those steps that look at every row, or sort what they found."""
    return [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step]
