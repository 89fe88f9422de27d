"""Filters on the data of records: read from JSON, asked of a record, and said in SQL with the same meaning.

A filter is an object of conditions that must all hold. Each is named after a field of the data, by
its path: ``{"price": {"gt": 5, "lte": 10}, "size.unit": "cm"}``. A value alone is ``eq``.

==================== =======================================================================
``eq``, ``ne``       the same value and type, or not; what is absent counts as ``null``
``gt gte lt lte``    of numbers, or of texts by code point; other types never match
``in``               equal to one of a list
``contains``         a text that has this text in it, or a list that has this value in it
==================== =======================================================================

Numbers are as large and as exact as 64 bits hold; two that differ only past the fifteenth digit
may pass for equal.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from rtlite.errors import InvalidRequest

Path = tuple[str, ...]
Key = tuple[int, int | float | str]

MAX_DEPTH: Final = 8
MAX_LIST: Final = 100
INDEXED_CHARACTERS: Final = 255
"""How much of a text an index holds. Whoever finds by index asks the data as well."""
# What stands in a JSON path as it is, and is written in JSON in one way only.
_NAME: Final = re.compile(r"\w[\w-]{0,63}")
_MAX_TEXT: Final = 1000
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")  # no record has them in a text
COMPARISONS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_OPERATORS: Final = ("eq", "ne", *COMPARISONS, "in", "contains")
_NUMBERS: Final = "('integer', 'real')"


@attrs.frozen
class Condition:
    """One question about one field. ``operand`` is a scalar, and of ``in`` a tuple of scalars."""

    path: Path
    operator: str
    operand: Any

    @property
    def field(self) -> str:
        return ".".join(self.path)


Filter = tuple[Condition, ...]


def parse_path(text: str) -> Path:
    """The path of a field of the data: ``size.unit``, or ``data.size.unit``.

    :raises InvalidRequest: a name in it has other characters than letters, digits, ``_`` and ``-``, or it is too deep.
    """
    path = tuple(text.split("."))
    if len(path) > 1 and path[0] == "data":  # a field that is called so itself is data.data
        path = path[1:]
    if len(path) > MAX_DEPTH or not all(_NAME.fullmatch(name) for name in path):
        raise InvalidRequest(
            f"a field is a path of up to {MAX_DEPTH} names of letters, digits, _ and -, with dots between",
            code="invalid_field",
        )
    return path


def parse_filter(value: object, most: int) -> Filter:
    """The conditions that a JSON object names; ``None`` is no filter.

    :param most: how many there may be. :raises InvalidRequest: the filter is not one, or too large.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise _invalid("an object of conditions is wanted")
    if len(value) > most:
        raise _invalid(f"{most} conditions at most")
    conditions: list[Condition] = []
    for name, wanted in value.items():
        try:
            path = parse_path(str(name))
        except InvalidRequest as error:
            raise _invalid(f"{str(name)[:80]}: {error.detail}") from error
        asked = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        conditions += [_condition(path, str(sign), operand) for sign, operand in asked.items()]
        if len(conditions) > most:
            raise _invalid(f"{most} conditions at most")
    return tuple(conditions)


def _condition(path: Path, asked: str, operand: object) -> Condition:
    field = ".".join(path)
    if asked not in _OPERATORS:
        raise _invalid(f"{field}: {asked[:20]}: an operator is one of {', '.join(_OPERATORS)}")
    if asked == "in":
        if not isinstance(operand, list | tuple) or len(operand) > MAX_LIST:
            raise _invalid(f"{field}: in: a list of up to {MAX_LIST} values is wanted")
        return Condition(path, asked, tuple(_scalar(item, f"{field}: in") for item in operand))
    operand = _scalar(operand, f"{field}: {asked}")
    if asked in COMPARISONS and (operand is None or isinstance(operand, bool)):
        raise _invalid(f"{field}: {asked}: a number or a text is wanted")
    return Condition(path, asked, operand)


def _scalar(value: object, where: str) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float) and value == value and abs(value) != float("inf"):
        return _number(value)
    if isinstance(value, str) and len(value) <= _MAX_TEXT and not _UNFIT.search(value):
        return value
    raise _invalid(f"{where}: a number, true, false, null or a text of up to {_MAX_TEXT} characters is wanted")


def _invalid(text: str) -> InvalidRequest:
    return InvalidRequest(f"filter: {text}", code="invalid_filter")


# --- asked of a record


