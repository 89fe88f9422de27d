"""Structured logs: readable on a terminal, JSON lines in a pipe, secrets redacted in both.

Text from peers (paths, channels, user agents) is escaped, so that it can neither start a
line of its own nor move the terminal's cursor.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO
from urllib.parse import unquote

import structlog

# A key or a JWT wherever it stands, and the value of any parameter that carries one. Within a word, as behind
# a colour code, only what is as long as a key: "restarts_total" is none.
_SECRETS: Final = re.compile(
    r"(?P<key>(?:\b|(?=[a-z_]+_[\w\-%]{24}))(?:mbk|pk_live|pk_test|rts|rtk|tkt)_)[A-Za-z0-9_\-%]{4,}"
    r"|(?P<webhook>(?:\b|(?=whsec_[\w+/=\-%]{24}))whsec_)[\w+/=\-%]{4,}"
    r"|eyJ[\w\-%]+\.[\w\-%]+\.[\w\-%]*"
    r"|(?P<name>\b(?:(?:access_|auth_)?token|api_?key|x-api-key|authorization|jwt_secret|(?:client_)?secret|password)(?:=|%3[dD]|[\"']?\s*:\s*[\"']?))(?:Bearer\s+)?[^\s&\"',;}]+",
    re.IGNORECASE,
)
MASK: Final = "***"
"""What stands in place of a secret."""
_DEPTH: Final = 3
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def redact(value: str) -> str:
    """``value`` with every secret in it replaced: ``token=***``, ``mbk_***``.

    Where percent-encoding hides one, up to three times over, the text is shown decoded.
    """
    value = plain = _starred(value)
    for _ in range(_DEPTH):
        plain = unquote(plain)
        if (found := _starred(plain)) != plain:
            value = plain = found
    return value


def _starred(value: str) -> str:
    return _SECRETS.sub(lambda match: (match["key"] or match["webhook"] or match["name"] or "") + MASK, value)


def escape(value: str) -> str:
    """``value`` with control and direction-changing characters written as ``\\x1b``."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], value)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return escape(redact(value))
    if isinstance(value, bytes):
        return escape(redact(value.decode("utf-8", "backslashreplace")))
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean(repr(value))


def _clean_entry(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in entry.items():
        if key == "exception" and isinstance(value, str):
            # A traceback has lines of its own; its secrets go, its line ends stay.
            entry[key] = "\n".join(map(escape, redact(value).split("\n")))
        elif not key.startswith("_"):  # those are structlog's own
            entry[key] = _clean(value)
    return entry


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Set logging up for this process, and route the standard library's loggers the same way."""
    out = stream or sys.stderr
    terminal = out.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer(colors=terminal) if terminal else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clean_entry,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))


def defer() -> None:
    """Hand log lines to the standard library's ``logging``, cleaned, as a guest in another program does.

    A program that has configured structlog itself gets them there.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                _clean_entry,
                structlog.dev.ConsoleRenderer(colors=False),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )


def get_logger(name: str) -> Any:
    """The logger of one module: ``log.info("listening", url=…)``."""
    return structlog.get_logger(module=name)
