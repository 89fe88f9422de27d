"""What is in a document, and the edit that brings back what it was."""

from __future__ import annotations

import json
import random
from typing import Any

import pycrdt
import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from rtlite.domain.contents import Contents, Kind, aside, reverted
from rtlite.domain.replica import Broken
from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.protocols import yjs, yjsupdates


def document(**roots: Any) -> pycrdt.Doc[Any]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for name, root in roots.items():
        doc[name] = root
    return doc


def paragraphs(*texts: str) -> XmlFragment:
    return XmlFragment([XmlElement("p", {"class": "a"}, [XmlText(text)]) for text in texts])


def as_json(update: bytes) -> Any:
    return json.loads(Contents(update).as_json())


def test_each_root_type_is_known_by_what_is_in_it() -> None:
    doc = document(t=Text("hi"), a=Array([1, "s"]), m=Map({"k": None}), x=paragraphs("one"), gone=Text("x"))
    doc["gone"].clear()
    contents = Contents(doc.get_update())
    assert contents.kinds() == {"a": Kind.ARRAY, "m": Kind.MAP, "t": Kind.TEXT, "x": Kind.XML}
    assert as_json(doc.get_update()) == {
        "a": [1, "s"],
        "m": {"k": None},
        "t": "hi",
        "x": '<p class="a">one</p>',
    }


def test_lists_of_texts_and_of_shared_types_are_lists() -> None:
    doc = document(a=Array(["s", "t"]), b=Array([Map({"k": Array([Text("deep")])})]))
    assert as_json(doc.get_update()) == {"a": ["s", "t"], "b": [{"k": ["deep"]}]}


def test_the_only_text_needs_no_name() -> None:
    contents = Contents(document(t=Text("hi"), x=paragraphs("one")).get_update())
    assert contents.as_text(None) == contents.as_text("t") == "hi"
    assert contents.as_xml(None) == contents.as_xml("x") == '<p class="a">one</p>'
    assert contents.as_text("nothing") == ""


def test_of_several_texts_one_is_to_be_named() -> None:
    with pytest.raises(InvalidRequest):
        Contents(document(t=Text("hi"), u=Text("ho")).get_update()).as_text(None)
    with pytest.raises(NotFound):
        Contents(document(a=Array([1])).get_update()).as_text(None)
    with pytest.raises(Conflict):
        Contents(document(a=Array([1])).get_update()).as_text("a")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "hi"), ("hi", ""), ("hi", "hi"), ("abcdef", "abXdef"), ("aaa", "aa"), ("aa", "aaa"), ("é🦄x", "é🦀x"),
        ("é", "è"), ("xé", "xè"), ("éx", "èx"), ("🦄", "🦄🦄"), ("ab", "ba"),
    ],
)  # fmt: skip
def test_a_text_becomes_another_by_the_part_that_differs(before: str, after: str) -> None:
    doc = document(t=Text(before))
    edit = Contents(doc.get_update()).write({"t": after})
    yjsupdates.check(edit)
    doc.apply_update(edit)
    assert str(doc["t"]) == after
    assert (edit == yjs.NOTHING) == (before == after)


def test_who_has_a_cursor_behind_the_part_that_differs_keeps_it() -> None:
    doc = document(t=Text("one two three"))
    cursor = doc["t"].sticky_index(8, pycrdt.Assoc.AFTER)
    doc.apply_update(Contents(doc.get_update()).write({"t": "one 2 three"}))
    assert cursor.get_index() == len("one 2 ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", [1, {"x": [True, None]}, "s"]), ("a", []), ("a", [True, "s"]), ("m", {"k": 2, "new": [1]}), ("m", {}),
        ("m", {"k": True}), ("new", {"k": "v"}), ("new", ["v"]), ("new", "v"),
    ],
)  # fmt: skip
def test_lists_and_maps_become_what_they_are_to_be(name: str, value: Any) -> None:
    doc = document(a=Array([1, "s"]), m=Map({"k": 1}))
    edit = Contents(doc.get_update()).write({name: value})
    yjsupdates.check(edit)
    doc.apply_update(edit)
    found = as_json(doc.get_update()).get(name, type(value)())
    assert json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)
    assert Contents(doc.get_update()).write({name: value}) == yjs.NOTHING


@pytest.mark.parametrize("number", [2**53 + 1, 2**64 - 1, -(2**63)])
def test_a_number_that_javascript_does_not_have_is_the_nearest_that_it_has(number: int) -> None:
    edit = Contents(yjs.NOTHING).write({"a": [{"n": number}, True]})
    yjsupdates.check(edit)
    assert as_json(edit) == {"a": [{"n": float(number)}, True]}


async def test_a_panic_of_the_crdt_is_an_error_like_others() -> None:
    array: Array[Any] = Array([])
    document(a=array)
    with pytest.raises(Broken):
        await aside(lambda: array.append(2**64), 0)


