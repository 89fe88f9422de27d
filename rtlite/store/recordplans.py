"""How a page of records is found: by which index, in which order, and what of the filter is asked of the data.

Everything that comes from outside is bound: the SQL is put together from the constants of this
module and :mod:`rtlite.store.filters` alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from rtlite.errors import InvalidRequest
from rtlite.store import filters
from rtlite.store.filters import COMPARISONS, INDEXED_CHARACTERS, Condition, Filter, Path, index_key, parse_path
from rtlite.store.models import Model
from rtlite.store.records import DRAFT, DRAFT_COLUMNS, PUBLISHED, PUBLISHED_COLUMNS

SORTED: Final = 1000
"""So many records are rather fetched and sorted than found by walking an index past others."""


@attrs.frozen
class Order:
    """``field`` is ``createdAt``, ``updatedAt``, ``naturalKey``, or a field of the data, whose ``path`` there is."""

    field: str
    path: Path | None = None
    descending: bool = False

    def __str__(self) -> str:
        return ("-" if self.descending else "") + self.field

    @property
    def keys(self) -> int:
        """How many values say where in the order a record is."""
        return len(_INDEXED) if self.path is not None else len(_OWN_FIELDS[self.field])


_OWN_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "createdAt": ("r.number",),
    "updatedAt": ("r.updated", "r.number"),
    "naturalKey": ("r.natural_key", "r.number"),
}
_INDEXED: Final[tuple[str, ...]] = ("f.kind", "f.value", "f.number")


def parse_order(text: str | None) -> Order:
    """``createdAt`` (where nothing is said), ``-updatedAt``, ``naturalKey``, ``price``, ``-data.size.width``.

    :raises InvalidRequest: it is none of these.
    """
    text = text or "createdAt"
    name = text.removeprefix("-")
    if name in _OWN_FIELDS:
        return Order(name, None, text != name)
    path = parse_path(name)
    return Order(".".join(path), path, text != name)


@attrs.frozen
class Question:
    """What page is wanted, and what it may cost: how many records may be looked through, and for how long.

    ``after`` is what the page before answered; ``size`` is in bytes of data, after which a page ends.
    """

    model: Model
    filter: Filter
    order: Order
    published: bool
    after: str | None
    limit: int
    scan: int
    size: int
    seconds: float

    def serves(self, path: Path) -> bool:
        """Whether an index holds this field of every record."""
        return ".".join(path) in self.model.ready


@attrs.frozen
class _Range:
    """Where an index has those that may meet some conditions on one field; ``exact``: those, and no others."""

    path: Path
    conditions: tuple[Condition, ...]
    text: str
    bound: list[Any]
    exact: bool
    fixed: int
    """How many of kind and value are the same of all of them."""
    count: int = 0

    @property
    def one_value(self) -> bool:
        return self.fixed == 2


class Planner:
    """Plans one page.

    :param after: where in the order the page begins, as its keys; ``None`` is at the beginning.
    """

    def __init__(self, connection: sqlite3.Connection, question: Question, after: Sequence[Any] | None) -> None:
        self._connection = connection
        self._question = question
        self._begin = after
        self._source, self._columns = (PUBLISHED, PUBLISHED_COLUMNS) if question.published else (DRAFT, DRAFT_COLUMNS)
        self._data = "v.data" if question.published else "r.data"

    def plan(self) -> tuple[str, list[Any]]:
        """The SQL of a page, which answers the keys and then the record, and what it binds but for the limit.

        :raises InvalidRequest: there are too many records to look through.
        """
        question = self._question
        order = question.order
        ranges = sorted(self._ranges(), key=lambda item: item.count)
        best = ranges[0] if ranges else None
        walkable = [item for item in ranges if self._is_in_order(item)]
        if walkable and walkable[0].exact and len(walkable[0].conditions) == len(question.filter):
            return self._by_field(walkable[0])  # it stops when the page is full
        if best is not None and best.count <= SORTED:
            return self._by_field(best)
        if walkable and walkable[0].count <= question.scan:
            return self._by_field(walkable[0])
        has_index = order.path is None or question.serves(order.path)
        # Of the orders of their own, published records have an index of one.
        all_are_there = not question.published or order.path is not None or order.field == "createdAt"
        if has_index and all_are_there and not question.filter:
            return self._in_order()
        if self._rows() <= question.scan:
            return self._in_order() if has_index or order.path is None else self._sorted_by_data(order.path, None)
        if best is not None and best.count <= question.scan // 2:  # to fetch by an index and sort costs twice as much
            return self._by_field(best)
        raise InvalidRequest(
            "none of the fields that are filtered or ordered by narrows this down by an index of the model,"
            f" which has more than {question.scan} records to look through",
            code="index_needed",
        )

    # --- what there is to choose from

    def _ranges(self) -> Iterator[_Range]:
        by_path: dict[Path, list[Condition]] = {}
        for condition in self._question.filter:
            if self._question.serves(condition.path):
                by_path.setdefault(condition.path, []).append(condition)
        for path, conditions in by_path.items():
            for found in _ranges_of(path, conditions):
                field, bound = self._of_field(path)
                rows = f"SELECT 1 FROM record_fields f WHERE {field} AND {found.text}"  # noqa: S608  # constants
                yield attrs.evolve(found, count=self._count(rows, [*bound, *found.bound]))

    def _rows(self) -> int:
        return self._count("SELECT 1 FROM records WHERE model = ?", [self._question.model.number])

    def _count(self, rows: str, bound: list[Any]) -> int:
        """How many there are, counted as far as it matters."""
        text = f"SELECT count(*) FROM ({rows} LIMIT ?)"  # noqa: S608  # constants of this module
        return int(self._connection.execute(text, (*bound, self._question.scan + 1)).fetchone()[0])

    def _is_in_order(self, item: _Range) -> bool:
        order = self._question.order
        return order.path == item.path or (order.field == "createdAt" and item.one_value)

    # --- the statements

    def _in_order(self) -> tuple[str, list[Any]]:
        """Walk the index that has the order."""
        question = self._question
        if question.order.path is not None:
            field, bound = self._of_field(question.order.path)
            return self._statement(self._through_index, [field], bound, _INDEXED)
        wheres = ["r.model = ?", *(["r.published_version IS NOT NULL"] if question.published else [])]
        return self._statement(self._source, wheres, [question.model.number], self._own_keys(question.order.field))

    def _by_field(self, item: _Range) -> tuple[str, list[Any]]:
        """Take those that a filter's index names; where they are not in order, they are sorted."""
        order = self._question.order
        if order.path is not None and order.path != item.path:
            return self._sorted_by_data(order.path, item)
        field, bound = self._of_field(item.path)
        keys: Sequence[str]
        fixed = 0
        if order.path is not None:
            keys, fixed = _INDEXED, item.fixed
        elif order.field == "createdAt":
            keys = _INDEXED[2:]  # the record's number, as the index has it
        else:
            keys = self._own_keys(order.field)
        return self._statement(self._through_index, [field, item.text], [*bound, *item.bound], keys, item, fixed)

    def _sorted_by_data(self, by: Path, item: _Range | None) -> tuple[str, list[Any]]:
        """Look at all (of a filter's index, or of the model), and keep the first of them."""
        path = filters.json_path(by)
        data = self._data
        kind = (
            f"CASE json_type({data}, ?) WHEN 'true' THEN 1 WHEN 'false' THEN 1"
            " WHEN 'integer' THEN 2 WHEN 'real' THEN 2 WHEN 'text' THEN 3 ELSE 0 END"
        )
        value = (
            f"CASE json_type({data}, ?) WHEN 'text' THEN substr(json_extract({data}, ?), 1, {INDEXED_CHARACTERS})"
            f" WHEN 'array' THEN 0 WHEN 'object' THEN 0 ELSE coalesce(json_extract({data}, ?), 0) END"
        )
        if item is None:
            source, wheres, bound = self._source, ["r.model = ?"], [self._question.model.number]
        else:
            field, bound = self._of_field(item.path)
            source, wheres, bound = self._through_index, [field, item.text], [*bound, *item.bound]
        conditions, more = self._conditions(item)
        inner = (
            f"SELECT {kind} AS kind, {value} AS value, r.number AS place, {self._columns}"  # noqa: S608  # constants
            f" FROM {source} WHERE {' AND '.join([*wheres, *conditions])}"
        )
        keys = ("kind", "value", "place")
        after, values = self._after(keys)
        text = f"SELECT * FROM ({inner}) WHERE {after} ORDER BY {self._order(keys)} LIMIT ?"  # noqa: S608  # constants
        return text, [path, path, path, path, *bound, *more, *values]

    def _statement(
        self,
        source: str,
        wheres: list[str],
        bound: list[Any],
        keys: Sequence[str],
        item: _Range | None = None,
        fixed: int = 0,
    ) -> tuple[str, list[Any]]:
        """:param fixed: of so many keys all that are found have the same: SQLite would sort by them again."""
        conditions, more = self._conditions(item)
        after, values = self._after(keys, fixed)
        text = (
            f"SELECT {', '.join(keys)}, {self._columns} FROM {source}"  # noqa: S608  # constants of this module
            f" WHERE {' AND '.join([*wheres, *conditions, after])} ORDER BY {self._order(keys[fixed:])} LIMIT ?"
        )
        return text, [*bound, *more, *values]

    @property
    def _through_index(self) -> str:
        """The record of each indexed field; CROSS, so that the index comes first."""
        source = self._source.replace("records r", "record_fields f JOIN records r ON r.number = f.number", 1)
        return source.replace(" JOIN", " CROSS JOIN")

    def _own_keys(self, field: str) -> Sequence[str]:
        # A published record was updated when its version was made.
        return [
            key.replace("r.updated", "v.created") if self._question.published else key for key in _OWN_FIELDS[field]
        ]

    def _of_field(self, path: Path) -> tuple[str, list[Any]]:
        bound = [self._question.model.number, int(self._question.published), ".".join(path)]
        return "f.model = ? AND f.published = ? AND f.path = ?", bound

    def _conditions(self, item: _Range | None) -> tuple[list[str], list[Any]]:
        """The conditions that are asked of the data: all but those that an index answers."""
        texts: list[str] = []
        bound: list[Any] = []
        answered = item.conditions if item is not None and item.exact else ()
        for condition in self._question.filter:
            if any(condition is other for other in answered):  # 1 and true are equal to Python
                continue
            text, values = filters.where(condition, self._data)
            texts.append(text)
            bound += values
        return texts, bound

    def _order(self, keys: Sequence[str]) -> str:
        return ", ".join(f"{key} DESC" if self._question.order.descending else key for key in keys)

    def _after(self, keys: Sequence[str], fixed: int = 0) -> tuple[str, list[Any]]:
        if self._begin is None:
            return "1", []
        keys = keys[fixed:]
        sign = "<" if self._question.order.descending else ">"
        return f"({', '.join(keys)}) {sign} ({', '.join('?' * len(keys))})", list(self._begin[fixed:])


