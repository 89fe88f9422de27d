"""What the figures were measured on: machine, disk, limits, versions."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from rtlite import __version__
from tests.benchmarks import install

_PACKAGES = ("trio", "trio-websocket", "wsproto", "hypercorn", "quart", "httptools", "orjson", "aiosqlite", "cattrs")


def facts() -> dict[str, Any]:
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2, 1),
        "kernel": platform.release(),
        "hard_fd_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_average_before": round(os.getloadavg()[0], 2),
        **fsync_milliseconds(),
    }


def versions() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=install.ROOT, capture_output=True, text=True
    ).stdout.strip()
    return {
        "rtlite": f"{__version__} {commit}".strip(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: metadata.version(name) for name in _PACKAGES},
        **install.versions(),
    }


def fsync_milliseconds(times: int = 200) -> dict[str, float]:
    """How long the disk of the checkout takes to sync 4 KiB: what a durable publish waits for."""
    install.CACHE.mkdir(parents=True, exist_ok=True)
    measured = []
    with tempfile.NamedTemporaryFile(dir=install.CACHE) as file:
        for _ in range(times):
            file.write(os.urandom(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            measured.append(1000 * (time.perf_counter() - started))
    measured.sort()
    return {"fsync_p50_ms": round(measured[times // 2], 3), "fsync_p99_ms": round(measured[times * 99 // 100], 3)}


def raise_fd_limit() -> None:
    """As many descriptors as the hard limit allows, for us and what we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0"
