"""Lines out of pieces, and what each of them says."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from rtlite.errors import InvalidRequest, TooLarge
from rtlite.protocols import jsonframes


class Lines:
    """Cuts what is fed to it into lines, without their ends (``\\n``, ``\\r\\n``).

    :param limit: the most bytes that a line may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that are whole with this piece. :raises TooLarge: one is too long."""
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0] = bytes(self._rest + whole[0])
            self._rest.clear()
        self._rest += rest
        for line in whole:
            yield self._checked(line.removesuffix(b"\r"))
        self._check(len(self._rest))

    def feed_eof(self) -> Iterator[bytes]:
        """The last line, if it has no end."""
        if self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            yield self._checked(rest.removesuffix(b"\r"))

    def _checked(self, line: bytes) -> bytes:
        self._check(len(line))
        return line

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"a line may have {self._limit} bytes")


def text(line: bytes) -> bytes | None:
    """A line of text as JSON; what is not UTF-8 in it is replaced."""
    return orjson.dumps(line.decode("utf-8", "replace"))


def ndjson(line: bytes) -> bytes | None:
    """A line of JSON, written as we write it; ``None`` if it is blank. :raises InvalidRequest: it is not JSON."""
    if not line or line.isspace():
        return None
    return value(line)


def value(data: bytes) -> bytes:
    """JSON, written as we write it. :raises InvalidRequest: it is not JSON, or nested too deeply."""
    parsed = jsonframes.parse(data)
    try:
        return orjson.dumps(parsed)
    except TypeError as error:  # it reads deeper nesting than it writes
        raise InvalidRequest("nested too deeply", code="invalid_json") from error