def passes(filter: Filter, record: Mapping[str, Any]) -> bool:
    """Whether a record, as it stands in an event, meets every condition."""
    return all(_holds(condition, look_up(record["data"], condition.path)) for condition in filter)


def look_up(data: object, path: Path) -> Any:
    """The value of a field; ``None`` if it is absent."""
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def _holds(condition: Condition, found: object) -> bool:
    asked, operand = condition.operator, condition.operand
    if asked == "eq":
        return _same(found, operand)
    if asked == "ne":
        return not _same(found, operand)
    if asked == "in":
        return any(_same(found, item) for item in operand)
    if asked == "contains":
        if isinstance(found, str):
            return isinstance(operand, str) and operand in found
        return isinstance(found, list) and any(_same(item, operand) for item in found)
    kind, value = index_key(found, None)
    wanted, bound = index_key(operand, None)
    if kind != wanted:
        return False
    return _COMPARE[asked](value, bound)


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _same(found: object, operand: object) -> bool:
    if operand is None or isinstance(operand, bool) or found is None or isinstance(found, bool):
        return found is operand
    if isinstance(found, str) or isinstance(operand, str):
        return found == operand
    return isinstance(found, int | float) and _number(found) == operand


def _number(value: int | float) -> int | float:
    """As SQLite takes it: whole numbers of more than 64 bits become floating ones."""
    return value if isinstance(value, float) or -(2**63) <= value < 2**63 else float(value)


def index_key(value: object, characters: int | None = INDEXED_CHARACTERS) -> Key:
    """A value's place in the order: absent, null, lists and objects; booleans; numbers; texts."""
    if isinstance(value, bool):
        return 1, int(value)
    if isinstance(value, int | float):
        return 2, _number(value)
    if isinstance(value, str):
        return 3, value[:characters]
    return 0, 0


# --- said in SQL


def json_path(path: Path) -> str:
    """The path as SQLite's JSON functions read it. It is bound, and its names were checked."""
    return "$" + "".join(f'."{name}"' for name in path)


def where(condition: Condition, data: str) -> tuple[str, list[Any]]:
    """The condition on the column ``data``, and what is to be bound. It is never NULL where it is negated."""
    path, operand = json_path(condition.path), condition.operand
    if condition.operator == "ne":
        text, bound = _one_of(data, path, [operand])
        return f"NOT coalesce({text}, 0)", bound
    if condition.operator in {"eq", "in"}:
        return _one_of(data, path, operand if condition.operator == "in" else [operand])
    if condition.operator == "contains":
        return _contains(data, path, operand)
    types = "('text')" if isinstance(operand, str) else _NUMBERS
    sign = COMPARISONS[condition.operator]
    return (
        f"(json_extract({data}, ?) {sign} ? AND json_type({data}, ?) IN {types})",
        [path, operand, path],
    )


def _one_of(data: str, path: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Equal to one of these, type by type: SQLite has true as 1, and an object as its text."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    words = [_WORDS[value] for value in values if value is None or isinstance(value, bool)]
    parts: list[str] = []
    bound: list[Any] = []
    for types, group in (("('text')", texts), (_NUMBERS, numbers)):
        if group:
            marks = ", ".join("?" * len(group))
            parts.append(f"(json_extract({data}, ?) IN ({marks}) AND json_type({data}, ?) IN {types})")
            bound += [path, *group, path]
    if words:
        parts.append(f"coalesce(json_type({data}, ?), 'null') IN ({', '.join('?' * len(words))})")
        bound += [path, *words]
    return f"({' OR '.join(parts) or '0'})", bound


_WORDS: Final[Mapping[Any, str]] = {None: "null", True: "true", False: "false"}


def _contains(data: str, path: str, operand: Any) -> tuple[str, list[Any]]:
    if operand is None or isinstance(operand, bool):
        item, bound = "type = ?", [_WORDS[operand]]
    else:
        types = "('text')" if isinstance(operand, str) else _NUMBERS
        item, bound = f"type IN {types} AND value = ?", [operand]
    text, needle = ("WHEN 'text' THEN instr(json_extract(" + data + ", ?), ?) > 0 ", [path, operand])
    if not isinstance(operand, str):
        text, needle = "", []
    return (
        f"CASE json_type({data}, ?) {text}WHEN 'array' THEN"  # noqa: S608  # our own words; what is asked for is bound
        f" EXISTS (SELECT 1 FROM json_each({data}, ?) WHERE {item}) ELSE 0 END",
        [path, *needle, path, *bound],
    )
