"""``rtlite config``: where each value came from, and what is wrong with a name or a value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtlite import settings
from rtlite.cli import output


def rows(result) -> dict[str, tuple[object, str]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {row["setting"]: (row["value"], row["origin"]) for row in found}


def test_every_setting_is_listed_with_its_default(invoke):
    assert list(rows(invoke("config"))) == [item.name for item in settings.declared()]


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(invoke):
    Path("rtlite.toml").write_text('host = "::1"\nport = 1\nping_interval = "20s"\n')
    found = rows(invoke("config", "--port", "3", env={"RTLITE_PORT": "2", "RTLITE_PING_INTERVAL": "10s"}))
    assert found["port"] == (3, "flag")
    assert found["ping_interval"] == (10.0, "RTLITE_PING_INTERVAL")
    assert found["host"] == ("::1", "rtlite.toml")
    assert found["data"] == ("rtlite.db", "default")


def test_the_file_may_be_named_by_flag_or_variable(invoke):
    Path("other.toml").write_text("port = 4\n")
    assert rows(invoke("config", "--config", "other.toml"))["port"] == (4, "other.toml")
    assert rows(invoke("config", env={"RTLITE_CONFIG": "other.toml"}))["port"] == (4, "other.toml")


def test_kinds_of_channels_are_listed_after_the_settings(invoke):
    Path("rtlite.toml").write_text("[channels.chat]\nhistory = false\n")
    assert rows(invoke("config"))["channels.chat.history"] == (False, "rtlite.toml")


def test_dev_keeps_data_in_memory_and_says_so(invoke):
    assert rows(invoke("config", "--dev"))["data"] == (":memory:", "dev")


def test_a_secret_is_never_shown(invoke):
    secret = "a-secret-that-nobody-may-see-anywhere"
    result = invoke("config", env={"RTLITE_JWT_SECRET": secret})
    assert rows(result)["jwt_secret"] == ("***", "RTLITE_JWT_SECRET")
    assert secret not in result.output


def test_on_a_terminal_it_is_a_table_with_units(invoke, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    result = invoke("config")
    assert "30s" in result.stdout
    assert "1MiB" in result.stdout
    assert not result.stdout.startswith("{")


@pytest.mark.parametrize(
    ("env", "file", "said"),
    [
        ({"RTLITE_PROT": "1"}, "", "RTLITE_PROT: no such setting; did you mean RTLITE_PORT?"),
        ({}, "pong_timeot = 3", "did you mean pong_timeout?"),
        ({}, "port = 'many'", "rtlite.toml: port: 'many' is not a whole number from 0"),
        ({"RTLITE_DEV": "maybe"}, "", "RTLITE_DEV: dev: 'maybe' is neither true nor false"),
        ({}, "port = ", "rtlite.toml: "),
        ({"RTLITE_CONFIG": "gone.toml"}, "", "rtlite: gone.toml: No such file or directory\n"),
    ],
)
def test_a_setting_that_is_unknown_or_ill_typed_is_named(invoke, env, file, said):
    Path("rtlite.toml").write_text(file)
    result = invoke("config", env=env)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
