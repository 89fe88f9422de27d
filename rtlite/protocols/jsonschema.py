"""JSON Schemas (draft 2020-12) of the types that bodies are decoded into and answers are made as.

So what a description says of a body is what :mod:`rtlite.protocols.jsonframes` decodes.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import attrs

from rtlite.rules import Rule
from rtlite.settings import Settings

_SIMPLE: Final[Mapping[Any, dict[str, Any]]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    bytes: {"type": "string", "format": "binary"},
    dict: {"type": "object"},
    list: {"type": "array"},
}


@attrs.frozen
class Shape:
    """An object without a name of its own: types by field; a text is that text, and no other."""

    fields: Mapping[str, Any]


@attrs.frozen
class Listed:
    """A list of items that are alike, where their type has no name: ``list[X]`` is of what has one."""

    item: Any


@attrs.frozen
class Listing:
    """A list with just these items, a type each; as draft 7 says it, which is AsyncAPI's dialect."""

    items: Sequence[Any]


class Schemas:
    """The schemas of one document: those of classes stand in :attr:`named`, and are referred to.

    :param place: where the document keeps them.
    """

    def __init__(self, settings: Settings, place: str = "#/components/schemas/") -> None:
        self._settings = settings
        self._place = place
        self._made: dict[str, Any] = {}
        self.named: dict[str, dict[str, Any]] = {}

    def of(self, wanted: Any) -> dict[str, Any]:
        """The schema of a type; a schema that is ready already, a mapping, stays as it is."""
        if isinstance(wanted, Mapping):
            return dict(wanted)
        if isinstance(wanted, str):
            return {"const": wanted}
        if isinstance(wanted, Shape):
            return self._shape(wanted.fields)
        if isinstance(wanted, Listed):
            return {"type": "array", "items": self.of(wanted.item)}
        if isinstance(wanted, Listing):
            items = [self.of(each) for each in wanted.items]
            return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
        if wanted in _SIMPLE:
            return dict(_SIMPLE[wanted])
        origin, args = get_origin(wanted), get_args(wanted)
        if origin is Annotated:
            return self._ruled(args[0], [each for each in args[1:] if isinstance(each, Rule)])
        if origin in {NotRequired, Required}:
            return self.of(args[0])
        if origin is Literal:
            return {"enum": list(args)}
        if origin in {Union, types.UnionType}:
            return self._either([self.of(each) for each in args])
        if origin in {list, Sequence}:
            return {"type": "array", "items": self.of(args[0])}
        if origin in {dict, Mapping}:
            return {"type": "object", "additionalProperties": self.of(args[1])}
        if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
            return {"enum": [member.value for member in wanted]}
        return self._reference(wanted)

    def _shape(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        required = [name for name, wanted in fields.items() if get_origin(wanted) is not NotRequired]
        return {
            "type": "object",
            "properties": {name: self.of(wanted) for name, wanted in fields.items()},
            "required": required,
        }

    def _ruled(self, wanted: Any, rules: Sequence[Rule]) -> dict[str, Any]:
        schema = self.of(wanted)
        for rule in rules:
            schema |= rule.keywords(self._settings)
        return schema

    @staticmethod
    def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
        others = [schema for schema in schemas if schema != _SIMPLE[None]]
        if len(others) == 1 != len(schemas) and isinstance(others[0].get("type"), str) and "enum" not in others[0]:
            return others[0] | {"type": [others[0]["type"], "null"]}
        return {"anyOf": schemas}

    def _reference(self, wanted: Any) -> dict[str, Any]:
        """:raises ValueError: two classes have one name, or this is no class of either kind."""
        name = _name(wanted)
        if name not in self._made:
            self._made[name] = wanted
            self.named[name] = self._object(wanted)  # which may refer to itself
        elif self._made[name] != wanted:
            raise ValueError(f"two types are called {name}: {self._made[name]!r} and {wanted!r}")
        return {"$ref": self._place + name}

    def _object(self, wanted: Any) -> dict[str, Any]:
        cls = get_origin(wanted) or wanted
        given: Mapping[Any, Any] = dict(zip(getattr(cls, "__parameters__", ()), get_args(wanted), strict=True))
        hints = get_type_hints(cls, include_extras=True)
        if attrs.has(cls):
            fields = {field.name: self.of(hints[field.name]) for field in attrs.fields(cls)}
            required = [field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING]
            for field in attrs.fields(cls):
                if isinstance(field.default, str | int | bool) and field.name not in required:
                    fields[field.name]["default"] = field.default
        elif is_typeddict(cls):
            fields = {name: self.of(_filled(hint, given)) for name, hint in hints.items()}
            required = [name for name, hint in hints.items() if get_origin(hint) is not NotRequired]
        else:
            raise ValueError(f"{wanted!r} cannot be described")
        schema: dict[str, Any] = {"type": "object", "properties": fields}
        if required:
            schema["required"] = required
        if about := prose(cls.__dict__.get("__doc__")):
            schema["description"] = about
        return schema


def _name(wanted: Any) -> str:
    """``Page[RecordJson]`` is called ``RecordPage``."""
    cls = get_origin(wanted) or wanted
    return "".join(_name(each) for each in get_args(wanted)) + str(cls.__name__).removesuffix("Json")


def fields_of(cls: Any) -> dict[str, Any]:
    """The types of a class's fields, for a shape that is to hold them."""
    hints = get_type_hints(cls, include_extras=True)
    if not attrs.has(cls):
        return hints
    return {
        field.name: hints[field.name] if field.default is attrs.NOTHING else NotRequired[hints[field.name]]
        for field in attrs.fields(cls)
    }


def _filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    """A type with what is given for its variables."""
    if isinstance(hint, TypeVar):
        return given[hint]
    if given and get_origin(hint) is list:
        return list[_filled(get_args(hint)[0], given)]  # type: ignore[misc]  # made while it runs
    return hint


def prose(docstring: str | None) -> str:
    """A docstring as Markdown, without what it says to who calls."""
    text = re.split(r"^\s*:\w+|\s:raises?\b", docstring or "", maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r":\w+:`~?\.?([^`]+)`", lambda match: f"`{match[1].rpartition('.')[2]}`", text).replace("``", "`")
    return "\n\n".join(" ".join(block.split()) for block in text.strip().split("\n\n") if block.strip())
