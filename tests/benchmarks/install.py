"""Gets the load generator and the peers into ``.cache/benchmarks``, in the versions that ``peers/`` names.

What cannot be had is named, with the reason, and skipped. Nothing is installed into the
system: npm packages and a virtual environment live in the cache, and Debian's packages
are unpacked there (which makes one empty directory, see :func:`_unpack`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
CACHE = ROOT / ".cache" / "benchmarks"
CLIENT_PYTHON = CACHE / "venv" / "bin" / "python"
NODE_MODULES = CACHE / "npm" / "node_modules"
BUN = NODE_MODULES / ".bin" / "bun"
DEBIAN = CACHE / "debian"


class NotInstalled(Exception):
    """Why something cannot be had, in one line."""


def install_client() -> None:
    """The load generator's virtual environment. :raises NotInstalled: and then nothing can be measured."""
    _once(PEERS / "requirements.txt", CACHE / "venv", _make_venv)


def install_peers() -> dict[str, str]:
    """Everything else; returns what could not be had and why."""
    skipped = {}
    for names, source, target, make in (
        (("ws", "bun", "socket.io", "node http", "graphql-ws"), PEERS / "package-lock.json", CACHE / "npm", _npm),
        (("nchan",), PEERS / "debian.txt", DEBIAN, _unpack),
    ):
        try:
            _once(source, target, make)
        except NotInstalled as error:
            skipped |= dict.fromkeys(names, str(error))
    if "bun" not in skipped:
        try:
            _run(str(BUN), "--version")  # a binary that is chosen at installation
        except NotInstalled as error:
            skipped["bun"] = str(error)
    return skipped


def versions() -> dict[str, str]:
    """What the peers' own manifests say."""
    found = {}
    for name in ("ws", "bun", "socket.io", "graphql-ws", "graphql"):
        manifest = NODE_MODULES / name / "package.json"
        if manifest.exists():
            found[name] = json.loads(manifest.read_text())["version"]
    for line in [*_lines(PEERS / "requirements.txt"), *_lines(PEERS / "debian.txt")]:
        name, _, version = line.replace("==", "=").partition("=")
        found[name] = version
    if shutil.which("node"):
        found["node"] = _run("node", "--version").strip().removeprefix("v")
    return found


def _once(source: Path, target: Path, make: Callable[[Path], None]) -> None:
    """Make ``target`` from ``source``, unless it was made from the same text."""
    stamp = target / ".made-from"
    wanted = source.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {source.name} into {target.relative_to(ROOT)}", file=sys.stderr)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target)
    stamp.write_text(wanted)


def _make_venv(target: Path) -> None:
    _run(sys.executable, "-m", "venv", str(target))
    _run(str(target / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(PEERS / "requirements.txt"))


def _npm(target: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PEERS / name, target)
    _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=target)


def _unpack(target: Path) -> None:
    packages = _lines(PEERS / "debian.txt")
    try:
        _run("apt-get", "-q", "download", *packages, cwd=target)
    except NotInstalled:  # perhaps there are no lists of packages yet
        _run("apt-get", "-qq", "update")
        _run("apt-get", "-q", "download", *packages, cwd=target)
    for package in target.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(target))
    # The one trace outside: nchan makes a location of its own, whose built-in paths nginx insists on creating.
    _run("mkdir", "-p", "/var/lib/nginx")


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    except OSError as error:
        raise NotInstalled(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["failed"]
        raise NotInstalled(f"{' '.join(command[:2])}: {words[-1][:100]}")
    return done.stdout
