"""The process and what it is made of: files, SQL, addresses, dependencies."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rtlite
from rtlite.errors import StartError
from rtlite.server import serve
from rtlite.settings import Settings
from rtlite.store import backup
from rtlite.store.connection import connect
from rtlite.store.database import open_database
from tests.servers import START_SECONDS, ServerProcess, running_server

ROOT = Path(rtlite.__file__).parent.parent
SOURCES = sorted((ROOT / "rtlite").rglob("*.py"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- files (51)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_every_file_that_is_made_is_for_its_owner_only_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        async with running_server(data=str(tmp_path / "rtlite.db")) as server:
            client = await server.operator()
            await client.post("/api/publish", json={"channel": "a:b", "event": "e"})
            await backup.write(server.running.server.database, tmp_path / "copy.db")
            found = {path.name: mode(path) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"rtlite.db", "rtlite.db-wal", "rtlite.db-shm", "rtlite.db.lock", "rtlite.db.sock", "copy.db"} <= set(found)
    assert set(found.values()) == {0o600}, found


@pytest.mark.parametrize(("wide", "narrow"), [(0o644, 0o640), (0o666, 0o660), (0o604, 0o600), (0o640, 0o640)])
async def test_a_file_that_the_world_can_read_is_closed_to_it_at_the_start(
    wide: int, narrow: int, tmp_path: Path
) -> None:
    path = tmp_path / "rtlite.db"
    async with open_database(str(path)):
        pass
    path.chmod(wide)
    async with open_database(str(path)) as database:
        await database.write(lambda connection: connection.execute("CREATE TABLE x (y)"))
        assert {mode(part) for part in tmp_path.glob("rtlite.db*") if part.suffix != ".lock"} == {narrow}


async def test_a_file_of_someone_else_that_the_world_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rtlite.db"
    async with open_database(str(path)):
        pass
    path.chmod(0o644)

    def denied(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chmod", denied)
    with pytest.raises(StartError, match="read by everyone"):
        async with open_database(str(path)):
            pass


async def test_secrets_can_be_given_without_standing_in_the_list_of_processes(tmp_path: Path) -> None:
    secret = "s" * 40
    settings = tmp_path / "rtlite.toml"
    settings.write_text(f'jwt_secret = "{secret}"\n')
    async with ServerProcess(tmp_path / "rtlite.db", popen=subprocess.Popen, config=settings) as server:
        for name in ("cmdline", "environ"):
            assert secret.encode() not in Path(f"/proc/{server.pid}/{name}").read_bytes()
        assert (await (await server.operator()).post("/api/tokens", json={"user": "u"})).status_code == 201


# --- who serves (F1, F2)


def test_nothing_serves_connections_but_our_own_listener() -> None:
    """trio-websocket's and Hypercorn's own accept loops end at the first connection that raises."""
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(
            r"\b(serve_websocket|open_websocket_server|hypercorn\.trio import serve|TCPServer)\b", text
        ), path
        if "serve_listeners(" in text or "serve_tcp(" in text or "wrap_server_stream(" in text:
            assert path.name == "listener.py", path


# --- SQL (52)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in {"execute", "executemany", "executescript"}:
            yield node


def _constants(tree: ast.Module) -> set[str]:
    """Module-level names in capitals, and numbers of a loop: what a statement may hold besides its own text."""
    names = {
        target.id
        for node in tree.body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names | {name for name in imported if name.isupper()}


ALLOWED = {"INSERTS[len(part)]", "number + 1", "statement", "query"}
PUT_TOGETHER = {("recordplans.py", "text"), ("recordpages.py", "text")}
"""Of the planner's own words. What is asked for is bound; tests/store/test_filters.py tries to get into them."""


