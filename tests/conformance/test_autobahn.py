"""RFC 6455, by Autobahn|Testsuite: all 301 cases of groups 1 to 10, of which none may fail.

Groups 12 and 13 test permessage-deflate, which rtlite does not offer. The suite runs under
Python 2.7; where there is none, the test is skipped with that reason. Its environment is
made once, in ``.cache/autobahn``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.servers import ServerProcess

CACHE = Path(__file__).parents[2] / ".cache" / "autobahn"
REQUIREMENTS = Path(__file__).with_name("requirements-py27.txt")
CASES = 301
# In each of these a good message stands right before a broken frame. Where both arrive in one read, the
# connection is closed before the good one was echoed: allowed, if not the strictest way.
NON_STRICT = {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}


def python27() -> str | None:
    candidates = [
        shutil.which("python2.7"),
        *sorted(map(str, Path("~/.pyenv/versions").expanduser().glob("2.7*/bin/python2.7"))),
    ]
    for candidate in candidates:
        if (
            candidate
            and subprocess.run([candidate, "-c", "import ssl"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    return None


def wstest() -> Path:
    """The suite's command; makes its environment if there is none yet."""
    command = CACHE / "py27" / "bin" / "wstest"
    if command.exists():
        return command
    interpreter = python27()
    if interpreter is None:
        pytest.skip("Autobahn|Testsuite needs Python 2.7, and there is none here")
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", CACHE / "py3"], check=True)
    # The last virtualenv that can make an environment for Python 2.7.
    subprocess.run([CACHE / "py3/bin/pip", "install", "--quiet", "virtualenv==20.21.1", "setuptools<81"], check=True)
    subprocess.run([CACHE / "py3/bin/virtualenv", "--quiet", "-p", interpreter, CACHE / "py27"], check=True)
    install = [CACHE / "py27/bin/pip", "install", "--quiet", "--no-deps", "-r", REQUIREMENTS]
    result = subprocess.run(install, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return command


@pytest.mark.full
async def test_all_301_cases_of_autobahn_pass_but_for_those_known_as_not_strict(tmp_path: Path) -> None:
    command = await trio.to_thread.run_sync(wstest)
    async with ServerProcess(tmp_path / "echo.db", conformance_echo=True) as server:
        spec = {
            "outdir": str(tmp_path / "reports"),
            "servers": [{"agent": "rtlite", "url": f"{server.ws_url}/conformance/echo"}],
            "cases": ["*"],
            "exclude-cases": ["12.*", "13.*"],
            "exclude-agent-cases": {},
        }
        (tmp_path / "fuzz.json").write_text(json.dumps(spec))
        with trio.fail_after(240):
            await trio.run_process(
                [command, "-m", "fuzzingclient", "-s", tmp_path / "fuzz.json"], cwd=tmp_path, capture_stdout=True
            )
    # It exits with 0 whatever happens, so the verdict is read off the report.
    report = json.loads((tmp_path / "reports" / "index.json").read_text())["rtlite"]
    verdicts = {case: result["behavior"] for case, result in report.items()}
    closes = {case: result["behaviorClose"] for case, result in report.items()}
    assert len(verdicts) == CASES
    bad = {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict not in {"OK", "INFORMATIONAL"} and not (verdict == "NON-STRICT" and case in NON_STRICT)
    }
    assert bad == {}
    assert {case for case, verdict in closes.items() if verdict not in {"OK", "INFORMATIONAL"}} == set()


async def test_the_echo_is_not_served_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "plain.db") as server:
        answer = await server.http(None).get("/conformance/echo")
        assert answer.status_code == 404