def _ranges_of(path: Path, conditions: Sequence[Condition]) -> Iterator[_Range]:
    """Where an index has what may meet the conditions on one field; none where it is no help."""
    comparing = [condition for condition in conditions if condition.operator in COMPARISONS]
    if comparing:
        texts: list[str] = []
        bound: list[Any] = []
        for condition in comparing:
            kind, value = index_key(condition.operand)
            sign = COMPARISONS[condition.operator]
            # Of a long text only the beginning is in the index: where that is the same, the data decides.
            texts.append(f"f.kind = ? AND f.value {sign if _is_whole(condition.operand) else sign[0] + '='} ?")
            bound += [kind, value]
        exact = all(_is_whole(condition.operand) for condition in comparing)
        yield _Range(path, tuple(comparing), " AND ".join(texts), bound, exact, fixed=1)
    for condition in conditions:
        if condition.operator == "eq":
            key = index_key(condition.operand)
            exact = condition.operand is not None and _is_whole(condition.operand)
            yield _Range(path, (condition,), "f.kind = ? AND f.value = ?", list(key), exact, fixed=2)
        elif condition.operator == "in" and condition.operand:
            keys = list(dict.fromkeys(index_key(item) for item in condition.operand))
            rows = ", ".join(["(?, ?)"] * len(keys))
            bound = [part for key in keys for part in key]
            exact = None not in condition.operand and all(map(_is_whole, condition.operand))
            yield _Range(path, (condition,), f"(f.kind, f.value) IN (VALUES {rows})", bound, exact, fixed=0)


def _is_whole(operand: object) -> bool:
    return not isinstance(operand, str) or len(operand) < INDEXED_CHARACTERS
