"""``rtlite docs``."""

from __future__ import annotations

from click.testing import CliRunner

from rtlite.cli.program import program
from rtlite.endpoints import docpages


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(program, ["docs", *words])
    return result.exit_code, result.output


def test_into_a_pipe_a_page_is_its_markdown() -> None:
    assert run("sse") == run("sse.md") == (0, docpages.text("sse"))


def test_without_a_name_it_prints_the_contents() -> None:
    code, said = run()
    assert code == 0
    assert all(entry.title in said for entry in docpages.contents()[1:])


def test_a_name_that_is_none_is_wrong_usage() -> None:
    code, said = run("../../no-such-thing")
    assert code == 2
    assert "rtlite docs lists them" in said


def test_the_page_that_was_meant_is_named() -> None:
    for wrong, meant in (("ss", "sse"), ("SSE", "sse"), ("setings", "settings"), ("recrd-and-play", "record-and-play")):
        code, said = run(wrong)
        assert code == 2
        assert f"Did you mean {meant!r}?" in said


def test_what_is_there_for_the_tests_is_left_out_on_a_terminal() -> None:
    assert "<!--" in docpages.text("sse")
    assert "<!--" not in docpages.without_comments(docpages.text("sse"))
