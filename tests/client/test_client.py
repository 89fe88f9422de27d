"""The client for Trio against a server: publish, history, subscriptions that come back."""

from __future__ import annotations

import pytest
import trio

from rtlite.client import CallFailed, Client, HistoryLost
from tests.servers import ServerProcess, running_server


async def test_what_is_published_in_the_block_arrives_in_it(dev_server):
    async with Client(dev_server.url, "rtk_dev") as client, client.subscribe("article:a", "article:b") as events:
        await client.publish("article:a", "one", {"n": 1}, "first")
        await client.publish("article:b", "two")
        with trio.fail_after(10):
            first, second = await anext(events), await anext(events)
    assert (first["id"], first["channel"], first["event"], first["data"]) == ("first", "article:a", "one", {"n": 1})
    assert (second["event"], second["data"]) == ("two", None)


async def test_a_subscription_goes_on_where_a_page_of_history_ends(dev_server):
    async with Client(dev_server.url, "rtk_dev") as client:
        for number in range(3):
            await client.publish("article:a", "e", number)
        page = await client.history("article:a", limit="2")
        assert [item["data"] for item in page["items"]] == [0, 1]
        assert page["items"][-1]["position"] == page["next"]
        async with client.subscribe("article:a", since=page["next"]) as events:
            with trio.fail_after(10):
                assert (await anext(events))["data"] == 2


async def test_a_server_that_was_killed_and_came_back_is_followed_without_a_gap(tmp_path):
    async with (
        ServerProcess(tmp_path / "rtlite.db") as server,
        Client(server.url, server.admin_key) as client,
        client.subscribe("article:a") as events,
    ):
        await client.publish("article:a", "e", 1)
        with trio.fail_after(20):
            assert (await anext(events))["data"] == 1
            await server.kill()
            await server.start()
            await client.publish("article:a", "e", 2, retry_for=10)
            assert (await anext(events))["data"] == 2


async def test_what_is_lost_is_raised_or_told_and_the_iterator_goes_on():
    settings = {"dev": True, "max_replay": 1}
    async with running_server(**settings) as server, Client(server.url, "rtk_dev") as client:
        for number in range(3):
            await client.publish("article:a", "e", number)
        async with client.subscribe("article:a", since="1h") as events:
            with trio.fail_after(10):
                with pytest.raises(HistoryLost, match="article:a"):
                    await anext(events)
                assert (await anext(events))["data"] == 2
        told: list[str] = []
        async with client.subscribe("article:a", since="1h", on_gap=told.append) as events:
            with trio.fail_after(10):
                assert (await anext(events))["data"] == 2
        assert told == ["article:a"]


async def test_a_channel_that_may_not_be_read_is_refused_before_the_block(dev_server):
    async with Client(dev_server.url, await dev_server.key("blog", "alice")) as client:
        with pytest.raises(CallFailed) as caught:
            async with client.subscribe("changes:product"):
                raise AssertionError("the block must not begin")
    assert caught.value.status == 403


async def test_what_the_block_raises_comes_as_itself(dev_server):
    async with Client(dev_server.url, "rtk_dev") as client:
        with pytest.raises(KeyError):
            async with client.subscribe("article:a"):
                raise KeyError


async def test_a_key_that_is_revoked_ends_the_iterator_with_the_reason(dev_server):
    key = await dev_server.key("admin", "operator")
    async with Client(dev_server.url, key) as client, client.subscribe("article:a") as events:
        await dev_server.revoke(key)
        with trio.fail_after(10), pytest.raises(CallFailed) as caught:
            await anext(events)
    assert caught.value.status == 401
