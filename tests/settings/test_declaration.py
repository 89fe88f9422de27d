from __future__ import annotations

import attrs

from rtlite.settings import KindSettings, Settings, declared


def test_every_setting_has_a_help_a_flag_and_a_variable() -> None:
    for item in [*declared(), *declared(KindSettings)]:
        assert len(item.help) > 10 and not item.help.endswith("."), item.name
        assert item.flag == "--" + item.name.replace("_", "-")
        assert item.variable == "RTLITE_" + item.name.upper()
    assert {field.name for field in attrs.fields(Settings)} == {*(item.name for item in declared()), "channels"}


def test_every_limit_is_on_as_it_comes() -> None:
    limits = [item for item in declared() if "0 is no limit" in item.help or "0 is none" in item.help]
    assert len(limits) > 5
    for item in limits:
        assert item.default > 0, item.name
