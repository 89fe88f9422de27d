"""The checker passes a good history, and catches it broken in each way it knows."""

from __future__ import annotations

import time

import attrs
import pytest

from tests.history_checker import Attempt, History, Outcome, Session, check_history

OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN


def good_history() -> History:
    """Five acknowledged events, one retried; one refused; one lost answer that was stored, one that was not."""
    attempts = [Attempt("p", f"e{n}", n, n + 0.5, OK, n) for n in range(1, 6)]
    attempts += [
        Attempt("p", "e5", 5.6, 5.7, OK, 5, duplicate=True),
        Attempt("q", "refused", 6, 6.5, FAILED),
        Attempt("q", "stored", 7, 7.5, UNKNOWN),
        Attempt("q", "vanished", 8, 8.5, UNKNOWN),
    ]
    log = [(n, f"e{n}") for n in range(1, 6)] + [(6, "stored")]
    sessions = [
        Session("all", tuple(log), after=0, until=6),
        Session("late", tuple(log[3:])),
        Session("told", (*log[:1], *log[4:]), after=0, until=6, told=frozenset({5})),
    ]
    return History(attempts, sessions, log)


def arrivals(history: History, changed: list[tuple[int, str]]) -> History:
    return attrs.evolve(history, sessions=[Session("broken", changed, after=0, until=6)])


def replaced(history: History, id: str, **changes: object) -> History:
    """With the first attempt of this id changed."""
    attempts = list(history.attempts)
    at = next(number for number, attempt in enumerate(attempts) if attempt.id == id)
    attempts[at] = attrs.evolve(attempts[at], **changes)
    return attrs.evolve(history, attempts=attempts)


def without_sessions(history: History, log: list[tuple[int, str]]) -> History:
    return attrs.evolve(history, sessions=[], log=log)


GOOD = good_history()
LOG = list(GOOD.log)
MUTATIONS = {
    "lost_ack": without_sessions(GOOD, LOG[:2] + LOG[3:]),
    "duplicate_in_log": without_sessions(GOOD, [*LOG, (7, "e2")]),
    "phantom": without_sessions(GOOD, [*LOG, (7, "from nowhere")]),
    "refused_but_stored": without_sessions(GOOD, [*LOG, (7, "refused")]),
    "ack_offset_lie": replaced(GOOD, "e2", offset=3),
    "offset_hole": without_sessions(GOOD, [*LOG[:5], (7, "stored")]),
    "offset_not_strictly_increasing": without_sessions(GOOD, [LOG[1], LOG[0], *LOG[2:]]),
    "realtime_order": replaced(GOOD, "e2", t0=9.0, t1=9.5),
    "dup_or_reorder_delivery": arrivals(GOOD, [*LOG[:3], LOG[2], *LOG[3:]]),
    "silent_gap": arrivals(GOOD, LOG[:2] + LOG[3:]),
    "delivered_differs_from_log": arrivals(GOOD, [*LOG[:2], (3, "e4"), *LOG[3:]]),
    "phantom_delivery": arrivals(GOOD, [*LOG, (7, "vanished")]),
}


def test_good_history_has_no_violation():
    assert check_history(GOOD) == []


@pytest.mark.parametrize("check", MUTATIONS)
def test_history_broken_in_one_way_is_caught(check):
    assert check in {violation.check for violation in check_history(MUTATIONS[check])}


@pytest.mark.parametrize("check", ["realtime_order", "dup_or_reorder_delivery", "silent_gap", "phantom_delivery"])
def test_broken_delivery_is_named_once_and_nothing_else(check):
    assert [violation.check for violation in check_history(MUTATIONS[check])] == [check]


def test_swapped_neighbours_are_reordered_delivery():
    found = check_history(arrivals(GOOD, [LOG[1], LOG[0], *LOG[2:]]))

    assert "dup_or_reorder_delivery" in {violation.check for violation in found}


def test_session_that_ends_early_has_a_silent_gap():
    assert [item.check for item in check_history(arrivals(GOOD, LOG[:-1]))] == ["silent_gap"]


def test_two_events_told_the_same_offset_is_a_lie():
    found = check_history(replaced(GOOD, "stored", outcome=OK, offset=5))

    assert "ack_offset_lie" in {violation.check for violation in found}


def test_events_that_retention_deleted_are_not_lost_and_their_deliveries_not_phantoms():
    assert check_history(attrs.evolve(GOOD, log=LOG[3:], trimmed=3)) == []


def test_a_hundred_thousand_operations_take_less_than_two_seconds():
    attempts = [Attempt("p", f"e{n}", n, n + 0.5, OK, n) for n in range(1, 50_001)]
    log = [(n, f"e{n}") for n in range(1, 50_001)]
    started = time.thread_time()

    assert check_history(History(attempts, [Session("s", log, after=0, until=50_000)], log)) == []
    assert time.thread_time() - started < 2
