"""Where lines come from: a program that is run, or standard input. What is read is passed through."""

from __future__ import annotations

import os
import select
import signal
import subprocess  # nosec B404  # to run a program is what the command is for
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

import attrs
import trio

from rtlite.cli.output import note
from rtlite.cli.relay import Relay
from rtlite.errors import InvalidRequest
from rtlite.protocols import lines
from rtlite.settings import KIB

_READ: Final = 64 * KIB
LONGEST: Final = 128 * KIB
"""Bytes of a line; a longer one is published in pieces, as no message may be larger than 1 MiB once it is JSON."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that reach the program through us."""
_FIRST_OF_JSON: Final = frozenset(b'{["-0123456789tfn \t')


def heeded() -> list[signal.Signals]:
    """Of :data:`SIGNALS` those that are not ignored: under ``nohup`` a hangup is to stay what it is, nothing."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@attrs.frozen
class Ended:
    """How a program ended: by its exit code or by a signal's number. Of standard input that ends, neither is known."""

    code: int | None = None
    signal: int | None = None

    @property
    def shell_code(self) -> int:
        """As a shell tells it."""
        return 128 + self.signal if self.signal else self.code or 0

    def as_json(self) -> dict[str, int | str | None]:
        return {"code": self.code, "signal": None if self.signal is None else _name(self.signal)}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the real-time signals only the first and the last have names
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class Source(Protocol):
    async def run(self, output: Output) -> Ended:
        """Read to the end."""
        ...

    def signal(self, number: int) -> bool:
        """Act on a signal that we got. ``False``: there is nothing to act on any more."""
        ...


class Command:
    """A program in a process of its own, with our standard input.

    :raises OSError: it cannot be run.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._process: trio.Process | None = None

    async def run(self, output: Output) -> Ended:
        process = self._process = await trio.lowlevel.open_process(
            list(self._command), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None and process.stderr is not None  # noqa: S101  # they are pipes
        async with process.stdout, process.stderr, trio.open_nursery() as nursery:
            nursery.start_soon(output.copy, process.stdout.receive_some, 1)
            nursery.start_soon(output.copy, process.stderr.receive_some, 2)
        code = await process.wait()
        return Ended(signal=-code) if code < 0 else Ended(code=code)

    def signal(self, number: int) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            return False
        if not _from_terminal(number):
            process.send_signal(number)
        return True


class StandardInput:
    """What another program writes into our standard input. If it cannot be read any more, it has ended."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._reading = trio.CancelScope()
        self._asked = False
        self._ended = Ended()

    async def run(self, output: Output) -> Ended:
        async def read(size: int) -> bytes:
            try:
                return await trio.to_thread.run_sync(_read, self._descriptor, size, abandon_on_cancel=True)
            except OSError as error:
                note(f"standard input: {error.strerror}")
                self._ended = Ended(code=1)
                return b""

        with self._reading:
            await output.copy(read, 1)
        return self._ended

    def signal(self, number: int) -> bool:
        """Who writes got the terminal's Ctrl-C as well, and its last words are waited for: once."""
        if self._reading.cancel_called:
            return False
        if number == signal.SIGINT and not self._asked:
            self._asked = True
        else:
            self._ended = Ended(signal=number)
            self._reading.cancel()
        return True


class Output:
    """Takes what is read: passes it through as it is, and gives its lines to the relay as messages."""

    def __init__(self, relay: Relay, *, as_text: bool = False) -> None:
        self._relay = relay
        self._message = lines.text if as_text else message

    async def copy(self, read: Callable[[int], Awaitable[bytes | bytearray]], descriptor: int) -> None:
        """All that ``read`` gives; ``descriptor`` is where it is passed through: 1 or 2."""
        cutter, open = Cutter(), True
        while data := await read(_READ):
            open = open and await _pass_through(descriptor, data)
            for line in cutter.feed(bytes(data)):
                self._put(line, descriptor)
            await self._relay.room()
        for line in cutter.feed_eof():
            self._put(line, descriptor)

    def _put(self, line: bytes, descriptor: int) -> None:
        self._relay.put(self._message(line) or b'""', error=descriptor == 2)


def message(line: bytes) -> bytes:
    """The line itself if it is JSON, else as a text."""
    if line and line[0] in _FIRST_OF_JSON:
        try:
            return lines.value(line)
        except InvalidRequest:
            pass  # then it is text
    return lines.text(line) or b'""'


class Cutter:
    """Cuts what is fed to it into lines, those that are too long into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        for line in whole:
            yield from _pieces(line.removesuffix(b"\r"))
        if len(self._rest) > LONGEST:
            *full, self._rest = _pieces(self._rest)
            yield from full

    def feed_eof(self) -> Iterator[bytes]:
        if self._rest:
            yield from _pieces(self._rest.removesuffix(b"\r"))


def _pieces(line: bytes) -> Iterator[bytes]:
    """``line`` in pieces, cut between characters."""
    while len(line) > LONGEST:
        end = LONGEST
        while end > LONGEST - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        yield line[:end]
        line = line[end:]
    yield line


# Who shares our terminal or pipe may have made it non-blocking, for us as well.


def _read(descriptor: int, size: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _write(descriptor: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


async def _pass_through(descriptor: int, data: bytes | bytearray) -> bool:
    """Write as a program does whose output this were; ``False`` if nobody reads it any more."""
    try:
        await trio.to_thread.run_sync(_write, descriptor, data, abandon_on_cancel=True)
    except OSError:  # a pipe without a reader, a terminal that is gone: the stream goes on
        return False
    return True


def _from_terminal(number: int) -> bool:
    """Whether the terminal has told the program already, as it tells the whole group in its foreground."""
    if number not in {signal.SIGINT, signal.SIGQUIT}:
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
