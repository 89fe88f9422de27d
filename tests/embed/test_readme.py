"""What the README shows of embedding, run as it stands there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import rtlite
from tests.embed.test_pytest_plugin import PLUGINS

pytest_plugins = ["pytester"]
README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("## Embed it\n")[2].partition("\n## ")[0]
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", SECTION, re.MULTILINE) if block.strip()
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the one block that contains ``mark``, on a free port, with ``replaced`` in it."""
    monkeypatch.chdir(tmp_path)

    def run(mark: str, **replaced: str) -> dict[str, Any]:
        (block,) = [block for block in BLOCKS if mark in block]
        for old, new in {"port=8000": "port=0", **replaced}.items():
            block = block.replace(old, new)
        names: dict[str, Any] = {"__name__": "shown"}
        exec(compile(block, "README.md", "exec"), names)
        return names

    return run


@pytest.fixture
def server() -> Iterator[rtlite.Started]:
    with rtlite.start(dev=True) as started:
        yield started


def test_each_block_is_run_here() -> None:
    assert len(BLOCKS) == 5


def test_in_a_trio_program(run: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    run("rt.listen")
    assert "view_update {'viewCount': 7}" in capsys.readouterr().out


def test_in_a_flask_program(run: Callable[..., Any]) -> None:
    names = run("from flask")
    with names["live"] as live:
        answer = names["app"].test_client().post("/comments", json={"text": "Hi"})
        assert answer.status_code == 201
        assert live.history("article:hello")["items"][0]["id"] == answer.get_json()["id"]


def test_beside_a_quart_program(run: Callable[..., Any]) -> None:
    pages: list[int] = []

    async def look(rt: rtlite.Embedded) -> None:
        async with httpx.AsyncClient(base_url=rt.url, trust_env=False, verify=False) as http:
            assert "/blog/embed.js" in (await http.get("/")).text
            pages.append((await http.get("/blog/embed.js")).status_code)

    names = run(
        "QuartTrio", **{"app=app):": "app=app) as rt:", "trio.sleep_forever()": "look(rt)", "trio.run(main)": ""}
    )
    names["look"] = look
    trio.run(names["main"])
    assert pages == [200]


def test_with_a_client(run: Callable[..., Any], server: rtlite.Started, capsys: pytest.CaptureFixture[str]) -> None:
    run("SyncClient", **{"http://127.0.0.1:8000": server.url})
    assert capsys.readouterr().out == "{'viewCount': 8}\n"


def test_in_a_test_of_pytest(pytester: pytest.Pytester) -> None:
    (block,) = [block for block in BLOCKS if "def test_" in block]
    pytester.makepyfile(block)
    pytester.runpytest_inprocess(*PLUGINS).assert_outcomes(passed=1)


def test_every_public_name_is_explained_and_there_is_no_other() -> None:
    text = SECTION.replace("rtlite.toml", "")
    named = set(re.findall(r"\brtlite\.(\w+)", text)) - {"publish", "expect", "aexpect", "url", "admin_key", "key"}
    assert named == set(rtlite.__all__)
    for name in rtlite.__all__:
        assert getattr(rtlite, name).__doc__
    assert set(rtlite.__all__) <= set(dir(rtlite))
    with pytest.raises(AttributeError, match="no_such_name"):
        rtlite.no_such_name  # noqa: B018
