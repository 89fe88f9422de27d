"""What a replica holds, what waits in it, and what it comes to."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest

from rtlite.domain.replica import Broken, Replica, squashed
from rtlite.errors import InvalidRequest
from rtlite.protocols import yjs

A, B, C, DELETE_A = (
    bytes.fromhex(text)
    for text in ("010101000401017401 6100", "0101010184010001 6200", "0101010284010101 6300", "000101010001")
)


def text_of(*updates: bytes) -> str:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        doc.apply_update(update)
    return str(doc.get("t", type=pycrdt.Text))


def test_what_waits_for_what_it_builds_on_is_not_held_yet() -> None:
    replica = Replica()
    replica.apply(A)
    replica.apply(C)
    assert (replica.holds(A), replica.holds(B), replica.holds(C)) == (True, False, False)
    replica.apply(B)
    assert replica.holds(C) and text_of(replica.diff()) == "abc"


def test_a_deletion_of_what_is_not_there_yet_waits_too() -> None:
    replica = Replica()
    assert replica.absorb(DELETE_A) == DELETE_A
    assert not replica.holds(DELETE_A)
    replica.apply(A)
    assert replica.holds(DELETE_A) and text_of(replica.diff()) == ""


def test_of_an_answer_only_what_is_new_counts() -> None:
    replica = Replica()
    replica.apply(A)
    assert replica.absorb(yjs.NOTHING) is None
    assert replica.absorb(A) is None
    fresh = replica.absorb(pycrdt.merge_updates(A, B))
    assert fresh is not None and text_of(A, fresh) == "ab"
    assert replica.absorb(DELETE_A) is not None
    assert replica.absorb(DELETE_A) is None


@pytest.mark.parametrize("state", [b"", b"\xff", b"\x05\x01", bytes.fromhex("ffffffff0f")])
def test_what_is_no_state_vector_is_refused(state: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Replica().diff(state)


def test_a_squashed_document_is_the_same_and_what_waits_is_kept() -> None:
    whole, waiting = squashed([A, C])
    assert waiting == C and text_of(whole) == "a"
    assert text_of(whole, waiting, B) == "abc"
    (only,) = squashed([A, B, C, DELETE_A])
    assert text_of(only) == "bc"


def test_what_cannot_be_read_is_not_squashed() -> None:
    with pytest.raises(Broken):
        squashed([A, b"\xff"])


def test_a_document_that_was_read_may_be_deep_until_its_types_are_counted() -> None:
    assert Replica.load([A]).deep and not Replica.load([]).deep
