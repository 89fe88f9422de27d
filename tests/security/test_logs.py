"""No log line holds a secret, and no peer's text becomes a log line of its own."""

from __future__ import annotations

import io
import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rtlite import log
from rtlite.auth.keyring import PREFIXES

SECRETS = [prefix + secrets.token_urlsafe(32) for prefix in (*PREFIXES, "tkt_")]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0." + secrets.token_urlsafe(32)


def _all_percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


WAYS: dict[str, Callable[[str], str]] = {
    "bare": lambda key: key,
    "a header": lambda key: f"Authorization: Bearer {key}",
    "another header": lambda key: f"X-Api-Key: {key}",
    "a query": lambda key: f"GET /api/keys?token={key}&x=y HTTP/1.1",
    "another query": lambda key: f"/sse/a?x=y&apiKey={key}",
    "a path": lambda key: f"/api/keys/{key}",
    "JSON": lambda key: f'{{"token":"{key}"}}',
    "a dictionary": lambda key: repr({"apiKey": key, "headers": {"authorization": f"Bearer {key}"}}),
    "bytes": lambda key: repr({b"authorization": f"Bearer {key}".encode()}),
    "encoded with its name": lambda key: quote(f"token={key}", safe=""),
    "encoded behind another name": lambda key: quote(f"next=/x?t={key}", safe=""),
    "encoded in quotes": lambda key: quote(f'"{key}"', safe=""),
    "every character encoded": _all_percent,
    "every character of a pair encoded": lambda key: _all_percent(f"token={key}"),
    "encoded twice": lambda key: quote(quote(f"?token={key}", safe=""), safe=""),
    "every character encoded twice": lambda key: quote(_all_percent(key)),
    "encoded underscore": lambda key: f"/x/{key.replace('_', '%5F')}".replace(".", "%2E"),
}


def _leaks(key: str, text: str) -> bool:
    """Whether a good part of the key's random end can still be read from the text, however it is encoded."""
    from urllib.parse import unquote

    end = key[-20:]
    return any(end in candidate for candidate in (text, unquote(text), unquote(unquote(text))))


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged, as a log file would hold it."""
    stream = io.StringIO()
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    log.configure(stream)

    def read() -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", [*SECRETS, JWT], ids=[*PREFIXES, "ticket", "jwt"])
def test_no_secret_stays_in_a_text_whatever_stands_around_it(way: Callable[[str], str], key: str) -> None:
    assert not _leaks(key, log.redact(way(key)))


around = st.text(max_size=30)


@given(around, around, st.sampled_from([*SECRETS, JWT]), st.sampled_from(list(WAYS.values())))
def test_no_text_around_a_secret_hides_it_from_redaction(before: str, after: str, key: str, way: Any) -> None:
    shown = log.redact(f"{before} {way(key)} {after}")
    assert not _leaks(key, shown)
    assert log.redact(shown) == shown


@given(st.text(alphabet=st.characters(exclude_characters="_=:%."), max_size=100))
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert log.redact(text) == text


def test_words_with_underscores_are_no_keys() -> None:
    for text in ("starts_with_something", "reports_of_today", "parts_list", "a_token_was_refused"):
        assert log.redact(text) == text


class Odd:
    def __repr__(self) -> str:
        return f"<Odd token={SECRETS[0]}>"


VALUES: dict[str, Any] = {
    "a list": [SECRETS[0]],
    "a tuple in a dictionary": {"x": (SECRETS[0],)},
    "a key of a dictionary": {SECRETS[0]: 1},
    "a set": {SECRETS[0]},
    "an object": Odd(),
    "an exception": ValueError(f"no such thing: {SECRETS[0]}"),
    "bytes": SECRETS[0].encode(),
    "a bytearray": bytearray(SECRETS[0].encode()),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_secret_in_any_kind_of_value_is_redacted(value: Any, lines: Callable[[], list[dict[str, Any]]]) -> None:
    log.get_logger("test").info("something", value=value)
    logging.getLogger("library").warning("something %s", value)
    assert len(lines()) == 2
    assert not _leaks(SECRETS[0], str(lines()))


def test_a_traceback_holds_neither_secret_nor_escape(lines: Callable[[], list[dict[str, Any]]]) -> None:
    for logger in (log.get_logger("test"), logging.getLogger("library")):
        try:
            raise ValueError(f"\x1b[2J\u202e token={SECRETS[0]} {JWT}")
        except ValueError:
            logger.exception("it failed")
    shown = lines()
    assert len(shown) == 2
    for line in shown:
        assert "ValueError" in line["exception"] and "\n" in line["exception"]
        assert not _leaks(SECRETS[0], str(line)) and not _leaks(JWT, str(line))
        assert "\x1b" not in line["exception"] and "\u202e" not in line["exception"]


FORGERIES = ["\r\nforged", "\n", "\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\u202edlrow", "\u2066x", "\u2028x", "\x85x"]
FORGERIES += ["\x00", "\x08\x08", "\ufeff", "\u200b"]


@pytest.mark.parametrize("text", FORGERIES, ids=[ascii(text) for text in FORGERIES])
def test_a_peers_text_can_neither_begin_a_line_nor_move_the_cursor(
    text: str, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    log.get_logger("test").warning("seen", path=f"/a{text}b", nested={f"x{text}": [text]}, raw=text.encode())
    logging.getLogger("library").warning("seen %s", text)
    first, second = lines()
    for value in (first["path"], str(first["nested"]), first["raw"], second["event"]):
        assert value.isprintable(), value


@given(st.text())
def test_any_text_is_printable_once_escaped(text: str) -> None:
    shown = log.escape(text)
    assert not any(character in shown for character in "\r\n\x1b\x07\x00\x9b\x85\u2028\u202e\u2066")
    assert log.escape(shown) == shown


def test_on_a_terminal_nothing_of_a_peer_is_a_command_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    handlers = logging.getLogger().handlers
    log.configure(stream)
    try:
        log.get_logger("test").warning("seen", agent="\x1b[31mred\x1b]0;x\x07\r\nforged", token=SECRETS[0])
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = handlers
    shown = stream.getvalue()
    assert "\x1b[31mred" not in shown and "\x1b]" not in shown and "\r" not in shown
    assert shown.count("\n") == 1 and not _leaks(SECRETS[0], shown)
