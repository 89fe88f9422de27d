"""Every code block of README, the built-in docs and the examples does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.browser import find_chromium
from tests.docs.blocks import Block, Unclear, blocks_of, pages
from tests.docs.languages import Missing
from tests.docs.printed import contains
from tests.docs.runner import open_page

PAGES = pages()


@pytest.mark.parametrize("page", PAGES)
async def test_the_blocks_of_a_page_do_what_it_says(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    def chromium() -> str:
        if find_chromium() is None:
            raise Missing("Chromium is not installed")
        url: str = request.getfixturevalue("chromium")
        return url

    blocks = [block for block in blocks_of(page, PAGES[page].read_text()) if block.reason is None]
    missing: list[str] = []
    serves = any("background" in block.how for block in blocks)
    async with open_page(tmp_path, chromium, serves=serves) as opened:
        for block in blocks:
            try:
                await opened.run(block)
            except Missing as why:
                missing.append(f"{block.name}: {why}")
            except Exception as error:
                raise AssertionError(f"{block.name}: {error}\n\n{block.code}") from error
    if missing:
        pytest.skip("; ".join(missing))


def test_a_block_that_is_not_run_says_why() -> None:
    with pytest.raises(Unclear, match="no reason why"):
        blocks_of("page", "<!-- not run: -->\n```sh\ntrue\n```\n")
    assert blocks_of("page", "<!-- not run: it takes a month -->\n```sh\ntrue\n```\n")[0].reason == "it takes a month"


def test_a_block_without_a_language_is_refused() -> None:
    with pytest.raises(Unclear, match="page:3: a block without a language"):
        blocks_of("page", "Text\n\n```\ntrue\n```\n")
    with pytest.raises(Unclear, match="without a fence"):
        blocks_of("page", "Text\n\n    true\n")


def test_what_a_comment_says_of_its_block_is_understood_or_refused() -> None:
    said = 'until "a \\"b\\"" do "true" background'
    (block,) = blocks_of("page", f"<!-- run: {said} -->\n```sh\nsleep 1\n```\n")
    assert block == Block("page", 2, "sh", "sleep 1\n", how={"until": 'a "b"', "do": "true", "background": ""})
    for wrong in ("untill", "until", 'exit "2"'):
        with pytest.raises(Unclear, match="page:2"):
            blocks_of("page", f"<!-- run: {wrong} -->\n```sh\ntrue\n```\n")


@pytest.mark.parametrize(
    ("comment", "code"), [("", "false"), ('shows "b"', "echo a"), ('until "b"', "echo a"), ("exit 1", "true")]
)
async def test_a_block_that_does_something_else_is_found(comment: str, code: str, tmp_path: Path) -> None:
    (block,) = blocks_of("page", (f"<!-- run: {comment} -->\n" if comment else "") + f"```sh\n{code}\n```\n")
    async with open_page(tmp_path) as page:
        with pytest.raises(AssertionError):
            await page.run(block)


def test_in_an_output_dots_stand_for_anything() -> None:
    assert contains('{"id":"7","a":1}\nmore', '{"id":"…","a":1}')
    assert not contains('{"id":"7","a":2}', '{"id":"…","a":1}')
