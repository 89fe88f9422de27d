"""Calls that failed: why, in one line, and whether trying again can help."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any, Final

import httpx

from rtlite.errors import RtliteError

_TEMPORARY: Final = {0, 429, 502, 503, 504}  # 0: no answer at all; 502 and 504 are a proxy's


class CallFailed(RtliteError):
    """A call that was refused, or not answered at all (then ``status`` is 0)."""

    def __init__(self, text: str, status: int = 0, code: str = "no_answer", retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status in _TEMPORARY


class HistoryLost(RtliteError):
    """Events between two that a reader wants are gone: retention took them, or their channel keeps none."""

    def __init__(self, of: str) -> None:
        super().__init__(f"{of}: events before this place are gone")


class Closed(RtliteError):
    """It was closed, and takes no calls any more."""


def no_answer(url: str, error: BaseException) -> CallFailed:
    return CallFailed(f"no server answers at {url}: {_reason(error)}")


def not_rtlite(url: str) -> CallFailed:
    return CallFailed(f"{url} answers, but not as rtlite does", 200, "not_rtlite")


def refusal(answer: httpx.Response, problem: Any) -> CallFailed:
    """The server's own words (RFC 9457), or what the status says if there are none."""
    detail, code = None, "refused"
    if isinstance(problem, dict):
        detail, code = problem.get("detail"), str(problem.get("code", code))
    seconds = answer.headers.get("Retry-After", "")
    return CallFailed(
        f"{detail or answer.reason_phrase or 'refused'} ({answer.status_code} {code})",
        answer.status_code,
        code,
        float(seconds) if seconds.isdecimal() else 0.0,
    )


def _reason(error: BaseException) -> str:
    """What the operating system said, where httpx and Trio pass it on; else what httpx says."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "no such host" if cause.errno == socket.EAI_NONAME else str(cause.strerror)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno)
        # Trio tries every address of a host: the first one's failure tells enough.
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
