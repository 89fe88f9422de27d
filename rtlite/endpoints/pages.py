"""Lists over HTTP: how much of one is asked for, and how a page of it is answered."""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, TypedDict, TypeVar

import attrs

from rtlite.errors import InvalidRequest
from rtlite.rules import Flag, Rule, of
from rtlite.transports.contract import Asked
from rtlite.transports.routes import Call, Reply, json_reply

T = TypeVar("T")

PAGE = 100
Size = Annotated[int, Rule(minimum=1, maximum=of("max_page"), default=PAGE)]
AFTER = Asked("after", str, "The `next` of the page before")
ASKED = (Asked("limit", Size, "The most items of a page"), AFTER)
BY_NUMBER = (ASKED[0], attrs.evolve(AFTER, type=Annotated[str, Rule(pattern="^[0-9]{1,15}$")]))
"""Of lists whose places are numbers."""
PUBLISHED = Asked("published", Flag, "As it is published")


class Page(TypedDict, Generic[T]):
    """A page of a list; `next` is where the following one begins, `null` at the end."""

    items: list[T]
    next: str | None


def page_size(call: Call, most: int) -> int:
    """``?limit=``. :raises InvalidRequest: it is no number from 1 to ``most``."""
    text = call.query.get("limit", str(min(PAGE, most)))
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise InvalidRequest(f"limit: a whole number from 1 to {most} is wanted")
    return int(text)


def flag(call: Call, name: str) -> bool:
    """``?name=true`` or ``false``, which is what it is without one. :raises InvalidRequest: it is neither."""
    text = call.query.get(name, "false")
    if text not in {"true", "false"}:
        raise InvalidRequest(f"{name}: true or false is wanted")
    return text == "true"


def page_reply(items: list[Any], following: str | None, **more: Any) -> Reply:
    """``{"items", "next"}`` and whatever else is said with them."""
    return json_reply({"items": [item.as_json() for item in items], "next": following, **more})
