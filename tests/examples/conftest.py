from __future__ import annotations

import subprocess
import sys

import pytest

from tests import warm
from tests.examples import running


@pytest.fixture(autouse=True)
def warm_starts(monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """In the short run examples are forked with rtlite's imports done; in the long one they are started as by hand."""
    if not full:
        monkeypatch.setattr(subprocess, "Popen", warm.Popen)
        monkeypatch.setattr(running, "PYTHON", [sys.executable, "-m", "tests.examples.program"])
