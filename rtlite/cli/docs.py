"""``rtlite docs``: the built-in pages, in the terminal."""

from __future__ import annotations

import difflib

import click
from rich.console import Console
from rich.markdown import Markdown

from rtlite.cli import output
from rtlite.endpoints import docpages


@click.command()
@click.argument("name", default=docpages.INDEX)
def docs(name: str) -> None:
    """Print a page of the docs; without a NAME, their contents.

    Into a pipe it is the page's Markdown. A running server has the pages at /docs.

    \b
    rtlite docs sse
    """
    name = name.removesuffix(".md")
    names = [entry.name for entry in docpages.contents()]
    if name not in names:
        raise click.BadParameter(f"there is no page {name!r}. {_hint(name, names)}", param_hint="NAME")
    text = docpages.text(name)
    if output.wants_json(False):
        click.echo(text, nl=False)
    else:
        Console(width=min(Console().width, 120)).print(Markdown(docpages.without_comments(text)))


def _hint(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"Did you mean {near[0]!r}?" if near else "rtlite docs lists them."
