"""What the README says is what the code does: commands, paths, close codes, settings."""

from __future__ import annotations

import re
from pathlib import Path

import click
from graphql import build_schema

from rtlite import settings
from rtlite.cli.program import program
from rtlite.endpoints.graphql import read_schema
from rtlite.errors import Reason
from tests.servers import running_server

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_close_codes_of_the_blog_are_those_of_the_table() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", README, re.MULTILINE)}
    elsewhere = {"DELETED"}  # of documents alone
    assert documented == {reason.value.blog for reason in Reason if reason.name not in elsewhere}


def test_close_codes_of_graphql_are_those_of_the_table() -> None:
    section = README.partition("## GraphQL over WebSocket")[2].partition("\n## ")[0]
    documented = {int(code) for code in re.findall(r"^\| `(\d{4})` \|", section, re.MULTILINE)}
    elsewhere = {"DELETED"}  # of documents alone
    assert documented == {reason.value.graphql for reason in Reason if reason.name not in elsewhere}


def test_subscriptions_in_the_readme_are_those_of_the_schema() -> None:
    section = README.partition("## GraphQL over WebSocket")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", section, re.MULTILINE))
    fields = build_schema(read_schema()).subscription_type.fields
    assert {name: text.replace("?", "").split(", ") for name, text in shown.items()} == {
        name: list(field.args) for name, field in fields.items()
    }


def test_every_command_in_the_readme_exists_with_the_options_it_is_shown_with() -> None:
    shown = re.findall(r"^    rtlite (.+?)(?:\s{2,}#.*)?$", README, re.MULTILINE)
    assert len(shown) > 5
    for line in shown:
        command: click.Command = program
        words = line.partition(" -- ")[0].split()
        while words and isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, line
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


async def test_every_path_in_the_readme_is_served() -> None:
    async with running_server(dev=True) as server:
        served = {(route.method, route.pattern) for route in server.running.server.routes}
        sockets = {route.pattern for route in server.running.server.websocket_routes}
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|PATCH|DELETE)[^|]*)\|", README, re.MULTILINE)
    named = set()
    for row in rows:
        for methods, path in re.findall(r"`((?:[A-Z]+`?, `?)*[A-Z]+) (/[^`]*)`", row):
            named |= {(method.strip("`"), path) for method in re.split(r"[, ]+", methods)}
    assert len(named) > 15
    assert named <= served
    paths = r"`(?:ws://HOST)?(/(?:blog/ws/[^`?]+|ws|_events|graphql/ws|collab/[^`?]+|socket\.io/?))[`?]"
    assert set(re.findall(paths, README)) == sockets


def test_settings_and_variables_in_the_readme_exist() -> None:
    known = {item.name for item in settings.declared()} | {
        item.name for item in settings.declared(settings.KindSettings)
    }
    named = set(re.findall(r"^(\w+) = ", README, re.MULTILINE))
    assert named
    assert named <= known
    assert {name[7:].lower() for name in re.findall(r"RTLITE_[A-Z_]+", README)} <= known


async def test_streams_of_events_are_described_as_they_are() -> None:
    section = README.partition("## Server-Sent Events")[2].partition("\n## ")[0]
    async with running_server(dev=True) as server:
        served = {route.pattern for route in server.running.server.routes if route.pattern.startswith("/sse")}
    assert set(re.findall(r"`GET (/sse[^?`]*)", section)) == served
    codes = {
        code
        for row in re.findall(r"^\| (`[a-z_, `]+`) \|", section, re.MULTILINE)
        for code in re.findall("[a-z_]+", row)
    }
    # What cannot happen to a stream: it has no pongs and takes no messages, and who may not come gets a status.
    elsewhere = {"normal", "no_pong", "too_big", "unauthorized", "deleted"}
    elsewhere |= {"invalid_message", "not_initialised", "subprotocol", "init_timeout", "duplicate_id", "second_init"}
    elsewhere |= {"fault"}  # of servers where one is set
    assert codes == {reason.name.lower() for reason in Reason} - elsewhere
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", section)) - codes
    assert named <= {item.name for item in settings.declared()}
