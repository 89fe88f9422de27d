"""``rtlite faults``: what one types, what it says, and that it is done."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources

import pytest

from rtlite.domain.faults import check
from rtlite.faults import KINDS, NewFault
from rtlite.settings import Settings
from tests.cli.conftest import rtlite
from tests.servers import running_server


async def test_faults_are_set_listed_and_ended(dev_server):
    at = ("--url", dev_server.url)  # and no key: the server says that it runs with --dev
    made = await rtlite("faults", "add", "latency", "200ms", "--jitter", "50ms", "--for", "1m", *at)
    (fault,) = made.json
    assert (fault["kind"], fault["latency"], fault["jitter"]) == ("latency", 200, 50)
    assert 55 < fault["remaining"] <= 60
    made = await rtlite(
        *("faults", "add", "drop", "--channel", "article:*", "--protocol", "sse", "--user", "ann"),
        *("--probability", "0.5", "--count", "3", "--seed", "7", *at),
    )
    second = made.json[0]
    assert [second[name] for name in ("channel", "protocol", "user", "probability", "count", "seed")] == [
        "article:*",
        "sse",
        "ann",
        0.5,
        3,
        7,
    ]
    listed = await rtlite("faults", "list", *at)
    assert [item["id"] for item in listed.json] == [fault["id"], second["id"]]
    ended = await rtlite("faults", "clear", fault["id"], *at)
    assert ended.out == f"{fault['id']} is over\n"
    assert (await rtlite("faults", "clear", *at)).out == "1 ended\n"
    assert (await rtlite("faults", "list", *at)).out == ""


async def test_each_kind_has_a_command_with_units_as_one_writes_them(dev_server):
    at = ("--url", dev_server.url)
    for words, expected in (
        (("slow-reader", "4KiB"), {"rate": 4096}),
        (("refuse", "--status", "429", "--retry-after", "1m"), {"status": 429, "retry_after": 60}),
        (("close", "--code", "4000", "--text", "bye"), {"code": 4000, "text": "bye"}),
        (("reorder", "--latency", "2s"), {"latency": 2000}),
    ):
        (made,) = (await rtlite("faults", "add", *words, *at)).json
        assert made["kind"] == words[0] and expected.items() <= made.items()


async def test_what_the_server_refuses_is_said_in_one_line(dev_server):
    done = await rtlite("faults", "add", "drop", "--for", "5h", "--url", dev_server.url)
    assert (done.code, done.err) == (
        1,
        "rtlite: duration: up to 1h is allowed (fault_max_time) (400 invalid_request)\n",
    )
    async with running_server() as server:
        key = await server.key("admin", "root")
        done = await rtlite("faults", "add", "drop", "--url", server.url, "--key", key)
    assert done.err == "rtlite: faults are off here (--dev and the setting faults allow them) (403 faults_off)\n"


def test_help_lists_the_kinds_in_words_and_each_with_its_own_options_alone(invoke):
    overview = invoke("faults", "add", "--help").output
    for kind in KINDS.values():
        assert kind.name in overview
        own = invoke("faults", "add", kind.name, "--help")
        assert own.exit_code == 0
        for name in ("protocol", "channel", "user", "connection"):
            assert (f"--{name}" in own.output) == (name in kind.chosen)
    assert "rtlite faults add latency 200ms" in invoke("faults", "--help").output


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "latency"),
        ("add", "latency", "soon"),
        ("add", "slow-reader", "much"),
        ("add", "drop", "--latency", "5ms"),
        ("add", "drop", "--protocol", "ftp"),
        ("add", "earthquake"),
    ],
)
def test_wrong_usage_is_told_before_any_server_is_asked(invoke, words):
    assert invoke("faults", *words, "--url", "http://127.0.0.1:1").exit_code == 2


def test_every_line_of_the_docs_sets_a_fault_that_the_server_takes(invoke, monkeypatch):
    from rtlite.cli import faults

    asked: list[dict[str, object]] = []

    async def call(_server: object, _method: str, _path: str, body: dict[str, object]) -> object:
        asked.append(body)
        return {"id": "flt_1", "remaining": 1.0, "seed": 7}

    monkeypatch.setattr(faults, "_call", call)
    page = (resources.files("rtlite.console") / "docs" / "faults.md").read_text()
    lines = re.findall(r"rtlite (faults add [^`#\n]+)", page)
    for line in lines:
        done = invoke(*shlex.split(line), "--dev")
        assert done.exit_code == 0, (line, done.output)
        check(NewFault(**asked[-1]), Settings(dev=True))
    assert {body["kind"] for body in asked} == set(KINDS)


def test_the_docs_name_each_kind_with_its_fields_and_defaults():
    page = (resources.files("rtlite.console") / "docs" / "faults.md").read_text()
    table = page.partition("## The kinds")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) ?\|", table, re.MULTILINE))
    for kind in KINDS.values():
        assert set(re.findall("`([a-z_]+)`", rows[kind.name])) == set(kind.takes)
        for value in kind.takes.values():
            assert value in (..., None, "", 0) or str(value) in rows[kind.name]


def test_into_a_pipe_each_fault_is_a_line_of_json_and_on_a_terminal_a_table(invoke, monkeypatch):
    from rtlite.cli import faults, output

    item = {
        **dict.fromkeys(("protocol", "channel", "user", "connection", "count")),
        "id": "flt_1",
        "kind": "latency",
        "latency": 200,
        "jitter": 0,
        "probability": 0.5,
        "seed": 7,
        "struck": 3,
        "remaining": 59.6,
        "user": "ann",
    }

    async def call(*_: object) -> object:
        return {"items": [item]}

    monkeypatch.setattr(faults, "_call", call)
    assert json.loads(invoke("faults", "list", "--dev").output)["struck"] == 3
    monkeypatch.setattr(output, "wants_json", lambda flag: flag)
    shown = invoke("faults", "list", "--dev").output
    for text in ("flt_1", "latency 200", "probability 0.5", "user ann", "60 s"):
        assert text in shown
