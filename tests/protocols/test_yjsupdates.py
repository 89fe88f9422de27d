"""Updates of Yjs: those that it makes pass, whatever is in them; what only looks like one is refused."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.protocols import yjs
from rtlite.protocols.yjsupdates import check

# By Yjs 13.6: `doc.on("update", …)` of a document with the clientID 1, and what was done to it.
BY_YJS = {
    "text": "01010100040101740b68c3a96c6c6f20f09f988000",
    "a format": "0102010846010004626f6c640474727565c60102010304626f6c64046e756c6c00",
    "an embed": "0103010ac60100010104626f6c64046e756c6cc5010a0101177b226b223a5b312c322e352c6e756c6c2c747275655d7dc6010b010104626f6c64047472756500",  # noqa: E501
    "values": "0101010d080101610b7d017dc6017c538000007c3fc000007b3fb999999999999a770374776f7e78797601016175027d01760101627f750000",  # noqa: E501
    "maps": "010201182701016d016b012800011801780177017900",
    "a value replaced": "0101011aa801190177017a0101011901",
    "xml": "0104011b070101780301702800011b05636c617373017701610700011b060400011d02686900",
    "a document within": "010101202901016d01640267327601046d657461760101617d0100",
    "binary": "0101012143010d02030400",
    "a deletion": "00010103010209010c01",
    "a map deleted": "0001010218011a01",
    "everything": "0111010004010174016881010002840102076c6f20f09f988046010004626f6c640474727565c10102010301c60100010104626f6c64046e756c6cc5010a0101177b226b223a5b312c322e352c6e756c6c2c747275655d7dc1010b010101080101610b7d017dc6017c538000007c3fc000007b3fb999999999999a770374776f7e78797601016175027d01760101627f75002101016d016b010002070101780301702800011b05636c617373017701610700011b060400011d0268692901016d01640267327601046d657461760101617d0143010d020304010104010209010c011803",  # noqa: E501
    "merged with a gap": "01050100040101740b68c3a96c6c6f20f09f98800a02c60100010104626f6c64046e756c6cc5010a0101177b226b223a5b312c322e352c6e756c6c2c747275655d7dc6010b010104626f6c64047472756500",  # noqa: E501
}


@pytest.mark.parametrize("name", BY_YJS)
def test_what_yjs_makes_passes(name: str) -> None:
    check(bytes.fromhex(BY_YJS[name]))


def test_types_are_counted() -> None:
    assert {
        name: check(bytes.fromhex(text)).types for name, text in BY_YJS.items() if name in {"text", "maps", "xml"}
    } == {
        "text": 0,
        "maps": 1,
        "xml": 2,
    }


@pytest.mark.parametrize("name", BY_YJS)
def test_one_that_is_cut_short_or_goes_on_is_refused(name: str) -> None:
    update = bytes.fromhex(BY_YJS[name])
    for end in range(len(update)):
        with pytest.raises(InvalidRequest):
            check(update[:end])
    with pytest.raises(InvalidRequest):
        check(update + b"\x00")


def value(content: str) -> bytes:
    """An update with a list that has one value."""
    return bytes.fromhex(f"0101010008010161 01 {content} 00")


@pytest.mark.parametrize(
    "content",
    ["7e", "7f", "78", "79", "7d01", "7dffffffffffffff0f", "7b0000000000000000", "7600", "750175017500", "7400"],
)
def test_values_of_every_kind_pass(content: str) -> None:
    check(value(content))


REFUSED = {
    "a value of no kind": value("00"),
    "a float that is cut short": value("7b00"),
    "a number without end": value("7d" + "ff" * 20),
    "a value nested beyond any stack": value("7501" * 100_000 + "7e"),
    "an object nested beyond any stack": value("760161" * 100_000 + "7e"),
    "a client without structs": bytes.fromhex("010001bc0400"),  # Yrs panics at it
    "a struct of no length": bytes.fromhex("01017801000000"),  # at this, when it is read
    "an empty text": bytes.fromhex("010101000401017400 00"),
    "a text that is no UTF-8": bytes.fromhex("0101010004010174 02 c328 00"),
    "content that is no JSON": bytes.fromhex("0101010582010301000000"),  # the document does not decode any more
    "a format that is no JSON": bytes.fromhex("01010100 0601017401610178 00"),
    "a format nested too deep": b"\x01\x01\x01\x00\x06\x01\x01t\x01a"
    + yjs.uint(402)
    + b"[" * 201
    + b"]" * 201
    + b"\x00",
    "a type that there is not": bytes.fromhex("01010100 07010174 09 00"),
    "content that there is not": bytes.fromhex("01010100 0b010174 01 00"),
    "a deletion of nothing": bytes.fromhex("000101010100"),
    "a clock past 2^53": bytes.fromhex("0101 01 ffffffffffffff0f 0401017402 6869 00"),
    "2^32 clients": bytes.fromhex("ffffffff0f00"),
    "2^32 structs": bytes.fromhex("01ffffffff0f010000"),
    "2^32 deletions": bytes.fromhex("000101ffffffff0f"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check(REFUSED[name])


@given(data=st.binary(max_size=80))
def test_any_bytes_pass_or_are_refused(data: bytes) -> None:
    with suppress(InvalidRequest):
        assert check(data).types >= 0


def test_a_million_bytes_are_looked_through_in_a_straight_line() -> None:
    """A list of values that are counted but not there ends where the bytes end."""
    with pytest.raises(InvalidRequest):
        check(b"\x01\x01\x01\x00\x08\x01\x01a" + yjs.uint(2**40) + b"\x7e" * 100_000)


def test_what_passes_after_a_mutation_leaves_a_document_that_can_be_read() -> None:
    """Yrs takes in more than it gives out again; what it alone can find it says when the change is made."""
    dice = random.Random(5)
    good = [bytes.fromhex(text) for text in BY_YJS.values()]
    passed = 0
    for _ in range(20_000):
        update = bytearray(dice.choice(good[:11]))
        update[dice.randrange(len(update))] = dice.randrange(256)
        try:
            check(bytes(update))
        except InvalidRequest:
            continue
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        try:
            doc.apply_update(bytes(update))
        except BaseException as error:
            assert type(error).__name__ in {"ValueError", "RuntimeError", "PanicException"}
            continue
        passed += 1
        again: pycrdt.Doc[Any] = pycrdt.Doc()
        again.apply_update(doc.get_update())
    assert passed > 100
