"""Faults of what all have in common: tokens that expire at once, a disk that is full."""

from __future__ import annotations

from collections.abc import Sequence

from rtlite.auth.tokens import Tokens
from rtlite.errors import Reason
from rtlite.faults import Draws, Fault
from rtlite.model import Kind
from rtlite.store.database import Database
from rtlite.transports.connections import Connections


class TokenFaults:
    """Tokens issued before the fault was set do not hold, until it ends: who has one needs a new one."""

    def __init__(self, tokens: Tokens, connections: Connections) -> None:
        self._tokens = tokens
        self._connections = connections
        self._draws: dict[Fault, Draws] = {}

    def apply(self, faults: Sequence[Fault]) -> None:
        """From now on these are set."""
        before = self._draws
        self._draws = {fault: before.get(fault) or fault.draws() for fault in faults if fault.kind.name == "expire"}
        self._tokens.outdated = self._is_outdated if self._draws else None
        for fault, draws in self._draws.items():
            if fault not in before:
                self._end_connections(fault, draws)

    def _end_connections(self, fault: Fault, draws: Draws) -> None:
        for connection in self._connections:
            who = connection.identity
            if who is not None and who.kind is Kind.JWT and fault.asked.user in {None, who.user} and draws.strikes():
                connection.end(Reason.EXPIRED)

    def _is_outdated(self, user: str, issued: float | None) -> bool:
        return any(
            fault.asked.user in {None, user} and (issued is None or issued <= fault.created / 1000) and draws.strikes()
            for fault, draws in self._draws.items()
        )


class DiskFaults:
    """What is to be stored is refused as SQLite refuses it. What makes room, or takes a right away, is not."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._draws: dict[Fault, Draws] = {}

    def apply(self, faults: Sequence[Fault]) -> None:
        """From now on these are set."""
        wanted = [fault for fault in faults if fault.kind.name == "disk-full"]
        self._draws = {fault: self._draws.get(fault) or fault.draws() for fault in wanted}
        self._database.full = self._is_full if wanted else None

    def _is_full(self) -> bool:
        return any(draws.strikes() for draws in list(self._draws.values()))
