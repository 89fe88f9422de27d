"""A recording: a file of JSON lines, which says what was published, where and when.

The first line says what it is; each other is an event as ``rtlite tail --json`` prints it, or, of
another program's server, a message as it came::

    {"rtlite":"recording","version":1,"recorded":"2026-05-27T10:30:00.000Z","from":"http://127.0.0.1:8000"}
    {"id":"…","channel":"article:hello","event":"view_update","data":{…},"timestamp":"2026-05-27T10:30:01.250Z"}
    {"raw":"{\\"type\\":\\"view_update\\",…}","timestamp":"2026-05-27T10:30:01.250Z"}
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Self

import attrs
import orjson

from rtlite.errors import InvalidRequest, RtliteError
from rtlite.model import check_channel, check_event_id, check_event_name, now_ms, rfc3339

VERSION: Final = 1
# What is kept of an event, as far as the way it came tells it; tail prints the same.
_FIELDS: Final = ("id", "channel", "event", "data", "timestamp", "offset", "epoch", "position", "raw")


class WrongFile(RtliteError):
    """A file that cannot be played or added to: which, in which line, which field, and why."""

    def __init__(self, path: str, line: int, field: str, text: str) -> None:
        place = f"{path}:{line}" if line else path
        super().__init__(f"{place}: {field}: {text}" if field else f"{place}: {text}")


def is_recording(start: bytes) -> bool:
    """Whether a file that begins like this is one."""
    return _header(start.partition(b"\n")[0]) is not None


class Recorder:
    """Adds to a recording, a new one or one that is there; used as ``with Recorder(path, origin) as file``.

    Each line is written whole or taken back. What a recorder that was killed left of a line is
    removed first.

    :raises WrongFile: the file is there and no recording, another writes to it, or it cannot be written.
    """

    def __init__(self, path: str, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._file = -1
        self._whole = 0
        self.count = 0

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WrongFile(self._path, 0, "", str(error.strerror)) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin()
        except BlockingIOError as error:
            os.close(self._file)
            raise WrongFile(self._path, 0, "", "another recorder writes to it") from error
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if os.fstat(self._file).st_size > self._whole:  # stopped in the middle of a line
                os.ftruncate(self._file, self._whole)
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def _begin(self) -> None:
        size = os.fstat(self._file).st_size
        if size == 0:
            header = {"rtlite": "recording", "version": VERSION, "recorded": rfc3339(now_ms()), "from": self._origin}
            self._write(orjson.dumps(header) + b"\n")
            return
        if not is_recording(os.pread(self._file, 4096, 0)):
            raise WrongFile(self._path, 1, "", "this is no recording, and stays as it is")
        self._whole = _end_of_last_line(self._file, size)
        os.ftruncate(self._file, self._whole)

    def add(self, item: Mapping[str, Any]) -> None:
        """Write one event or message; without a time it gets the present one.

        :raises WrongFile: it cannot be written.
        """
        kept = {name: item[name] for name in _FIELDS if item.get(name) is not None or (name == "data" and name in item)}
        kept.setdefault("timestamp", rfc3339(now_ms()))
        self._write(orjson.dumps(kept) + b"\n")
        self.count += 1

    def _write(self, line: bytes) -> None:
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise WrongFile(self._path, 0, "", f"cannot be written: {error.strerror}") from error
        self._whole += len(line)


def _end_of_last_line(file: int, size: int) -> int:
    step = 64 * 1024
    for end in range(size, 0, -step):
        begin = max(0, end - step)
        newline = os.pread(file, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
    return 0


def origin(path: str) -> str:
    """The URL of what was recorded, as far as the first line says it."""
    try:
        with open(path, "rb") as file:
            header = _header(file.readline())
    except OSError as error:
        raise WrongFile(path, 0, "", str(error.strerror)) from error
    return str((header or {}).get("from", ""))


@attrs.frozen
class Recording:
    """A recording that was looked through: every line is fit to be played. Its events stay in the file."""

    path: str
    _index: list[tuple[int, int]]  # time (ms) and place in the file, in the order of playing
    _convert: Callable[[dict[str, Any]], dict[str, Any] | None]

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """The events, and the seconds from the first to each."""
        with open(self.path, "rb") as file:
            for time, place in self._index:
                file.seek(place)
                event = self._convert(orjson.loads(file.readline()))
                if event is not None:  # as it was when this was looked through
                    yield (time - self._index[0][0]) / 1000, event


def opened(path: str, convert: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Recording:
    """Look a recording through. ``convert`` makes of a line what is to be published, or ``None`` of one to leave out.

    Events are played in the order of their times, and those of a channel in the order of the file,
    also where a clock was set back.

    :raises WrongFile: it is none, or has a line that is none of a recording.
    """
    index: list[tuple[int, int]] = []
    newest: dict[str, int] = {}
    try:
        with open(path, "rb") as file:
            first = file.readline()
            header = _header(first)
            if header is None:
                raise WrongFile(path, 1, "", "this is no recording: its first line does not say so")
            if header.get("version") != VERSION:
                raise WrongFile(path, 1, "version", f"only {VERSION} is known here")
            place = len(first)
            for number, line in enumerate(file, 2):
                if line.endswith(b"\n"):  # else a recorder was killed there
                    event, time = _checked(path, number, line, convert)
                    if event is not None:
                        channel = event["channel"]
                        newest[channel] = time = max(time, newest.get(channel, time))
                        index.append((time, place))
                place += len(line)
    except OSError as error:
        raise WrongFile(path, 0, "", str(error.strerror)) from error
    return Recording(path, sorted(index), convert)


def _checked(
    path: str, number: int, line: bytes, convert: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> tuple[dict[str, Any] | None, int]:
    def wrong(field: str, text: str) -> WrongFile:
        return WrongFile(path, number, field, text)

    try:
        value = orjson.loads(line)
    except ValueError as error:
        raise wrong("", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise wrong("", "an object is wanted")
    try:
        time = datetime.fromisoformat(value["timestamp"])
        milliseconds = round(time.timestamp() * 1000)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong("timestamp", "a time such as 2026-05-27T10:30:00.000Z is wanted") from error
    if "raw" in value:
        if not isinstance(value["raw"], str):
            raise wrong("raw", "a text is wanted")
    elif not isinstance(value.get("channel"), str) or not isinstance(value.get("event"), str):
        raise wrong("channel" if not isinstance(value.get("channel"), str) else "event", "a text is wanted")
    event = convert(value)
    if event is not None:
        check_event(event, wrong)
    return event, milliseconds


def check_event(event: dict[str, Any], wrong: Callable[[str, str], WrongFile]) -> None:
    """Whether a server can take it. :raises WrongFile: as ``wrong`` says it of the field."""
    for field, check in (("channel", check_channel), ("event", check_event_name), ("id", check_event_id)):
        if field not in event and field == "id":
            continue
        try:
            check(event[field])
        except InvalidRequest as error:
            raise wrong(field, error.detail.removeprefix(f"{field}: ")) from error
    try:
        orjson.dumps(event)
    except TypeError as error:
        raise wrong("data", "nested too deeply") from error


def _header(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("rtlite") == "recording" else None
