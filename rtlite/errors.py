"""The error tree, and the one table from reason to close code per protocol.

A peer's mistake is a :class:`Refused`: it has a stable ``code``, an HTTP ``status`` and
a text that may be shown. Anything else that is raised is our own mistake: it is logged
with its traceback and the client is told no more than ``internal_error``.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

import attrs


class RtliteError(Exception):
    """Anything rtlite raises on purpose."""


class StartError(RtliteError):
    """The server or a command cannot start; the text says why in one line."""


class Refused(RtliteError):
    """A request that is refused. ``detail`` is shown to the peer, so it holds no secret."""

    status: int = 400
    title: ClassVar[str] = "Bad request"
    code: str = "invalid_request"

    def __init__(self, detail: str, *, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}
        if code is not None:
            self.code = code


class InvalidRequest(Refused):
    """The request is malformed; the detail names the field."""


class Unauthorized(Refused):
    """No credential, or one that does not hold."""

    status = 401
    title = "Unauthorized"
    code = "unauthorized"


class Forbidden(Refused):
    """A good credential that may not do this."""

    status = 403
    title = "Forbidden"
    code = "forbidden"


class NotFound(Refused):
    status = 404
    title = "Not found"
    code = "not_found"


class MethodNotAllowed(Refused):
    status = 405
    title = "Method not allowed"
    code = "method_not_allowed"


class RequestTimeout(Refused):
    status = 408
    title = "Request timeout"
    code = "request_timeout"


class Conflict(Refused):
    status = 409
    title = "Conflict"
    code = "conflict"


class PreconditionFailed(Refused):
    """``If-Match`` names another version than the present one."""

    status = 412
    title = "Precondition failed"
    code = "version_conflict"


class TooLarge(Refused):
    status = 413
    title = "Content too large"
    code = "too_large"


class NotAcceptable(Refused):
    """The client accepts none of the types that the answer may have."""

    status = 406
    title = "Not acceptable"
    code = "not_acceptable"


class UnsupportedMediaType(Refused):
    status = 415
    title = "Unsupported media type"
    code = "unsupported_media_type"


class TooMany(Refused):
    """A rate limit was crossed; ``retry_after`` is in seconds."""

    status = 429
    title = "Too many requests"
    code = "rate_limited"

    def __init__(self, detail: str, retry_after: float, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after + 0.5))), **(headers or {})})
        self.retry_after = retry_after


class Overloaded(Refused):
    """A queue or a table of ours is full; the same request may succeed soon."""

    status = 503
    title = "Service unavailable"
    code = "overloaded"


class Misdirected(Refused):
    """``Host`` names another server than this one (RFC 9110, section 15.5.20)."""

    status = 421
    title = "Misdirected request"
    code = "misdirected"


class FaultInjected(Refused):
    """A fault that was set refuses the request, with the status that it names."""

    status = 503
    title = "Refused by a fault"
    code = "fault_injected"

    def __init__(
        self, detail: str, *, code: str | None = None, headers: dict[str, str] | None = None, status: int = 503
    ) -> None:
        super().__init__(detail, code=code, headers=headers)
        self.status = status


class StorageFailed(Refused):
    """The database refused the write; nothing of the request was stored."""

    status = 503
    title = "Storage failed"
    code = "storage_failed"


class StorageFull(Refused):
    """The disk is full; nothing of the request was stored."""

    status = 507
    title = "Insufficient storage"
    code = "storage_full"


@attrs.frozen
class CloseCode:
    """One row of the table below: WebSocket close codes per protocol, and what to tell the peer."""

    blog: int
    commands: int
    graphql: int
    text: str


class Reason(Enum):
    """Why a connection ends. The numbers are WebSocket close codes (RFC 6455, section 7.4).

    Columns: the blog sockets; ``/ws`` and ``/_events``; graphql-transport-ws; the text
    sent with the close frame.
    """

    NORMAL = CloseCode(1000, 1000, 1000, "")
    STOPPING = CloseCode(1001, 1001, 1001, "server is stopping")
    NO_PONG = CloseCode(1001, 1001, 1001, "no pong in time")
    UNAUTHORIZED = CloseCode(4401, 4401, 4403, "credential missing or invalid")
    FORBIDDEN = CloseCode(4403, 4403, 4403, "not allowed")
    REVOKED = CloseCode(1008, 4401, 4403, "credential revoked")
    EXPIRED = CloseCode(1008, 4401, 4403, "credential expired")
    ABUSE = CloseCode(1008, 1008, 4400, "protocol abuse")
    RATE_LIMITED = CloseCode(1008, 1008, 4429, "rate limit exceeded")
    TOO_BIG = CloseCode(1009, 1009, 1009, "message too big")
    INTERNAL_ERROR = CloseCode(1011, 1011, 4500, "internal error")
    RECONFIGURED = CloseCode(1012, 1012, 1012, "what the channel keeps has changed; reconnect")
    OVER_CAPACITY = CloseCode(1013, 1013, 1013, "over capacity")
    TOO_SLOW = CloseCode(4408, 4408, 4408, "reader too slow")
    DELETED = CloseCode(4404, 4404, 4404, "the document was deleted")
    CLOSED_BY_OPERATOR = CloseCode(1000, 1000, 1000, "closed by the operator")
    FAULT = CloseCode(1012, 1012, 1012, "closed by a fault that was set")  # or the code that the fault names
    # Of graphql-transport-ws alone; the texts are the protocol's own.
    INVALID_MESSAGE = CloseCode(1008, 1008, 4400, "Invalid message received")
    NOT_INITIALISED = CloseCode(1008, 1008, 4401, "Unauthorized")
    SUBPROTOCOL = CloseCode(1008, 1008, 4406, "Subprotocol not acceptable")
    INIT_TIMEOUT = CloseCode(1008, 1008, 4408, "Connection initialisation timeout")
    DUPLICATE_ID = CloseCode(1008, 1008, 4409, "Subscriber already exists")
    SECOND_INIT = CloseCode(1008, 1008, 4429, "Too many initialisation requests")