def _is_constant(part: ast.expr, constants: set[str]) -> bool:
    """A constant, or one of two."""
    if isinstance(part, ast.IfExp):
        return _is_constant(part.body, constants) and _is_constant(part.orelse, constants)
    text = ast.unparse(part)
    return isinstance(part, ast.Constant) or text in constants or text in ALLOWED


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_statement_is_a_constant_and_values_are_bound(path: Path) -> None:
    tree = ast.parse(path.read_text())
    constants = _constants(tree)
    for call in _calls(tree):
        statement = call.args[0]
        if isinstance(statement, ast.Constant):
            continue
        if isinstance(statement, ast.JoinedStr):
            parts = [part.value for part in statement.values if isinstance(part, ast.FormattedValue)]
        else:
            parts = [statement]
        for part in parts:
            text = ast.unparse(part)
            known = _is_constant(part, constants) or (path.name, text) in PUT_TOGETHER
            assert known, f"{path.name}:{call.lineno}: {text}"
    names = {ast.unparse(call.args[0]) for call in _calls(tree)} & {"query", "statement"}
    for node in ast.walk(tree):  # and a name that stands for a statement is one whole text
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in names:
            assert isinstance(node.value, ast.Constant), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("reading", [False, True])
async def test_a_connection_trusts_no_schema_and_loads_no_extension(reading: bool, tmp_path: Path) -> None:
    path = tmp_path / "rtlite.db"
    async with open_database(str(path)):
        pass
    connection = connect(str(path), reading)
    try:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match=r"not authorized|no such function"):
            connection.execute("SELECT load_extension('x')")
        if reading:
            assert connection.execute("PRAGMA query_only").fetchone() == (1,)
            with pytest.raises(sqlite3.OperationalError):
                connection.execute("CREATE TABLE x (y)")
    finally:
        connection.close()


def test_nothing_loads_extensions_unpickles_or_evaluates() -> None:
    forbidden = re.compile(
        r"enable_load_extension|\bpickle\b|\bmarshal\b|\beval\(|\bexec\(|yaml\.load|shell=True|os\.system"
    )
    for path in SOURCES:
        assert not forbidden.search(path.read_text()), path


# --- addresses and defaults (55)


def test_the_default_address_is_loopback() -> None:
    assert Settings().host == "127.0.0.1" and Settings().loopback


async def test_a_fresh_server_refuses_an_anonymous_publish_over_every_door(tmp_path: Path) -> None:
    async with running_server(data=str(tmp_path / "rtlite.db")) as server:
        client, event = server.http(), {"channel": "a:b", "event": "e"}
        assert (await client.post("/api/publish", json=event)).status_code == 401
        assert (await client.post("/api/publish/batch", json={"events": [event]})).status_code == 401
        assert (await client.post("/blog/v1/articles", json={"slug": "a", "title": "b"})).status_code == 401
        for secret in ("rtk_dev", "mbk_dev", "pk_live_dev", "rts_dev"):
            assert (await server.http(secret).post("/api/publish", json=event)).status_code == 401


def test_dev_refuses_everything_but_loopback() -> None:
    for host in ("0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.1.example.org"):
        with pytest.raises(StartError, match="loopback"):
            trio.run(serve, Settings(dev=True, data=":memory:", host=host, port=0))


def test_dev_on_the_command_line_refuses_everything_but_loopback() -> None:
    command = [sys.executable, "-m", "rtlite", "serve", "--dev", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
    assert done.returncode == 1 and "loopback" in done.stderr and "Traceback" not in done.stderr


async def test_a_file_once_used_with_dev_does_not_honour_its_credentials_later(tmp_path: Path) -> None:
    path = str(tmp_path / "rtlite.db")
    async with running_server(data=path, dev=True) as server:
        assert (await server.http("rtk_dev").get("/api/keys")).status_code == 200
        token = server.token("dev")
    async with running_server(data=path) as server:
        for secret in ("rtk_dev", token):
            assert (await server.http(secret).get("/api/keys")).status_code == 401


# --- dependencies (36, 54; reliability.md, section 6)

SAFE = {
    "h11": "0.16.0",
    "h2": "4.4.1",
    "hpack": "4.2.0",
    "wsproto": "1.3.0",
    "hypercorn": "0.18",
    "quart": "0.21",
    "werkzeug": "3.1.6",
    "pyjwt": "2.15.0",
}
LATER = {"graphql-core": "3.3.1", "redis": "4.5.5", "python-socketio": "5.16.2", "websockets": "9.1", "jinja2": "3.1.6"}
"""Not needed now; if they come, then not before these."""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3])


