"""Every line of the security checklist is proven by tests that exist, or named as one for later."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.security.checklist import CHECKLIST, FINDINGS, LATER

TESTS = Path(__file__).parent.parent
NOW = [*range(1, 38), 39, 40, *range(42, 48), *range(50, 56)]


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("line", NOW)
def test_each_line_that_applies_now_is_proven_by_tests_that_exist(line: int) -> None:
    assert CHECKLIST[line]
    for test in CHECKLIST[line]:
        file, _, name = test.partition("::")
        assert name in functions(file), test


@pytest.mark.parametrize("finding", [f"F{number}" for number in range(1, 11)])
def test_each_finding_is_shown_not_to_hold_by_tests_that_exist(finding: str) -> None:
    assert FINDINGS[finding]
    for test in FINDINGS[finding]:
        file, _, name = test.partition("::")
        assert name in functions(file), test


def test_each_line_stands_here_or_is_named_as_one_for_later() -> None:
    assert set(CHECKLIST) == set(NOW)
    assert set(CHECKLIST) | set(LATER) == set(range(1, 56))
