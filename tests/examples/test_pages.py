"""The examples in one process: a program, its page, and rtlite between them."""

from __future__ import annotations

import json
import re
import runpy
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.browser import Tab
from tests.clients.runtimes import why_no_npm
from tests.examples.running import EXAMPLES, change, copy, fits, looked_at, running

TESTS = Path(__file__).parents[1]


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


async def fill(tab: Tab, name: str, text: str) -> None:
    await tab.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(text)}")


async def shows(tab: Tab, selector: str, text: str) -> None:
    await tab.until(f"document.querySelector({json.dumps(selector)})?.textContent === {json.dumps(text)}")


async def test_a_job_goes_on_after_a_reload_and_after_the_program_was_killed(chromium: str, tmp_path: Path) -> None:
    folder = copy("job-progress", tmp_path, ROWS="100", SECONDS_A_ROW="0.2")
    async with running(folder, "app.py", "0") as (example, nursery), looked_at(chromium, example.url) as tab:
        await tab.follow("button")
        await tab.until("parseInt(document.querySelector('#status')?.textContent) >= 2")
        await tab.goto(await tab.evaluate("location.href"))
        await tab.until("document.querySelector('progress').value >= 5")
        await example.kill()
        await shows(tab, "#link", "Connecting …")
        assert 5 <= await tab.evaluate("document.querySelector('progress').value") < 100
        await fits(tab)
        change(folder, SECONDS_A_ROW="0.01")
        await example.restart(nursery)
        await shows(tab, "#status", "completed: 100 rows")
        assert await tab.evaluate("document.querySelector('progress').value") == 100
        await tab.goto(example.url)
        assert "completed" in await tab.evaluate("document.querySelector('li').textContent")
        await fits(tab)


async def test_an_answer_goes_on_in_the_middle_and_says_when_it_was_cut_off(chromium: str, tmp_path: Path) -> None:
    folder = copy("llm-stream", tmp_path, SECONDS_A_TOKEN="0")
    expected = "".join([token async for token in runpy.run_path(str(folder / "model.py"))["tokens"]("Why?")])
    change(folder, SECONDS_A_TOKEN="0.2")
    text = "document.getElementById('answer').textContent"
    async with running(folder, "app.py", "0") as (example, nursery), looked_at(chromium, example.url) as tab:
        await fits(tab)
        await tab.follow("button")
        await tab.until(f"{text}.split(' ').length > 3")
        before, at = await tab.evaluate(text), await tab.evaluate("location.href")
        await tab.goto("about:blank")  # nobody looks
        await tab.goto(at)
        await tab.until(f"{text}.length > {len(before)}")
        change(folder, SECONDS_A_TOKEN="0.01")
        await example.restart(nursery)
        await shows(tab, "#state", "The answer is not complete: cancelled.")
        shown = await tab.evaluate(text)
        assert len(before) < len(shown) < len(expected)
        assert expected.startswith(shown)
        await tab.goto(example.url)
        await tab.follow("button")
        await shows(tab, "#state", "")
        assert await tab.evaluate(text) == expected
        await fits(tab)


async def test_a_scripts_output_is_watched_and_replayed(chromium: str, tmp_path: Path) -> None:
    folder = copy("streamed-script", tmp_path, SECONDS_A_STEP="0.03")
    last = "document.querySelector('li:last-child')?.className"
    async with running(folder, "app.py", "0") as (example, _), looked_at(chromium, example.url) as tab:
        await tab.until("document.querySelectorAll('li').length > 5")
        await tab.goto(example.url)
        await tab.until(f"{last} === 'exit'")
        lines = await tab.evaluate("[...document.querySelectorAll('li')].map(line => line.textContent)")
        errors = [f"photos/{number}: 1 file cannot be read" for number in (10, 20, 30)]
        assert [line for line in lines if line in errors] == errors
        lines = [line for line in lines if line not in errors]
        assert lines[0] == "Backing up 30 folders"
        assert lines[1:31] == [f'{{"folder":"photos/{n:02}","files":{37 * n % 101}}}' for n in range(1, 31)]
        assert lines[31:] == ["Done", "exit code 0"]
        await fits(tab)
        readme = (folder / "README.md").read_text().replace("examples/", f"{tmp_path}/")
        (tail,) = re.findall(r"^rtlite (tail .*)$", readme, re.MULTILINE)
        command = [sys.executable, "-m", "rtlite", *tail.split()]
        printed = await trio.run_process([*command, "--count", str(len(lines) + 3)], capture_stdout=True)
        assert [json.loads(line)["event"] for line in printed.stdout.splitlines()] == [*["message"] * 35, "exit"]
        await tab.follow("button")
        await tab.until(f"document.querySelectorAll('li').length === {2 * (len(lines) + 3)} && {last} === 'exit'")


