"""The messages of y-protocols, byte for byte as y-protocols 1.0.6 and lib0 0.2.114 write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import InvalidRequest
from rtlite.protocols import yjs
from rtlite.protocols.yjs import Awareness, QueryAwareness, State, Step1, Step2, Update

HI = bytes.fromhex("010101000401017402686900")  # a text "t" of client 1 that says "hi"

MESSAGES = {
    "00000100": Step1(b"\x00"),
    "0001020000": Step2(yjs.NOTHING),
    "000003010102": Step1(bytes.fromhex("010102")),
    "00010c010101000401017402686900": Step2(HI),
    "00020c010101000401017402686900": Update(HI),
    "000206000101010001": Update(bytes.fromhex("000101010001")),
    "011d01ac0201187b2275736572223a7b226e616d65223a225a6fc3ab227d7d": Awareness(
        (State(300, 1, '{"user":{"name":"Zoë"}}'.encode()),)
    ),
    "010901ac0202046e756c6c": Awareness((State(300, 2, None),)),
    "03": QueryAwareness(),
}


class TestWhatClientsSend:
    @pytest.mark.parametrize(("text", "message"), MESSAGES.items())
    def test_each_message_is_read(self, text: str, message: yjs.Message) -> None:
        assert yjs.decode(bytes.fromhex(text)) == [message]

    def test_several_in_one_frame_are_read_in_order(self) -> None:
        """As y-sync's ``DefaultProtocol`` begins: step 1 and awareness."""
        assert yjs.decode(bytes.fromhex("".join(MESSAGES))) == list(MESSAGES.values())

    @pytest.mark.parametrize("text", [text for text in MESSAGES if len(text) > 2])
    def test_one_that_is_cut_short_anywhere_is_refused(self, text: str) -> None:
        data = bytes.fromhex(text)
        for end in range(len(data)):
            with pytest.raises(InvalidRequest):
                yjs.decode(data[:end])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0003020000",  # no such step
            "02000a726561642d6f6e6c79",  # to deny is the server's
            "04",
            "7f",
            "0002ffffffff0f00",  # says that 4 GiB follow
            "0002ffffffffffffff0f00",  # 2^53 - 1 bytes
            "0002ffffffffffffff1f00",  # 2^54 - 1: more than JavaScript's numbers hold
            "0002ffffffffffffffffffffffffffffff",  # a number without an end
            "0102ffff",
            "0106ffffffffff0f",  # says that 2^32 states follow
            "010601ac020103666f6f",
            "010801ac020103666f6f",  # "foo" is no JSON
            "010801ac0201034e614e",  # neither is NaN, for JSON.parse
            "010900ac0202046e756c6c",  # says that none follow, and one does
            "010601ac0201ff7f7b7d",
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidRequest):
            yjs.decode(bytes.fromhex(text))

    def test_a_state_with_half_a_character_is_taken_as_JavaScript_takes_it(self) -> None:
        state = b'{"name":"\\ud83d"}'
        data = yjs.awareness([State(1, 1, state)])
        assert yjs.decode(data) == [Awareness((State(1, 1, state),))]

    def test_a_state_that_is_nested_without_end_is_refused(self) -> None:
        with pytest.raises(InvalidRequest):
            yjs.decode(yjs.awareness([State(1, 1, b"[" * 100_000)]))

    @given(data=st.binary(max_size=60))
    def test_any_bytes_are_messages_or_refused(self, data: bytes) -> None:
        try:
            messages = yjs.decode(data)
        except InvalidRequest:
            return
        assert messages

    @given(
        text=st.sampled_from(list(MESSAGES)),
        place=st.integers(0, 40),
        byte=st.integers(0, 255),
    )
    def test_a_message_with_one_byte_changed_is_a_message_or_refused(self, text: str, place: int, byte: int) -> None:
        data = bytearray.fromhex(text)
        data[place % len(data)] = byte
        with suppress(InvalidRequest):
            yjs.decode(bytes(data))


class TestWhatWeSend:
    @pytest.mark.parametrize(
        ("message", "text"),
        [
            (yjs.step_1(b"\x00"), "00000100"),
            (yjs.step_2(HI), "00010c010101000401017402686900"),
            (yjs.update(HI), "00020c010101000401017402686900"),
            (
                yjs.awareness([State(300, 1, '{"user":{"name":"Zoë"}}'.encode())]),
                "011d01ac0201187b2275736572223a7b226e616d65223a225a6fc3ab227d7d",
            ),
            (yjs.awareness([State(300, 2, None)]), "010901ac0202046e756c6c"),
            (yjs.awareness([]), "010100"),
            (yjs.permission_denied("read-only"), "020009726561642d6f6e6c79"),
        ],
    )
    def test_it_is_what_y_protocols_would_write(self, message: bytes, text: str) -> None:
        assert message.hex() == text


NUMBERS = {
    0: "00",
    127: "7f",
    128: "8001",
    300: "ac02",
    2**32 - 1: "ffffffff0f",
    2**53 - 1: "ffffffffffffff0f",
}


@pytest.mark.parametrize(("number", "text"), NUMBERS.items())
def test_numbers_are_as_lib0_has_them(number: int, text: str) -> None:
    assert yjs.uint(number).hex() == text
    assert yjs.read_uint(bytes.fromhex(text + "ff"), 0) == (number, len(text) // 2)


@given(st.integers(0, 2**53 - 1))
def test_every_number_comes_back(number: int) -> None:
    data = yjs.uint(number)
    assert yjs.read_uint(data, 0) == (number, len(data))


def test_state_vectors_and_deletions_are_read() -> None:
    assert yjs.read_state(bytes.fromhex("0201020ac801")) == {1: 2, 10: 200}
    # Client 1: 1 from 0 and 2 from 5; client 300: 4 from 1.
    assert yjs.read_deletions(bytes.fromhex("020102000105 02ac02010104")) == {1: 7, 300: 5}
    for text in ("", "01", "0101", "ff", "010105"):
        with pytest.raises(InvalidRequest):
            yjs.read_deletions(bytes.fromhex(text))
