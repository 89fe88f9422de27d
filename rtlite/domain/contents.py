"""What is in a document, for those who have no Yjs: read, changed, brought back to what it was.

A document has root types by name. What kind one is is not stored: Yjs clients just know. Here it is told by
what is in it, so of one that is empty nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from rtlite.domain.deepstack import on_a_deep_stack
from rtlite.domain.replica import Broken
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.later import later
from rtlite.protocols import yjs

if TYPE_CHECKING:
    import pycrdt
else:
    pycrdt = later("pycrdt")

_XML: Final = {"XmlElement", "XmlText", "XmlFragment"}  # as Yrs calls them, beneath pycrdt's own
_EVER: Final = 2**31  # ms
_BRINGING: Final = "later changes"
_EXACT: Final = 2**53  # whole numbers up to this are JavaScript's
_MAX_DEPTH: Final = 90  # an edit may have 100 levels
T = TypeVar("T")


class Kind(Enum):
    """What a root type is, and what changes it."""

    TEXT = "text"
    ARRAY = "array"
    MAP = "map"
    XML = "xml"


_VIEWS: Final = {Kind.TEXT: "Text", Kind.ARRAY: "Array", Kind.MAP: "Map", Kind.XML: "XmlFragment"}


async def aside(work: Callable[[], T], size: int) -> T:
    """Run ``work`` on contents of about ``size`` bytes in a thread with a deep stack.

    :raises Broken: the CRDT panicked, which is no :class:`Exception`, and not to end more than this.
    """
    try:
        return await on_a_deep_stack(work, size)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Broken(str(error)) from error


class Contents:
    """A copy of a document. It lives in one thread, with a deep stack.

    :param update: the document as one update, which is one that was checked.
    """

    def __init__(self, update: bytes) -> None:
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self._doc.apply_update(update)

    def kinds(self) -> dict[str, Kind]:
        """The root types that hold anything, by name."""
        found = {name: self._kind(name) for name in sorted(self._doc.keys())}
        return {name: kind for name, kind in found.items() if kind is not None}

    def as_json(self) -> bytes:
        """An object with what each root type is as JSON, as ``toJSON()`` of Yjs has it; of a text, without formats."""
        members = [orjson.dumps(name) + b":" + self._json(name, kind) for name, kind in self.kinds().items()]
        return b"{" + b",".join(members) + b"}"

    def as_text(self, name: str | None) -> str:
        """A text, or the only one. :raises NotFound, InvalidRequest, Conflict: see :meth:`_chosen`."""
        return str(self._view(self._chosen(name, Kind.TEXT), Kind.TEXT))

    def as_xml(self, name: str | None) -> str:
        """XML as ``toString()`` of Yjs writes it, of one root type, or the only one that is XML.

        :raises NotFound, InvalidRequest, Conflict: see :meth:`_chosen`.
        """
        return str(self._view(self._chosen(name, Kind.XML), Kind.XML))

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Make root types what they are to be: a text of a string, an array of a list, a map of an object.

        What stays the same is not touched, so cursors stay where they are.

        :returns: the edit that does it.
        :raises InvalidRequest: a value is none of the three. :raises Conflict: the type is of another kind.
        """
        edits: list[bytes] = []
        subscription = self._doc.observe(lambda event: edits.append(event.update))
        with self._doc.transaction():
            for name, value in values.items():
                self._write(name, value)
        self._doc.unobserve(subscription)
        return edits[0] if edits else yjs.NOTHING

    def _write(self, name: str, value: Any) -> None:
        value = _readable(value)
        if not isinstance(value, str | list | dict):
            raise InvalidRequest(f"{name[:80]}: a text, a list or an object is wanted")
        kind = Kind.TEXT if isinstance(value, str) else Kind.ARRAY if isinstance(value, list) else Kind.MAP
        present = self._kind(name)
        if present is not None and present is not kind:
            raise Conflict(f"{name[:80]}: this is of the type {present.value}", code="another_type")
        view = self._view(name, kind)
        if isinstance(value, str):
            _write_text(view, value)
        elif isinstance(value, list):
            _write_array(view, value)
        else:
            _write_map(view, value)

    def _chosen(self, name: str | None, kind: Kind) -> str:
        """Of several root types, the one that is meant.

        :raises NotFound: there is none. :raises InvalidRequest: there are several.
        :raises Conflict: it is of another kind.
        """
        kinds = self.kinds()
        if name is not None:
            if kinds.get(name, kind) is not kind:
                raise Conflict(f"{name[:80]}: this is of the type {kinds[name].value}", code="another_type")
            return name
        fitting = [name for name in kinds if kinds[name] is kind]
        if len(fitting) > 1:
            raise InvalidRequest(f"name: there are several of the type {kind.value}")
        if not fitting:
            raise NotFound(f"nothing in this document is of the type {kind.value}")
        return fitting[0]

    def _kind(self, name: str) -> Kind | None:
        """As what it shows anything; ``None`` if it is empty, however it is looked at."""
        with self._doc.transaction() as transaction:
            inner = transaction._txn
            array = self._view(name, Kind.ARRAY)._integrated
            if array.len(inner):
                if type(array.get(inner, 0)).__name__ in _XML:
                    return Kind.XML
                return Kind.TEXT if self._view(name, Kind.TEXT)._integrated.get_string(inner) else Kind.ARRAY
            return Kind.MAP if self._view(name, Kind.MAP)._integrated.len(inner) else None

    def _json(self, name: str, kind: Kind) -> bytes:
        view = self._view(name, kind)
        return str(view).encode() if kind in {Kind.ARRAY, Kind.MAP} else orjson.dumps(str(view))

    def _view(self, name: str, kind: Kind) -> Any:
        return self._doc.get(name, type=getattr(pycrdt, _VIEWS[kind]))


