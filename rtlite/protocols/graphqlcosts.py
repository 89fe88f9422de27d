"""What a GraphQL document costs that was parsed, found out by one pass over it, before it is validated.

graphql-core's validation compares any two fields of the same name, so what takes it long is refused here.
Source: GraphQL specification, section 5.3.2.
"""

from __future__ import annotations

import attrs
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from rtlite.protocols.graphqllimits import Limits, QueryRefused, too_costly


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Whether a document may be validated.

    :raises QueryRefused: a fragment spreads itself, or the fields, once every fragment stands where it
        is spread, are too many, too deep, or too often the same.
    """
    _Measure(document, limits)


class _Measure:
    """Walks through every definition, through fragments as often as they are spread."""

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._fields = 0
        self._aliases = 0
        self._pairs = 0
        self._inside: set[str] = set()
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        for definition in document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self._fragments.setdefault(definition.name.value, definition)
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                self._walk(definition.selection_set, 1, _Place())
                if len(definition.variable_definitions or ()) > limits.variables:
                    raise too_costly(f"an operation may have {limits.variables} variables")
            elif isinstance(definition, FragmentDefinitionNode):
                self._enter(definition, 1, _Place())

    def _walk(self, selections: SelectionSetNode, depth: int, place: _Place) -> None:
        limits = self._limits
        if depth > limits.depth:
            raise too_costly(f"the query may be {limits.depth} fields deep")
        for selection in selections.selections:
            self._fields += 1
            if self._fields > limits.fields:
                raise too_costly(f"the query may have {limits.fields} fields, with those of its fragments")
            if isinstance(selection, FieldNode):
                self._walk_field(selection, depth, place)
            elif isinstance(selection, FragmentSpreadNode):
                # Each of those at one place is compared with each other.
                self._compare(place.spreads)
                place.spreads += 1
                fragment = self._fragments.get(selection.name.value)
                if fragment is not None:
                    self._enter(fragment, depth, place)
            else:
                self._walk(selection.selection_set, depth, place)  # type: ignore[attr-defined]

    def _walk_field(self, field: FieldNode, depth: int, place: _Place) -> None:
        if field.alias is not None:
            self._aliases += 1
            if self._aliases > self._limits.aliases:
                raise too_costly(f"the query may have {self._limits.aliases} aliases, with those of its fragments")
        key = (field.alias or field.name).value
        below = place.below.get(key)
        if below is None:
            below = place.below[key] = _Place()
        self._compare(below.fields)
        below.fields += 1
        if field.selection_set is not None:
            self._walk(field.selection_set, depth + 1, below)

    def _enter(self, fragment: FragmentDefinitionNode, depth: int, place: _Place) -> None:
        name = fragment.name.value
        if name in self._inside:
            raise QueryRefused(f"the fragment {name} spreads itself")
        self._inside.add(name)
        self._walk(fragment.selection_set, depth, place)
        self._inside.discard(name)

    def _compare(self, others: int) -> None:
        """One more at a place where there are ``others``: validation compares it with each of them."""
        self._pairs += others
        if self._pairs > self._limits.fields:
            raise too_costly("the query names the same fields or spreads fragments too often in one place")


@attrs.define(slots=True)
class _Place:
    """Where fields of one name meet, from however many fragments they come."""

    below: dict[str, _Place] = attrs.field(factory=dict)
    fields: int = 0
    spreads: int = 0
