"""The fenced code blocks of README, the built-in docs and the examples, and what is said about running them.

A comment right before a block says how it is run. Without one, a block is run as it is and has to
succeed. Values are in JSON's quotes, and may stand on several lines::

    <!-- not run: it needs an account -->       the only way for a block not to be run
    <!-- output -->                             what the block before printed; … stands for anything
    <!-- run: first "mkdir blog" -->            a shell command that goes before
    <!-- run: then "print(rt.url)" -->          a line of the block's own language that follows it
    <!-- run: shows "ready" -->                 its output has this; … stands for anything
    <!-- run: do "rtlite trigger view_update" until "viewCount" -->
                                                it runs until its output has this, while the command is run, too,
                                                again and again; then it gets SIGINT
    <!-- run: when "subscribed" do "…" until "…" -->   the command is run once, when the output has that
    <!-- run: background until "ready" -->      it goes on to run beside the blocks that follow
    <!-- run: exit 2 -->                        its exit code
    <!-- run: as "mjs" -->                      as if it were of this language
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "rtlite" / "console" / "docs"
_COMMENT = re.compile(r"<!--\s*(not run:|run:|output)\s*(.*?)\s*-->\s*", re.DOTALL)
_WORD = re.compile(r'\s*([a-z]+)(?:\s+("(?:[^"\\]|\\.)*"|\d+))?', re.DOTALL)
_TAKES_A_TEXT = {"first", "then", "shows", "do", "when", "until", "as"}


class Unclear(ValueError):
    """A block, or the comment before it, that says nothing about how it is run."""


@attrs.frozen
class Block:
    """:param language: of the fence. :param code: what stands in it. :param line: of the file, from 1."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None = None
    is_output: bool = False
    how: dict[str, str] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> dict[str, Path]:
    """Every text with blocks, by its path in the repository."""
    found = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("examples/**/README.md"))]
    return {path.relative_to(ROOT).as_posix(): path for path in found if "node_modules" not in path.parts}


def blocks_of(page: str, text: str) -> list[Block]:
    """:raises Unclear: a block without a fence or a language, or a comment that cannot be read."""
    blocks: list[Block] = []
    before = None
    for token in _parser().parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "code_block":
            raise Unclear(f"{page}:{line}: a block without a fence, and so without a language")
        if token.type == "fence":
            blocks.append(_block(page, line, token.info.strip(), token.content, before))
        before = token.content if token.type == "html_block" else None
    return blocks


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _block(page: str, line: int, language: str, code: str, comment: str | None) -> Block:
    where = f"{page}:{line}"
    if not language:
        raise Unclear(f"{where}: a block without a language")
    match = _COMMENT.fullmatch(comment) if comment else None
    if match is None:
        return Block(page, line, language, code)
    kind, rest = match.groups()
    if kind == "output":
        return Block(page, line, language, code, is_output=True)
    if kind == "not run:":
        if len(rest) < 5:
            raise Unclear(f"{where}: not run, and no reason why")
        return Block(page, line, language, code, reason=rest)
    return Block(page, line, language, code, how=_words(where, rest))


def _words(where: str, text: str) -> dict[str, str]:
    words: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None or match[1] not in _TAKES_A_TEXT | {"exit", "background"}:
            raise Unclear(f"{where}: cannot read {text[position:]!r}")
        if (match[1] in _TAKES_A_TEXT) != (match[2] or "").startswith('"'):
            raise Unclear(f"{where}: what does {match[1]} say?")
        words[match[1]] = json.loads(match[2].replace("\n", "\\n")) if match[2] else ""
        words[match[1]] = str(words[match[1]])
        position = match.end()
    return words
