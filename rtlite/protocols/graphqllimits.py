"""What a GraphQL document may cost, and how it is refused: found out by one pass over its text, before it is parsed.

graphql-core's parser calls itself for each level of nesting. Source: GraphQL specification, section 2; the limits
are those that the field knows (GraphQL Armor, Apollo Router). What is found out of a document that was parsed is in
:mod:`rtlite.protocols.graphqlcosts`; nothing here needs graphql-core.
"""

from __future__ import annotations

import math
import re
from typing import Final

import attrs

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
