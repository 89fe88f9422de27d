"""The hostile corpus, on every kind of listener, one case after another on the same server.

For each: the server lives, a second client that was connected before gets its next event,
whoever comes after is served, the answer is a documented one, and the log holds a few
lines at most and no traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
import trustme

from rtlite.errors import Reason
from tests.security.corpus import CASES, Case, Leaves
from tests.security.scene import Line, Scene, staged
from tests.transports.doors import PING, frame

MOST_LINES = 3
KNOWN_CLOSES = {code for reason in Reason for code in (reason.value.blog, reason.value.graphql)}
KNOWN_CLOSES |= {1002, 1003, 1005, 1007}


SHARE = {"tcp": 1, "process": 3, "unix": 4, "tls": 4}
"""Each how manyth case is run on which listener."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    """The server of each kind, started when it is first wanted. Not a fixture each: pytest would start one per case."""
    folder = tmp_path_factory.mktemp("hostile")
    options: dict[str, Callable[[], dict[str, Any]]] = {
        "tcp": dict,
        "unix": lambda: {"uds": folder / "s"},
        "tls": lambda: {"tls": (trustme.CA(), folder)},
        "process": lambda: {"process": True, "data": folder / "rtlite.db"},
    }
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(staged(**options[name]())))


@pytest.mark.parametrize(
    ("listener", "case"),
    [
        pytest.param(listener, case, id=f"{listener}-{case.name}")
        for listener, share in SHARE.items()
        for case in CASES[::share]
    ],
)
def test_a_hostile_client_is_answered_as_documented_and_nobody_else_notices(
    scenes: Callable[[str], Scene], listener: str, case: Case
) -> None:
    scene = scenes(listener)
    lines, faults = len(scene.logs()), scene.faults()
    line = scene.door.connect()
    try:
        line.send(case.send.replace(b"$KEY", scene.key.encode()))
        if case.status:
            _check_answer(line, case)
        elif case.leaves is Leaves.WITH_A_RESET:
            line.reset()
    finally:
        line.sock.close()
    scene.all_is_well()
    assert scene.faults() == faults, "a mistake of our own"
    logged = scene.logs()[lines:]
    assert len(logged) <= MOST_LINES, logged
    assert not any("exc_info" in line or '"exception"' in line for line in logged), logged


def _check_answer(line: Line, case: Case) -> None:
    answer = line.answer()
    assert answer.status in case.status, answer
    assert "server" not in answer.headers
    if answer.status >= 400:
        assert answer.code and len(answer.body) < 400
        assert b"Traceback" not in answer.body and b".py" not in answer.body
    if answer.status != 101 or case.close is None:
        return
    assert answer.headers.get("sec-websocket-protocol") == case.subprotocol
    assert "sec-websocket-extensions" not in answer.headers
    if case.close == -1:
        line.send(frame(b"still there", PING))
        line.pong(b"still there")
    else:
        code = line.close_code()
        assert code in KNOWN_CLOSES | {case.close}
        assert code == case.close


def test_the_corpus_is_large_enough_and_each_case_is_one_of_its_own() -> None:
    assert len(CASES) >= 58
    assert len({case.name for case in CASES}) == len(CASES)
