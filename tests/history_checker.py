"""A small Jepsen: from what everyone saw of one channel, find every broken promise.

What goes in is plain: what each publisher was told and when, what each subscriber session
received, and what the channel's history held at the end. Each check reads all of it once,
so a million operations take seconds. ``tests/test_history_checker.py`` breaks a good
history in one way per check and sees it caught: a checker that never failed proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum

import attrs

Report = Callable[[str, str], None]


class Outcome(Enum):
    """What a publisher knows of its publish."""

    OK = "ok"
    """It was told the offset."""
    FAILED = "failed"
    """It was told that nothing was stored."""
    UNKNOWN = "unknown"
    """The answer got lost: the event may be there, once, or not."""


@attrs.frozen
class Attempt:
    """One publish (or a retry of one, with the same id): begun at ``t0``, answered at ``t1``."""

    publisher: str
    id: str
    t0: float
    t1: float
    outcome: Outcome
    offset: int | None = None
    duplicate: bool = False


@attrs.frozen
class Session:
    """What one subscriber session received, in the order it came.

    It asked for everything after ``after``; ``until`` is the last offset it is owed (``None``
    for whatever it got), ``told`` are offsets before which it was told of a gap.
    """

    name: str
    arrivals: Sequence[tuple[int, str]]
    after: int | None = None
    until: int | None = None
    told: frozenset[int] = frozenset()


@attrs.frozen
class History:
    """Everything seen of one channel. ``log`` is its final history as (offset, id), in the order read;
    it begins after offset ``trimmed``, up to which retention deleted."""

    attempts: Sequence[Attempt]
    sessions: Sequence[Session]
    log: Sequence[tuple[int, str]]
    trimmed: int = 0


@attrs.frozen
class Violation:
    check: str
    detail: str


def check_history(history: History) -> list[Violation]:
    """Every violation found; an empty list is the proof hoped for."""
    found: list[Violation] = []

    def report(check: str, detail: str) -> None:
        found.append(Violation(check, detail))

    by_id = _check_log(history, report)
    _check_attempts(history, by_id, report)
    _check_real_time(history.attempts, report)
    by_offset = dict(history.log)
    for attempt in history.attempts:  # what retention deleted is still known from the acknowledgements
        if attempt.outcome is Outcome.OK and attempt.offset is not None and attempt.offset <= history.trimmed:
            by_offset.setdefault(attempt.offset, attempt.id)
    known = {attempt.id for attempt in history.attempts}
    for session in history.sessions:
        _check_session(session, by_offset, known, history.trimmed, report)
    return found


def _check_log(history: History, report: Report) -> dict[str, int]:
    by_id: dict[str, int] = {}
    before = history.trimmed
    attempted = {attempt.id for attempt in history.attempts}
    refused = _ids(history.attempts, Outcome.FAILED) - _ids(history.attempts, Outcome.OK, Outcome.UNKNOWN)
    for offset, id in history.log:
        if id in by_id:
            report("duplicate_in_log", f"{id} is at {by_id[id]} and at {offset}")
        by_id.setdefault(id, offset)
        if offset <= before:
            report("offset_not_strictly_increasing", f"{offset} after {before}")
        elif offset != before + 1:
            report("offset_hole", f"{offset} after {before}")
        before = offset
        if id not in attempted:
            report("phantom", f"{id} at {offset} was never published")
        if id in refused:
            report("refused_but_stored", f"{id} is at {offset}")
    return by_id


def _ids(attempts: Iterable[Attempt], *outcomes: Outcome) -> set[str]:
    return {attempt.id for attempt in attempts if attempt.outcome in outcomes}


def _check_attempts(history: History, by_id: dict[str, int], report: Report) -> None:
    told: dict[int, str] = {}
    for attempt in history.attempts:
        if attempt.outcome is not Outcome.OK:
            continue
        if attempt.offset is None:
            report("ack_offset_lie", f"{attempt.id} was acknowledged without an offset")
            continue
        if told.setdefault(attempt.offset, attempt.id) != attempt.id:
            report("ack_offset_lie", f"{attempt.offset} was told to {told[attempt.offset]} and to {attempt.id}")
        if attempt.offset <= history.trimmed and attempt.id not in by_id:
            continue
        if attempt.id not in by_id:
            report("lost_ack", f"{attempt.id} was acknowledged at {attempt.offset} and is gone")
        elif by_id[attempt.id] != attempt.offset:
            report("ack_offset_lie", f"{attempt.id} is at {by_id[attempt.id]}, told was {attempt.offset}")


def _check_real_time(attempts: Iterable[Attempt], report: Report) -> None:
    """If one publish was acknowledged before another began, its offset is the smaller one."""
    first = [item for item in attempts if item.outcome is Outcome.OK and item.offset is not None and not item.duplicate]
    ended = sorted(first, key=lambda item: item.t1)
    highest, at = 0, 0
    for attempt in sorted(first, key=lambda item: item.t0):
        while at < len(ended) and ended[at].t1 < attempt.t0:
            highest = max(highest, ended[at].offset or 0)
            at += 1
        if (attempt.offset or 0) < highest:
            report("realtime_order", f"{attempt.id} got {attempt.offset}, after {highest} was acknowledged")


def _check_session(
    session: Session, by_offset: Mapping[int, str], known: AbstractSet[str], trimmed: int, report: Report
) -> None:
    before = session.after
    for offset, id in session.arrivals:
        if before is not None and offset <= before:
            report("dup_or_reorder_delivery", f"{session.name}: {offset} after {before}")
        elif before is not None and offset != before + 1 and offset not in session.told:
            report("silent_gap", f"{session.name}: {offset} after {before}")
        before = offset if before is None else max(before, offset)
        if offset in by_offset:
            if by_offset[offset] != id:
                report("delivered_differs_from_log", f"{session.name}: {id} at {offset}, not {by_offset[offset]}")
        elif offset > trimmed or id not in known:
            report("phantom_delivery", f"{session.name}: {id} at {offset} is not in the log")
    if session.until is not None and (before or 0) < session.until:
        report("silent_gap", f"{session.name}: ends at {before}, owed up to {session.until}")
