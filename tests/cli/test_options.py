from __future__ import annotations

import attrs
import pytest

from rtlite import settings
from rtlite.cli import options
from rtlite.server import DEV_KEYS
from rtlite.settings import KindSettings, Settings

EVERY = [*settings.declared(Settings), *settings.declared(KindSettings)]


def named(name: str) -> settings.Declared:
    return next(item for item in EVERY if item.name == name)


@pytest.mark.parametrize("item", EVERY, ids=lambda item: item.name)
def test_a_default_as_shown_means_the_default(item):
    assert item.convert(options.shown(item, item.default)) == item.default


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ping_interval", 30.0, "30s"),
        ("ping_interval", 90.0, "90s"),
        ("ping_interval", 0.25, "0.25s"),
        ("ping_interval", 0.0, "0s"),
        ("ping_interval", 7200.0, "2h"),
        ("retention_age", 7 * 86400.0, "7d"),
        ("max_message", 1024 * 1024, "1MiB"),
        ("max_message", 1500, "1500"),
        ("blog_milestones", (10, 100), "10,100"),
        ("dev", False, "off"),
    ],
)
def test_values_are_shown_with_their_unit(name, value, text):
    assert options.shown(named(name), value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("durability", "full|normal"),
        ("ping_interval", "DURATION"),
        ("outbox", "SIZE"),
        ("port", "NUMBER"),
        ("webhook_retries", "DURATION,…"),
    ],
)
def test_help_says_what_kind_of_value_is_wanted(name, text):
    assert options.metavar(named(name)) == text


def test_the_key_of_dev_is_the_one_that_the_server_makes():
    assert options.DEV_KEY in DEV_KEYS


def test_dev_beats_a_key_from_the_environment():
    assert options.server(None, "rtk_other", dev=True) == options.Server("http://127.0.0.1:8000", "rtk_dev")


def test_every_setting_has_a_flag_that_reaches_it(invoke):
    """Each flag, given its default, is taken over as given."""
    for item in settings.declared():
        value = options.shown(item, item.default)
        if not value:
            continue
        flag = [item.flag if item.default else f"--no-{item.flag[2:]}"] if isinstance(item.default, bool) else None
        result = invoke("config", "--json", *(flag or [item.flag, value]))
        assert result.exit_code == 0, result.stderr
        assert f'"{item.name}"' in next(line for line in result.stdout.splitlines() if '"origin":"flag"' in line)


def test_options_name_the_settings_they_are_made_of():
    assert {item.name for item in settings.declared()} == {
        field.name for field in attrs.fields(Settings) if field.name != "channels"
    }
