from __future__ import annotations

import pytest

from rtlite import errors
from rtlite.errors import Reason, Refused, TooMany

REFUSALS = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Refused)]

# The contract's table, "Close codes": blog, /ws and /_events, graphql-transport-ws.
TABLE = {
    Reason.NORMAL: (1000, 1000, 1000),
    Reason.STOPPING: (1001, 1001, 1001),
    Reason.NO_PONG: (1001, 1001, 1001),
    Reason.UNAUTHORIZED: (4401, 4401, 4403),
    Reason.FORBIDDEN: (4403, 4403, None),
    Reason.REVOKED: (1008, 4401, 4403),
    Reason.EXPIRED: (1008, 4401, 4403),
    Reason.ABUSE: (1008, 1008, 4400),
    Reason.RATE_LIMITED: (1008, 1008, 4429),
    Reason.TOO_BIG: (1009, 1009, 1009),
    Reason.RECONFIGURED: (1012, 1012, 1012),
    Reason.OVER_CAPACITY: (1013, 1013, 1013),
    Reason.TOO_SLOW: (4408, 4408, 4408),
    # The protocol's own, of graphql-transport-ws (PROTOCOL.md of graphql-ws).
    Reason.INVALID_MESSAGE: (1008, 1008, 4400),
    Reason.NOT_INITIALISED: (1008, 1008, 4401),
    Reason.SUBPROTOCOL: (1008, 1008, 4406),
    Reason.INIT_TIMEOUT: (1008, 1008, 4408),
    Reason.DUPLICATE_ID: (1008, 1008, 4409),
    Reason.SECOND_INIT: (1008, 1008, 4429),
}


@pytest.mark.parametrize(("reason", "codes"), TABLE.items())
def test_the_close_codes_are_the_contracts(reason: Reason, codes: tuple[int, int, int | None]) -> None:
    row = reason.value
    assert (row.blog, row.commands) == codes[:2]
    assert codes[2] in {row.graphql, None}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_close_frame_can_carry_code_and_text(reason: Reason) -> None:
    """RFC 6455, sections 5.5 and 7.4."""
    for code in (reason.value.blog, reason.value.commands, reason.value.graphql):
        assert code in {1000, 1001, 1008, 1009, 1011, 1012, 1013} or 4000 <= code <= 4999
    assert len(reason.value.text.encode()) <= 123


def test_reasons_are_distinct_so_that_metrics_tell_them_apart() -> None:
    assert len({reason.name for reason in Reason}) == len(list(Reason)) == len(Reason.__members__)


@pytest.mark.parametrize("kind", [item for item in REFUSALS if item is not TooMany])
def test_every_refusal_has_a_status_a_title_and_a_code(kind: type[Refused]) -> None:
    refusal = kind("why")
    assert 400 <= refusal.status <= 599 and refusal.title
    assert refusal.code.replace("_", "").isalpha() and refusal.code.islower()
    assert (refusal.detail, refusal.headers, str(refusal)) == ("why", {}, "why")
    assert kind("why", code="other").code == "other"


@pytest.mark.parametrize(("wait", "seconds"), [(0.01, "1"), (0.9, "1"), (1.2, "2"), (59.7, "60")])
def test_retry_after_is_whole_seconds_and_never_too_short(wait: float, seconds: str) -> None:
    refusal = TooMany("slow down", wait, {"X-RateLimit-Limit": "5"})
    assert refusal.headers["Retry-After"] == seconds
    assert refusal.headers["X-RateLimit-Limit"] == "5"
    assert int(seconds) >= wait
