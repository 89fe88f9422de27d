from __future__ import annotations

import subprocess
import sys

import pytest

from tests import warm
from tests.docs import languages


@pytest.fixture(autouse=True)
def warm_starts(monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """In the short run programs are forked with rtlite's imports done; in the long one they are started as by hand."""
    if not full:
        monkeypatch.setattr(subprocess, "Popen", warm.Popen)
        monkeypatch.setattr(languages, "PYTHON", [sys.executable, "-m", "tests.examples.program"])
