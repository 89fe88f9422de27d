from __future__ import annotations

import pytest

from rtlite.settings import duration, duration_text, public_url, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("15m", 900), ("2 h", 7200), ("7d", 604800), ("20ms", 0.02), (3, 3)],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (604_800, "7d"),
        (5400, "90m"),
        (7200.0, "2h"),
        (61, "61s"),
        (0.02, "0.02s"),
        (0, "0s"),
        (86_400 * 1_234_567, "1234567d"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_of_which_it_is_whole(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("64KiB", 65536), ("1MiB", 1048576), ("2kb", 2000), ("5", 5), (7, 7)])
def test_sizes(text: object, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("https://live.example", "https://live.example"),
        ("https://Live.Example/", "https://live.example"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
    ],
)
def test_public_urls(text: str, kept: str) -> None:
    assert public_url(text) == kept


@pytest.mark.parametrize(
    "wrong",
    ["live.example", "ftp://a", "https://", "https://a/b", "https://a b", "https://u@a", "https://a:x", "https://é", 5],
)
def test_what_is_no_public_url(wrong: object) -> None:
    with pytest.raises(ValueError, match="URL"):
        public_url(wrong)


@pytest.mark.parametrize("wrong", ["", "x", "-1", "1x", True, None, [], -1, float("nan"), float("inf"), "1e3", "٣s"])
def test_what_is_no_duration_and_no_size(wrong: object) -> None:
    for convert in (duration, size):
        with pytest.raises(ValueError):
            convert(wrong)