def read(document: bytes, format: str, name: str | None) -> bytes:
    """A document as ``json``, ``text`` or ``xml``. Raises as the methods of :class:`Contents` do."""
    contents = Contents(document)
    if format == "json":
        return contents.as_json()
    return (contents.as_text(name) if format == "text" else contents.as_xml(name)).encode()


def written(document: bytes, values: Mapping[str, Any]) -> bytes:
    """As :meth:`Contents.write`."""
    return Contents(document).write(values)


def reverted(document: bytes, snapshot: bytes) -> bytes:
    """The edit that makes of a document what a snapshot of it holds.

    The snapshot is taken on to the present by one step, and that is undone: so what was deleted since is there
    again, at its place, and what was kept is not touched. For a thread with a deep stack.
    """
    present, past = Contents(document), Contents(snapshot)
    kinds = present.kinds() | past.kinds()
    undo = pycrdt.UndoManager(
        scopes=[past._view(name, kind) for name, kind in kinds.items()], capture_timeout_millis=_EVER
    )
    undo.include_origin(_BRINGING)
    with past._doc.transaction(origin=_BRINGING):
        past._doc.apply_update(present._doc.get_update(past._doc.get_state()))
    edits: list[bytes] = []
    subscription = past._doc.observe(lambda event: edits.append(event.update))
    while undo.can_undo():
        undo.undo()
    past._doc.unobserve(subscription)
    return pycrdt.merge_updates(*edits) if edits else yjs.NOTHING


def _readable(value: Any, depth: int = 0) -> Any:
    """As JavaScript reads it: what it has no whole number for is the nearest that it has.

    :raises InvalidRequest: it is nested too deep.
    """
    if depth > _MAX_DEPTH:
        raise InvalidRequest(f"more than {_MAX_DEPTH} levels of lists and objects")
    if isinstance(value, list):
        return [_readable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item, depth + 1) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not -_EXACT <= value <= _EXACT else value


def _write_text(text: pycrdt.Text, value: str) -> None:
    before, after = str(text).encode(), value.encode()
    if len(before) != len(text):  # something in it is no text
        text.clear()
        before = b""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    while end and before[len(before) - end] & 0xC0 == 0x80:  # in the middle of a character
        end -= 1
    if len(before) > start + end:
        del text[start : len(before) - end]
    if len(after) > start + end:
        text.insert(start, after[start : len(after) - end].decode())


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two begin with in common, up to the beginning of a character."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    while low and low < len(one) and one[low] & 0xC0 == 0x80:
        low -= 1
    return low


def _write_array(array: pycrdt.Array[Any], value: list[Any]) -> None:
    if not _same(_plain(array), value):
        array.clear()
        array.extend(value)


def _write_map(map: pycrdt.Map[Any], value: dict[str, Any]) -> None:
    before = _plain(map) or {}
    for key in list(map.keys()):
        if key not in value:
            del map[key]
    for key, item in value.items():
        if key not in before or not _same(before[key], item):
            map[key] = item


def _same(one: Any, other: Any) -> bool:
    """As JSON: to Python ``1`` and ``True`` are the same."""
    try:
        first, second = (orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for value in (one, other))
    except orjson.JSONEncodeError:  # what is there is nested deeper than what may be written
        return False
    return first == second


def _plain(view: pycrdt.Array[Any] | pycrdt.Map[Any]) -> Any:
    try:
        return orjson.loads(str(view))
    except orjson.JSONDecodeError:  # nested deeper than that reads; then it is none of what may be written
        return None
