"""The fixture of other projects' tests, in runs of pytest inside this one."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
# Where rtlite is installed, pytest knows the plugin; from a checkout alone it must be named.
INSTALLED = [entry for entry in entry_points(group="pytest11") if entry.name == "rtlite"]
PLUGINS = [*([] if INSTALLED else ["-p", "rtlite.pytest_plugin"]), "-p", "no:cacheprovider", "-W", "ignore"]


@pytest.fixture(autouse=True)
def trio_mode(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")


def test_plain_tests_publish_and_expect(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import threading, pytest
        from rtlite import SyncClient

        def test_in_order(rtlite):
            for number in range(3):
                rtlite.publish("article:a", "view", {"number": number, "more": True})
            assert rtlite.expect("article:a")["data"]["number"] == 0
            assert rtlite.expect("article:a", {"number": 2})["event"] == "view"
            with pytest.raises(AssertionError, match="no event on article:a within 0.05 s; there was none"):
                rtlite.expect("article:a", timeout=0.05)

        def test_of_its_own(rtlite):
            assert rtlite.history("article:a")["items"] == []

        def test_what_comes_later(rtlite):
            threading.Timer(0.1, rtlite.publish, ("article:a", "late")).start()
            assert rtlite.expect("article:a", "late")["data"] is None

        def test_by_a_client(rtlite):
            with SyncClient(rtlite.url, rtlite.key("project", "shop", write=True)) as client:
                client.publish("changes:a", "record.created", {"id": 7})
            assert rtlite.expect("changes:a", lambda event: event["data"]["id"] == 7)

        def test_says_what_there_was(rtlite):
            rtlite.publish("article:a", "other", {"x": 1})
            with pytest.raises(AssertionError, match='there were:\\n  other {"x":1}'):
                rtlite.expect("article:a", "wanted", timeout=0.05)

        @pytest.mark.rtlite(channels={"note": {"history": False}}, dev=True)
        def test_settings(rtlite):
            assert rtlite.admin_key == "rtk_dev"
            rtlite.watch("note:a")
            rtlite.publish("note:a", "e", 1)
            assert rtlite.expect("note:a")["data"] == 1
        """
    )
    pytester.runpytest_inprocess(*PLUGINS).assert_outcomes(passed=6)


def test_trio_tests_wait_without_a_jump_of_their_clock(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import threading, trio, pytest
        from rtlite import Client

        async def test_with_the_real_clock(rtlite, nursery):
            async def shop():
                async with Client(rtlite.url, rtlite.key("project", "shop", write=True)) as client:
                    await client.publish("changes:a", "e", 1)
            nursery.start_soon(shop)
            assert (await rtlite.aexpect("changes:a"))["data"] == 1

        async def test_with_an_autojump_clock(rtlite, autojump_clock):
            await trio.sleep(1000)
            began = trio.current_time()
            with trio.fail_after(1):
                rtlite.publish("article:a", "e", 1)
                threading.Timer(0.1, rtlite.publish, ("article:a", "late")).start()
                assert await rtlite.aexpect("article:a", "late")
            assert trio.current_time() == began
        """
    )
    pytester.runpytest_inprocess(*PLUGINS).assert_outcomes(passed=2)


def test_a_run_that_does_not_use_it_imports_nothing_for_it() -> None:
    program = (
        "import sys, rtlite.pytest_plugin; print(sorted(name for name in sys.modules if name.startswith('rtlite')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rtlite', 'rtlite.pytest_plugin']"


def test_an_installed_rtlite_names_it_to_pytest() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module = project["entry-points"]["pytest11"]["rtlite"]
    assert importlib.import_module(module).rtlite
    assert {entry.value for entry in INSTALLED} <= {module}