async def test_a_blog_in_flask_is_live_for_its_readers_and_its_author(chromium: str, tmp_path: Path) -> None:
    folder = copy("flask-blog", tmp_path)
    async with (
        running(folder, "app.py", free_port(), "0") as (example, _),
        looked_at(chromium, example.url) as author,
        looked_at(chromium, f"{example.url}/posts/tides") as reader,
    ):
        await shows(reader, ".rtlite output", "Views: 1")
        await author.follow("a[href='/login']")
        await fits(author)
        await fill(author, "password", "guess")
        await author.follow("button")
        await shows(author, "[role=alert]", "That is not the password.")
        found = re.search(r"password is (\S+)\)", example.said)
        assert found
        await fill(author, "password", found[1])
        await author.follow("button")
        await author.goto(f"{example.url}/posts/tides")

        await reader.click(".rtlite button")
        await shows(author, "#bell output", "1")
        await shows(author, ".rtlite button", "👍 1")
        await fill(reader, "author", "Bo <b>")
        await fill(reader, "body", "How high are they?")
        await reader.follow("section button")
        await shows(reader, "#comments li", "Bo <b>How high are they?")
        await shows(author, "#comments li", "Bo <b>How high are they?")
        await shows(author, "#bell output", "2")
        await author.click("summary")
        await shows(author, "#bell li", "Bo <b> on tides: How high are they?")
        await shows(author, "#bell output", "0")
        await fits(author)

        await author.goto("about:blank")
        await reader.click(".rtlite button:last-child")
        await author.goto(example.url)
        await shows(author, "#bell output", "1")
        await shows(author, "#bell li", "❤️ for tides")
        assert "(views: 1)" in await author.evaluate("document.querySelector('ul li:nth-of-type(2)').textContent")
        assert (
            len(await author.evaluate("[...document.querySelectorAll('#bell li')].map(item => item.textContent)")) == 3
        )


async def test_a_blog_of_plain_files_is_live_for_its_readers_and_its_author(chromium: str, tmp_path: Path) -> None:
    folder, port, live = copy("static-blog", tmp_path), free_port(), free_port()
    for page in folder.glob("site/*.html"):
        page.write_text(page.read_text().replace("http://127.0.0.1:8000", f"http://127.0.0.1:{live}"))
    async with running(folder, "serve.py", port, live) as (example, _):
        for page in ("", "/moon.html"):
            async with looked_at(chromium, example.url + page) as tab:
                await fits(tab)
        author_page = re.search(r"author's page: (\S+)", example.said)
        assert author_page
        async with (
            looked_at(chromium, f"{example.url}/tides.html") as one,
            looked_at(chromium, f"{example.url}/tides.html") as two,
            looked_at(chromium, author_page[1]) as author,
        ):
            await shows(two, ".rtlite output", "Views: 1")
            await one.click(".rtlite button")
            await shows(two, ".rtlite button", "👍 1")
            await fill(one, "author", "Bo")
            await fill(one, "body", "<i>How high are they?</i>")
            await one.click("form button")
            for tab in (one, two):
                await shows(tab, "#comments li", "Bo<i>How high are they?</i>")
            await shows(author, "#news li", "Bo on tides: <i>How high are they?</i>")
            await shows(author, "#news li:last-child", "👍 for tides")
            await fits(author)
            assert await one.evaluate("document.querySelector('textarea').value") == ""
            await two.goto(f"{example.url}/tides.html")
            await shows(two, "#comments li", "Bo<i>How high are they?</i>")
            assert await two.evaluate("document.querySelectorAll('#comments li').length") == 1


@pytest.mark.parametrize("name", ["django-page", "fastapi-page"])
async def test_a_guest_book_beside_another_framework(chromium: str, tmp_path: Path, name: str) -> None:
    async with (
        running(copy(name, tmp_path), "app.py", free_port(), "0") as (example, _),
        looked_at(chromium, example.url) as one,
        looked_at(chromium, example.url) as two,
    ):
        await fill(one, "name", "Bo <b>")
        await one.click("button")
        for tab in (one, two):
            await shows(tab, "li", "Bo <b>")
        await two.goto(example.url)
        await shows(two, "li", "Bo <b>")
        await fits(two)


async def test_a_text_is_edited_by_all_who_have_it_open_and_is_there_after_a_restart(
    chromium: str, tmp_path: Path
) -> None:
    for library in ("codemirror", "y-codemirror.next", "y-websocket", "yjs", "esbuild"):
        if why := why_no_npm(library):
            pytest.skip(why)
    folder, page, live = copy("collaborative-page", tmp_path), free_port(), free_port()
    for name in ("run.py", "page.js", "package.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("8080", page).replace("8000", live))
    (folder / "node_modules").symlink_to(TESTS / "node_modules")
    async with (
        running(folder, "run.py") as (example, _),
        looked_at(chromium, example.url) as one,
        looked_at(chromium, example.url) as two,
    ):
        await shows(one, "#state", "connected")
        await one.click(".cm-content")
        await one.call("Input.insertText", text="It rains.")
        await two.until("document.querySelector('.cm-line').innerText.includes('It rains.')")
        await fits(two)
    async with running(folder, "run.py") as (example, _), looked_at(chromium, example.url) as one:
        await one.until("document.querySelector('.cm-line').innerText.includes('It rains.')")


async def test_a_real_model_is_put_in_by_the_function_that_the_readme_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (EXAMPLES / "llm-stream" / "README.md").read_text(), re.DOTALL)
    asked: list[str] = []

    async def answer(stream: trio.SocketStream) -> None:
        while not asked or not asked[0].endswith("}"):
            asked[:] = ["".join(asked) + (await stream.receive_some()).decode()]
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        deltas = [{"role": "assistant"}, {"content": "The "}, {"content": "moon."}, {}]
        lines = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
        await stream.send_all("".join([head, *lines, 'data: {"choices": []}\n\n', "data: [DONE]\n\n"]).encode())
        await stream.aclose()

    names: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), names)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        monkeypatch.setenv("MODEL_URL", f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1")
        monkeypatch.setenv("MODEL", "small")
        monkeypatch.setenv("MODEL_KEY", "secret")
        with trio.fail_after(10):
            assert [token async for token in names["tokens"]("Why?")] == ["The ", "moon."]
        nursery.cancel_scope.cancel()
    head, _, body = asked[0].partition("\r\n\r\n")
    assert head.startswith("POST /v1/chat/completions ")
    assert "authorization: bearer secret" in head.lower()
    assert json.loads(body) == {
        "model": "small",
        "stream": True,
        "messages": [{"role": "user", "content": "Why?"}],
    }
