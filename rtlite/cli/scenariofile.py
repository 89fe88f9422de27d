"""Reading scenarios: YAML to steps, with errors that name the file, the line and the field.

Only what JSON can hold is YAML here: tags that would make other objects are refused, and so are
files whose aliases grow into more than they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import click
import yaml

from rtlite import settings
from rtlite.cli.player import drawn
from rtlite.cli.recording import WrongFile
from rtlite.cli.scenario import BUILT_IN, VARIABLE, Parallel, Publish, Repeat, Scenario, Step, Wait
from rtlite.cli.trigger import found, path_parts

_MAX_BYTES: Final = 1024 * 1024
_MAX_NODES: Final = 100_000  # with aliases followed
_MAX_DEPTH: Final = 40
_MOST_ROUNDS: Final = 1_000_000
_TRIED: Final = 10_000  # events that are made before the first is published, to see whether they can be
_PLAIN: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "map", "seq"))
_TIME: Final = "tag:yaml.org,2002:timestamp"
_KINDS: Final = {  # each kind of step, with what it may have besides
    "publish": frozenset[str](),
    "trigger": frozenset({"set"}),
    "wait": frozenset({"jitter"}),
    "repeat": frozenset({"steps", "as", "every", "jitter"}),
    "each": frozenset({"steps", "as", "every", "jitter"}),
    "parallel": frozenset[str](),
}
Fields = dict[str, yaml.Node]


def read(path: str) -> Scenario:
    """The scenario in this file. :raises WrongFile: there is none, or something in it is not as it must be."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise WrongFile(path, 0, "", str(error.strerror)) from error
    if len(content) > _MAX_BYTES:
        raise WrongFile(path, 0, "", f"a scenario has {_MAX_BYTES} bytes at most")
    try:
        scenario = _Reader(path).scenario(content)
    except RecursionError as error:  # also of an alias that holds itself
        raise WrongFile(path, 0, "", "nested too deep") from error
    for due in islice(scenario.schedule(drawn(0)), _TRIED):
        due.make()
    return scenario


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._nodes = 0
        self._variables: dict[str, Any] = {}

    def scenario(self, content: bytes) -> Scenario:
        try:
            self._loader = yaml.SafeLoader(content)
            root = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise WrongFile(self._path, line, "", f"not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise WrongFile(self._path, 0, "", f"not YAML: {error}") from error
        if root is None:
            raise WrongFile(self._path, 0, "", "a scenario has steps")
        fields = self._fields(root, "", {"vars", "steps"}, {"steps"})
        if "vars" in fields:
            for name, node in self._fields(fields["vars"], "vars").items():
                self._check_name(node, f"vars.{name}", name)
                self._variables[name] = self._value(node, f"vars.{name}", frozenset())
        return Scenario(self._variables, self._steps(fields["steps"], "steps", frozenset(self._variables) | BUILT_IN))

    def _steps(self, node: yaml.Node, field: str, names: frozenset[str]) -> tuple[Step, ...]:
        items = list(self._items(node, field))
        if not items:
            raise self._wrong(node, field, "at least one step is wanted")
        return tuple(self._step(item, f"{field}[{number}]", names) for number, item in enumerate(items, 1))

    def _step(self, node: yaml.Node, field: str, names: frozenset[str]) -> Step:
        fields = self._fields(node, field)
        kinds = [kind for kind in _KINDS if kind in fields]
        if len(kinds) != 1:
            raise self._wrong(node, field, f"a step has one of {', '.join(_KINDS)}")
        (kind,) = kinds
        self._fields(node, field, {kind, *_KINDS[kind]})
        match kind:
            case "publish":
                return self._publish(fields[kind], f"{field}.publish", names)
            case "trigger":
                return self._trigger(fields, field, names)
            case "wait":
                return Wait(*self._times(fields, field, "wait"))
            case "parallel":
                return self._parallel(fields[kind], f"{field}.parallel", names)
        return self._loop(node, fields, field, names)

    def _publish(self, node: yaml.Node, field: str, names: frozenset[str]) -> Publish:
        self._fields(node, field, {"channel", "event", "data", "id"}, {"channel", "event"})
        return Publish(self._path, _line(node), field, self._value(node, field, names))

    def _trigger(self, fields: Fields, field: str, names: frozenset[str]) -> Publish:
        node = fields["trigger"]
        try:
            sample = found(self._text(node, f"{field}.trigger"))
        except click.BadParameter as error:
            raise self._wrong(node, f"{field}.trigger", error.message) from error
        template: dict[str, Any] = {}
        parts = []
        if "set" in fields:
            for path, value in self._fields(fields["set"], f"{field}.set").items():
                try:
                    parts.append(path_parts(path))
                except click.BadParameter as error:
                    raise self._wrong(value, f"{field}.set", error.message) from error
                template[path] = self._value(value, f"{field}.set.{path}", names)
        return Publish(self._path, _line(node), field, template, sample, tuple(parts))

    def _parallel(self, node: yaml.Node, field: str, names: frozenset[str]) -> Parallel:
        branches = [
            self._steps(item, f"{field}[{number}]", names) for number, item in enumerate(self._items(node, field), 1)
        ]
        if not branches:
            raise self._wrong(node, field, "lists of steps are wanted")
        return Parallel(tuple(branches))

    def _loop(self, node: yaml.Node, fields: Fields, field: str, names: frozenset[str]) -> Repeat:
        if "steps" not in fields:
            raise self._wrong(node, f"{field}.steps", "this is missing")
        name = None
        if "as" in fields:
            name = self._text(fields["as"], f"{field}.as")
            self._check_name(fields["as"], f"{field}.as", name)
            if name in self._variables:
                raise self._wrong(fields["as"], f"{field}.as", f"{name!r} is one of vars already")
        every, jitter = self._times(fields, field, "every")
        steps = self._steps(fields["steps"], f"{field}.steps", names | ({name} if name else set()))
        if "each" in fields:
            values = self._constant(fields["each"], f"{field}.each")
            if not isinstance(values, list):
                raise self._wrong(fields["each"], f"{field}.each", "a list is wanted")
            return Repeat(values, name, every, jitter, steps)
        times = self._constant(fields["repeat"], f"{field}.repeat")
        if times == "forever":
            if max(every - jitter, _least_seconds(steps)) <= 0:
                raise self._wrong(fields["repeat"], f"{field}.repeat", "without end it needs every, or a wait")
            return Repeat(None, name, every, jitter, steps)
        if type(times) is not int or not 1 <= times <= _MOST_ROUNDS:
            raise self._wrong(fields["repeat"], f"{field}.repeat", f"1 to {_MOST_ROUNDS}, or forever, is wanted")
        return Repeat(range(1, times + 1), name, every, jitter, steps)

    def _times(self, fields: Fields, field: str, name: str) -> tuple[float, float]:
        return self._duration(fields, field, name), self._duration(fields, field, "jitter")

    def _duration(self, fields: Fields, field: str, name: str) -> float:
        if name not in fields:
            return 0.0
        node = fields[name]
        try:
            return settings.duration(node.value if isinstance(node, yaml.ScalarNode) else "")
        except ValueError as error:
            raise self._wrong(node, f"{field}.{name}", f"it is {error}") from error

    def _check_name(self, node: yaml.Node, field: str, name: str) -> None:
        if not name.isidentifier() or name in BUILT_IN:
            raise self._wrong(node, field, "a variable's name is letters, digits and _, and none of " + _listed())

    def _fields(
        self, node: yaml.Node, field: str, known: set[str] | None = None, wanted: set[str] | None = None
    ) -> Fields:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, field, "fields are wanted, as in name: value")
        fields: Fields = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in fields:
                raise self._wrong(
                    key, field, "a field's name is a text" if name is None else f"{name!r} is there twice"
                )
            if known is not None and name not in known:
                raise self._wrong(key, _dotted(field, name), f"unknown; known are {', '.join(sorted(known))}")
            fields[name] = value
        for name in sorted((wanted or set()) - fields.keys()):
            raise self._wrong(node, _dotted(field, name), "this is missing")
        return fields

    def _items(self, node: yaml.Node, field: str) -> Iterator[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._wrong(node, field, "a list is wanted")
        for item in node.value:
            self._check(item, field)
            yield item

    def _value(self, node: yaml.Node, field: str, names: frozenset[str], depth: int = 0) -> Any:
        """A JSON value, in whose texts only these variables are named."""
        self._check(node, field)
        if depth > _MAX_DEPTH:
            raise self._wrong(node, field, "nested too deep")
        match node:
            case yaml.MappingNode():
                return {
                    name: self._value(value, _dotted(field, name), names, depth + 1)
                    for name, value in self._fields(node, field).items()
                }
            case yaml.SequenceNode():
                return [self._value(item, f"{field}[{n}]", names, depth + 1) for n, item in enumerate(node.value, 1)]
        return self._scalar(node, field, names)

    def _constant(self, node: yaml.Node, field: str) -> Any:
        """A value that holds throughout: as it is written, or one of ``vars``."""
        value = self._value(node, field, frozenset(self._variables))
        whole = VARIABLE.fullmatch(value) if isinstance(value, str) else None
        return value if whole is None else self._variables[whole[1]]

    def _scalar(self, node: yaml.Node, field: str, names: frozenset[str]) -> Any:
        if node.tag == _TIME:
            return node.value  # as it is written
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._wrong(node, field, "no such value") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._wrong(node, field, "JSON has no such number")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise self._wrong(node, field, "a number of more than 64 bits")
        if isinstance(value, str):
            for name in VARIABLE.findall(value):
                if name not in names:
                    known = ", ".join(sorted(names)) or "none"
                    raise self._wrong(node, field, f"there is no variable {name!r} here; there is: {known}")
        return value

    def _text(self, node: yaml.Node, field: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, field, "a text is wanted")
        return str(node.value)

    def _check(self, node: yaml.Node, field: str) -> None:
        if node.tag not in _PLAIN and node.tag != _TIME:
            raise self._wrong(node, field, f"{node.tag} is no value of JSON")
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise self._wrong(node, field, f"more than {_MAX_NODES:,} values, aliases followed")

    def _wrong(self, node: yaml.Node, field: str, text: str) -> WrongFile:
        return WrongFile(self._path, _line(node), field, text)


def _least_seconds(steps: tuple[Step, ...]) -> float:
    total = 0.0
    for step in steps:
        match step:
            case Wait():
                total += max(0.0, step.seconds - step.jitter)
            case Repeat(values=None):
                total += 1.0  # it never comes back
            case Repeat(values=values):
                rounds = len(values or ())
                pauses = max(0, rounds - 1) * max(0.0, step.every - step.jitter)
                total += max(pauses, rounds * _least_seconds(step.steps))
            case Parallel():
                total += max(map(_least_seconds, step.branches))
    return total


def _dotted(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _listed() -> str:
    return ", ".join(sorted(BUILT_IN))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
