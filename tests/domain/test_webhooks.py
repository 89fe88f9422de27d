"""Webhooks as the operator manages them."""

from __future__ import annotations

import pytest
import trio
from standardwebhooks import Webhook as Reference
from trio.abc import Clock

from rtlite.domain.webhooks import WebhookChange
from rtlite.errors import Conflict, InvalidRequest, NotFound, StorageFailed
from tests.domain.hooked import HANG, OK, URL, Bench, hooked

PAUSE = 1.0


async def test_a_new_webhook_begins_with_what_comes(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        await bench.publish("news:a", 1, 2)
        await bench.hook()
        await bench.publish("news:a", 3)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [3]


@pytest.mark.parametrize("since", ["2h", "2000-01-01"])
async def test_it_can_begin_with_what_was(since: str, autojump_clock: Clock) -> None:
    async with hooked(wall=[4_000_000_000_000]) as bench:
        await bench.publish("news:a", 1, 2)
        bench.now = lambda: 0
        webhook, recovered = await bench.webhooks.create(URL, ["news:*"], since="1970-01-01")
        await bench.publish("news:a", 3)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1, 2, 3] and recovered
        _, recovered = await bench.webhooks.change(webhook.id, WebhookChange(since="c0ffee00-1"))
        assert not recovered


async def test_a_place_is_an_event_a_message_or_a_position(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        await bench.publish("other:x", 0)
        published = await bench.publish("news:a", 1, 2, 3)
        webhook = await bench.hook("news:a", since=published[0].event.id)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [2, 3]
        message = bench.endpoints.got[0].message
        await bench.webhooks.change(webhook.id, WebhookChange(since=message))
        await trio.sleep(PAUSE)
        assert bench.endpoints.data()[2:] == [3]
        await bench.webhooks.change(webhook.id, WebhookChange(since=str(published[1].event.position)))
        await trio.sleep(PAUSE)
        assert bench.endpoints.data()[3:] == [3]
        await bench.webhooks.change(webhook.id, WebhookChange(since=str(published[2].event.position)))
        await trio.sleep(PAUSE)
        assert len(bench.endpoints.got) == 4


async def test_an_event_that_its_endpoint_never_takes_can_be_skipped(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(400)
        webhook = await bench.hook("news:*")
        await bench.publish("news:a", "poison", 2)
        await trio.sleep(100)
        message = bench.endpoints.got[0].message
        bench.endpoints.answer(OK)
        await bench.webhooks.change(webhook.id, WebhookChange(since=message))
        await trio.sleep(PAUSE)
        assert bench.endpoints.data()[-1] == 2 and webhook.attempts == 0
        assert bench.endpoints.data().count("poison") == 2


async def test_since_drops_what_waits_of_channels_without_history(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500)
        webhook = await bench.hook("passing:*")
        await bench.publish("passing:a", 1, 2)
        await trio.sleep(PAUSE)
        bench.endpoints.answer(OK)
        await bench.webhooks.change(webhook.id, WebhookChange(since="0s"))
        await bench.publish("passing:a", 3)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1, 3]


async def test_a_webhook_can_rest_and_misses_nothing_that_the_history_keeps(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook("news:*", enabled=False)
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        assert bench.endpoints.got == [] and webhook.disabled == "operator"
        await bench.webhooks.change(webhook.id, WebhookChange(enabled=True))
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1]
        await bench.webhooks.change(webhook.id, WebhookChange(enabled=False))
        await bench.publish("news:a", 2)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1]


async def test_what_is_changed_holds_at_once_and_after_a_restart(autojump_clock: Clock) -> None:
    other = "https://other.example/"
    async with hooked() as before:
        webhook = await before.hook("news:*")
        await before.publish("old:a", 0)
        await before.webhooks.change(webhook.id, WebhookChange(url=other, channels=["old:*"], description="d"))
        await before.publish("news:a", 1)
        await before.publish("old:a", 2)
        await trio.sleep(PAUSE)
        assert before.endpoints.data(URL) == [] and before.endpoints.data(other) == [2]
        await before.kill()
        async with hooked(before) as after:
            (found,) = after.webhooks.all()
            assert (found.url, found.channels, found.description) == (other, ("old:*",), "d")
            await after.publish("old:a", 3)
            await trio.sleep(PAUSE)
            assert after.endpoints.data(other) == [2, 3]


async def test_what_one_change_says_wrong_leaves_all_as_it_was(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook("news:*")
        for wrong in (
            WebhookChange(url="http://10.0.0.1/", description="x"),
            WebhookChange(channels=[], description="x"),
            WebhookChange(channels=["*"], description="x"),
            WebhookChange(since="\x00", description="x"),
            WebhookChange(description="x" * 201),
        ):
            with pytest.raises(InvalidRequest):
                await bench.webhooks.change(webhook.id, wrong)
        assert (webhook.url, webhook.channels, webhook.description) == (URL, ("news:*",), "")
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1]


