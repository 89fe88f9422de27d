"""What the examples install is what the tests try them with, and they can be found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["collaborative-page", "stand-ins"])
def test_an_example_is_tried_with_the_packages_that_it_names(name: str) -> None:
    wanted = json.loads((EXAMPLES / name / "package.json").read_text())["dependencies"]
    locked = json.loads((EXAMPLES / name / "package-lock.json").read_text())["packages"]
    tried = json.loads((TESTS / "package-lock.json").read_text())["packages"]
    assert locked[""]["dependencies"] == wanted
    for place, package in locked.items():
        if place:
            assert package["version"] == tried[place]["version"], place


def test_the_index_names_each_example_and_each_says_how_it_is_run() -> None:
    folders = {file.parent.relative_to(EXAMPLES).as_posix() for file in EXAMPLES.glob("*/README.md")}
    assert folders == {file.name for file in EXAMPLES.iterdir() if file.is_dir()}
    index = (EXAMPLES / "README.md").read_text()
    assert {link.rstrip("/") for link in re.findall(r"\]\(([\w-]+/?)\)", index)} == folders
    for folder in folders:
        text = (EXAMPLES / folder / "README.md").read_text()
        (program,) = re.findall(r"^python (examples/\S+)$", text, re.MULTILINE)
        assert (EXAMPLES.parent / program).is_file()
