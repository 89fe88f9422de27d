"""What comes into an inbox, what is read and what goes, on a real hub and database."""

from __future__ import annotations

from typing import Any

import pytest

from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.model import now_ms
from rtlite.store import inbox as tables
from tests.domain.backend import Backend, opened

DAY_MS = 86_400_000


async def notify(backend: Backend, *ids: str, user: str = "ann") -> None:
    for id in ids:
        await backend.inbox.add(user, "note", "Hello", id=id)


async def held(backend: Backend, user: str = "ann", **wanted: Any) -> list[str]:
    return [item.id for item in (await backend.inbox.page(user, **wanted))[0]]


async def test_a_notification_is_kept_and_announced_in_the_shape_of_the_reference() -> None:
    async with opened() as backend:
        notification, new = await backend.inbox.add("ann", "order_update", "Order Shipped", "It has.", "/orders/1234")
        assert new and notification.id.startswith("notif_")
        [(name, data)] = await backend.told("notifications:ann")
        assert name == "notification.new"
        assert data == {
            "id": notification.id,
            "type": "order_update",
            "title": "Order Shipped",
            "message": "It has.",
            "actionUrl": "/orders/1234",
            "userId": "ann",
            "read": False,
            "createdAt": data["createdAt"],
        }
        assert await backend.inbox.page("ann") == ([notification], None)
        assert await backend.inbox.unread("ann") == 1


async def test_to_add_the_same_notification_again_is_safe_and_another_with_its_id_is_refused() -> None:
    async with opened() as backend:
        await notify(backend, "n")
        await backend.inbox.read("ann", "n")
        again, new = await backend.inbox.add("ann", "note", "Hello", id="n")
        assert (again.read, new) == (True, False)
        for user, type, title in (("bob", "note", "Hello"), ("ann", "other", "Hello"), ("ann", "note", "Goodbye")):
            with pytest.raises(Conflict) as refused:
                await backend.inbox.add(user, type, title, id="n")
            assert refused.value.code == "exists"
        names = [name for name, _ in await backend.told("notifications:ann")]
        assert names == ["notification.new", "notification.read"]


async def test_what_is_read_is_told_once_with_what_is_left() -> None:
    async with opened() as backend:
        await notify(backend, "a", "b", "c")
        for _ in range(2):
            assert (await backend.inbox.read("ann", "b")).read
        assert await held(backend, unread=True) == ["c", "a"]
        for marked in (2, 0):
            assert await backend.inbox.read_all("ann") == marked
        assert (await backend.told("notifications:ann"))[3:] == [
            ("notification.read", {"id": "b", "userId": "ann", "unread": 2}),
            ("notification.read_all", {"userId": "ann", "unread": 0}),
        ]
        assert await backend.inbox.unread("ann") == 0
        assert await held(backend) == ["c", "b", "a"]


async def test_nobody_reads_anothers_notification() -> None:
    async with opened() as backend:
        await notify(backend, "a")
        for user, id in (("bob", "a"), ("ann", "b"), ("Ann", "a")):
            with pytest.raises(NotFound):
                await backend.inbox.read(user, id)
        assert await backend.inbox.read_all("bob") == 0
        assert await backend.inbox.unread("ann") == 1
        assert await backend.told("notifications:bob") == []


async def test_pages_follow_one_another() -> None:
    async with opened() as backend:
        await notify(backend, "a", "b", "c")
        page, following = await backend.inbox.page("ann", limit=2)
        assert [item.id for item in page] == ["c", "b"]
        assert await held(backend, after=following, limit=2) == ["a"]
        assert (await backend.inbox.page("ann", limit=3))[1] is None
        with pytest.raises(InvalidRequest, match=r"^after"):
            await backend.inbox.page("ann", after="x")


async def test_an_inbox_keeps_as_many_as_the_setting_says() -> None:
    async with opened(inbox_size=3) as backend:
        await notify(backend, "a", "b", "c")
        await notify(backend, "x", user="bob")
        await backend.inbox.read("ann", "b")
        await notify(backend, "d")
        assert await held(backend) == ["d", "c", "a"]
        await notify(backend, "e")
        assert await held(backend) == ["e", "d", "c"]
        assert (await backend.inbox.unread("ann"), await held(backend, "bob")) == (3, ["x"])


async def test_an_inbox_that_keeps_nothing_still_tells() -> None:
    async with opened(inbox_size=0) as backend:
        await notify(backend, "a")
        assert await held(backend) == []
        assert [name for name, _ in await backend.told("notifications:ann")] == ["notification.new"]


async def test_old_notifications_go_with_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "STEP", 2)
    async with opened(inbox_age=86_400) as backend:
        await notify(backend, *"abcde")
        await backend.hub.sweeper.sweep()
        await backend.inbox.forget(now_ms() + DAY_MS - 5000)
        assert await held(backend) == [*"edcba"]
        await backend.inbox.forget(now_ms() + DAY_MS + 5000)
        assert await held(backend) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user": ""}, "userId"),
        ({"user": "*"}, "userId"),
        ({"user": "Zoë"}, "userId"),
        ({"type": ""}, "type"),
        ({"type": "a b"}, "type"),
        ({"title": " "}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"message": "\udfff"}, "title, message"),
        ({"id": ""}, "id"),
        ({"id": "x" * 65}, "id"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(fields: dict[str, Any], named: str) -> None:
    async with opened() as backend:
        with pytest.raises(InvalidRequest, match=f"^{named}"):
            await backend.inbox.add(**({"user": "ann", "type": "note", "title": "Hello"} | fields))


async def test_a_notification_may_be_as_large_as_the_setting_says_and_no_larger() -> None:
    async with opened(notification_bytes=10) as backend:
        await backend.inbox.add("ann", "note", "1234", "123", "é1")
        with pytest.raises(InvalidRequest, match="10 bytes"):
            await backend.inbox.add("ann", "note", "1234", "123", "é12")