def _locked(lock: str = "requirements.lock") -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return {
        name.lower().replace("_", "-"): version
        for name, version in re.findall(r"(?m)^([\w.-]+)(?:\[.*?\])?==(\S+)", text)
    }


@pytest.mark.parametrize("name", [*SAFE, *LATER])
def test_each_dependency_is_new_enough_to_be_safe(name: str) -> None:
    least = _numbers({**SAFE, **LATER}[name])
    locked = _locked().get(name)
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if name in SAFE:
        assert installed and locked
        assert name in {re.split(r"[\[>=<!~]", item)[0] for item in _wanted()}, "a floor of our own is missing"
    for version in (installed, locked):
        assert version is None or _numbers(version) >= least, f"{name} {version}"


def _wanted() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [str(item).lower() for item in project["dependencies"]]


def test_the_floors_in_pyproject_are_the_safe_versions() -> None:
    for wanted in _wanted():
        match = re.match(r"([a-z0-9-]+)(?:\[.*\])?\s*[>=~]=\s*([0-9.*]+)", wanted)
        assert match, wanted
        if match[1] in SAFE:
            assert _numbers(match[2].replace("*", "0")) >= _numbers(SAFE[match[1]]), wanted


def _entries(lock: str) -> list[str]:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if re.match(r"[\w.-]+(\[.*?\])?==", line)]


def test_every_package_in_the_lock_has_a_hash() -> None:
    entries = _entries("requirements.lock")
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry, entry[:60]


def _needed(wanted: list[Requirement]) -> Iterator[str]:
    """Packages that these stand on, on this machine."""
    for each in wanted:
        extras = each.extras or {""}
        below = map(Requirement, importlib.metadata.requires(each.name) or ())
        yield canonicalize_name(each.name)
        yield from _needed(
            [one for one in below if one.marker is None or any(one.marker.evaluate({"extra": it}) for it in extras)]
        )


def test_a_server_is_made_of_what_was_tested_and_not_of_what_tests_it() -> None:
    served = set(_locked("runtime.lock"))
    assert set(_entries("runtime.lock")) < set(_entries("requirements.lock"))
    assert set(_needed([Requirement(each) for each in _wanted()])) <= served
    assert not served & {"bandit", "django", "mypy", "pytest", "ruff", "schemathesis", "uv"}


def test_the_linters_security_rules_are_on_and_each_exception_gives_its_reason() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert {"S", "BLE", "B"} <= set(options["select"])
    assert not any(rule.startswith("S") for rule in options["ignore"])
    assert not any("S" in rules for path, rules in options["per-file-ignores"].items() if path.startswith("rtlite"))
    for path in SOURCES:
        for line in path.read_text().splitlines():
            if match := re.search(r"# noqa: (S\d+)(.*)", line):
                assert match[2].strip(" #"), f"{path.name}: {line.strip()}"


def test_bandit_is_run_and_leaves_out_only_what_ruff_checks_line_by_line() -> None:
    """And no auditor that passes when it knows nothing of a package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert set(project["bandit"]) == {"skips"}
    assert set(project["bandit"]["skips"]) == {"B101", "B105", "B311", "B608"}
    commands = (ROOT / "tests" / "run").read_text()
    assert re.search(r"(?m)^step bandit -- bandit .*--recursive rtlite$", commands)
    assert "pip-audit" not in commands and "npm audit" not in commands


def test_only_the_token_module_uses_the_token_library() -> None:
    users = {path.name for path in SOURCES if re.search(r"(?m)^\s*(import jwt|from jwt)", path.read_text())}
    assert users <= {"tokens.py", "public_keys.py", "jwks.py"}


def test_secrets_are_compared_in_constant_time_or_by_their_digests() -> None:
    from rtlite.auth import keyring, tickets

    assert "compare_digest" in inspect.getsource(keyring.Keyring.find)
    assert "_digest(secret)" in inspect.getsource(tickets.Tickets.redeem)
