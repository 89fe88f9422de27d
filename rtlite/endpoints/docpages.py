"""The built-in docs: Markdown of the package, and the same as HTML.

``index.md`` is the table of contents: its lists name every page, in the order in which they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

FOLDER: Final = resources.files("rtlite.console").joinpath("docs")
INDEX: Final = "index"
SHORT: Final = 16  # characters of code that is not broken
_ENTRY: Final = re.compile(
    r"^(?:## (?P<section>.+)|- \[(?P<title>[^]]+)\]\((?P<name>[a-z0-9-]+)\.md\).*)$", re.MULTILINE
)
_LINK: Final = re.compile(r"(?P<name>[a-z0-9-]+)\.md(?P<anchor>#.*)?")


@attrs.frozen
class Entry:
    """A line of the table of contents."""

    name: str
    title: str
    section: str


def text(name: str) -> str:
    """A page as Markdown. :raises FileNotFoundError: there is none of this name."""
    return FOLDER.joinpath(f"{name}.md").read_text("utf-8")


def without_comments(markdown: str) -> str:
    """A page without what is there for the tests."""
    return re.sub(r"^<!--.*?-->\n", "", markdown, flags=re.MULTILINE | re.DOTALL)


def contents() -> list[Entry]:
    """Every page, in order, the table of contents itself first."""
    entries, section = [Entry(INDEX, "Contents", "")], ""
    for match in _ENTRY.finditer(text(INDEX)):
        section = match["section"] or section
        if match["name"]:
            entries.append(Entry(match["name"], match["title"], section))
    return entries


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(name: str, entries: Sequence[Entry]) -> str:
    """A page of the table of contents as HTML."""
    parser = _parser()
    tokens = parser.parse(text(name))
    headings = list(_anchored(tokens))
    number = [entry.name for entry in entries].index(name)
    before = entries[number - 1] if number else None
    after = entries[number + 1] if number + 1 < len(entries) else None
    return Template(FOLDER.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(entries[number].title),
        name=name,
        contents=_navigation(entries, name),
        headings="".join(f'<li><a href="#{anchor}">{escape(words)}</a></li>' for anchor, words in headings),
        headings_hidden="" if len(headings) > 1 else "hidden",
        body=parser.renderer.render(tokens, parser.options, {}),
        before=_step(before, "Previous", "prev"),
        after=_step(after, "Next", "next"),
    )


def _parser() -> MarkdownIt:
    """Imported here: who asks for no page need not wait for it."""
    from markdown_it import MarkdownIt
    from markdown_it.common.utils import escapeHtml

    class Html:
        """The renderer's rules that are ours."""

        @staticmethod
        def nothing(*_: object) -> str:
            """Of HTML there are only comments, which are for the tests."""
            return ""

        @staticmethod
        def table_open(*_: object) -> str:
            return '<div class="table" role="region" aria-label="Table" tabindex="0"><table>'

        @staticmethod
        def table_close(*_: object) -> str:
            return "</table></div>"

        @staticmethod
        def code_inline(tokens: Sequence[Token], number: int, *_: object) -> str:
            """A name stays in one line, and an option, which would break after a hyphen. A path breaks at slashes."""
            content = tokens[number].content
            if len(content) <= SHORT:
                return f'<code class="short">{escapeHtml(content)}</code>'
            return f"<code>{re.sub(r'(?<=[a-z}]/)(?=[a-z{])', '<wbr>', escapeHtml(content))}</code>"

        @staticmethod
        def fence(tokens: Sequence[Token], number: int, *_: object) -> str:
            token = tokens[number]
            words = f'tabindex="0" role="region" aria-label="Code: {escape(token.info)}"'
            return f'<div class="code"><pre {words}><code>{escapeHtml(token.content)}</code></pre></div>\n'

    parser = MarkdownIt("commonmark").enable("table")
    rules: dict[str, Any] = parser.renderer.rules  # type: ignore[attr-defined]  # of its HTML renderer
    rules |= {"html_block": Html.nothing, "html_inline": Html.nothing, "fence": Html.fence}
    rules |= {"code_inline": Html.code_inline}
    rules |= {"table_open": Html.table_open, "table_close": Html.table_close}
    parser.core.ruler.push("links", _point_links)
    return parser


def _point_links(state: Any) -> None:
    """Between files the links end in ``.md``, between served pages they do not."""
    for block in state.tokens:
        for token in block.children or ():
            if token.type == "link_open" and (match := _LINK.fullmatch(str(token.attrs["href"]))):
                token.attrs["href"] = f"/docs/{match['name']}{match['anchor'] or ''}".replace("/docs/index", "/docs")


def _anchored(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """Give each heading an id; yields those of the second level, and what they say."""
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            words = "".join(child.content for child in tokens[number + 1].children or ())
            token.attrs["id"] = slug(words)
            if token.tag == "h2":
                yield slug(words), words


def _navigation(entries: Sequence[Entry], current: str) -> str:
    lines, section = [], ""
    for entry in entries[1:]:
        if entry.section != section:
            lines.append(f"{'</ul>' if section else ''}<h2>{escape(entry.section)}</h2><ul>")
            section = entry.section
        here = ' aria-current="page"' if entry.name == current else ""
        lines.append(f'<li><a href="{_address(entry)}"{here}>{escape(entry.title)}</a></li>')
    return "\n".join([*lines, "</ul>"])


def _step(entry: Entry | None, word: str, relation: str) -> str:
    if entry is None:
        return "<span></span>"
    return f'<a rel="{relation}" href="{_address(entry)}"><span>{word}</span> {escape(entry.title)}</a>'


def _address(entry: Entry) -> str:
    return "/docs" if entry.name == INDEX else f"/docs/{entry.name}"
