from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio

from rtlite.cli.client import CallFailed
from rtlite.cli.follower import Follower
from tests.cli.test_client import Scripted, away


def page(*offsets: int, recovered: bool = True, after: int = 0) -> dict[str, Any]:
    items = [{"epoch": "abcdef12", "offset": offset} for offset in offsets]
    return {"items": items, "next": f"abcdef12-{offsets[-1] if offsets else after}", "recovered": recovered}


def ignore(_: CallFailed | None) -> None:
    pass


def asked(client: Scripted) -> list[Any]:
    return [query["since"] for _, _, query in client.calls]


async def test_each_question_begins_where_the_last_answer_ended(autojump_clock):
    client = Scripted(page(1, 2), page(3))
    follower = Follower(client, "article:a", "2h", ignore)
    assert [item["offset"] for item in (await follower.page()).items] == [1, 2]
    assert [item["offset"] for item in (await follower.page()).items] == [3]
    assert asked(client) == ["2h", "abcdef12-2"]


async def test_after_a_failure_it_goes_on_where_it_was(autojump_clock):
    client = Scripted(page(1), away(), away(), page(2))
    follower = Follower(client, "article:a", "2h", ignore)
    await follower.page()
    assert [item["offset"] for item in (await follower.page()).items] == [2]
    assert asked(client) == ["2h", "abcdef12-1", "abcdef12-1", "abcdef12-1"]


async def test_it_tells_of_each_failure_and_of_the_success_after_it(autojump_clock):
    told: list[CallFailed | None] = []
    first = away()
    await Follower(Scripted(first, page(1)), "article:a", "2h", told.append).page()
    assert told == [first, None]


async def test_it_tries_for_ever_with_growing_waits(autojump_clock):
    client = Scripted(*(away() for _ in range(50)), page(1))
    await Follower(client, "article:a", "2h", ignore).page()
    times = [at for at, _, _ in client.calls]
    assert times[-1] - times[-2] >= 5.0
    assert times[1] - times[0] <= 0.25


async def test_a_refusal_for_good_is_raised(autojump_clock):
    with pytest.raises(CallFailed, match="not yours"):
        await Follower(Scripted(CallFailed("not yours", 403)), "article:a", "2h", ignore).page()


async def test_a_loss_is_passed_on_even_without_events(autojump_clock):
    assert not (await Follower(Scripted(page(recovered=False)), "article:a", "2h", ignore).page()).recovered


async def test_a_server_that_does_not_wait_is_asked_once_a_second(autojump_clock):
    client = Scripted(page(), page(), page(1))
    await Follower(client, "article:a", "2h", ignore).page()
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
    await Follower(client, "article:a", "2h", ignore).page()
    assert client.calls[1][0] - client.calls[0][0] == pytest.approx(25)
