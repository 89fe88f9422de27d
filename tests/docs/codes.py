"""Every code that a refusal can have, with its HTTP status, as the code of rtlite raises them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from tests.docs.blocks import ROOT


@functools.cache
def raised() -> dict[str, set[int]]:
    """By code, the statuses it comes with."""
    trees = [
        ast.parse(path.read_text()) for path in sorted((ROOT / "rtlite").rglob("*.py")) if "console" not in path.parts
    ]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.Call)]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    refusals = {name for name in classes if "Refused" in _bases(name, classes)} - {"CallFailed"}
    found: dict[str, set[int]] = {}
    for name in refusals:
        found.setdefault(str(_value(name, "code", classes)), set()).add(int(_value(name, "status", classes)))
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in refusals:
            for word in node.keywords:
                if word.arg == "code":
                    for code in _texts(word.value):
                        found.setdefault(code, set()).add(int(_value(node.func.id, "status", classes)))
    return found


def _bases(name: str, classes: dict[str, ast.ClassDef]) -> list[str]:
    """The class and what it is made of, the nearest first."""
    found = [name]
    for base in classes[name].bases if name in classes else ():
        if isinstance(base, ast.Name):
            found += _bases(base.id, classes)
    return found


def _value(name: str, attribute: str, classes: dict[str, ast.ClassDef]) -> str | int:
    for base in _bases(name, classes):
        for node in classes[base].body if base in classes else ():
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
                value = getattr(node, "value", None)
                if isinstance(value, ast.Constant) and isinstance(value.value, str | int):
                    return value.value
    raise AssertionError(f"{name} has no {attribute}")


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, str)
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
