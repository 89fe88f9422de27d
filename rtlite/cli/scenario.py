"""Scenarios: YAML files that say which events to publish, and when::

    vars: {slug: hello}
    steps:
      - publish: {channel: "article:${slug}", event: view_update, data: {viewCount: 1}}
      - wait: 2s
      - repeat: 3
        as: n
        every: 500ms
        steps:
          - trigger: new_comment
            set: {data.comment.body: "Comment ${n}"}

A scenario is a list of times and events; nothing here publishes. All of a file is looked through
before its first event is there.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final
from uuid import UUID

import attrs
import click

from rtlite.cli.player import Due
from rtlite.cli.recording import WrongFile, check_event
from rtlite.cli.trigger import made
from rtlite.domain.samples import Sample, Turn
from rtlite.model import now_ms, rfc3339

BUILT_IN: Final = frozenset({"now", "uuid", "random"})
VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
Scope = Mapping[str, Any]


@attrs.frozen(eq=False)
class Publish:
    """One event: as a template says it, or a sample with the template's parts in place of its own."""

    path: str
    line: int
    field: str
    template: dict[str, Any]
    sample: Sample | None = None
    parts: tuple[list[str], ...] = ()


@attrs.frozen(eq=False)
class Wait:
    seconds: float
    jitter: float = 0.0


@attrs.frozen(eq=False)
class Repeat:
    """Steps for each of ``values``, which the variable ``name`` has meanwhile; ``None`` is 1, 2, 3, … for ever.

    A round begins ``every`` seconds after the one before it, or when that is over if it takes longer.
    """

    values: Sequence[Any] | None
    name: str | None
    every: float
    jitter: float
    steps: tuple[Step, ...]


@attrs.frozen(eq=False)
class Parallel:
    """Lists of steps that begin together; it is over with the last of them."""

    branches: tuple[tuple[Step, ...], ...]


Step = Publish | Wait | Repeat | Parallel


@attrs.frozen
class Scenario:
    """A file's steps, and the variables that they begin with."""

    variables: Scope
    steps: tuple[Step, ...]

    def schedule(self, random: Random) -> Generator[Due, None, float]:
        """The events in the order of their times; returns when it is over, in seconds.

        What an event holds is found out when it is due. :raises WrongFile: then, of one that no server takes.
        """
        return _Run(random).steps(self.steps, 0.0, self.variables)


class _Run:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._turns: Counter[Publish] = Counter()

    def steps(self, steps: Sequence[Step], at: float, scope: Scope) -> Generator[Due, None, float]:
        for step in steps:
            match step:
                case Publish():
                    yield self._due(step, at, scope)
                case Wait():
                    at += self._around(step.seconds, step.jitter)
                case Repeat():
                    at = yield from self._repeat(step, at, scope)
                case Parallel():
                    at = yield from self._parallel(step, at, scope)
        return at

    def _repeat(self, step: Repeat, at: float, scope: Scope) -> Generator[Due, None, float]:
        for number, value in enumerate(step.values if step.values is not None else _numbers()):
            inner = scope if step.name is None else {**scope, step.name: value}
            begins = at
            at = yield from self.steps(step.steps, at, inner)
            if step.values is None or number + 1 < len(step.values):
                at = max(at, begins + self._around(step.every, step.jitter))
        return at

    def _parallel(self, step: Parallel, at: float, scope: Scope) -> Generator[Due, None, float]:
        ends: list[float] = []

        def branch(steps: Sequence[Step]) -> Iterator[Due]:
            ends.append((yield from self.steps(steps, at, scope)))

        yield from heapq.merge(*map(branch, step.branches), key=lambda due: due.at)
        return max(ends)

    def _due(self, step: Publish, at: float, scope: Scope) -> Due:
        return Due(at, lambda: self._event(step, scope))

    def _event(self, step: Publish, scope: Scope) -> dict[str, Any]:
        def wrong(field: str, text: str) -> WrongFile:
            return WrongFile(step.path, step.line, f"{step.field}.{field}", text)

        filled = self._filled(step.template, scope)
        if step.sample is None:
            event = {"data": None, **filled}
        else:
            turn = Turn(self._turns[step], self._random)
            self._turns[step] += 1
            overrides = [(parts, filled[".".join(parts)]) for parts in step.parts]
            try:
                event = made(step.sample, overrides, turn)
            except click.BadParameter as error:
                raise WrongFile(step.path, step.line, step.field, error.message) from error
        for field in ("channel", "event", "id"):
            if field in event and not isinstance(event[field], str):
                raise wrong(field, "a text is wanted")
        check_event(event, wrong)
        return event

    def _filled(self, value: Any, scope: Scope) -> Any:
        match value:
            case str():
                whole = VARIABLE.fullmatch(value)
                if whole is not None:  # alone, a variable keeps its type
                    return self._value(whole[1], scope)
                return VARIABLE.sub(lambda match: _text(self._value(match[1], scope)), value)
            case dict():
                return {name: self._filled(item, scope) for name, item in value.items()}
            case list():
                return [self._filled(item, scope) for item in value]
        return value

    def _value(self, name: str, scope: Scope) -> Any:
        if name in scope:
            return scope[name]
        match name:
            case "now":
                return rfc3339(now_ms())
            case "uuid":
                return str(UUID(int=self._random.getrandbits(128), version=4))
        return self._random.random()

    def _around(self, seconds: float, jitter: float) -> float:
        return max(0.0, seconds + self._random.uniform(-jitter, jitter)) if jitter else seconds


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield (number := number + 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
