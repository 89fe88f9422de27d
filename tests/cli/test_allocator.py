"""What is asked of the C library and of the collector holds for a whole process, so each test has one of its own."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_the_start_made_is_looked_through_no_more() -> None:
    seen = run(
        "import gc, rtlite.server\n"
        "from rtlite.cli import allocator\n"
        "allocator.collect_nothing()\n"
        "before = len(gc.get_objects())\n"
        "allocator.set_aside()\n"
        "print(before > 10_000, len(gc.get_objects()) < 1000, gc.isenabled())"
    )
    assert seen == "True True True"


def test_a_c_library_without_such_options_is_no_failure() -> None:
    seen = run(
        "import ctypes\n"
        "from rtlite.cli import allocator\n"
        "ctypes.CDLL = lambda name: object()\n"
        "print(allocator.give_memory_back())"
    )
    assert seen == "False"
