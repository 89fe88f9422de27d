"""Which subscriptions are the same, but for where in history they begin.

Two clients that send the same document, pick the same operation and give the same variables
get the same results for the same event. ``since`` alone says where each of them begins, so
the variables that feed nothing else do not count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql.language import ArgumentNode, VariableNode, Visitor, visit

from rtlite.errors import InvalidRequest

if TYPE_CHECKING:
    from rtlite.protocols.graphqldocuments import Operation

PLACE: Final = "since"
"""The argument that says where in history a subscription begins."""


class _Uses(Visitor):
    """How often each variable is used, and how often as a place in history."""

    def __init__(self) -> None:
        super().__init__()
        self.all: dict[str, int] = {}
        self.places: dict[str, int] = {}

    def enter_variable_definition(self, *_: Any) -> Any:
        return self.SKIP

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        name = node.name.value
        self.all[name] = self.all.get(name, 0) + 1

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        if node.name.value == PLACE and isinstance(node.value, VariableNode):
            name = node.value.name.value
            self.places[name] = self.places.get(name, 0) + 1


def share_of(operation: Operation, limit: int) -> bytes:
    """What is the same for all operations whose results are.

    :param limit: bytes of variables. :raises InvalidRequest: it has more, or they cannot be written as JSON.
    """
    uses = _Uses()
    visit(operation.document, uses)
    kept = {name: value for name, value in operation.variables.items() if uses.all.get(name) != uses.places.get(name)}
    try:
        variables = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:  # the parser reads deeper nesting than it writes
        raise InvalidRequest("variables: they are nested too deeply") from error
    if len(variables) > limit:
        raise InvalidRequest(f"variables: a subscription's may have {limit} bytes")
    text = operation.text.encode(errors="surrogatepass")
    return hashlib.sha256(orjson.dumps([operation.name, len(text)]) + text + variables).digest()
