"""A job's life, its events and the notification at its end, on a real hub and database."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from rtlite.domain import inbox
from rtlite.errors import Conflict, InvalidRequest, NotFound, Reason, StorageFailed
from rtlite.hub.transactions import Transaction
from rtlite.model import Event, Identity, Kind, Role, now_ms
from rtlite.settings import Settings
from rtlite.store import inbox as inboxes
from rtlite.store import jobs as tables
from rtlite.transports.connections import Connection
from tests.domain.backend import Backend, opened

DAY_MS = 86_400_000
REACH = {  # how to get a new job into each state
    "pending": {},
    "running": {"status": "running"},
    "completed": {"status": "completed"},
    "failed": {"status": "failed"},
    "cancelled": {"status": "cancelled"},
}


async def a_job(backend: Backend, status: str = "pending", id: str = "j", user: str | None = None) -> None:
    await backend.jobs.create("import", user, id)
    if status != "pending":
        await backend.jobs.update(id, **REACH[status])


async def test_a_new_job_is_pending_and_announced() -> None:
    async with opened() as backend:
        job, new = await backend.jobs.create("import", "ann")
        assert new and job.id.startswith("job_") and job.status == "pending"
        assert await backend.jobs.find(job.id) == job
        expected = {
            "id": job.id,
            "type": "import",
            "status": "pending",
            "progress": None,
            "userId": "ann",
            "result": None,
            "error": None,
        }
        [(name, data)] = await backend.told(f"jobs:{job.id}")
        assert name == "job.created"
        assert data == expected | {"createdAt": data["createdAt"], "updatedAt": data["createdAt"]}


async def test_the_life_of_a_job_is_told_step_by_step() -> None:
    async with opened() as backend:
        await backend.jobs.create("import", None, "j")
        await backend.jobs.update("j", status="running")
        await backend.jobs.update("j", progress=40)
        await backend.jobs.update("j", progress=99.5, result={"so far": 3})
        await backend.jobs.update("j", status="completed", result={"imported": 120})
        told = [(name, data["status"], data["progress"], data["result"]) for name, data in await backend.told("jobs:j")]
        assert told == [
            ("job.created", "pending", None, None),
            ("job.progress", "running", None, None),
            ("job.progress", "running", 40, None),
            ("job.progress", "running", 99.5, {"so far": 3}),
            ("job.completed", "completed", 100, {"imported": 120}),
        ]


async def test_progress_makes_a_pending_job_a_running_one() -> None:
    async with opened() as backend:
        await a_job(backend)
        assert (await backend.jobs.update("j", progress=0)).status == "running"


@pytest.mark.parametrize("before", REACH)
@pytest.mark.parametrize("status", REACH)
async def test_a_job_goes_on_to_its_end_and_never_back(before: str, status: str) -> None:
    allowed = {"pending": set(REACH), "running": set(REACH) - {"pending"}}.get(before, {before})
    async with opened() as backend:
        await a_job(backend, before)
        told = await backend.told("jobs:j")
        if status in allowed:
            assert (await backend.jobs.update("j", status=status)).status == status
            assert len(await backend.told("jobs:j")) == len(told) + (status != before)
        else:
            with pytest.raises(Conflict) as refused:
                await backend.jobs.update("j", status=status)
            assert refused.value.code == ("job_running" if before == "running" else "job_over")
            assert (await backend.jobs.find("j")).status == before
            assert await backend.told("jobs:j") == told


@pytest.mark.parametrize("end", tables.ENDS)
@pytest.mark.parametrize("late", [{"progress": 50}, {"result": [1]}, {"error": "late"}])
async def test_nothing_of_a_job_that_is_over_changes(end: str, late: dict[str, Any]) -> None:
    async with opened() as backend:
        await a_job(backend, end)
        with pytest.raises(Conflict, match="the job is over"):
            await backend.jobs.update("j", **late)


@pytest.mark.parametrize("change", [{"progress": 40}, {"status": "failed", "error": "no"}, {"status": "completed"}])
async def test_to_say_the_same_again_changes_nothing_and_tells_nobody(change: dict[str, Any]) -> None:
    async with opened() as backend:
        await a_job(backend, user="ann")
        first = await backend.jobs.update("j", **change)
        told = await backend.told("jobs:j"), await backend.told("notifications:ann")
        assert await backend.jobs.update("j", **change) == first
        assert (await backend.told("jobs:j"), await backend.told("notifications:ann")) == told


async def test_to_create_the_same_job_again_is_safe_and_another_with_its_id_is_refused() -> None:
    async with opened() as backend:
        first, _ = await backend.jobs.create("import", "ann", "j")
        await backend.jobs.update("j", progress=5)
        again, new = await backend.jobs.create("import", "ann", "j")
        assert (again.created, again.progress, new) == (first.created, 5, False)
        for type, user in (("export", "ann"), ("import", "bob"), ("import", None)):
            with pytest.raises(Conflict) as refused:
                await backend.jobs.create(type, user, "j")
            assert refused.value.code == "exists"
        assert [name for name, _ in await backend.told("jobs:j")] == ["job.created", "job.progress"]


@pytest.mark.parametrize("end", tables.ENDS)
async def test_the_end_of_a_job_tells_its_user(end: str) -> None:
    async with opened() as backend:
        await a_job(backend, user="ann", id="a/b")
        await backend.jobs.update("a/b", progress=50)
        assert await backend.inbox.unread("ann") == 0
        await backend.jobs.update("a/b", status=end, error="the file is empty" if end == "failed" else None)
        [notification], _ = await backend.inbox.page("ann")
        assert (notification.type, notification.title) == (f"job_{end}", f"import: {end}")
        assert notification.message == ("the file is empty" if end == "failed" else None)
        assert notification.action_url == "/jobs/a%2Fb"
        assert await backend.told("notifications:ann") == [("notification.new", notification.as_json())]


async def test_the_end_of_a_job_of_nobody_tells_nobody() -> None:
    async with opened() as backend:
        await a_job(backend, "completed")
        assert [name for name, _ in await backend.told("jobs:j")] == ["job.created", "job.completed"]


async def test_a_job_does_not_end_if_its_user_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as backend:
        await a_job(backend, user="ann")

        def fail(*_: object) -> None:
            raise OSError("no")

        with monkeypatch.context() as patch:
            patch.setattr(inboxes, "insert", fail)
            with pytest.raises(StorageFailed):
                await backend.jobs.update("j", status="completed")
        assert (await backend.jobs.find("j")).status == "pending"
        assert [name for name, _ in await backend.told("jobs:j")] == ["job.created"]
        await backend.jobs.update("j", status="completed")
        assert await backend.inbox.unread("ann") == 1


@pytest.mark.parametrize("progress", [-1, 100.5, math.nan, math.inf, True, "40", [40], {}])
async def test_progress_is_a_number_from_0_to_100(progress: Any) -> None:
    async with opened() as backend:
        await a_job(backend)
        with pytest.raises(InvalidRequest, match="progress"):
            await backend.jobs.update("j", progress=progress)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": ""}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": "x" * 129}, "type"),
        ({"user": ""}, "userId"),
        ({"user": "*"}, "userId"),
        ({"user": "Zoë"}, "userId"),
        ({"user": "x" * 242}, "userId"),
        ({"id": ""}, "id"),
        ({"id": "*"}, "id"),
        ({"id": "a:*"}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "x" * 65}, "id"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(fields: dict[str, Any], named: str) -> None:
    async with opened() as backend:
        with pytest.raises(InvalidRequest, match=f"^{named}:"):
            await backend.jobs.create(**({"type": "import"} | fields))


async def test_a_status_that_is_none_is_refused() -> None:
    async with opened() as backend:
        await a_job(backend)
        for status in ("done", "", "Completed"):
            with pytest.raises(InvalidRequest, match=r"^status: one of pending, running, completed"):
                await backend.jobs.update("j", status=status)
            with pytest.raises(InvalidRequest, match=r"^status"):
                await backend.jobs.page(status=status)


async def test_a_result_may_be_as_large_as_the_setting_says_and_no_larger() -> None:
    async with opened(job_bytes=10) as backend:
        await a_job(backend)
        await backend.jobs.update("j", result="12345678")
        for large in ({"result": "123456789"}, {"error": "x" * 11}, {"result": 12345, "error": "xxxxxx"}):
            with pytest.raises(InvalidRequest, match="10 bytes"):
                await backend.jobs.update("j", **large)


@pytest.mark.parametrize("unfit", [{"result": {1, 2}}, {"result": "\ud800"}, {"result": 2**64}, {"error": "\ud800"}])
async def test_what_cannot_be_written_as_json_is_refused(unfit: dict[str, Any]) -> None:
    async with opened() as backend:
        await a_job(backend)
        with pytest.raises(InvalidRequest, match="JSON is wanted"):
            await backend.jobs.update("j", **unfit)


async def test_a_job_that_is_not_there_is_not_found() -> None:
    async with opened() as backend:
        for what in (backend.jobs.find("j"), backend.jobs.update("j", progress=1)):
            with pytest.raises(NotFound):
                await what


async def test_pages_follow_one_another() -> None:
    async with opened() as backend:
        for id in "abc":
            await a_job(backend, id=id, user="ann")
        page, following = await backend.jobs.page(limit=2)
        assert [job.id for job in page] == ["c", "b"]
        page, following = await backend.jobs.page(user="ann", after=following, limit=2)
        assert ([job.id for job in page], following) == (["a"], None)
        for after in ("", "x", "-1", "1.5", "9" * 19, "١"):
            with pytest.raises(InvalidRequest, match=r"^after"):
                await backend.jobs.page(after=after)


async def test_the_settings_say_how_long_and_how_many_jobs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "STEP", 2)
    async with opened(job_age=86_400, job_count=3) as backend:
        for id in "abcdefg":
            await a_job(backend, "failed", id=id)
        await a_job(backend, "running", id="r")
        await backend.hub.sweeper.sweep()
        assert {job.id for job in (await backend.jobs.page())[0]} == {*"efgr"}
        await backend.jobs.forget(now_ms() + DAY_MS - 5000)
        assert len((await backend.jobs.page())[0]) == 4
        await backend.jobs.forget(now_ms() + DAY_MS + 5000)
        assert await backend.jobs.page() == ([], None)


class _Outbox:
    """Takes everything."""

    queued = sent = 0

    def offer(self, data: bytes) -> bool:
        return True

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def room(self, size: int) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("identity", "stays"),
    [
        (Identity(Kind.JWT, "ann", "jwt:ann"), False),
        (Identity(Kind.JWT, "ann", "jwt:ann", subscribe=("jobs:j",)), True),
        (Identity(Kind.JWT, "ed", "jwt:ed", role=Role.COLLAB), True),
        (Identity(Kind.PROJECT, "p", "key_1"), True),
        (Identity(Kind.ADMIN, "root", "key_2"), True),
    ],
)
async def test_who_listens_to_its_own_job_listens_no_more_when_the_job_is_forgotten(
    identity: Identity, stays: bool
) -> None:
    """Its id is free from then on, maybe for a job of someone else."""
    dropped: list[str] = []

    def encode(event: Event) -> bytes:
        return b""

    async with opened(job_count=0) as backend, trio.open_nursery() as nursery:
        await a_job(backend, "completed", user="ann")
        with ExitStack() as stack:
            outbox: Any = _Outbox()
            connection: Connection = stack.enter_context(
                backend.connections.entered("test", "::1", outbox, lambda _: dropped.append("all"))
            )
            connection.identity, connection.drop = identity, dropped.append
            connection.channels.append("jobs:j")
            subscribed = await backend.hub.subscribe(
                "jobs:j", outbox, encode, spawn=nursery.start_soon, on_lost=_nothing
            )
            await backend.jobs.forget(now_ms())
            assert dropped == ([] if stays else ["jobs:j"])
            subscribed.close()


def _nothing(reason: Reason) -> None:
    raise AssertionError(reason)


async def test_a_transaction_of_anothers_may_deliver_a_notification() -> None:
    """So that whatever changes and the notification of it are there both or neither."""

    def work(transaction: Transaction) -> None:
        inbox.deliver(transaction, inbox.about("ann", "note", "Hello", None, None), Settings())
        raise Conflict("after all not")

    async with opened() as backend:
        with pytest.raises(Conflict):
            await backend.hub.transact(work)
        assert await backend.inbox.page("ann") == ([], None)
        assert await backend.told("notifications:ann") == []
