"""How a block is run, by its language."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import httpx
import trio

from rtlite import settings
from tests.clients.browser import PATIENCE
from tests.clients.runtimes import Node, why_no_npm
from tests.docs.blocks import ROOT
from tests.docs.printed import Printed, listen
from tests.servers import ungrouped

if TYPE_CHECKING:
    from tests.docs.runner import Page

MODULES = ROOT / "tests" / "node_modules"
PYTHON = [sys.executable]


class Missing(Exception):
    """A program that a block needs is not installed here."""


async def _shell(page: Page, code: str, how: dict[str, str]) -> str:
    return await page.shell(code, how)


async def _python(page: Page, code: str, how: dict[str, str]) -> str:
    if re.search(r"^(async )?def test_", code, re.MULTILINE):
        (page.folder / "test_shown.py").write_text(code)
        plugins = ["-q", "-p", "no:cacheprovider"]
        return await page.program([sys.executable, "-m", "pytest", *plugins, "test_shown.py"], how)
    (page.folder / "shown.py").write_text(code)
    return await page.program([*PYTHON, "shown.py"], how)


async def _javascript(page: Page, code: str, how: dict[str, str]) -> str:
    """In the browser. What it imports from npm is bundled with it, as whoever makes a page of it does."""
    for library in re.findall(r"""from ["']([^."'][^"']*)["']""", code):
        _have(library)
        code = await _bundle(code)
        break
    return await page.browse(f'<script type="module">{code}</script>', how)


async def _in_node(page: Page, code: str, how: dict[str, str]) -> str:
    for library in ("ws", *re.findall(r"""from ["'](?!node:)([^."'][^"']*)["']""", code)):
        _have(library)
    printed = Printed()
    async with Node(page.folder, library="ws").client() as client, ungrouped(trio.open_nursery()) as nursery:
        nursery.start_soon(listen, client, printed)
        await client.run(code)
        with trio.fail_after(PATIENCE):
            await page.meanwhile(how, printed)
        nursery.cancel_scope.cancel()
    return printed.text


async def _html(page: Page, code: str, how: dict[str, str]) -> str:
    return await page.browse(code, how)


async def _toml(page: Page, code: str, how: dict[str, str]) -> str:
    """What ``rtlite config`` and ``rtlite serve`` read."""
    file = page.folder / how.get("as", "rtlite.toml")
    file.write_text(code)
    return str(settings.load(environ={}, file=file).origins)


async def _yaml(page: Page, code: str, how: dict[str, str]) -> str:
    (page.folder / "scenario.yaml").write_text(code)
    return await page.program(["rtlite", "play", "scenario.yaml", "--dry-run"], how)


async def _graphql(page: Page, code: str, how: dict[str, str]) -> str:
    await page.serve()
    async with httpx.AsyncClient(trust_env=False) as http:
        url, key = f"http://127.0.0.1:{page.port}/graphql", {"X-Api-Key": "pk_live_dev"}
        answer = (await http.post(url, json={"query": code}, headers=key)).json()
    assert "errors" not in answer, answer["errors"]
    return json.dumps(answer, ensure_ascii=False)


async def _systemd(page: Page, code: str, how: dict[str, str]) -> str:
    if shutil.which("systemd-analyze") is None:
        raise Missing("systemd-analyze is not installed")
    code = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{sys.executable}", code, flags=re.MULTILINE)
    (page.folder / "rtlite.service").write_text(code)
    await page.program(["systemd-analyze", "verify", "./rtlite.service"], how)
    rate = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "./rtlite.service"]  # 2.0 of 10
    return await page.program(rate, {})


async def _caddy(page: Page, code: str, how: dict[str, str]) -> str:
    if shutil.which("caddy") is None:
        raise Missing("caddy is not installed")
    (page.folder / "Caddyfile").write_text(code)
    return await page.program(["caddy", "adapt", "--config", "Caddyfile"], how)


async def _save(page: Page, code: str, how: dict[str, str]) -> str:
    """A file of that name; in a copy of the package, if it belongs there."""
    file = page.folder / how["as"]
    if how["as"].startswith("rtlite/"):
        page.package()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    return ""


async def _diff(page: Page, code: str, how: dict[str, str]) -> str:
    """A change of the package's copy. Its hunks need no line numbers: what they show is there once."""
    name, *hunks = re.sub(r"^--- .*\n\+\+\+ b/(\S+)\n@@.*\n", r"\1\n@@", code).split("@@")
    page.package()
    file = page.folder / name.strip()
    text = file.read_text()
    for hunk in hunks:
        lines = hunk.strip("\n").splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{file.name} has this {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    file.write_text(text)
    return ""


RUNNERS: Final[dict[str, Callable[[Page, str, dict[str, str]], Awaitable[str]]]] = {
    "sh": _shell,
    "python": _python,
    "js": _javascript,
    "mjs": _in_node,
    "html": _html,
    "toml": _toml,
    "yaml": _yaml,
    "graphql": _graphql,
    "systemd": _systemd,
    "diff": _diff,
    "caddyfile": _caddy,
}


def runner(language: str) -> Callable[[Page, str, dict[str, str]], Awaitable[str]]:
    """:param language: or the name of a file, with its folder, that the block is."""
    assert "/" in language or language in RUNNERS, f"nothing runs a block of {language!r} here: mark why not"
    return _save if "/" in language else RUNNERS[language]


def _have(library: str) -> None:
    name = "/".join(library.split("/")[: 2 if library.startswith("@") else 1])
    if why := why_no_npm(name):
        raise Missing(why)


async def _bundle(code: str) -> str:
    command = [MODULES / ".bin" / "esbuild", "--bundle", "--format=esm", "--log-level=warning"]
    bundled = await trio.run_process(command, stdin=code.encode(), capture_stdout=True, cwd=MODULES.parent)
    return bundled.stdout.decode()
