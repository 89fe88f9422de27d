"""``python -m tests.examples.program FILE WORDS…`` is ``python FILE WORDS…``, but can be forked warm."""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    file = os.path.abspath(sys.argv[0])
    sys.path[0] = os.path.dirname(file)
    runpy.run_path(file, run_name="__main__")
