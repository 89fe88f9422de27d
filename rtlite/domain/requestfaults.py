"""Faults for HTTP requests and for attempts to connect: answered late, or refused.

The operator's own requests are not for faults: who set one must be able to look at it and to end it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import trio

from rtlite.errors import FaultInjected
from rtlite.faults import Draws, Fault, Level
from rtlite.transports.listener import Listener
from rtlite.transports.routes import Access, Call, Route, Router

_OPERATORS: Final = frozenset({Access.OPERATOR, Access.OPERATOR_OR_DEV})
_OWN: Final = (
    "/healthz",
    "/readyz",
    "/console",
    "/docs",
    "/graphql/graphiql",
    "/openapi.json",
    "/asyncapi.json",
    "/api/session",
)
_NAMED: Final = {"channel": "", "slug": "article:", "room": "collab:"}
"""What in a path names a channel, and how that begins."""
_NAMING: Final = frozenset({"sse", "collab"})
"""The protocols whose path says what is listened to."""


def refusal(fault: Fault) -> FaultInjected:
    asked = fault.asked
    headers = {} if asked.retry_after is None else {"Retry-After": str(asked.retry_after)}
    return FaultInjected(f"refused by the fault {fault.id}", headers=headers, status=asked.status or 503)


def is_known_before(fault: Fault, protocol: str) -> bool:
    """Whether a request to connect says all by which the fault is chosen."""
    return fault.asked.user is None and (fault.asked.channel is None or protocol in _NAMING)


class RequestFaults:
    def __init__(self, router: Router, listener: Listener) -> None:
        self._router = router
        self._listener = listener
        self._draws: dict[Fault, Draws] = {}
        self._changed = trio.Event()

    def apply(self, faults: Sequence[Fault]) -> None:
        """From now on these are set."""
        wanted = [fault for fault in faults if Level.REQUESTS in fault.kind.levels]
        self._draws = {fault: self._draws.get(fault) or fault.draws() for fault in wanted}
        self._router.impair = self._impair if wanted else None
        self._listener.impair = self._meet if wanted else None
        self._changed.set()
        self._changed = trio.Event()

    async def _impair(self, route: Route, call: Call) -> None:
        """A request is to be answered. :raises FaultInjected: it is refused."""
        if call.trusted or route.access in _OPERATORS or route.pattern == "/" or route.pattern.startswith(_OWN):
            return
        channels = _channels(call.params)
        for fault, draws in list(self._draws.items()):
            if fault.picks("http", call.identity.user, None) and _covers(fault, channels) and draws.strikes():
                if fault.kind.name == "refuse":
                    raise refusal(fault)
                with trio.move_on_after(draws.delay()):
                    while not fault.removed:  # then what waits is answered at once
                        await self._changed.wait()

    def _meet(self, protocol: str, params: Mapping[str, str]) -> None:
        """Somebody wants to connect. :raises FaultInjected: it is refused."""
        channels = _channels(params)
        for fault, draws in list(self._draws.items()):
            if (
                fault.kind.name == "refuse"
                and is_known_before(fault, protocol)
                and fault.picks(protocol, None, None)
                and _covers(fault, channels)
                and draws.strikes()
            ):
                raise refusal(fault)


def _channels(params: Mapping[str, str]) -> list[str]:
    return [start + params[name] for name, start in _NAMED.items() if name in params]


def _covers(fault: Fault, channels: Sequence[str]) -> bool:
    return fault.asked.channel is None or any(map(fault.covers, channels))
