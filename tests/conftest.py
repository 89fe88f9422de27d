"""Options and reports of the whole suite; servers come from :mod:`tests.servers`."""

from __future__ import annotations

import fcntl
import gc
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.clients.browser import find_chromium, running_chromium

# How long a property takes says nothing here: two cores are shared with servers and browsers.
_SHARED = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("long run", _SHARED)
# The same examples each time: this run fails by a change alone. The long one looks for new ones.
hypothesis.settings.register_profile("short run", _SHARED, derandomize=True)


# With several processes the files of these folders come first: some take long, and what is left for the end should not.
FIRST = ("clients", "docs", "examples", "console", "faults", "promises", "security", "cli")
# These measure time or memory: no other test runs meanwhile. They come last, and one process has them all.
ALONE = {
    "auth/test_gate.py",
    "console/test_newcomer.py",
    "faults/test_backup_under_load.py",
    "faults/test_many_connections.py",
    "faults/test_stopping.py",
    "promises/test_documents.py",
    "promises/test_replay.py",
    "promises/test_slow_readers.py",
    "protocols/test_graphqllimits.py",
    "security/test_floods.py",
    "security/test_mutations.py",
    "security/test_watchdog.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the tests marked 'full'")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("long run" if config.getoption("--full") else "short run")
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # in the background, or under nohup
            signal.signal(number, lambda *_: None)  # we go on to ignore it; the programs that tests start do not


def pytest_collection_finish() -> None:
    """Eleven thousand tests stay to the end: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        """A file after another, in our order."""

        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "alone" if file.removeprefix("tests/") in ALONE else file

    config.option.loadscopereorder = False
    return Files(config, log)


def _place(item: pytest.Item) -> tuple[bool, int]:
    file = _file(item)
    folder = file.partition("/")[0]
    return file in ALONE, FIRST.index(folder) if folder in FIRST else len(FIRST)


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).as_posix()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_place)
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """When several processes share the work (``-n 2``), let those that measure have the machine to themselves."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    assert item.config.cache is not None
    with _turn(item.config.cache.mkdir("turns"), alone=_file(item) in ALONE):
        return (yield)


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    with (folder / "gate").open("a") as gate, (folder / "turn").open("a") as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)  # who waits for the other lock lets nobody pass
        fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Let a skip inside a Trio test keep its reason: pytest-trio raises one without, in the group's context."""
    try:
        return (yield)
    except pytest.skip.Exception as skipped:
        cause: BaseException | None = skipped.__context__
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise cause if isinstance(cause, pytest.skip.Exception) else skipped from None


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether this is the longer run: what a test repeats, it then repeats more often."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """One headless Chromium for all tests; the URL to drive it by (:mod:`tests.clients.browser`)."""
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed")
    with running_chromium(program) as url:
        yield url
