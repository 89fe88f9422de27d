"""JSON Schemas that the data of records must fit (draft 2020-12), at a bounded cost.

Nothing is fetched: a schema refers to itself only. What Python's validator does without a bound
is bounded here: the steps to check one record, and what would try regular expressions or compare
each item of a list with each other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
import referencing.exceptions
import referencing.jsonschema
from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]
from jsonschema.exceptions import SchemaError, ValidationError, best_match  # type: ignore[import-untyped]

from rtlite.errors import InvalidRequest

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_CONTAINERS: Final = 4000  # each may be compared with each other one
_UNIQUE_ITEMS: Final = 1000
_LONGEST: Final = 100  # characters of what is shown
_REFERENCES: Final = ("$ref", "$dynamicRef")
_REFUSED: Final = ("pattern", "patternProperties")  # a regular expression may take for ever
_OF_NAMES: Final = ("properties", "$defs", "definitions", "dependentSchemas")  # an object of schemas
_OF_SCHEMAS: Final = (  # a schema, or a list of them
    *("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "items", "prefixItems", "contains"),
    *("additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)


class _TooManySteps(Exception):
    pass


class _Steps:
    left = 0

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooManySteps


Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class Schema:
    """A checked schema. One check at a time: it counts its steps."""

    def __init__(self, text: bytes, steps: int) -> None:
        self._most = steps
        self._steps = _Steps()
        keywords = {name: self._counted(function) for name, function in Draft202012Validator.VALIDATORS.items()}
        keywords["uniqueItems"] = self._counted(_unique_items)
        counting = validators.extend(Draft202012Validator, keywords)
        schema = orjson.loads(text)
        schema.pop("$schema", None)  # wherever the validator meets it, it would go on with the keywords as they were
        self._validator = counting(schema, registry=referencing.Registry())

    def _counted(self, function: Keyword) -> Keyword:
        steps = self._steps

        def counted(*arguments: Any) -> Iterator[ValidationError] | None:
            steps.take()
            return function(*arguments)

        return counted

    def check(self, data: Mapping[str, Any]) -> None:
        """:raises InvalidRequest: the data does not fit; the text names the place in it."""
        self._steps.left = self._most
        try:
            error = best_match(self._validator.iter_errors(_brief(data)))
        except _TooManySteps as error:
            raise _misfit("data: too large to be checked by the model's schema") from error
        except (RecursionError, referencing.exceptions.Unresolvable) as error:
            raise _misfit("data: the model's schema refers to itself without end") from error
        if error is not None:
            raise _misfit(f"data{_place(error)}: {_complaint(error)}")


def parse_schema(value: object, most: int) -> bytes:
    """A schema as it is stored. :param most: bytes.

    :raises InvalidRequest: it is none, is too large, refers to another document, or has no bounded cost.
    """
    if not isinstance(value, Mapping):
        raise _invalid("an object is wanted")
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise _invalid("it is nested too deep") from error
    if len(text) > most:
        raise _invalid(f"{most} bytes at most")
    if text.count(b"{") + text.count(b"[") > _CONTAINERS:
        raise _invalid(f"{_CONTAINERS} lists and objects at most")
    if value.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
        raise _invalid(f"$schema: only {_DIALECT} is known")
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        raise _invalid(f"{_place(error).removeprefix('.') or 'it'}: {_complaint(error)}") from error
    except RecursionError as error:
        raise _invalid("it is nested too deep") from error
    _check_part(value, referencing.Registry().resolver_with_root(_resource(value)), set(), root=True)
    return text


def _resource(value: Mapping[str, Any]) -> Any:
    return referencing.Resource.from_contents(value, default_specification=referencing.jsonschema.DRAFT202012)


def _check_part(part: object, resolver: Any, seen: set[int], *, root: bool = False) -> None:
    """Look at a schema, at those in it, and at those that it refers to, wherever they stand.

    What is data (``enum``, ``const``) or a name (in ``properties``) is no keyword.
    """
    if not isinstance(part, Mapping) or id(part) in seen:
        return
    seen.add(id(part))
    for name, value in part.items():
        if name in _REFUSED:
            raise _invalid(f"{name}: regular expressions are not checked here")
        if name in {"$id", "$schema"} and not root:
            raise _invalid(f"{name}: only the whole schema may have one")
        if name in _REFERENCES:
            _check_part(_referred(name, str(value), resolver), resolver, seen)
        inner: Iterable[object] = ()
        if name in _OF_NAMES and isinstance(value, Mapping):
            inner = value.values()
        elif name in _OF_SCHEMAS:
            inner = value if isinstance(value, list) else [value]
        for schema in inner:
            _check_part(schema, resolver, seen)


def _referred(name: str, target: str, resolver: Any) -> object:
    if not target.startswith("#"):
        raise _invalid(f"{name}: {target[:80]}: only what begins with # can be referred to")
    try:
        found: object = resolver.lookup(target).contents
    except referencing.exceptions.Unresolvable as error:
        raise _invalid(f"{name}: {target[:80]}: there is no such part") from error
    return found


def _unique_items(validator: Any, wanted: Any, items: Any, schema: Any) -> Iterator[ValidationError] | None:
    if wanted and isinstance(items, list) and len(items) > _UNIQUE_ITEMS:
        raise _TooManySteps
    found: Iterator[ValidationError] | None = Draft202012Validator.VALIDATORS["uniqueItems"](
        validator, wanted, items, schema
    )
    return found


class _Object(dict[str, Any]):
    def __repr__(self) -> str:
        return "an object"


class _List(list[Any]):
    def __repr__(self) -> str:
        return "a list"


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "a text"


def _brief(value: Any) -> Any:
    """The same, of few words: the validator writes all of what does not fit into each of its complaints."""
    if isinstance(value, Mapping):
        return _Object({name: _brief(item) for name, item in value.items()})
    if isinstance(value, list):
        return _List(map(_brief, value))
    return _Text(value) if isinstance(value, str) and len(value) > _LONGEST else value


def _place(error: ValidationError) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return parts if len(parts) <= _LONGEST else f"{parts[:_LONGEST]}…"


def _complaint(error: ValidationError) -> str:
    """What the schema asks at that place; what was there instead is not repeated."""
    if error.validator == "required":
        missing = next((name for name in error.validator_value if name not in error.instance), "")
        return f"{missing!r} is missing"
    asked = orjson.dumps(error.validator_value, default=str).decode()
    return f"this does not fit {error.validator}: {asked if len(asked) <= _LONGEST else asked[:_LONGEST] + '…'}"


def _misfit(text: str) -> InvalidRequest:
    return InvalidRequest(text, code="invalid_record")


def _invalid(text: str) -> InvalidRequest:
    return InvalidRequest(f"schema: {text}", code="invalid_schema")
