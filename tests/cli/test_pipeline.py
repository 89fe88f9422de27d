"""What lines are made of a program's output; programs themselves are in test_pipe.py."""

from __future__ import annotations

import errno
import os
import signal

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from rtlite.cli import pipeline as module
from rtlite.cli.pipeline import Command, Cutter, Ended, Output, StandardInput, message
from rtlite.settings import MIB


def cut(*pieces: bytes) -> list[bytes]:
    cutter = Cutter()
    return [line for piece in pieces for line in cutter.feed(piece)] + list(cutter.feed_eof())


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\r\nc"], [b"ab", b"c"]),
        ([b"\n\n"], [b"", b""]),
        ([b"10%\r20%\r\n"], [b"10%\r20%"]),
        ([], []),
    ],
)
def test_what_is_read_is_cut_into_lines(pieces: list[bytes], expected: list[bytes]) -> None:
    assert cut(*pieces) == expected


@given(st.lists(st.binary(max_size=50)))
def test_where_reads_end_makes_no_difference(pieces: list[bytes]) -> None:
    assert cut(*pieces) == cut(b"".join(pieces))


@pytest.mark.parametrize("text", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_line_that_is_too_long_comes_in_pieces_that_cut_no_character(text: str, whole: bool) -> None:
    line = b"." + (text * (3 * module.LONGEST // len(text.encode()))).encode()
    pieces = cut(line + b"\n") if whole else cut(*(line[at : at + 1000] for at in range(0, len(line), 1000)), b"\n")
    assert b"".join(pieces) == line and len(pieces) >= 3
    assert all(0 < len(piece) <= module.LONGEST for piece in pieces)
    for piece in pieces:
        piece.decode()


def test_no_piece_becomes_a_message_that_is_too_large() -> None:
    for worst in (b"\x01", b"\xff", b'"'):
        for piece in cut(worst * (2 * module.LONGEST)):
            assert len(message(piece)) < MIB


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b" 42 ", 42),
        (b"true", True),
        (b'"quoted"', "quoted"),
        (b"", ""),
        (b"   ", "   "),
        (b"trueish", "trueish"),
        (b"1 2", "1 2"),
        (b"-", "-"),
        (b"{not json}", "{not json}"),
        (b"NaN", "NaN"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b"[" * 2000 + b"]" * 2000, "[" * 2000 + "]" * 2000),
    ],
)
def test_a_line_that_is_json_is_json_and_any_other_is_text(line: bytes, expected: object) -> None:
    assert orjson.loads(message(line)) == expected
    assert b"\n" not in message(line)


def test_how_a_program_ended_is_told_as_a_shell_tells_it() -> None:
    assert (Ended(code=3).shell_code, Ended(code=3).as_json()) == (3, {"code": 3, "signal": None})
    assert Ended(signal=15).shell_code == 143
    assert Ended(signal=15).as_json() == {"code": None, "signal": "SIGTERM"}
    assert Ended(signal=signal.SIGRTMIN + 1).as_json() == {"code": None, "signal": "SIGRTMIN+1"}
    assert Ended().shell_code == 0


