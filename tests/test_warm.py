"""A process that was forked warm behaves as one that was started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import warm

RTLITE = [sys.executable, "-m", "rtlite"]


@pytest.mark.parametrize("arguments", [["--version"], ["nonsense"], ["config", "--json"], ["check", "absent.db"]])
def test_it_prints_and_returns_what_a_started_one_does(arguments: list[str], tmp_path: Path) -> None:
    found = []
    for popen in (subprocess.Popen, warm.Popen):
        process = popen(
            [*RTLITE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "RTLITE_PORT": "8123"},
        )
        found.append((*process.communicate(timeout=30), process.returncode))
    assert found[0] == found[1]
    assert any(found[0])


def test_a_signal_ends_it_and_it_is_our_child(tmp_path: Path) -> None:
    serve = [*RTLITE, "serve", "--port", "0", "--data", str(tmp_path / "rtlite.db")]
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)):
        with warm.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any(line.startswith("rtlite ready on") for line in process.stdout)
            status = Path(f"/proc/{process.pid}/status")
            assert f"PPid:\t{os.getpid()}\n" in status.read_text()
            process.send_signal(number)
            assert process.wait(10) == code
            assert not status.exists()


def test_it_has_the_descriptors_and_signals_of_a_started_one(tmp_path: Path) -> None:
    found = []
    for popen in (subprocess.Popen, warm.Popen):
        serve = [*RTLITE, "serve", "--port", "0", "--data", ":memory:"]
        with popen(
            serve, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert any(line.startswith("rtlite ready on") for line in process.stdout)
            own = Path(f"/proc/{process.pid}")
            opened = Counter(re.sub(r"\d+", "N", os.readlink(link)) for link in (own / "fd").iterdir())
            signals = re.findall(r"Sig(?:Blk|Ign|Cgt):.*", (own / "status").read_text())
            process.kill()
            found.append((opened, signals))
    assert found[0] == found[1]
