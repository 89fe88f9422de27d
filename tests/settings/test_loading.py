from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rtlite.errors import StartError
from rtlite.settings import BUILT_IN_KINDS, KindSettings, Settings, declared, load


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_value_comes_from_the_flag_then_the_environment_then_the_file_then_the_default(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", "port = 1\nhost = 'file'\nmax_body = '2KiB'\n")
    loaded = load({"port": "3", "uds": None}, {"RTLITE_PORT": "2", "RTLITE_HOST": "environment"}, file)
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.max_body) == (3, "environment", 2048)
    assert loaded.origins["port"] == "flag"
    assert loaded.origins["host"] == "RTLITE_HOST"
    assert loaded.origins["max_body"] == str(file)
    assert loaded.origins["uds"] == "default"
    assert set(loaded.origins) == {item.name for item in declared()}


def test_without_a_file_the_one_in_the_directory_is_read_if_it_is_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).settings == Settings()
    write(tmp_path / "rtlite.toml", "port = 5")
    assert load(environ={}).settings.port == 5


@pytest.mark.parametrize(
    ("flags", "environ", "text", "complaint"),
    [
        ({}, {"RTLITE_PROT": "1"}, "", "did you mean RTLITE_PORT"),
        ({}, {}, "max_boddy = 1", "did you mean max_body"),
        ({"hots": "x"}, {}, "", "did you mean host"),
        ({}, {}, "zzzzzz = 1", "zzzzzz: no such setting"),
        ({}, {}, "[channels.news]\nretention_cuont = 1", "did you mean retention_count"),
        ({}, {}, "[channels]\nnews = 5", "channels.news"),
        ({"port": "x"}, {}, "", "flag: port"),
        ({}, {"RTLITE_PING_INTERVAL": "soon"}, "", "RTLITE_PING_INTERVAL: ping_interval"),
        ({}, {}, "dev = 'perhaps'", "dev"),
        ({}, {}, "durability = 'most'", "full, normal"),
        ({}, {}, "port = ", "c.toml"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(flags, environ, text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(StartError) as failed:
        load(flags, environ, write(tmp_path / "c.toml", text))
    assert complaint in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"none\.toml"):
        load({}, {}, tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"binary\.toml"):
        load({}, {}, tmp_path / "binary.toml")


def test_variables_of_the_client_commands_are_no_settings() -> None:
    assert load({}, {"RTLITE_URL": "http://x", "RTLITE_KEY": "k", "PATH": "/bin"}).settings == Settings()


def test_a_secret_is_not_repeated_in_an_error(tmp_path: Path) -> None:
    for item in declared():
        if item.secret:
            with pytest.raises(StartError) as failed:
                load({}, {}, write(tmp_path / "c.toml", f"{item.name} = ['canary']"))
            assert item.name in str(failed.value) and "canary" not in str(failed.value)


def test_dev_keeps_data_in_memory_unless_it_is_told_otherwise() -> None:
    assert load({"dev": True}, {}).settings.data == ":memory:"
    assert load({"dev": True, "data": "x.db"}, {}).settings.data == "x.db"
    assert load({}, {"RTLITE_DEV": "yes"}).settings.data == ":memory:"


def test_kinds_start_from_what_is_built_in(tmp_path: Path) -> None:
    text = "[channels.stream]\nretention_count = 5\n[channels.news]\nhistory = false\nretention_age = '1h'\n"
    chosen = load({}, {}, write(tmp_path / "c.toml", text)).settings
    assert chosen.for_kind("stream") == attrs.evolve(BUILT_IN_KINDS["stream"], retention_count=5)
    assert chosen.for_kind("news") == KindSettings(history=False, retention_age=3600)
    assert chosen.for_kind("other") == KindSettings()


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1" * 400, "9" * 5000 + "d", "1.5GiB", "full", "yes", "\0", "\ud800"])
    | st.lists(st.text(max_size=3) | st.integers() | st.none(), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


@pytest.mark.parametrize("name", [item.name for item in declared()])
@hypothesis_settings(max_examples=25, deadline=None)
@given(value=_VALUES)
@example(value="1" * 400)
def test_any_value_gives_settings_or_an_error_that_names_the_setting(name: str, value: Any) -> None:
    try:
        loaded = load({name: value}, {})
    except StartError as error:
        assert name in str(error)
    else:
        assert isinstance(loaded.settings, Settings)
        assert loaded.origins[name] == ("default" if value is None else "flag")
        assert getattr(loaded.settings, name) != float("inf")