class Sink:
    """A relay that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bool]] = []

    def put(self, message: bytes, *, error: bool = False) -> None:
        self.messages.append((message.decode(), error))

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_commands_two_outputs_are_read_and_passed_through_to_the_byte(capfdbinary) -> None:
    sink = Sink()
    command = Command(("sh", "-c", r"""printf 'a\r\n{"b":1}\nend'; printf 'e\377\n' >&2; exit 7"""))
    assert await command.run(Output(sink)) == Ended(code=7)  # type: ignore[arg-type]
    assert [text for text, error in sink.messages if not error] == ['"a"', '{"b":1}', '"end"']
    assert [text for text, error in sink.messages if error] == ['"e\ufffd"']
    assert capfdbinary.readouterr() == (b'a\r\n{"b":1}\nend', b"e\xff\n")


async def test_as_text_json_is_text() -> None:
    sink = Sink()
    await Command(("echo", "42")).run(Output(sink, as_text=True))  # type: ignore[arg-type]
    assert sink.messages == [('"42"', False)]


async def test_when_nobody_reads_what_is_passed_through_the_stream_goes_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink = Sink()
    pieces = [b"", b"b\n", b"a\n"]

    async def read(_: int) -> bytes:
        return pieces.pop()

    await Output(sink).copy(read, writing)  # type: ignore[arg-type]
    os.close(writing)
    assert [text for text, _ in sink.messages] == ['"a"', '"b"']


async def test_who_reads_a_non_blocking_output_slowly_gets_all_of_it() -> None:
    """A program that shares our terminal may have made it so: an output that is full is not one that is gone."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pieces = [b"", b"x" * MIB]
    passed = bytearray()

    async def read(_: int) -> bytes:
        return pieces.pop()

    def read_slowly() -> None:
        while data := os.read(reading, 65536):
            passed.extend(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, read_slowly)
        await Output(Sink()).copy(read, writing)  # type: ignore[arg-type]
        os.close(writing)
    os.close(reading)
    assert len(passed) == MIB


async def test_a_standard_input_that_fails_is_one_that_ends_and_what_came_before_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfdbinary
) -> None:
    """A terminal that hung up, say."""
    sink, pieces = Sink(), [b"one\ntwo"]

    def read(descriptor: int, size: int) -> bytes:
        if not pieces:
            raise OSError(errno.EIO, "Input/output error")
        return pieces.pop()

    monkeypatch.setattr(module, "_read", read)
    ended = await StandardInput().run(Output(sink))  # type: ignore[arg-type]
    assert ended.shell_code == 1
    assert [text for text, _ in sink.messages] == ['"one"', '"two"']
    assert b"standard input: Input/output error" in capfdbinary.readouterr().err


async def test_a_non_blocking_standard_input_is_waited_for(capfdbinary) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    sink = Sink()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandardInput(reading).run, Output(sink))  # type: ignore[arg-type]
            await trio.sleep(0.05)
            os.write(writing, b"late\n")
            os.close(writing)
    os.close(reading)
    assert sink.messages == [('"late"', False)]


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in module.heeded() and signal.SIGTERM in module.heeded()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in module.heeded()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
async def test_a_signal_is_passed_on_to_the_command(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_from_terminal", lambda _: False)
    command = Command(("sleep", "60"))
    async with trio.open_nursery() as nursery:
        ended: list[Ended] = []

        async def run() -> None:
            ended.append(await command.run(Output(Sink())))  # type: ignore[arg-type]

        assert not command.signal(number)
        nursery.start_soon(run)
        with trio.fail_after(10):
            while not command.signal(number):  # noqa: ASYNC110  # until it runs
                await trio.sleep(0.01)
    assert ended == [Ended(signal=number)]
    assert not command.signal(number)


async def test_what_the_terminal_has_told_the_command_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_from_terminal", lambda number: number == signal.SIGINT)
    command = Command(("sh", "-c", "trap 'exit 5' TERM; trap 'exit 6' INT; while :; do sleep 0.05; done"))
    async with trio.open_nursery() as nursery:
        ended: list[Ended] = []

        async def run() -> None:
            ended.append(await command.run(Output(Sink())))  # type: ignore[arg-type]

        nursery.start_soon(run)
        await trio.sleep(0.3)
        assert command.signal(signal.SIGINT)
        await trio.sleep(0.2)
        assert command.signal(signal.SIGTERM)
    assert ended == [Ended(code=5)]


async def test_of_standard_input_the_first_interrupt_waits_for_the_writer_and_the_second_stops() -> None:
    source = StandardInput()
    assert source.signal(signal.SIGINT) and not source._reading.cancel_called
    assert source.signal(signal.SIGINT) and source._reading.cancel_called
    assert source._ended == Ended(signal=signal.SIGINT)
    assert not source.signal(signal.SIGINT)
    other = StandardInput()
    assert other.signal(signal.SIGTERM) and other._ended.shell_code == 143
