from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import trio

from rtlite.client import Client
from rtlite.client.failures import CallFailed
from rtlite.client.follower import Page, Poller, without_repeats
from tests.client.test_calls import Scripted, away


def page(*offsets: int, recovered: bool = True, after: int = 0) -> dict[str, Any]:
    items = [{"epoch": "abcdef12", "offset": offset} for offset in offsets]
    return {"items": items, "next": f"abcdef12-{offsets[-1] if offsets else after}", "recovered": recovered}


def ignore(_: CallFailed | None) -> None:
    pass


class Enough(Exception):
    """No more pages are wanted."""


async def followed(client: Client, pages: int, on_trouble: Callable[[CallFailed | None], None] = ignore) -> list[Page]:
    """The first pages of ``article:a`` since two hours ago."""
    got: list[Page] = []

    async def deliver(page: Page) -> None:
        got.append(page)
        if len(got) == pages:
            raise Enough

    with pytest.raises(Enough):
        await Poller(client, ["article:a"], "2h", on_trouble).follow(deliver)
    return got


def offsets(pages: list[Page]) -> list[list[int]]:
    return [[item["offset"] for item in page.items] for page in pages]


def asked(client: Scripted) -> list[Any]:
    return [query["since"] for _, _, query in client.calls]


async def test_each_question_begins_where_the_last_answer_ended(autojump_clock):
    client = Scripted(page(1, 2), page(3))
    assert offsets(await followed(client, 2)) == [[1, 2], [3]]
    assert asked(client) == ["2h", "abcdef12-2"]


async def test_after_a_failure_it_goes_on_where_it_was(autojump_clock):
    client = Scripted(page(1), away(), away(), page(2))
    assert offsets(await followed(client, 2)) == [[1], [2]]
    assert asked(client) == ["2h", "abcdef12-1", "abcdef12-1", "abcdef12-1"]


async def test_it_tells_of_each_failure_and_of_the_success_after_it(autojump_clock):
    told: list[CallFailed | None] = []
    first = away()
    await followed(Scripted(first, page(1)), 1, told.append)
    assert told == [first, None]


async def test_it_tries_for_ever_with_growing_waits(autojump_clock):
    client = Scripted(*(away() for _ in range(50)), page(1))
    await followed(client, 1)
    times = [at for at, _, _ in client.calls]
    assert times[-1] - times[-2] >= 5.0
    assert times[1] - times[0] <= 0.25


async def test_a_refusal_for_good_is_raised(autojump_clock):
    with pytest.raises(CallFailed, match="not yours"):
        await followed(Scripted(CallFailed("not yours", 403)), 1)


async def test_a_loss_is_passed_on_even_without_events(autojump_clock):
    assert not (await followed(Scripted(page(recovered=False)), 1))[0].recovered


async def test_a_server_that_does_not_wait_is_asked_once_a_second(autojump_clock):
    client = Scripted(page(), page(), page(1))
    await followed(client, 1)
    times = [at for at, _, _ in client.calls]
    assert [round(later - earlier) for earlier, later in itertools.pairwise(times)] == [1, 1]


async def test_a_server_that_waited_is_asked_again_at_once(autojump_clock):
    class Waiting(Scripted):
        async def call(self, *arguments, **options):
            answer = await super().call(*arguments, **options)
            if not answer["items"]:
                await trio.sleep(25)
            return answer

    client = Waiting(page(), page(1))
    await followed(client, 1)
    assert client.calls[1][0] - client.calls[0][0] == pytest.approx(25)


async def test_a_link_that_drops_is_not_told_if_the_next_try_succeeds(autojump_clock):
    told: list[CallFailed | None] = []
    await followed(Scripted(page(1), away(), page(2)), 2, told.append)
    assert told == [None, None]


async def test_a_server_that_asks_for_time_is_given_it(autojump_clock):
    client = Scripted(CallFailed("slow down", 429, "rate_limited", retry_after=60.0), page(1))
    await followed(client, 1)
    assert client.calls[1][0] - client.calls[0][0] >= 60


def test_a_channel_that_a_pattern_covers_is_left_out():
    assert without_repeats(["a:1", "b:*", "a:1", "b:2", "bb:2", "b:*"]) == ["a:1", "b:*", "bb:2"]
