"""What a replica holds, what waits in it, and what it comes to."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.domain.replica import Added, Broken, Replica, squashed
from rtlite.errors import InvalidRequest, Overloaded
from rtlite.protocols import yjs
from rtlite.store.documents import Log

A, B, C, DELETE_A = (
    bytes.fromhex(text)
    for text in ("010101000401017401 6100", "0101010184010001 6200", "0101010284010101 6300", "000101010001")
)


def text_of(*updates: bytes) -> str:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        doc.apply_update(update)
    return str(doc.get("t", type=pycrdt.Text))


def test_what_comes_before_what_it_builds_on_waits_and_is_added_with_it() -> None:
    replica = Replica()
    assert replica.add(A) == Added([A])
    assert replica.add(C) == Added([], later=C)
    assert text_of(replica.diff()) == "a" and replica.waiting == [C]
    added = replica.add(B)
    assert added.later is None and text_of(A, *added.now) == text_of(replica.diff()) == "abc"
    assert replica.waiting == []


def test_a_deletion_of_what_is_not_there_yet_waits_too() -> None:
    replica = Replica()
    assert replica.add(DELETE_A) == Added([], later=DELETE_A)
    assert not replica.add(DELETE_A)  # the same waits already
    assert len(replica.add(A).now) == 2
    assert replica.waiting == [] and text_of(replica.diff()) == ""


def test_an_update_that_lacks_something_is_added_as_far_as_it_goes() -> None:
    replica = Replica()
    with_a_gap = pycrdt.merge_updates(A, C, bytes.fromhex("000101010003"))
    added = replica.add(with_a_gap)
    assert len(added.now) == 1 and added.later is not None
    assert text_of(replica.diff()) == ""  # of the deletion, a's part
    replica.add(B)
    assert text_of(replica.diff()) == "" and yjs.read_state(replica.state()) == {1: 3}


def test_what_yrs_alone_loses_is_kept() -> None:
    """The fourth of four insertions first, the second last: in Yrs the third is gone, for good."""
    fourth, first, third, second = (
        bytes.fromhex(text)
        for text in (
            "01010103880100017702313300",
            "0101010008010161017702313000",
            "01010102c801010100017702313200",
            "01010101480100017702313100",
        )
    )
    replica = Replica()
    for update in (fourth, first, third, second):
        replica.add(update)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(replica.diff())
    assert doc.get("a", type=pycrdt.Array).to_py() == ["11", "12", "10", "13"]


def test_only_so_much_may_wait() -> None:
    replica = Replica()
    replica.add(C, most=256)
    with pytest.raises(Overloaded):
        replica.add(DELETE_A, most=256)
    replica.add(A, most=256)
    replica.add(B, most=256)
    replica.add(DELETE_A, most=256)
    assert text_of(replica.diff()) == "bc"


def test_of_what_is_told_again_only_what_is_new_counts() -> None:
    replica = Replica()
    replica.add(A)
    assert not replica.add(yjs.NOTHING, retold=True)
    assert not replica.add(A, retold=True)
    (fresh,) = replica.add(pycrdt.merge_updates(A, B), retold=True).now
    assert text_of(A, fresh) == "ab"
    assert replica.add(DELETE_A, retold=True)
    assert not replica.add(DELETE_A, retold=True)


@pytest.mark.parametrize("state", [b"", b"\xff", b"\x05\x01", bytes.fromhex("ffffffff0f")])
def test_what_is_no_state_vector_is_refused(state: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Replica().diff(state)


def test_a_squashed_document_is_the_same_and_what_waits_is_kept() -> None:
    found = squashed(Log([A], [C]))
    (whole,) = found.updates
    assert found.waiting == [C] and text_of(whole) == "a"
    replica = Replica.load(found)
    replica.add(B)
    assert text_of(replica.diff()) == "abc"
    assert [text_of(whole) for whole in squashed(Log([A, B, C, DELETE_A], [DELETE_A, C])).updates] == ["bc"]
    assert squashed(Log([], [C])) == Log([], [C])


# By Yjs 13.6: "a😀b", and what it says once half of the emoji is deleted, or something is put between the halves.
SMILE = bytes.fromhex("01010100040101740661") + "😀b\0".encode()
HALVED = {
    "the first half is deleted": ("000101010101", "a\ufffdb"),
    "the second half is deleted": ("000101010201", "a\ufffdb"),
    "one is put between": ("01010200c401010102017800", "a\ufffdx\ufffdb"),
    "more is deleted": ("000101010102", "ab"),
}


@pytest.mark.parametrize("name", HALVED)
@pytest.mark.parametrize("way", ["one by one", "retold", "read from the disk", "in one", "in one, retold"])
def test_half_an_emoji_is_what_yjs_makes_of_it(name: str, way: str) -> None:
    edit, text = bytes.fromhex(HALVED[name][0]), HALVED[name][1]
    replica = Replica.load(Log([SMILE])) if way == "read from the disk" else Replica()
    retold = "retold" in way
    if way.startswith("in one"):
        assert replica.add(pycrdt.merge_updates(SMILE, edit), retold=retold)
    else:
        replica.add(SMILE, retold=retold)
        assert replica.add(edit, retold=retold).mended == (name != "more is deleted")
    assert text_of(replica.diff()) == text
    assert yjs.read_state(replica.state())[1] == 4 == yjs.read_state(pycrdt.get_state(replica.diff()))[1]
    (whole,) = replica.in_place_of(Log([SMILE, edit])).updates
    again = Replica.load(Log([whole]))
    again.add(bytes.fromhex("01010300840103012100"))  # behind the b
    assert text_of(again.diff()) == text + "!"


def test_what_cannot_be_read_is_not_squashed() -> None:
    with pytest.raises(Broken):
        squashed(Log([A, b"\xff"]))


def test_what_would_lack_a_deletion_or_an_insertion_is_not_squashed(monkeypatch) -> None:
    whole = Replica.diff
    for lacking in (Log([A, B, C]), Log([A, B, DELETE_A])):
        monkeypatch.setattr(Replica, "diff", lambda _, lacking=lacking: whole(Replica.load(lacking)))
        with pytest.raises(Broken):
            squashed(Log([A, B, C, DELETE_A]))


def test_a_document_that_was_read_may_be_deep_until_its_types_are_counted() -> None:
    assert Replica.load(Log([A])).deep and not Replica.load(Log([])).deep


class Writing:
    """Several editors of a list, a text and a map, who hear of each other now and then; all their updates."""

    def __init__(self, dice: random.Random, editors: int = 3, edits: int = 12) -> None:
        self.updates: list[bytes] = []
        docs = [self._editor(number) for number in range(1, editors + 1)]
        for _ in range(edits):
            doc = dice.choice(docs)
            self._edit(doc, dice)
            if dice.random() < 0.3:
                other = dice.choice(docs)
                other.apply_update(doc.get_update(other.get_state()))
        told: list[bytes] = [doc.get_update() for doc in docs if dice.random() < 0.3]  # as at a reconnection
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        for doc in docs:
            self.doc.apply_update(doc.get_update())
        self.updates += told

    def _editor(self, number: int) -> pycrdt.Doc[Any]:
        doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=number)
        for name, type in TYPES.items():
            doc.get(name, type=type)
        doc.observe(lambda event: self.updates.append(event.update))
        return doc

    @staticmethod
    def _edit(doc: pycrdt.Doc[Any], dice: random.Random) -> None:
        content: Any = doc.get((name := dice.choice(sorted(TYPES))), type=TYPES[name])
        if name == "map":
            content[dice.choice("xyz")] = pycrdt.Array([1]) if dice.random() < 0.3 else dice.randrange(9)
        elif len(content) and dice.random() < 0.4:
            start = dice.randrange(len(content))
            del content[start : min(len(content), start + dice.randint(1, 3))]
        else:
            content.insert(dice.randint(0, len(content)), dice.choice(["a", "bcd", "ef"]))


TYPES: dict[str, Any] = {"list": pycrdt.Array, "text": pycrdt.Text, "map": pycrdt.Map}


def says(update: bytes) -> Any:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update)
    found = {name: doc.get(name, type=type).to_py() or None for name, type in TYPES.items()}
    return {**found, "text": str(doc.get("text", type=pycrdt.Text))}


@pytest.mark.parametrize("seed", range(40))
def test_any_order_and_repetition_of_updates_makes_the_same_document(seed: int) -> None:
    """Given to Yrs itself in such orders, some lack deletions in the end."""
    check_any_order(seed)


@pytest.mark.full
def test_any_of_many_orders_makes_the_same_document() -> None:
    for seed in range(40, 4000):
        check_any_order(seed)


def check_any_order(seed: int) -> None:
    dice = random.Random(seed)
    writing = Writing(dice)
    order = writing.updates + dice.choices(writing.updates, k=5)
    dice.shuffle(order)
    cut = dice.randrange(len(order))
    log: list[list[bytes]] = [[], []]
    replica = Replica()
    readers = [Replica(), Replica()]
    for number, update in enumerate(order):
        if number == cut:  # restarted, and perhaps squashed before
            stored = Log(*log)
            replica = Replica.load(squashed(stored) if dice.random() < 0.5 else stored)
        if dice.random() < 0.2:  # a slow reader catches up
            readers[1].add(replica.diff(readers[1].state()))
        added = replica.add(update, retold=dice.random() < 0.5)
        log[0] += added.now
        log[1] += [added.later] if added.later is not None else []
        for now in added.now:  # what is delivered builds on what was delivered
            assert readers[0].add(now).later is None
    readers[1].add(replica.diff(readers[1].state()))
    assert replica.waiting == []
    expected = says(writing.doc.get_update())
    assert says(replica.diff()) == expected
    assert [says(reader.diff()) for reader in readers] == [expected] * 2
    assert says(Replica.load(Log(*log)).diff()) == expected
    (whole,) = squashed(Log(*log)).updates
    assert says(whole) == expected


HISTORIES = json.loads(Path(__file__).with_name("yjs_histories.json").read_text())


@given(data=st.data())
def test_updates_of_yjs_in_any_order_make_what_yjs_says(data: st.DataObject) -> None:
    """Half an emoji deleted is among them."""
    history = data.draw(st.sampled_from(HISTORIES))
    updates = [base64.b64decode(edit) for edit in history["edits"]]
    order = data.draw(st.permutations(range(len(updates))))
    again = data.draw(st.lists(st.sampled_from(range(len(updates))), max_size=5))
    replica = Replica()
    for number in [*order, *again]:
        replica.add(updates[number], retold=data.draw(st.booleans()))
    assert replica.waiting == []
    assert plain(replica.diff()) == history["says"]
    (whole,) = replica.in_place_of(Log(updates)).updates
    assert plain(whole) == history["says"]


def plain(update: bytes) -> Any:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update)
    types: dict[str, Any] = {"list": pycrdt.Array, "map": pycrdt.Map}
    found = {name: doc.get(name, type=type).to_py() or type().to_py() for name, type in types.items()}
    return {"text": str(doc.get("text", type=pycrdt.Text)), "list": found["list"] or [], "map": found["map"] or {}}