async def test_a_deleted_webhook_is_told_no_more_and_does_not_come_back(autojump_clock: Clock) -> None:
    async with hooked() as before:
        before.endpoints.answer(HANG)
        webhook = await before.hook("news:*", "passing:*")
        await before.publish("news:a", 1)
        await before.publish("passing:a", 2)
        await before.webhooks.delete(webhook.id)
        await before.publish("news:a", 3)
        await trio.sleep(60)
        assert len(before.endpoints.got) <= 1 and before.webhooks.all() == []
        for call in (before.webhooks.rotate, before.webhooks.test, before.webhooks.delete):
            with pytest.raises(NotFound):
                await call(webhook.id)
        await before.kill()
        async with hooked(before) as after:
            assert after.webhooks.all() == []


async def test_a_deletion_that_could_not_be_stored_leaves_it_at_work(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook("news:*")
        bench.database.refusal = StorageFailed("no disk")
        with pytest.raises(StorageFailed):
            await bench.webhooks.delete(webhook.id)
        bench.database.refusal = None
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1]


async def test_after_a_rotation_both_secrets_sign_for_a_while_and_then_the_new_one(autojump_clock: Clock) -> None:
    async with hooked(webhook_rotation=3600.0) as bench:
        webhook = await bench.hook("news:*")
        old = webhook.secret
        await bench.webhooks.rotate(webhook.id)
        assert webhook.secret != old

        async def signatures() -> int:
            await bench.publish("news:a", 1)
            await trio.sleep(PAUSE)
            return len(bench.endpoints.got[-1].headers["webhook-signature"].split())

        assert await signatures() == 2
        await trio.sleep(3601)
        assert await signatures() == 1
        assert Reference(webhook.secret) and len(webhook.secret) == len("whsec_") + 44


async def test_a_test_message_is_sent_once_and_changes_nothing(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(410)
        webhook = await bench.hook("news:*", enabled=False)
        answer = await bench.webhooks.test(webhook.id)
        await trio.sleep(600)
        assert (answer.status, answer.taken) == (410, False)
        (delivery,) = bench.endpoints.got
        assert (delivery.payload["type"], delivery.payload["data"]) == ("webhook.test", {"webhook": webhook.id})
        assert webhook.disabled == "operator"
        assert await bench.log(webhook) == [(410, "answered 410")]


async def test_channels_are_named_once_and_a_pattern_covers_its_kind(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook("news:*", "news:a", "one:a", "one:a", "news:*")
        assert webhook.channels == ("news:*", "one:a")
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        assert bench.endpoints.data() == [1]


async def test_there_are_no_more_webhooks_and_channels_than_the_settings_say(autojump_clock: Clock) -> None:
    async with hooked(max_webhooks=2, max_channels=3) as bench:
        with pytest.raises(InvalidRequest, match="1 to 3"):
            await bench.hook(*(f"news:{number}" for number in range(4)))
        await bench.hook()
        await bench.hook()
        with pytest.raises(Conflict):
            await bench.hook()


def _gauge(bench: Bench, state: str) -> float:
    return bench.metrics.registry.get_sample_value("rtlite_webhooks", {"state": state}) or 0.0


async def test_metrics_say_how_many_deliver_fail_and_rest(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500, url="https://failing.example/")
        await bench.hook()
        await bench.hook(url="https://failing.example/")
        await bench.hook(enabled=False)
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        assert [_gauge(bench, state) for state in ("delivering", "failing", "disabled")] == [1, 1, 1]
        value = bench.metrics.registry.get_sample_value
        assert value("rtlite_webhook_attempts_total", {"outcome": "failed"}) == 1
        assert value("rtlite_webhook_attempts_total", {"outcome": "delivered"}) == 1


async def test_the_log_of_attempts_has_a_limit(autojump_clock: Clock) -> None:
    async with hooked(webhook_log=3) as bench:
        webhook = await bench.hook()
        await bench.publish("news:a", *range(10))
        await trio.sleep(PAUSE)
        found = await bench.webhooks.attempts(webhook.id, 2**53, 100)
        assert [attempt.message[-2:] for _, attempt in found] == ["10", "-9", "-8"]


async def test_a_webhook_that_the_settings_allow_no_more_is_disabled_at_the_start(autojump_clock: Clock) -> None:
    async with hooked(webhook_private=True) as before:
        webhook = await before.hook(url="http://10.0.0.1/")
        await before.kill()
        async with hooked(before) as after:
            await after.publish("news:a", 1)
            await trio.sleep(PAUSE)
            assert after.endpoints.got == [] and after.webhooks.get(webhook.id).disabled == "refused"
            with pytest.raises(InvalidRequest, match="https"):
                await after.webhooks.change(webhook.id, WebhookChange(enabled=True))
            with pytest.raises(InvalidRequest, match="https"):
                await after.webhooks.test(webhook.id)
            await after.webhooks.change(webhook.id, WebhookChange(enabled=True, url=URL))
            await trio.sleep(PAUSE)
            assert after.endpoints.data() == [1]


async def test_what_was_tried_can_be_read_while_nothing_can_be_stored(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook()
        await bench.publish("news:a", 1)
        await trio.sleep(PAUSE)
        await bench.webhooks.test(webhook.id)
        bench.database.refusal = StorageFailed("no disk")
        assert await bench.log(webhook) == [(200, None)]
