"""What a GraphQL document may cost, found out before anything costly is done with it.

graphql-core's parser calls itself for each level of nesting, and its validation compares any two
fields of the same name: what takes them long is refused here, by one pass over the text and
one over what was parsed. Source: GraphQL specification, sections 2 and 5.3.2; the limits are
those that the field knows (GraphQL Armor, Apollo Router).
"""

from __future__ import annotations

import math
import re
from typing import Final

import attrs
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from rtlite.errors import Refused
from rtlite.settings import Settings

MAX_BRACKETS: Final = 64
"""Brackets within one another, those of arguments' values included: what the parser's recursion bears well."""

# Block texts, texts, comments, names and numbers, "...", other punctuation. Nothing is tried twice:
# each alternative is possessive, and a text that does not end goes to the end.
_TOKENS: Final = re.compile(
    r'"""(?:[^"\\]|\\(?:""")?|"(?!""))*+(?:""")?'
    r'|"(?:[^"\\\n\r]|\\.)*+"?'
    r"|\#[^\n\r]*+"
    r"|[\w+.-]++"
    r"|[^\s,\ufeff]"
)


class QueryRefused(Refused):
    """A document that is not executed. ``errors`` are GraphQL errors, ready to send; ``detail`` is the first one's."""

    code = "invalid_query"

    def __init__(self, detail: str, *, code: str | None = None, errors: list[dict[str, object]] | None = None) -> None:
        super().__init__(detail, code=code)
        self.errors = errors or [{"message": detail, "extensions": {"code": self.code}}]


def too_costly(detail: str) -> QueryRefused:
    return QueryRefused(detail, code="query_too_costly")


@attrs.frozen
class Limits:
    """What the settings ``graphql_…`` allow; ``size`` is in bytes of UTF-8, ``complexity`` in fields of the result."""

    size: int
    tokens: int
    depth: int
    fields: int
    aliases: int
    roots: int
    complexity: int
    variables: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.graphql_query,
            settings.graphql_tokens,
            settings.graphql_depth,
            settings.graphql_fields,
            settings.graphql_aliases,
            settings.graphql_root_fields,
            settings.graphql_complexity,
            settings.graphql_variables,
        )


def check_text(text: str, limits: Limits) -> int:
    """Whether a document may be parsed; returns how many words, signs and comments it has.

    :raises QueryRefused: it is too long, nested too deeply, or has a number that no JSON has.
    """
    if len(text) > limits.size or len(text.encode(errors="replace")) > limits.size:
        raise too_costly(f"the query may have {limits.size} bytes")
    depth = number = 0
    for number, match in enumerate(_TOKENS.finditer(text), 1):
        if number > limits.tokens:
            raise too_costly(f"the query may have {limits.tokens} words, signs and comments")
        word = match[0]
        if word in "{[(":
            depth += 1
            if depth > MAX_BRACKETS:
                raise too_costly(f"the query may have {MAX_BRACKETS} brackets within one another")
        elif word in "}])":
            depth -= 1
        elif word[0] in "-0123456789" and _is_too_large(word):
            raise QueryRefused("a number is out of range", code="invalid_variables")
    return number


def _is_too_large(word: str) -> bool:
    """A number that no 64 bits hold becomes null on its way through JSON, or cannot be written."""
    try:
        if math.isinf(float(word)):
            return True
        return len(word) > 18 and word.removeprefix("-").isdecimal() and not -(2**63) <= int(word) < 2**64
    except ValueError:  # no number: the parser says what is wrong with it
        return False


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
