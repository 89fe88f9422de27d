"""What the tests of the store are given."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """Four megabytes, mounted for one test."""
    target = tmp_path / "small"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        print(f"SKIPPED: no right to mount a small disk: {done.stderr.decode().strip()}")
        pytest.skip("mounting needs root")
    yield target
    subprocess.run(["umount", str(target)], check=True)
