"""Types to JSON Schema: what is decoded, and what is answered."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import attrs
import pytest

from rtlite.protocols.jsonschema import Listed, Listing, Schemas, Shape, fields_of, prose
from rtlite.rules import Rule
from rtlite.settings import Settings

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


@attrs.frozen
class Wish:
    """What is wanted; see :class:`Colour`.

    :raises ValueError: never shown.
    """

    name: Annotated[str, Rule(minLength=1)]
    colour: Colour | None = None
    many: int = 1
    tags: list[str] = attrs.field(factory=list)


class Thing(TypedDict):
    id: str
    wish: Wish
    note: NotRequired[str]


class Pages(TypedDict, Generic[T]):
    items: list[T]
    next: str | None


@pytest.fixture
def schemas() -> Schemas:
    return Schemas(Settings(), "#/named/")


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        (Any, {}),
        (str | None, {"type": ["string", "null"]}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (list[bool], {"type": "array", "items": {"type": "boolean"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"enum": ["red"]}),
        (Annotated[int, Rule(minimum=1)] | None, {"type": ["integer", "null"], "minimum": 1}),
        ({"const": 1}, {"const": 1}),
        ("it", {"const": "it"}),
        (Listed(int), {"type": "array", "items": {"type": "integer"}}),
        (
            Listing(["a", int]),
            {"type": "array", "items": [{"const": "a"}, {"type": "integer"}], "minItems": 2, "maxItems": 2},
        ),
        (
            Shape({"type": "x", "id": NotRequired[int]}),
            {"type": "object", "properties": {"type": {"const": "x"}, "id": {"type": "integer"}}, "required": ["type"]},
        ),
    ],
)
def test_a_type_is_a_schema(schemas: Schemas, wanted: Any, schema: dict[str, Any]) -> None:
    assert schemas.of(wanted) == schema


def test_a_class_is_named_and_referred_to(schemas: Schemas) -> None:
    assert schemas.of(Thing) == {"$ref": "#/named/Thing"}
    assert schemas.named["Thing"] == {
        "type": "object",
        "properties": {"id": {"type": "string"}, "wish": {"$ref": "#/named/Wish"}, "note": {"type": "string"}},
        "required": ["id", "wish"],
    }
    wish = schemas.named["Wish"]
    assert wish["required"] == ["name"] and wish["properties"]["many"] == {"type": "integer", "default": 1}
    assert wish["description"] == "What is wanted; see `Colour`."


def test_a_page_of_things_is_called_so(schemas: Schemas) -> None:
    assert schemas.of(Pages[Thing]) == {"$ref": "#/named/ThingPages"}
    assert schemas.named["ThingPages"]["properties"]["items"] == {"type": "array", "items": {"$ref": "#/named/Thing"}}


def test_what_is_no_type_of_ours_is_told(schemas: Schemas) -> None:
    with pytest.raises(ValueError, match="cannot be described"):
        schemas.of(object)


def test_the_fields_of_a_class_go_into_a_shape(schemas: Schemas) -> None:
    flat = schemas.of(Shape({"type": "wish", **fields_of(Wish)}))
    assert flat["required"] == ["type", "name"]
    assert schemas.of(Shape(fields_of(Thing)))["required"] == ["id", "wish"]


def test_prose_is_what_a_reader_needs() -> None:
    assert prose("One ``line``.\n\n    Another\n    line. :raises X: no\n") == "One `line`.\n\nAnother line."
    assert prose(None) == ""
