"""GraphQL's queries and mutations: each root field asks the same domain as REST, with the same rights.

A root field is awaited here; what it gives is data, with the names that the schema's fields have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trio

from rtlite.errors import InvalidRequest, Refused
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity

if TYPE_CHECKING:
    from rtlite.protocols.graphqldocuments import Operation, Root

log = get_logger(__name__)

Field = Callable[..., Awaitable[Any]]
"""Takes who asks, and the field's arguments as the schema names them."""


class Resolvers:
    """:param fields: the root fields by name, from the modules that have them."""

    def __init__(self, fields: Sequence[Mapping[str, Field]], metrics: Metrics) -> None:
        self._metrics = metrics
        self._thread = trio.CapacityLimiter(1)  # more of them would only take turns, and the loop would wait for each
        self.fields = {name: field for part in fields for name, field in part.items()}

    async def answer(self, identity: Identity, operation: Operation) -> dict[str, Any]:
        """The result of a query or a mutation, ready for JSON.

        Root fields come one after the other, of a mutation as it must be, each a transaction of its
        own: one that fails is an error at its path, and leaves the others what they are.

        :raises QueryRefused: it asks for very much of the schema.
        """
        values = {root.key: await self._value(identity, root) for root in operation.roots}
        answer = await self._execute(operation, values)
        self._metrics.operations.labels(operation.kind, "errors" if "errors" in answer else "ok").inc()
        return answer

    async def _execute(self, operation: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
        """What is long is done in a thread, of which the loop notices no more than that they take turns."""
        if not operation.is_long:
            return operation.answer(values)
        return await trio.to_thread.run_sync(operation.answer, values, limiter=self._thread)

    async def _value(self, identity: Identity, root: Root) -> Any:
        try:
            return await self.fields[root.field](identity, **root.args)
        except Refused as refusal:
            return refusal
        except Exception as error:  # logged: the mistake is ours, and the other fields are good
            log.error("a GraphQL field failed", field=root.field, exc_info=error)
            self._metrics.faults.inc()
            return error


def check_first(wanted: int | None, most: int) -> int:
    """How many of a list. :raises InvalidRequest: it is no number from 1 to ``most``."""
    if wanted is None or not 1 <= wanted <= most:
        raise InvalidRequest(f"first: a whole number from 1 to {most} is wanted")
    return wanted


def connection(items: list[Any], following: str | None) -> dict[str, Any]:
    """A page of a list, and where the next begins."""
    return {
        "nodes": [item.as_json() for item in items],
        "pageInfo": {"endCursor": following, "hasNextPage": following is not None},
    }
