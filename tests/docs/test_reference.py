"""What README and docs name is what the code has, and the other way round."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import click
import pytest
from graphql import build_schema

import rtlite
from rtlite import settings
from rtlite.cli.program import program
from rtlite.domain import samples
from rtlite.endpoints.docpages import INDEX, contents, slug, text
from rtlite.endpoints.graphqlschema import read_schema
from rtlite.errors import Reason
from rtlite.protocols import graphqllimits
from tests.docs.blocks import DOCS, ROOT, _parser, blocks_of, pages
from tests.docs.codes import raised
from tests.docs.generated import PARTS, all_metrics, written
from tests.servers import running_server

PAGES = {name: path.read_text() for name, path in pages().items()}
OURS = {name: page for name, page in PAGES.items() if not name.startswith("examples/")}
NAMES = [entry.name for entry in contents()]
KNOWN_SETTINGS = {item.name for item in (*settings.declared(), *settings.declared(settings.KindSettings))}
ELSEWHERE = {"DELETED"}  # a reason of documents alone


def inline(page: str) -> list[str]:
    """What stands in backticks in a page's prose and tables."""
    return [
        child.content
        for token in _parser().parse(page)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def section(name: str, heading: str) -> str:
    return text(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def shown_commands() -> list[tuple[str, str]]:
    """Every ``rtlite …`` that a block or a piece of inline code shows, with its page."""
    found = []
    for name, page in OURS.items():
        lines = [line for block in blocks_of(name, page) if block.language == "sh" for line in block.code.splitlines()]
        for line in (*lines, *inline(page)):
            found += [(name, match[1]) for match in re.finditer(r"(?:^|[|($] ?|/bin/)rtlite ([a-z-][^|#)]*)", line)]
    return found


def test_what_is_generated_is_what_the_code_says() -> None:
    used = []
    for name, page in OURS.items():
        made = written(page)
        used += made.parts
        assert made.text == page, f"{name} is not of today: python -m tests.docs.generated"
    assert sorted(used) == sorted(PARTS)


def test_every_code_of_a_refusal_is_explained_with_its_status_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([\d, ]+) \|", text("errors"), re.MULTILINE)
    assert {code: {int(status) for status in statuses.split(",")} for code, statuses in rows} == raised()
    assert len(rows) == len(dict(rows))


@pytest.mark.parametrize(
    ("page", "heading", "column"),
    [("blog", "Close codes", "blog"), ("graphql-websocket", "Close codes", "graphql")],
)
def test_close_codes_of_a_protocol_are_those_of_the_table(page: str, heading: str, column: str) -> None:
    documented = {int(code) for code in re.findall(r"^\| `?(\d{4})`? \|", section(page, heading), re.MULTILINE)}
    assert documented == {getattr(reason.value, column) for reason in Reason if reason.name not in ELSEWHERE}


def test_what_to_do_is_said_of_every_close_code() -> None:
    advice = re.findall(r"^\| ([\d, ]+) \| ", text("close-codes"), re.MULTILINE)
    said = [int(code) for codes in advice for code in codes.split(",")]
    reasons = [reason.value for reason in Reason]
    assert sorted(said) == sorted({code for row in reasons for code in (row.blog, row.commands, row.graphql)})


def test_an_event_stream_ends_for_the_reasons_that_its_page_lists() -> None:
    rows = re.findall(r"^\| (`[a-z_, `]+`) \|", section("sse", "How a stream ends"), re.MULTILINE)
    codes = {code for row in rows for code in re.findall("[a-z_]+", row)}
    # What cannot happen to a stream: it has no pongs and takes no messages, and who may not come gets a status.
    elsewhere = {"normal", "no_pong", "too_big", "unauthorized", "deleted"}
    elsewhere |= {"invalid_message", "not_initialised", "subprotocol", "init_timeout", "duplicate_id", "second_init"}
    assert codes == {reason.name.lower() for reason in Reason} - elsewhere


def test_subscriptions_are_those_of_the_schema() -> None:
    shown = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", text("graphql-websocket"), re.MULTILINE))
    schema = build_schema(read_schema()).subscription_type
    assert schema is not None
    assert {name: words.replace("?", "").split(", ") for name, words in shown.items()} == {
        name: list(field.args) for name, field in schema.fields.items()
    }


def test_every_public_name_is_explained_and_there_is_no_other() -> None:
    page = text("embedding").replace("rtlite.toml", "")
    of_the_fixture = {"publish", "expect", "aexpect", "url", "admin_key", "key"}
    assert set(re.findall(r"\brtlite\.(\w+)", page)) - of_the_fixture == set(rtlite.__all__)
    for name in rtlite.__all__:
        assert getattr(rtlite, name).__doc__
    assert set(rtlite.__all__) <= set(dir(rtlite))
    with pytest.raises(AttributeError, match="no_such_name"):
        rtlite.no_such_name  # noqa: B018


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    shown = shown_commands()
    assert len(shown) > 50
    for page, line in shown:
        command: click.Command = program
        words = line.partition(" -- ")[0].split()
        while words and isinstance(command, click.Group):
            if words[0] in {"--version", "--help", "COMMAND", "ready"}:
                break
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, f"{page}: rtlite {line}"
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"--help"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, f"{page}: rtlite {line}"


async def test_every_path_that_is_named_is_served_and_every_path_is_named_where_it_is_explained() -> None:
    async with running_server(dev=True) as server:
        served = {(route.method, route.pattern) for route in server.running.server.routes}
        sockets = {route.pattern for route in server.running.server.websocket_routes}
    named: set[tuple[str, str]] = set()
    explained: set[str] = set()
    for name, page in OURS.items():
        if not name.endswith("/paths.md"):
            for code in inline(page):
                if match := re.fullmatch(r"(?:([A-Z]+) )?(/[^\s?`#]*)(?:\?.*)?", code):
                    explained.add(match[2])
                    named |= {(match[1], match[2])} if match[1] else set()
    assert {path for _, path in served if not path.startswith(("/console/", "/graphql/graphiql"))} <= explained
    assert {(method, path) for method, path in named if method != "WS"} <= served
    assert sockets <= set(re.findall(r"`(/[^`]*)`", text("paths")))


def test_what_looks_like_the_name_of_a_setting_is_one_or_is_known_by_another_name() -> None:
    reasons = {reason.name.lower() for reason in Reason}
    events = {sample.event for sample in samples.SAMPLES}
    codes = set(raised()) | reasons | set(re.findall(r'"([a-z_]+)"', Path(graphqllimits.__file__).read_text()))
    fields = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', "".join(map(str, samples.SAMPLES)).replace("'", '"')))
    for name, page in OURS.items():
        for code in inline(page):
            if re.fullmatch(r"[a-z]+(_[a-z]+)+", code):
                known = KNOWN_SETTINGS | codes | events | fields | set(all_metrics()) | WORDS
                assert code in known, f"{name}: `{code}` is no setting"
    assert {word[7:].lower() for page in OURS.values() for word in re.findall(r"RTLITE_[A-Z_]+", page)} <= (
        KNOWN_SETTINGS | {"url", "key", "config"}
    )


# Of protocols and programs, which no table here has.
WORDS = {
    "connection_init",
    "connection_ack",
    "entity_id",
    "entity_type",
    "conversation_id",
    "sender_id",
    "flush_interval",
    "stream_close_delay",
    "worker_connections",
    "worker_rlimit_nofile",
    "access_log",
    "token_expiring",
    "replay_limit",
    "replay_incomplete",
    "subscription_failed",
    "on_connect",
    "on_gap",
    "on_event",
    "retry_for",
    "retry_after",
    "proxy_buffering",
    "client_max_body_size",
    "proxy_request_buffering",
    "syntax_error",
    "history_lost",
    "reset_peer",
    "job_completed",
    "job_failed",
    "job_cancelled",
}


def test_every_page_is_in_the_contents_once_and_has_its_title() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in DOCS.glob("*.md"))
    assert len(set(NAMES)) == len(NAMES)
    for entry in contents():
        first = text(entry.name).splitlines()[0]
        assert first.startswith("# ")
        if entry.name != INDEX:
            assert first == f"# {entry.title}", entry.name


@pytest.mark.parametrize("page", OURS)
def test_every_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    for target in re.findall(
        r"\]\(([^)]+)\)", re.sub(r"^```.*?^```$|`[^`\n]*`", "", OURS[page], flags=re.MULTILINE | re.DOTALL)
    ):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (here.parent / file).resolve() if file else here
        assert found.exists(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert anchor in {slug(re.sub(r"[`*]", "", heading)) for heading in headings}, f"{page}: {target}"


def test_pages_hold_no_html_but_comments_and_no_style() -> None:
    for path in DOCS.glob("*.md"):
        for token in _parser().parse(path.read_text()):
            assert token.attrGet("style") is None, f"{path.name}: a table with alignment"
            raw = [token.content] if token.type == "html_block" else []
            raw += [child.content for child in token.children or () if child.type == "html_inline"]
            assert all(re.fullmatch(r"\s*<!--.*?-->\s*", html, re.DOTALL) for html in raw), f"{path.name}: {raw}"


def test_the_examples_that_are_listed_are_those_that_are_there() -> None:
    listed = {
        name
        for row in re.findall(r"^\| (`.+?`) \|", text("examples"), re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    assert listed == {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}


def test_the_package_has_the_pages() -> None:
    assert {item.name for item in resources.files("rtlite.console").joinpath("docs").iterdir()} >= {
        "index.md",
        "page.html",
        "docs.css",
        "docs.js",
    }
