"""Recordings as files: what is written stays whole, what is wrong is named, what is read is in order."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from rtlite.cli import recording
from rtlite.cli.recording import Recorder, WrongFile, opened

HEADER = '{"rtlite":"recording","version":1,"recorded":"2026-05-27T10:30:00.000Z","from":"http://a"}\n'
DEEP: Any = json.loads("[" * 300 + "]" * 300)


def event(second: float, channel: str = "a:1", **fields: Any) -> dict[str, Any]:
    stamp = f"2026-05-27T10:30:{second:06.3f}Z"
    return {"id": "x", "channel": channel, "event": "e", "data": second, "timestamp": stamp, **fields}


def read(path: str) -> list[tuple[float, Any]]:
    return [(at, item["data"]) for at, item in opened(path, dict)]


def test_what_is_recorded_is_read_with_its_times(tmp_path):
    path = str(tmp_path / "a.jsonl")
    with Recorder(path, "http://a") as recorder:
        recorder.add(event(1) | {"epoch": None})
        recorder.add(event(2.25, data={"ä": [None, 1.5]}))
    with Recorder(path, "http://a") as recorder:
        recorder.add(event(9, data=None))
    assert read(path) == [(0, 1), (1.25, {"ä": [None, 1.5]}), (8, None)]
    assert recording.origin(path) == "http://a"
    assert os.stat(path).st_mode & 0o777 == 0o600  # what was said there was not said to everyone


def test_half_a_line_of_a_recorder_that_was_killed_is_left_out_and_then_removed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(HEADER + json.dumps(event(1)) + "\n" + '{"id": "y", "chan')
    assert read(str(path)) == [(0, 1)]
    with Recorder(str(path), "http://a") as recorder:
        recorder.add(event(2))
    assert read(str(path)) == [(0, 1), (1, 2)]


def test_a_line_that_the_disk_does_not_take_is_taken_back(tmp_path, monkeypatch):
    path, write = str(tmp_path / "a.jsonl"), os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 10:
            return write(file, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WrongFile, match="No space left"), Recorder(path, "http://a") as recorder:
        recorder.add(event(1))
        monkeypatch.setattr(os, "write", full)
        recorder.add(event(2))
    assert read(path) == [(0, 1)]


def test_a_file_that_is_no_recording_stays_as_it_is(tmp_path):
    path = tmp_path / "diary.txt"
    path.write_text("Dear diary")
    with pytest.raises(WrongFile, match="this is no recording"), Recorder(str(path), "http://a"):
        pass
    assert path.read_text() == "Dear diary"


def test_two_recorders_do_not_write_to_one_file(tmp_path):
    path = str(tmp_path / "a.jsonl")
    with Recorder(path, "http://a"), pytest.raises(WrongFile, match="another recorder"), Recorder(path, "http://a"):
        pass


def test_events_are_in_the_order_of_their_times_and_those_of_a_channel_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [event(5), event(3), event(1, "b:1"), event(4, "b:1"), event(6)]  # the clock of a:1 was set back
    path.write_text(HEADER + "".join(json.dumps(line) + "\n" for line in lines))
    assert read(str(path)) == [(0, 1), (3, 4), (4, 5), (4, 3), (5, 6)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.jsonl:1: this is no recording"),
        ("{}\n", "a.jsonl:1: this is no recording"),
        (HEADER.replace(":1,", ":2,"), "a.jsonl:1: version: only 1 is known here"),
        (HEADER + "nonsense\n", "a.jsonl:2: not JSON"),
        (HEADER + "[]\n", "a.jsonl:2: an object is wanted"),
        (HEADER + json.dumps(event(1)) + "\n" + json.dumps(event(1, timestamp=5)) + "\n", "a.jsonl:3: timestamp:"),
        (HEADER + json.dumps(event(1, channel=None)) + "\n", "a.jsonl:2: channel: a text is wanted"),
        (HEADER + json.dumps(event(1, "a:*")) + "\n", "a.jsonl:2: channel: a pattern names many"),
        (HEADER + json.dumps(event(1, event="")) + "\n", "a.jsonl:2: event: 1 to 128 visible"),
        (HEADER + '{"raw":1,"timestamp":"2026-05-27T10:30:00Z"}\n', "a.jsonl:2: raw: a text is wanted"),
        (HEADER + json.dumps(event(1, data=DEEP)) + "\n", "a.jsonl:2: data: nested too deeply"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_field(tmp_path, text, said):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(WrongFile) as caught:
        opened(str(path), dict)
    assert said in str(caught.value)
    with pytest.raises(WrongFile, match="No such file"):
        opened(str(tmp_path / "none"), dict)
