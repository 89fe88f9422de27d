"""``/api/faults``: make a part of the server slow, deaf or broken, see how often it struck, and end it."""

from __future__ import annotations

import trio

from rtlite.domain.faults import Faults
from rtlite.faults import KINDS, NewFault
from rtlite.protocols import jsonframes
from rtlite.transports.routes import Call, Reply, Route, json_reply


class FaultsEndpoint:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/api/faults", self.list, "List the faults that are set, and the kinds there are"),
            Route("POST", "/api/faults", self.add, "Set a fault; it strikes at once"),
            Route("DELETE", "/api/faults", self.clear, "End all faults"),
            Route("DELETE", "/api/faults/{id}", self.remove, "End a fault"),
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
