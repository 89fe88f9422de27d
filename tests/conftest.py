"""Options and reports of the whole suite; servers come from :mod:`tests.servers`."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import hypothesis
import pytest

from tests.clients.browser import find_chromium, running_chromium

# How long a property takes says nothing here: two cores are shared with servers and browsers.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the tests marked 'full'")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)


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
def chromium() -> Iterator[str]:
    """One headless Chromium for all tests; the URL to drive it by (:mod:`tests.clients.browser`)."""
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed")
    with running_chromium(program) as url:
        yield url
