"""Scenarios: what they say is published when, and what is wrong in one is named before anything is."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import pytest

from rtlite.cli.player import drawn
from rtlite.cli.recording import WrongFile
from rtlite.cli.scenariofile import read


@pytest.fixture
def scenario(tmp_path):
    def scenario(text: str) -> Any:
        path = tmp_path / "s.yaml"
        path.write_text(text)
        return read(str(path))

    return scenario


def shown(scenario: Any, seed: int = 1, most: int = 100) -> list[tuple[float, str, Any]]:
    made = [(due.at, due.make()) for due in islice(scenario.schedule(drawn(seed)), most)]
    return [(round(at, 6), event["channel"], event["data"]) for at, event in made]


def test_steps_follow_each_other_with_waits_loops_and_variables(scenario):
    loops = scenario("""
vars: {slug: hello, tags: [a, 1]}
steps:
  - publish: {channel: "article:${slug}", event: e, data: "${tags}"}
  - wait: 2s
  - repeat: 2
    as: n
    every: 500ms
    steps:
      - publish: {channel: "article:${slug}", event: e, data: {number: "${n}", text: "no. ${n}", day: 2026-05-27}}
  - each: [x, y]
    as: name
    steps:
      - publish: {channel: "b:${name}", event: e}
      - wait: 1s
""")
    assert shown(loops) == [
        (0, "article:hello", ["a", 1]),
        (2, "article:hello", {"number": 1, "text": "no. 1", "day": "2026-05-27"}),
        (2.5, "article:hello", {"number": 2, "text": "no. 2", "day": "2026-05-27"}),
        (2.5, "b:x", None),
        (3.5, "b:y", None),
    ]


def test_branches_go_on_side_by_side_and_end_with_the_last(scenario):
    both = scenario("""
steps:
  - parallel:
      - - repeat: 3
          every: 1s
          steps: [{publish: {channel: "a:1", event: e}}]
      - [{wait: 1500ms}, {publish: {channel: "b:1", event: e}}, {wait: 2s}]
  - publish: {channel: "c:1", event: e}
""")
    assert [(at, channel) for at, channel, _ in shown(both)] == [
        (0, "a:1"),
        (1, "a:1"),
        (1.5, "b:1"),
        (2, "a:1"),
        (3.5, "c:1"),
    ]


def test_a_loop_without_end_has_none_and_jitter_and_ids_come_from_the_seed(scenario):
    forever = scenario("""
steps:
  - repeat: forever
    every: 1s
    jitter: 200ms
    steps:
      - trigger: new_comment
        set: {channel: "notifications:ann", data.comment.createdAt: gone, data.random: "${random}"}
      - publish: {channel: "a:1", event: e, id: "${uuid}", data: "at ${now}"}
""")
    events = shown(forever, most=60)
    ids = {data["comment"]["id"] for _, channel, data in events if channel == "notifications:ann"}
    assert len(ids) == 30
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(events[::2])]
    assert all(0.8 <= gap <= 1.2 for gap in gaps)
    assert len(set(gaps)) > 20
    assert events[::2] == shown(forever, most=60)[::2] != shown(forever, seed=2, most=60)[::2]


STEP = "  - publish: {channel: 'a:1', event: e}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": a scenario has steps"),
        ("steps: []", ":1: steps: at least one step"),
        ("step:\n" + STEP, ":1: step: unknown; known are steps, vars"),
        ("steps:\n" + STEP + "  - publish: {channel: 'a:1'}\n", ":3: steps[2].publish.event: this is missing"),
        ("steps:\n" + STEP + "    vait: 1s\n", ":3: steps[1].vait: unknown"),
        ("steps:\n" + STEP + "    wait: 1s\n", ":2: steps[1]: a step has one of publish"),
        ("steps:\n  - wait: soon\n", ":2: steps[1].wait: it is"),
        ("steps:\n  - trigger: view_updat\n", ":2: steps[1].trigger: there is no sample 'view_updat'. Did you mean"),
        ("steps:\n  - trigger: milestone\n    set: {slug: x}\n", ":3: steps[1].set: there is no 'slug'"),
        ("steps:\n  - trigger: milestone\n    set: {data.viewCount.x: 1}\n", ":2: steps[1]: data.viewCount has no"),
        (
            "steps:\n  - publish: {channel: 'a:${n}', event: e}\n",
            ":2: steps[1].publish.channel: there is no variable 'n'",
        ),
        ("steps:\n  - publish: {channel: 'a:*', event: e}\n", ":2: steps[1].publish.channel: a pattern names many"),
        ("vars: {n: 1}\nsteps:\n  - publish: {channel: '${n}', event: e}\n", ":3: steps[1].publish.channel: a text is"),
        ("steps:\n  - repeat: 0\n    steps:\n    " + STEP, ":2: steps[1].repeat: 1 to 1000000, or forever"),
        ("steps:\n  - repeat: 2\n", ":2: steps[1].steps: this is missing"),
        ("steps:\n  - repeat: forever\n    steps:\n    " + STEP, ":2: steps[1].repeat: without end it needs every"),
        ("steps:\n  - each: 3\n    steps:\n    " + STEP, ":2: steps[1].each: a list is wanted"),
        (
            "vars: {n: 1}\nsteps:\n  - repeat: 2\n    as: n\n    steps:\n    " + STEP,
            ":4: steps[1].as: 'n' is one of vars",
        ),
        ("vars: {now: 1}\nsteps:\n" + STEP, ":1: vars.now: a variable's name"),
        ("vars: {a: .nan}\nsteps:\n" + STEP, ":1: vars.a: JSON has no such number"),
        ("vars: {a: 1, a: 2}\nsteps:\n" + STEP, ":1: vars: 'a' is there twice"),
        ("vars: {a: !!python/object/apply:os.system [ls]}\nsteps:\n" + STEP, "no value of JSON"),
        ("vars: {a: !!binary aGk=}\nsteps:\n" + STEP, ":1: vars.a: tag:yaml.org,2002:binary is no value of JSON"),
        ("steps:\n  - publish: {channel\n", "not YAML"),
        ("steps: &a\n  - repeat: 2\n    steps: *a\n", ": nested too deep"),
        ("vars: {a: &a [*a]}\nsteps:\n" + STEP, ":1: vars.a"),
        ("vars: {a: " + "[" * 5000 + "\n", ": nested too deep"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_field(scenario, text, said):
    with pytest.raises(WrongFile) as caught:
        scenario(text)
    assert "s.yaml" in str(caught.value)
    assert said in str(caught.value)


def test_loops_go_over_what_vars_say(scenario):
    loops = scenario("""
vars: {names: [a, b], times: 2}
steps:
  - each: "${names}"
    as: name
    steps:
      - repeat: "${times}"
        steps: [{publish: {channel: "x:${name}", event: e}}]
""")
    assert [channel for _, channel, _ in shown(loops)] == ["x:a", "x:a", "x:b", "x:b"]


def test_aliases_that_grow_are_refused(scenario):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(WrongFile, match="aliases followed"):
        scenario("vars:\n" + "".join(f"  {line}\n" for line in lines) + "steps:\n" + STEP)
