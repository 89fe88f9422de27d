"""What the docs say of settings, metrics, close codes and the command line, made of the code.

``python -m tests.docs.generated`` writes it into the pages, between ``<!-- generated: NAME -->`` and
``<!-- end -->``; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs
import click
import trio

from rtlite import settings
from rtlite.cli import options
from rtlite.cli.program import program
from rtlite.endpoints.docpages import contents
from rtlite.errors import Reason
from rtlite.metrics import Metrics
from rtlite.settings import Declared, KindSettings, Settings
from rtlite.transports.routes import Route
from tests.docs.blocks import DOCS, ROOT
from tests.servers import running_server

# The first setting of each section.
SECTIONS: Final = {
    "host": "Where it listens",
    "data": "Data",
    "jwt_secret": "Credentials, origins, proxies",
    "max_message": "Sizes and numbers",
    "handshake_timeout": "Time",
    "socketio_ping_interval": "Socket.IO",
    "command_rate": "Rates",
    "blog_milestones": "Blog, presence, conversations",
    "job_bytes": "Jobs, inboxes, streams",
    "sweep_interval": "Retention and queues",
    "webhook_private": "Webhooks",
    "graphql_introspection": "GraphQL",
    "record_bytes": "Records and models",
    "collab_message": "Collaboration",
    "faults": "Faults",
}
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table in Markdown, after a line that is empty."""
    heads = list(heads)
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def all_settings() -> Iterator[str]:
    rows: list[Declared] = []
    heading = ""
    for item in settings.declared(Settings):
        if item.hidden:
            continue
        if item.name in SECTIONS and rows:
            yield from _settings(heading, rows)
            rows = []
        heading = SECTIONS.get(item.name, heading)
        rows.append(item)
    yield from _settings(heading, rows)


def kind_settings() -> Iterator[str]:
    yield from _settings("", settings.declared(KindSettings))


def _settings(heading: str, rows: list[Declared]) -> Iterator[str]:
    if heading:
        yield f"\n## {heading}"
    yield from table(
        ("setting", "default", "what it is"),
        ((f"`{item.name}`", f"`{options.shown(item, item.default)}`".replace("``", ""), _what(item)) for item in rows),
    )


def _what(item: Declared) -> str:
    choices = getattr(item.convert, "choices", ())
    return item.help + (f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else "")


def all_metrics() -> dict[str, tuple[str, str, str]]:
    """By name: type, labels, what it counts."""
    found = {}
    for made in vars(Metrics()).values():
        if hasattr(made, "_labelnames"):
            (metric,) = made.describe()
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            labels = ", ".join(f"`{label}`" for label in made._labelnames)
            found[name] = (metric.type, labels, metric.documentation)
    return found


def metrics() -> Iterator[str]:
    rows = ((f"`{name}`", *rest) for name, rest in all_metrics().items())
    return table(("metric", "type", "labels", "what it counts"), rows)


def close_codes() -> Iterator[str]:
    return table(
        ("reason", "blog", "`/ws`, `/_events`, `/collab`", "`/graphql/ws`", "text of the close frame"),
        (
            (f"`{reason.name.lower()}`", str(row.blog), str(row.commands), str(row.graphql), row.text)
            for reason in Reason
            for row in [reason.value]
        ),
    )


def paths() -> Iterator[str]:
    async def routes() -> list[Route]:
        async with running_server(dev=True) as server:
            return list(server.running.server.routes)

    served = sorted(trio.run(routes), key=lambda route: (route.pattern, _METHODS.index(route.method)))
    return table(
        ("request", "who", "what"),
        ((f"`{route.method} {route.pattern}`", route.access.value, route.summary) for route in served),
    )


def pages() -> Iterator[str]:
    sections: dict[str, list[str]] = {}
    for entry in contents()[1:]:
        link = f"[{entry.title}]({DOCS.relative_to(ROOT)}/{entry.name}.md)"
        sections.setdefault(entry.section, []).append(link)
    return table(("about", "pages"), ((section, ", ".join(links)) for section, links in sections.items()))


def commands() -> Iterator[str]:
    for name, command in _all(program, ()):
        if isinstance(command, click.Group):
            continue
        usage = " ".join(command.collect_usage_pieces(click.Context(command)))
        yield f"\n## rtlite {name}\n"
        yield f"`rtlite {name} {usage}`\n"
        yield from _help(command)
        rows = list(_options(command))
        if rows:
            yield from table(("option", "what it does"), rows)


def _all(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield " ".join((*above, name)), command
        if isinstance(command, click.Group):
            yield from _all(command, (*above, name))


def _help(command: click.Command) -> Iterator[str]:
    """The words of its ``--help``; what stands there line by line becomes a list of lines of code."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            yield from (f"- `{line.strip()}`" for line in lines[1:])
            yield ""
        else:
            yield from (*lines, "")


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    known = {item.name for item in settings.declared(Settings)}
    of_settings = 0
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if parameter.name in known and command.name in {"serve", "config"}:
            of_settings += 1
            continue
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else f" `{parameter.make_metavar(click.Context(command))}`"
        yield names + value, parameter.help or ""
    if of_settings:
        yield "a flag for each [setting](settings.md)", "`ping_interval` is `--ping-interval`"


PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "settings": all_settings,
    "kind-settings": kind_settings,
    "metrics": metrics,
    "close-codes": close_codes,
    "commands": commands,
    "paths": paths,
    "pages": pages,
}


@attrs.frozen
class Written:
    """A page with its generated parts as the code makes them."""

    text: str
    parts: list[str]


def written(text: str) -> Written:
    parts: list[str] = []

    def part(match: re.Match[str]) -> str:
        parts.append(match[2])
        lines = "\n".join(PARTS[match[2]]())
        return match[1] + re.sub(r"\n{3,}", "\n\n", f"\n{lines}\n").rstrip() + "\n\n" + match[3]

    return Written(_PART.sub(part, text), parts)


def main() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        text = page.read_text()
        if (new := written(text).text) != text:
            page.write_text(new)
            print(f"written: {page.name}")


if __name__ == "__main__":
    main()
