"""``/api/faults``: make a part of the server slow, deaf or broken, see how often it struck, and end it."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

import trio

from rtlite.domain.faults import Faults
from rtlite.faults import KINDS, NewFault
from rtlite.protocols import jsonframes
from rtlite.rules import Count, Rule, Timestamp
from rtlite.transports.contract import UNKNOWN
from rtlite.transports.routes import Call, Reply, Route, json_reply


class FaultJson(TypedDict):
    """A fault that is set, and how often it struck; `remaining` is in seconds. Each kind has fields of its own."""

    id: str
    kind: Annotated[str, Rule(enum=list(KINDS))]
    protocol: str | None
    channel: str | None
    user: str | None
    connection: str | None
    probability: float
    count: int | None
    seed: int
    struck: Count
    created: Timestamp
    remaining: float


class FaultKind(TypedDict):
    """A kind of faults: its fields with their defaults, those that it needs, and what it is chosen by."""

    kind: str
    help: str
    fields: dict[str, Any]
    required: list[str]
    chosen: list[str]


class FaultsList(TypedDict):
    """What is set, and what can be, if this server allows it."""

    items: list[FaultJson]
    next: None
    allowed: bool
    kinds: list[FaultKind]


class FaultsEnded(TypedDict):
    """How many there were."""

    ended: Count


REFUSED: Final = {400: "invalid_channel", 403: "faults_off", 409: "too_many_faults"}


class FaultsEndpoint:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/api/faults",
                self.list,
                "List the faults that are set, and the kinds there are",
                gives={200: FaultsList},
            ),
            Route(
                "POST",
                "/api/faults",
                self.add,
                "Set a fault; it strikes at once",
                takes=NewFault,
                gives={201: FaultJson},
                refuses=REFUSED,
            ),
            Route("DELETE", "/api/faults", self.clear, "End all faults", gives={200: FaultsEnded}),
            Route(
                "DELETE",
                "/api/faults/{id}",
                self.remove,
                "End a fault",
                gives={204: None},
                refuses=UNKNOWN,
            ),
        ]

    async def list(self, call: Call) -> Reply:
        """``allowed`` is whether this server lets faults be set."""
        now = trio.current_time()
        return json_reply(
            {
                "items": [fault.as_json(now) for fault in self._faults.all()],
                "next": None,
                "allowed": self._faults.allowed,
                "kinds": [kind.as_json() for kind in KINDS.values()],
            }
        )

    async def add(self, call: Call) -> Reply:
        fault = self._faults.add(jsonframes.decode(call.body, NewFault))
        return json_reply(fault.as_json(trio.current_time()), 201)

    async def clear(self, call: Call) -> Reply:
        return json_reply({"ended": self._faults.clear()})

    async def remove(self, call: Call) -> Reply:
        self._faults.remove(call.params["id"])
        return Reply(204)
