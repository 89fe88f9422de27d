"""What takes long with a document happens in a process of its own, which may fail and may take too long."""

from __future__ import annotations

import pycrdt
import pytest
import trio

from rtlite.domain.apart import apart
from rtlite.domain.contents import read, reverted, written
from rtlite.domain.replica import Broken
from rtlite.errors import Conflict, Overloaded
from rtlite.protocols.yjs import NOTHING, uint


def nested(levels: int) -> bytes:
    """Arrays in arrays, so deep."""
    inner = b"".join(b"\x07\x00" + uint(7) + uint(level) + b"\x00" for level in range(levels - 1))
    return b"\x01" + uint(levels) + b"\x07\x00" + b"\x07\x01\x01a\x00" + inner + b"\x00"


async def test_the_edit_makes_of_the_document_what_it_was() -> None:
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    text = doc.get("t", type=pycrdt.Text)
    text += "as it was"
    then = doc.get_update()
    text.clear()
    doc.apply_update(await apart(30, reverted, doc.get_update(), then))
    assert str(text) == "as it was"


async def test_one_that_takes_too_long_is_given_up_and_holds_up_nothing_meanwhile() -> None:
    lags = []

    async def watch() -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(0.01)
            lags.append(trio.current_time() - before - 0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        started = trio.current_time()
        with pytest.raises(Overloaded):
            await apart(1.0, reverted, nested(40_000), NOTHING)
        assert trio.current_time() - started < 5
        nursery.cancel_scope.cancel()
    assert max(lags) < 0.5


async def test_one_that_is_deep_ends_no_process() -> None:
    edit = await apart(30, reverted, nested(2_000), NOTHING)
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    doc.apply_update(nested(2_000))
    doc.apply_update(edit)
    assert str(doc.get("a", type=pycrdt.Array)) == "[]"


async def test_what_is_no_document_is_an_error_of_its_own() -> None:
    with pytest.raises(Broken):
        await apart(30, reverted, b"\xff", NOTHING)


async def test_a_large_document_is_read_and_changed_there_and_refused_as_a_small_one() -> None:
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    text = doc.get("t", type=pycrdt.Text)
    text += "x" * 300_000
    update = doc.get_update()
    assert await apart(30, read, update, "text", None) == b"x" * 300_000
    with pytest.raises(Conflict) as refused:
        await apart(30, written, update, {"t": [1]})
    assert (refused.value.code, refused.value.detail) == ("another_type", "t: this is of the type text")
    doc.apply_update(await apart(30, written, update, {"t": "short"}))
    assert str(text) == "short"
