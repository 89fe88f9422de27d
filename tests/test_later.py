"""What is imported when, asked of an interpreter of its own: this one has imported everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rtlite.later import later

HEAVY = ("email_validator", "graphql", "httpx", "jsonschema", "pycrdt")


def imported(code: str) -> str:
    """Which of the heavy libraries are imported after ``code``."""
    show = f"import sys; print('imported', *(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("imported")[2].strip()  # log lines come before


def test_no_server_needs_what_few_of_its_clients_need() -> None:
    assert imported("import rtlite.cli.serve, rtlite.server") == ""


def test_a_server_that_has_settled_has_what_its_first_client_may_need() -> None:
    code = (
        "import trio\n"
        "from rtlite.server import serve\n"
        "from rtlite.settings import Settings\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        running = await nursery.start(serve, Settings(data=':memory:', port=0))\n"
        "        await running.server.settle()\n"
        "        nursery.cancel_scope.cancel()\n"
        "trio.run(main)"
    )
    assert imported(code) == "graphql httpx pycrdt"


def test_a_module_is_imported_when_something_of_it_is_first_asked_for() -> None:
    code = "from rtlite.later import later\nmodule = later('httpx')\n"
    assert imported(code) == ""
    assert imported(code + "module.URL('http://localhost')") == "httpx"


def test_what_a_module_has_not_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        later("json").nothing_of_this_name  # noqa: B018
