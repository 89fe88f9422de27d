"""Playing recordings and scenarios."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import rtlite

SCENARIO = """
steps:
  - repeat: 2
    as: n
    every: 50ms
    steps:
      - publish: {channel: "article:a", event: e, data: "${n}"}
"""


def recording(*items: tuple[float, str, Any], raw: Sequence[str] = ()) -> None:
    lines = [{"rtlite": "recording", "version": 1, "recorded": "2026-05-27T10:30:00Z", "from": "http://a"}]
    lines += [
        {
            "id": f"old-{number}",
            "channel": channel,
            "event": "e",
            "data": data,
            "timestamp": f"2026-05-27T10:30:{second:06.3f}Z",
        }
        for number, (second, channel, data) in enumerate(items)
    ]
    lines += [{"raw": text, "timestamp": "2026-05-27T10:31:00Z"} for text in raw]
    Path("a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


async def test_a_recording_is_published_in_order_in_its_rhythm_with_new_ids(dev_server):
    recording((1, "article:a", 1), (1.1, "changes:p", 2), (1.3, "article:a", 3))
    done = await rtlite("play", "a.jsonl", "--url", dev_server.url)
    assert done.code == 0, done.err
    assert [(item["channel"], item["data"]) for item in done.json] == [
        ("article:a", 1),
        ("changes:p", 2),
        ("article:a", 3),
    ]
    assert not any(item["id"].startswith("old") for item in done.json)
    times = [datetime.fromisoformat(item["timestamp"]).timestamp() for item in done.json]
    assert 0.25 < times[2] - times[0] < 1


async def test_a_dry_run_says_what_and_when_and_asks_no_server():
    recording((1, "article:a", 1), (3, "changes:p", 2))
    done = await rtlite("play", "a.jsonl", "--dry-run", "--speed", "2", "--url", "http://127.0.0.1:1")
    assert [(item["at"], item["channel"], item["data"]) for item in done.json] == [
        (0, "article:a", 1),
        (1, "changes:p", 2),
    ]


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        (["--channel-prefix", "x-"], ["x-article:a", "x-changes:p"]),
        (["--map", "article:a=article:b"], ["article:b", "changes:p"]),
        (["--map", "changes:*=test:*", "--channel-prefix", "x-"], ["x-article:a", "x-test:p"]),
        (["--count", "1"], ["article:a"]),
        (["--loop", "--count", "5"], ["article:a", "changes:p", "article:a", "changes:p", "article:a"]),
    ],
)
async def test_channels_are_renamed_and_rounds_repeated(options, channels):
    recording((1, "article:a", 1), (3, "changes:p", 2))
    done = await rtlite("play", "a.jsonl", "--dry-run", *options)
    assert [item["channel"] for item in done.json] == channels


async def test_a_scenario_is_played_by_what_it_is(dev_server):
    for name in ("s.yaml", "scenario"):
        Path(name).write_text(SCENARIO)
        done = await rtlite("play", name, "--url", dev_server.url)
        assert [item["data"] for item in done.json] == [1, 2], done.err
    looped = await rtlite("play", "s.yaml", "--loop", "--count", "3", "--speed", "max", "--url", dev_server.url)
    assert [item["data"] for item in looped.json] == [1, 2, 1]
    seeded = [await rtlite("play", "s.yaml", "--dry-run", "--map", "article:*=x:*", "--seed", "1") for _ in "ab"]
    assert seeded[0] == seeded[1]
    assert seeded[0].json[0]["channel"] == "x:a"


async def test_if_one_line_is_wrong_nothing_is_published(dev_server):
    recording((1, "article:a", 1), (1, "article:*", 2))
    Path("s.yaml").write_text(SCENARIO + "  - wiat: 1s\n")
    for name, said in (
        ("a.jsonl", "a.jsonl:3: channel: a pattern"),
        ("s.yaml", "s.yaml:8: steps[2]: a step has one of"),
    ):
        done = await rtlite("play", name, "--url", dev_server.url)
        assert done.code == 1
        assert said in done.err
    history = await dev_server.http("rtk_dev").get("/api/channels/article:a/history")
    assert history.json()["items"] == []


def test_options_that_make_no_sense_are_named(invoke):
    for arguments, said in [
        (["--speed", "0"], "a number such as 2 or 0.5, or max"),
        (["--speed", "fast"], "a number such as 2 or 0.5, or max"),
        (["--map", "a:*=b:1"], "a whole kind such as changes:* becomes a whole kind"),
        (["--map", "a"], "is not OLD=NEW"),
    ]:
        result = invoke("play", "a.jsonl", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('{"type":"error"}', "a.jsonl: 1 message is no event, or names no channel (--channel): left out"),
        ('{"type":"error"}\n{"type":"x"}', "2 messages are no events, or name no channel (--channel): left out"),
        ('{"channel":"article:a","userId":"dev"}\n{"type":"subscribed"}', ""),
    ],
)
async def test_what_is_left_out_is_said_and_a_handshake_is_nothing_to_speak_of(raw: str, said: str):
    recording((1, "article:a", 1), raw=raw.splitlines())
    done = await rtlite("play", "a.jsonl", "--dry-run")
    assert len(done.json) == 1
    assert said in done.err and bool(done.err) is bool(said)
