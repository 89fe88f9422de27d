"""Deliveries: in order, at least once, at the pace that an endpoint takes, through kills and failures."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest
import trio
from standardwebhooks import Webhook as Reference
from trio.abc import Clock

from rtlite.domain import courier
from rtlite.domain.webhooks import WebhookChange
from rtlite.errors import StorageFailed
from rtlite.model import Event
from rtlite.protocols import webhooks as wire
from rtlite.store import retention
from rtlite.transports.outbound import Answer
from tests.domain.hooked import HANG, OK, URL, hooked

DAY = 86_400
ENABLE = WebhookChange(enabled=True)


async def test_events_arrive_in_order_one_at_a_time(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        await bench.hook("news:*", "one:two")
        for number in range(200):
            await bench.publish(("news:a", "news:b", "one:two", "other:c")[number % 4], number)
        await trio.sleep(5)
        assert bench.endpoints.data() == [number for number in range(200) if number % 4 < 3]
        times = [delivery.at for delivery in bench.endpoints.got]
        assert all(after - before > 0.0099 for before, after in pairwise(times))


async def test_a_payload_says_what_was_published_where(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook()
        (published,) = await bench.publish("news:a", {"x": 1})
        await trio.sleep(1)
        (delivery,) = bench.endpoints.got
        assert delivery.payload["type"] == "tick" and delivery.payload["channel"] == "news:a"
        assert (delivery.payload["id"], delivery.payload["offset"]) == (published.event.id, 1)
        signature = Reference(webhook.secret).sign(
            delivery.message,
            datetime.fromtimestamp(int(delivery.headers["webhook-timestamp"]), UTC),
            orjson.dumps(delivery.payload).decode(),
        )
        assert delivery.headers["webhook-signature"] == signature


async def test_a_failure_is_tried_again_after_the_schedules_waits_under_the_same_id(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500, 302, 404, HANG, OK)
        webhook = await bench.hook()
        await bench.publish("news:a", 1, 2)
        await trio.sleep(5 * 3600)
        assert bench.endpoints.data() == [1, 1, 1, 1, 1, 2]
        first, *again = bench.endpoints.got
        assert {delivery.message for delivery in again[:4]} == {first.message} != {again[4].message}
        times = [delivery.at for delivery in bench.endpoints.got]
        for wait, before, after in zip((5, 300, 1800, 7200), times, times[1:], strict=False):
            assert 0.8 * wait <= after - before <= 1.2 * wait + 16
        assert len({delivery.headers["webhook-timestamp"] for delivery in bench.endpoints.got[:5]}) == 5
        assert webhook.attempts == 0 and webhook.failing_since is None
        assert await bench.log(webhook) == [
            (500, "answered 500"),
            (302, "answered 302"),
            (404, "answered 404"),
            (None, "no answer in time"),
            (200, None),
            (200, None),
        ]


async def test_waits_differ_so_that_endpoints_are_not_all_tried_at_once(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500)
        for _ in range(20):
            await bench.hook()
        await bench.publish("news:a", 1)
        await trio.sleep(10)
        assert len({round(delivery.at, 2) for delivery in bench.endpoints.got[20:]}) > 10


@pytest.mark.parametrize(("asked", "waited"), [("60", 60), ("1", 4), ("999999999", DAY), ("soon", 4)])
async def test_an_endpoint_that_asks_for_time_gets_it_up_to_the_longest_wait(
    asked: str, waited: float, autojump_clock: Clock
) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(Answer(429, "answered 429", 1, retry_after=asked), OK)
        await bench.hook()
        await bench.publish("news:a", 1)
        await trio.sleep(2 * DAY)
        first, second = bench.endpoints.got
        assert waited <= second.at - first.at <= waited + 3


async def test_an_endpoint_that_is_gone_is_told_no_more(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(410)
        webhook = await bench.hook()
        await bench.publish("news:a", 1, 2)
        await trio.sleep(10 * DAY)
        assert len(bench.endpoints.got) == 1
        assert webhook.as_json()["disabled"] == "gone"


async def test_an_endpoint_that_fails_for_days_is_disabled_and_misses_nothing_once_enabled(
    autojump_clock: Clock,
) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500)
        webhook = await bench.hook()
        await bench.publish("news:a", 1, 2)
        await trio.sleep(4.5 * DAY)
        assert webhook.disabled is None and webhook.attempts >= 10
        await trio.sleep(3 * DAY)
        assert webhook.disabled == "failing"
        tried = len(bench.endpoints.got)
        await bench.publish("news:a", 3)
        await trio.sleep(9 * DAY)
        assert len(bench.endpoints.got) == tried <= 15
        bench.endpoints.answer(OK)
        await bench.webhooks.change(webhook.id, ENABLE)
        await trio.sleep(5)
        assert bench.endpoints.data()[tried:] == [1, 2, 3]


async def test_a_leap_of_the_wall_clock_neither_disables_nor_delays(autojump_clock: Clock) -> None:
    wall = [1_000_000_000_000]
    async with hooked(wall=wall) as bench:
        bench.endpoints.answer(500, 500, OK)
        webhook = await bench.hook()
        await bench.publish("news:a", 1)
        await trio.sleep(1)
        wall[0] += 30 * DAY * 1000
        await trio.sleep(10)
        assert len(bench.endpoints.got) == 2 and webhook.disabled is None
        wall[0] -= 60 * DAY * 1000
        await trio.sleep(400)
        assert len(bench.endpoints.got) == 3 and webhook.attempts == 0


async def test_an_endpoint_that_hangs_holds_up_neither_others_nor_publishers(autojump_clock: Clock) -> None:
    other = "https://other.example/"
    async with hooked() as bench:
        bench.endpoints.answer(HANG)
        await bench.hook()
        await bench.hook(url=other)
        begun = trio.current_time()
        await bench.publish("news:a", *range(100))
        assert trio.current_time() - begun < 0.5
        await trio.sleep(3)
        assert bench.endpoints.data(other) == list(range(100))
        assert bench.endpoints.data(URL) == [0]


# --- kills and restarts


async def test_after_a_restart_delivery_goes_on_where_it_was(autojump_clock: Clock) -> None:
    async with hooked() as before:
        await before.hook()
        await before.publish("news:a", 1, 2, 3)
        await trio.sleep(5)
        await before.kill()
        async with hooked(before) as after:
            await after.publish("news:a", 4)
            await trio.sleep(5)
            assert after.endpoints.data() == [1, 2, 3, 4]


async def test_what_a_killed_process_had_not_noted_comes_again_under_the_same_id(autojump_clock: Clock) -> None:
    async with hooked() as before:
        await before.hook()
        await before.publish("news:a", 0)
        await trio.sleep(5)
        await before.publish("news:a", 1)
        before.database.refusal = StorageFailed("nothing is noted from here on")
        await trio.sleep(1)
        assert before.endpoints.data() == [0, 1]
        await before.kill()
        before.database.refusal = None
        async with hooked(before) as after:
            await trio.sleep(1)
            assert after.endpoints.data() == [0, 1, 1]
            assert after.endpoints.got[1].message == after.endpoints.got[2].message


async def test_an_orderly_stop_notes_everything(autojump_clock: Clock) -> None:
    async with hooked() as before:
        await before.hook()
        await before.publish("news:a", 1)
        await trio.sleep(5)
        await before.publish("news:a", 2)
        await trio.sleep(0.02)  # it is delivered, and the books are not due yet
        assert len(before.endpoints.got) == 2
        await before.webhooks.stop()
        await before.kill()
        async with hooked(before) as after:
            await trio.sleep(5)
            assert after.endpoints.data() == [1, 2]


async def test_a_restart_neither_hurries_nor_forgets_a_failing_endpoint(autojump_clock: Clock) -> None:
    async with hooked() as before:
        before.endpoints.answer(500)
        webhook = await before.hook()
        await before.publish("news:a", 1)
        await trio.sleep(60)  # two attempts; the next is due after 4 minutes or more
        assert webhook.attempts == 2
        await before.kill()
        async with hooked(before) as after:
            (webhook,) = after.webhooks.all()
            assert (webhook.attempts, after.webhooks.all()[0].as_json()["enabled"]) == (2, True)
            await trio.sleep(150)
            assert len(after.endpoints.got) == 2
            await trio.sleep(200)
            assert len(after.endpoints.got) == 3


# --- channels without history


async def test_what_passes_waits_in_the_queue_and_survives_a_kill(autojump_clock: Clock) -> None:
    async with hooked() as before:
        before.endpoints.answer(500, 500, OK)
        await before.hook("passing:*")
        await before.publish("passing:a", 1, 2, 3)
        await trio.sleep(1)
        await before.kill()
        async with hooked(before) as after:
            await after.publish("passing:a", 4)
            await trio.sleep(600)
            assert after.endpoints.data() == [1, 1, 1, 2, 3, 4]
            assert len({delivery.message for delivery in after.endpoints.got}) == 4
            await trio.sleep(1)
            assert after.database.connection.execute("SELECT count(*) FROM webhook_queue").fetchone() == (0,)


async def test_what_is_kept_has_no_second_copy(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(500)
        await bench.hook("news:*", "passing:*")
        await bench.publish("news:a", 1)
        await bench.publish("passing:a", 2)
        await trio.sleep(1)
        assert bench.database.connection.execute("SELECT body FROM webhook_queue").fetchall() != []
        ((body,),) = bench.database.connection.execute("SELECT body FROM webhook_queue").fetchall()
        assert orjson.loads(body)["data"] == 2


async def test_kept_and_passing_events_of_one_webhook_each_come_in_their_order(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        await bench.hook("news:a", "passing:a")
        for number in range(50):
            await bench.publish(("news:a", "passing:a")[number % 2], number)
        await trio.sleep(5)
        came = bench.endpoints.data()
        assert sorted(came) == list(range(50))
        assert [item for item in came if item % 2] == list(range(1, 50, 2))
        assert [item for item in came if not item % 2] == list(range(0, 50, 2))


async def test_a_full_queue_loses_what_comes_and_counts_it(autojump_clock: Clock) -> None:
    async with hooked(webhook_queue_events=5) as bench:
        bench.endpoints.answer(500, OK)
        webhook = await bench.hook("passing:*")
        await bench.publish("passing:a", *range(8))
        await trio.sleep(60)
        assert bench.endpoints.data() == [0, 0, 1, 2, 3, 4]
        assert webhook.as_json()["lost"] == 3
        await bench.publish("passing:a", 8)
        await trio.sleep(1)
        assert bench.endpoints.data()[-1] == 8


async def test_a_queue_is_full_by_its_bytes_as_well(autojump_clock: Clock) -> None:
    async with hooked(webhook_queue_bytes=1000) as bench:
        bench.endpoints.answer(HANG)
        webhook = await bench.hook("passing:*")
        await bench.publish("passing:a", *("x" * 200 for _ in range(8)))
        await trio.sleep(1)
        assert 4 <= webhook.lost <= 6


# --- trouble of our own


async def test_what_retention_takes_first_is_lost_and_said_so(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(410)
        webhook = await bench.hook()
        await bench.publish("news:a", 1, 2, 3)
        await trio.sleep(1)
        later = bench.database.connection.execute("SELECT max(timestamp) FROM events").fetchone()[0] + 8 * DAY * 1000
        candidate = retention.candidates(bench.database.connection, bench.hub.policies, later, 0)[0]
        retention.trim(bench.database.connection, bench.hub.policies, candidate, later)
        await bench.publish("news:a", 4)
        bench.endpoints.answer(OK)
        await bench.webhooks.change(webhook.id, ENABLE)
        await trio.sleep(1)
        assert bench.endpoints.data() == [1, 4]
        assert webhook.lost == 1


async def test_what_one_channel_lost_is_counted_once_while_what_another_holds_is_delivered(
    autojump_clock: Clock,
) -> None:
    async with hooked() as bench:
        bench.endpoints.answer(410)
        webhook = await bench.hook("news:*")
        await bench.publish("news:a", *range(4 * courier.PAGE_EVENTS))
        await bench.publish("news:b", "lost", "lost")
        await trio.sleep(1)
        connection = bench.database.connection
        later = connection.execute("SELECT max(timestamp) FROM events").fetchone()[0] + 8 * DAY * 1000
        found = retention.candidates(connection, bench.hub.policies, later, 0)
        (news_b,) = [candidate for candidate in found if candidate.name == "news:b"]
        retention.trim(connection, bench.hub.policies, news_b, later)
        bench.endpoints.answer(OK)
        await bench.webhooks.change(webhook.id, ENABLE)
        await trio.sleep(30)
        assert bench.endpoints.data()[1:] == list(range(4 * courier.PAGE_EVENTS))
        assert webhook.lost == 1


async def test_while_the_storage_fails_deliveries_go_on_and_are_noted_later(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        webhook = await bench.hook()
        await bench.publish("news:a", 1, 2, 3)
        bench.database.refusal = StorageFailed("no disk")
        await trio.sleep(5)
        assert bench.endpoints.data() == [1, 2, 3]
        bench.database.refusal = None
        await trio.sleep(6)
        stored = bench.database.connection.execute("SELECT cursor FROM webhooks").fetchone()
        assert stored == (3,)
        assert len(await bench.log(webhook)) == 3


async def test_a_mistake_of_ours_ends_nothing_and_is_tried_again(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [True]

    def body(event: Event) -> bytes:
        if wrong:
            raise ZeroDivisionError
        return right(event)

    right = wire.body
    monkeypatch.setattr(courier.wire, "body", body)
    async with hooked() as bench:
        await bench.hook()
        await bench.publish("news:a", 1, 2)
        await trio.sleep(1)
        assert bench.endpoints.got == []
        wrong.clear()
        await trio.sleep(6)
        assert bench.endpoints.data() == [1, 2]


async def test_a_subscription_that_the_hub_ends_begins_anew(autojump_clock: Clock) -> None:
    async with hooked() as bench:
        await bench.hook("passing:a", "news:a")
        for topic in list(bench.hub.fanout.topics.values()):
            for group in list(topic.groups.values()):
                for subscription in list(group):
                    subscription.lose(courier.Reason.INTERNAL_ERROR)
        await trio.sleep(1)
        await bench.publish("passing:a", 1)
        await bench.publish("news:a", 2)
        await trio.sleep(1)
        assert sorted(bench.endpoints.data()) == [1, 2]


async def test_waits_of_nothing_are_no_leave_to_ask_without_a_pause(autojump_clock: Clock) -> None:
    async with hooked(webhook_retries=(0.0,)) as bench:
        bench.endpoints.answer(500)
        await bench.hook()
        await bench.publish("news:a", 1)
        await trio.sleep(1)
        assert 10 < len(bench.endpoints.got) <= 51


async def test_attempts_are_spread_over_time_and_over_the_webhooks(autojump_clock: Clock) -> None:
    async with hooked(webhook_rate=100) as bench:
        for number in range(5):
            await bench.hook(url=f"https://{number}.example/")
        await bench.publish("news:a", *range(100))
        begun = trio.current_time()
        await trio.sleep(2)
        times = [delivery.at for delivery in bench.endpoints.got]
        assert all(after - before > 0.0099 for before, after in pairwise(times))
        assert times[-1] - begun > 1.9
        assert all(38 <= len(bench.endpoints.data(f"https://{number}.example/")) <= 42 for number in range(5))


async def test_a_storage_that_does_not_answer_at_first_keeps_nobody_from_starting(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [True]

    def waiting(connection: object, webhook: str) -> tuple[int, int]:
        if failing:
            raise StorageFailed("no disk")
        return 0, 0

    monkeypatch.setattr(courier.tables, "waiting", waiting)
    async with hooked() as bench:
        with trio.fail_after(1):
            await bench.hook()
        await bench.publish("news:a", 1)
        failing.clear()
        await trio.sleep(6)
        assert bench.endpoints.data() == [1]