def test_several_root_types_change_in_one_edit_or_none() -> None:
    doc = document(a=Array([1]), t=Text("x"))
    doc.apply_update(Contents(doc.get_update()).write({"a": [2], "t": "y", "m": {"k": 1}}))
    assert as_json(doc.get_update()) == {"a": [2], "m": {"k": 1}, "t": "y"}
    with pytest.raises(Conflict):
        Contents(doc.get_update()).write({"a": "a text"})
    with pytest.raises(InvalidRequest):
        Contents(doc.get_update()).write({"n": 5})


# --- back to what it was

ROOTS = {"t": Text, "m": Map, "a": Array, "x": XmlFragment}


def shown(doc: pycrdt.Doc[Any]) -> Any:
    """All that is in a document, with formats and attributes."""
    return {name: json.dumps(_shown(doc.get(name, type=type)), sort_keys=True) for name, type in ROOTS.items()}


def _shown(node: Any) -> Any:
    if isinstance(node, Text | XmlText):
        return [(piece, formats or {}) for piece, formats in node.diff()]
    if isinstance(node, Array | Map):
        return json.loads(str(node))
    attributes = dict(node.attributes) if isinstance(node, XmlElement) else {}
    return [getattr(node, "tag", ""), attributes, [_shown(child) for child in node.children]]


def some_value(chance: random.Random) -> Any:
    makers = [lambda: chance.randrange(9), lambda: "abc", lambda: {"z": 1.5}, lambda: Text("nested")]
    makers += [lambda: Map({"q": chance.randrange(9)}), lambda: Array([1, chance.randrange(9)])]
    return chance.choice(makers)()


def some_node(chance: random.Random, depth: int = 0) -> Any:
    if chance.random() < 0.4:
        return XmlText(chance.choice(["foo", "bar"]))
    children = [some_node(chance, depth + 1) for _ in range(chance.randrange(3) if depth < 2 else 0)]
    return XmlElement(chance.choice("pq"), {"k": str(chance.randrange(9))}, children)


def change(doc: pycrdt.Doc[Any], chance: random.Random) -> None:
    text, map, array, xml = (doc.get(name, type=type) for name, type in ROOTS.items())
    match chance.randrange(11):
        case 0 | 1:
            text.insert(chance.randrange(len(text) + 1), "abc", chance.choice([None, {"bold": True}]))
        case 2 if len(text):
            at = chance.randrange(len(text))
            del text[at : min(len(text), at + chance.randrange(1, 8))]
        case 3 if len(text):
            at = chance.randrange(len(text))
            text.format(at, min(len(text), at + 3), {"em": chance.choice([True, None])})
        case 4:
            map[chance.choice("abcd")] = some_value(chance)
        case 5 if len(map):
            del map[chance.choice(sorted(map.keys()))]
        case 6:
            array.insert(chance.randrange(len(array) + 1), some_value(chance))
        case 7 if len(array):
            del array[chance.randrange(len(array))]
        case 8:
            xml.children.insert(chance.randrange(len(xml.children) + 1), some_node(chance))
        case 9 if len(xml.children):
            del xml.children[chance.randrange(len(xml.children))]
        case 10 if len(xml.children):
            node = xml.children[chance.randrange(len(xml.children))]
            if isinstance(node, XmlElement):
                node.attributes["k"] = str(chance.randrange(99))
                node.children.append(some_node(chance, 1))
            else:
                node.insert(0, "ins")
    for node in [map[key] for key in sorted(map.keys())]:
        if isinstance(node, Map):
            node["n"] = chance.randrange(5)
        elif isinstance(node, Array):
            node.append(5)
        elif isinstance(node, Text):
            node += "!"


@pytest.mark.parametrize("seed", range(30))
def test_a_document_that_many_changed_at_random_becomes_what_the_snapshot_holds(seed: int) -> None:
    chance = random.Random(seed)
    editors = [pycrdt.Doc(), pycrdt.Doc()]

    def meet() -> None:
        for one, other in (editors, reversed(editors)):
            one.apply_update(other.get_update(one.get_state()))

    for _ in range(chance.randrange(40)):
        change(chance.choice(editors), chance)
    meet()
    snapshot, then = editors[0].get_update(), shown(editors[0])
    for _ in range(chance.randrange(60)):
        change(chance.choice(editors), chance)
        if chance.random() < 0.2:
            meet()
    meet()
    edit = reverted(editors[0].get_update(), snapshot)
    yjsupdates.check(edit)
    for editor in editors:
        editor.apply_update(edit)
        assert shown(editor) == then
    change(editors[0], chance)
    meet()
    assert shown(editors[0]) == shown(editors[1])


def test_an_edit_that_comes_meanwhile_stays() -> None:
    doc = document(t=Text("as it was"))
    snapshot = doc.get_update()
    del doc["t"][2:9]
    edit = reverted(doc.get_update(), snapshot)
    doc["t"].insert(0, "new: ")
    doc.apply_update(edit)
    assert str(doc["t"]) == "new: as it was"


def test_a_document_that_is_still_what_it_was_needs_no_edit() -> None:
    update = document(t=Text("x"), a=Array([1])).get_update()
    assert reverted(update, update) == yjs.NOTHING
