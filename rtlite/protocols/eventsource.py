"""What an EventSource does with the bytes of a stream of server-sent events.

Source: the HTML standard, 9.2.6 "Interpreting an event stream". Fed with bytes in whatever
pieces they come, it gives the events that are whole::

    id: abcdef12-7                      Incoming(
    data: {"channel": …}        →           name="message",
                                            data='{"channel": …}',
                                            id="abcdef12-7")

An event that is not followed by an empty line when the stream ends is dropped.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

import attrs

MAX_EVENT: Final = 16 * 1024 * 1024
"""Characters of an event or a line that a server may send; ours are at most a megabyte and what is around it."""
_LINE_END: Final = re.compile(r"\r\n|\n|\r")


class BrokenStream(Exception):
    """This is no stream of events."""


@attrs.frozen
class Incoming:
    """An event. ``id`` is the last one that the stream gave, by this event or before; ``None`` before the first."""

    name: str
    data: str
    id: str | None


class Decoder:
    """Bytes to events; one for each connection.

    ``last_id`` is what to come back with, and ``retry`` the milliseconds to wait before that, if
    the server has said so.
    """

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self.retry: int | None = None
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._before = "\ufeff"  # left out if the next text begins with it; after "\r" that is "\n"
        self._id = last_id
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Incoming]:
        """The events that are whole with these bytes. :raises BrokenStream: one is too long to be one."""
        new = self._text.decode(data)
        if new:
            new = new.removeprefix(self._before)
            self._before = "\n" if new.endswith("\r") else ""
        text, begin = self._rest + new, 0
        for end in _LINE_END.finditer(text, len(self._rest)):
            line, begin = text[begin : end.start()], end.end()
            if line:
                self._line(line)
            elif (event := self._dispatch()) is not None:
                yield event
        self._rest = text[begin:]
        self._check(len(self._rest))

    def _line(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._check(len(value))
                self._data.append(value)
                self._size += len(value) + 1
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.retry = int(value[:9])

    def _dispatch(self) -> Incoming | None:
        self.last_id = self._id
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return Incoming(name, "\n".join(data), self.last_id) if data else None

    def _check(self, more: int) -> None:
        if self._size + more > MAX_EVENT:
            raise BrokenStream(f"an event of more than {MAX_EVENT} characters")
