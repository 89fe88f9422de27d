from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rtlite import log

CANARY = "c4n4ryC4N4RYc4n4ryC4N4RYc4n4ry"
SECRETS = [f"{prefix}{CANARY}" for prefix in ("mbk_", "pk_live_", "pk_test_", "rts_", "rtk_", "tkt_", "whsec_")]
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{CANARY}.{CANARY}-_x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["pipe", "terminal"])
def out(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = request.param()
    log.configure(stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("secret", [*SECRETS, JWT])
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "/blog/ws/notifications?token={}",
        "/x?token={}&since=1h",
        "/x?apiKey={}",
        "/x?access_token={}",
        "Authorization: Bearer {}",
        "X-Api-Key: {}",
        '{{"token": "{}", "a": 1}}',
        "{{'apiKey': '{}'}}",
        "bad ({}), worse",
        "?token=%22{}%22",
    ],
)
def test_no_secret_survives_wherever_it_stands(secret: str, around: str) -> None:
    assert CANARY not in log.redact(around.format(secret))
    assert CANARY not in log.redact(around.format(quote(secret, safe="")))


@pytest.mark.parametrize("secret", [*SECRETS, JWT])
@pytest.mark.parametrize("around", ["{}", "bad ({})", "/x?next=%2Fy%3Ftoken%3D{}%26a", "\x1b[31m{}", "key%3A%20{}"])
def test_no_secret_survives_percent_encoding_or_what_stands_before_it(secret: str, around: str) -> None:
    encoded = secret.replace("_", "%5F").replace("-", "%2d").replace(".", "%2E")
    assert CANARY not in log.redact(around.format(secret))
    assert CANARY not in log.redact(around.format(encoded))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "token",
        "restarts_total",
        "parts_of_it",
        "news:a",
        "keys create --kind blog",
        "GET /blog/v1/articles",
        "eyJ",
        "mbk_",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert log.redact(text) == text


def test_what_kind_of_secret_it_was_can_still_be_read() -> None:
    assert log.redact(f"key mbk_{CANARY} and ?token=abcdef") == "key mbk_*** and ?token=***"


@given(st.text())
def test_redacting_any_text_ends_and_redacting_twice_changes_nothing(text: str) -> None:
    once = log.redact(text)
    assert log.redact(once) == once


@given(st.text())
def test_no_escaped_text_can_start_a_line_or_move_a_cursor(text: str) -> None:
    escaped = log.escape(text)
    assert not any(character in escaped for character in "\r\n\x1b\0\x7f\x85\u2028\u202e\u2066\ufeff")
    assert log.escape(escaped) == escaped


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_not_escaped(text: str) -> None:
    assert log.escape(text) == text


def test_every_field_of_a_line_is_cleaned(out: io.StringIO) -> None:
    logger = log.get_logger("test")
    logger.info(
        "from\nelsewhere",
        path=f"/x?token={CANARY}",
        deep={"list": [f"mbk_{CANARY}", b"\x1b[31m tkt_" + CANARY.encode()]},
    )
    logging.getLogger("other").error("stdlib %s", f"rtk_{CANARY}")
    try:
        raise ValueError(f"apiKey={CANARY}")
    except ValueError:
        logger.exception("failed")
        logging.getLogger("other").exception("failed too")
    text = out.getvalue()
    assert CANARY not in text
    assert "\x1b[31m tkt" not in text
    assert "from\nelsewhere" not in text and "Traceback" in text


def test_in_a_pipe_each_line_is_a_json_object() -> None:
    stream = io.StringIO()
    log.configure(stream)
    try:
        log.get_logger("test").warning("it happened", number=5, text="é\n")
        (line,) = stream.getvalue().splitlines()
        entry = json.loads(line)
        assert (entry["event"], entry["level"], entry["number"], entry["module"]) == (
            "it happened",
            "warning",
            5,
            "test",
        )
        assert entry["timestamp"].endswith("Z")
    finally:
        structlog.reset_defaults()
