"""What ``rtlite`` says by itself: help, version, errors, exit codes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import pytest
import trio

from rtlite import __version__, settings
from rtlite.cli.options import shown
from rtlite.cli.program import COMMANDS, program, run
from rtlite.errors import RtliteError
from rtlite.store.database import open_database


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(program)
    found = [(name, program.get_command(context, name)) for name in COMMANDS]
    keys = dict(found)["keys"]
    assert isinstance(keys, click.Group)
    found += [(f"keys {name}", item) for name, item in keys.commands.items()]
    return [(name, item) for name, item in found if item is not None]


def words(text: str) -> str:
    return " ".join(text.split())


def test_without_arguments_it_prints_help_with_every_command(invoke):
    result = invoke()
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.stdout for name in COMMANDS)
    assert "..." not in result.stdout.partition("Commands:")[2]  # each command's line fits


def test_version_names_the_program(invoke):
    assert invoke("--version").stdout == f"rtlite {__version__}\n"


@pytest.mark.parametrize(("name", "item"), all_commands())
def test_every_command_explains_itself_and_each_option(invoke, name, item):
    result = invoke(*name.split(), "--help-all" if name in {"serve", "config"} else "--help")
    assert result.exit_code == 0
    assert item.help
    for parameter in item.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert (parameter.opts[0] in result.stdout) is not parameter.hidden


@pytest.mark.parametrize("name", ["serve", "config"])
def test_help_shows_the_settings_that_most_people_need_and_how_to_see_the_others(invoke, name):
    result = invoke(name, "--help", terminal_width=80)
    flags = set(re.findall(r"^  (--[a-z-]+)", result.stdout, re.MULTILINE))
    common = {item.flag for item in settings.declared() if item.common}
    assert {"--data", "--dev", "--port"} < common < flags
    assert len(common) < 15
    assert not flags & {item.flag for item in settings.declared() if not item.common}
    assert f"rtlite {name} --help-all, or rtlite docs settings" in words(result.stdout)
    assert result.stdout.count("\n") < 60


def test_dev_is_explained_without_a_word_that_must_be_known(invoke):
    assert "--dev For a server started with --dev: as its admin, by the key rtk_dev" in words(
        invoke("publish", "--help", terminal_width=100).stdout
    )
    assert "by the secret that all servers started with --dev have" in words(invoke("token", "--help").stdout)


def test_help_all_of_serve_shows_each_setting_with_its_help_default_and_variable(invoke):
    text = words(invoke("serve", "--help-all", terminal_width=100).stdout)
    for item in settings.declared():
        if item.hidden:
            continue
        assert f" {item.flag} " in text
        default = shown(item, item.default)
        said = f"{item.help} [default: {default}; {item.variable}]" if default else f"{item.help} [{item.variable}]"
        assert said in text


def test_serve_has_no_flag_besides_the_settings_and_the_file(invoke):
    flags = set(re.findall(r"^  (--[a-z-]+)", invoke("serve", "--help-all").stdout, re.MULTILINE))
    flags.discard("--help")  # stands behind -h, unless something in this process asked click for it before
    assert flags == {item.flag for item in settings.declared() if not item.hidden} | {"--config", "--help-all"}


def test_an_unknown_command_is_wrong_usage_and_the_nearest_is_named(invoke):
    result = invoke("serv")
    assert result.exit_code == 2
    assert "Did you mean 'serve'?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing-like-it",),
        ("serve", "--prot", "1"),
        ("serve", "--port", "many"),
        ("publish", "article:a"),
        ("publish", "article:a", "e", "{", "--dev"),
        ("publish", "article:a", "e", "1", "--url", "https://rtlite.example"),  # no key
        ("tail",),
        ("trigger", "view_update", "--url", "https://rtlite.example"),  # no key
        ("trigger", "view_updat", "--dev"),
        ("trigger", "view_update", "--set", "data.viewCount", "--dev"),
        ("trigger", "view_update", "--set", "data..a=1", "--dev"),
        ("trigger", "view_update", "--set", "slug=x", "--dev"),
        ("trigger", "view_update", "--set", "channel.x=1", "--dev"),
        ("trigger", "view_update", "--set", "data.slug.x=1", "--dev"),
        ("tail", "article:a", "--dev", "--count", "0"),
        ("keys", "create", "--kind", "blog"),
        ("keys", "create", "--kind", "blog", "--user", "a", "--scope", "write"),
        ("keys", "create", "--kind", "blog", "--user", "a", "--expires", "soon"),
        ("keys", "list", "--data", "a.db", "--url", "http://127.0.0.1:1"),
        ("keys", "list", "--url", "http://127.0.0.1:1"),  # no key
        ("demo", "--port", "x"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(invoke, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert result.stdout == ""


def test_an_error_of_ours_is_one_line_on_stderr_and_exit_code_1(invoke):
    result = invoke("keys", "list", "--data", "no\nsuch\x1b[31m.db")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("rtlite: no such\\x1b[31m.db: no such file")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
async def test_with_standard_streams_closed_it_does_its_work_and_writes_into_no_file(closed: str, tmp_path: Path):
    data = str(tmp_path / "rtlite.db")
    async with open_database(data):
        pass
    rtlite = [sys.executable, "-m", "rtlite", "keys"]
    create = [*rtlite, "create", "--kind", "blog", "--user", "ann", "--data", data]
    done = await trio.run_process(["sh", "-c", f'"$@" {closed}', "sh", *create], check=False)
    assert done.returncode == 0
    listing = await trio.run_process([*rtlite, "list", "--json", "--data", data], capture_stdout=True)
    assert json.loads(listing.stdout)["user"] == "ann"


def test_run_takes_an_error_of_ours_out_of_the_nurseries_it_passed():
    async def fails() -> None:
        async with trio.open_nursery(), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise RtliteError("as it was")

    with pytest.raises(RtliteError, match="as it was"):
        run(fails)


def test_run_leaves_a_group_with_a_bug_in_it_as_it_is():
    async def mixed() -> None:
        raise ExceptionGroup("both", [RtliteError("ours"), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        run(mixed)
