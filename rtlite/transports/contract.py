"""What a door takes and gives, said beside the door; the descriptions are made of it.

A type is one that bodies are decoded into (attrs) or answers are made as (``TypedDict``), with its
rules (:mod:`rtlite.rules`). :mod:`rtlite.endpoints.openapi` and :mod:`rtlite.endpoints.asyncapi` read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"
UNKNOWN: Final[Mapping[int, str]] = {404: "not_found"}
"""What is refused by a route whose path names a thing that need not be there."""


@attrs.frozen
class Asked:
    """A parameter: in the path if its name stands there, else in the query; or at a ``place`` that it names."""

    name: str
    type: Any = str
    about: str = ""
    place: Literal["", "query", "header"] = ""
    required: bool = False


@attrs.frozen
class Body:
    """A request's body that need not be there, or is not JSON alone.

    :param media: its type by media type.
    """

    media: Mapping[str, Any]
    required: bool = True
    example: Any = None


@attrs.frozen
class Answer:
    """An answer with a body of ``type`` (``None``: without one).

    :param media: several if the client chooses among them.
    """

    type: Any = None
    about: str = ""
    media: Sequence[str] = (JSON,)
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Message:
    """A message of a door that lasts.

    :param payload: its type, or a schema that is ready.
    :param sent: by us; else by the client.
    """

    name: str
    about: str
    payload: Any
    sent: bool = True
    examples: Sequence[Any] = ()
    media: str = JSON
