"""Models: what is set of them, their indexes, and who is kept from private ones."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rtlite.domain import models as module
from rtlite.domain.models import channel_of
from rtlite.errors import Conflict, InvalidRequest, NotFound, Reason
from rtlite.model import Identity, Kind, NewEvent, Role
from rtlite.settings import KindSettings
from rtlite.store import models as tables
from rtlite.transports.connections import Connection
from tests.domain.shelf import Shelf, opened

ANN = Identity(Kind.JWT, "ann", "jwt:ann")
SCHEMA = {"type": "object", "required": ["name"]}


async def test_what_is_not_named_stays_and_a_schema_can_be_taken_away() -> None:
    async with opened() as shelf:
        model, new = await shelf.models.put("product", SCHEMA, True, ["price"])
        assert new and model.as_json() == {
            "key": "product",
            "schema": SCHEMA,
            "private": True,
            "indexes": ["price"],
            "createdAt": model.as_json()["createdAt"],
            "updatedAt": model.as_json()["updatedAt"],
        }
        model, new = await shelf.models.put("product", private=False)
        assert not new and (model.private, model.indexes, model.as_json()["schema"]) == (False, ("price",), SCHEMA)
        model, _ = await shelf.models.put("product", None, indexes=[])
        assert (model.schema, model.indexes) == (None, ())
        assert await shelf.models.find("product") == model
        with pytest.raises(NotFound):
            await shelf.models.find("other")


async def test_models_are_listed_by_key_page_by_page() -> None:
    async with opened() as shelf:
        for key in ("c", "a", "b"):
            await shelf.models.put(key)
        page, after = await shelf.models.list(limit=2)
        assert ([model.key for model in page], after) == (["a", "b"], "b")
        page, after = await shelf.models.list(after, limit=2)
        assert ([model.key for model in page], after) == (["c"], None)


async def test_there_are_so_many_models_at_most_whoever_makes_them() -> None:
    async with opened(max_models=2) as shelf:
        await shelf.models.put("a")
        await shelf.records.create("b", {})
        for one_more in (shelf.models.put("c"), shelf.records.create("c", {})):
            with pytest.raises(Conflict) as refused:
                await one_more
            assert refused.value.code == "too_many_models"
        await shelf.models.delete("a")
        await shelf.models.put("c")


async def test_a_model_with_records_is_not_deleted() -> None:
    async with opened() as shelf:
        await shelf.models.put("product", private=True)
        await shelf.records.create("product", {}, id="r")
        with pytest.raises(Conflict) as refused:
            await shelf.models.delete("product")
        assert refused.value.code == "model_in_use"
        assert not shelf.models.is_open(ANN, "changes:product")
        await shelf.records.delete("product", "r")
        await shelf.models.put("product", private=False)
        await shelf.models.delete("product")
        assert shelf.models.is_open(ANN, "changes:product")
        with pytest.raises(NotFound):
            await shelf.models.delete("product")


async def test_a_private_model_is_not_deleted_while_its_channel_keeps_what_its_records_were() -> None:
    async with opened(channels={"changes": KindSettings(retention_age=1.0)}) as shelf:
        await shelf.models.put("secret", private=True)
        await shelf.records.create("secret", {"pin": 1234}, id="r")
        await shelf.records.delete("secret", "r")
        with pytest.raises(Conflict) as refused:
            await shelf.models.delete("secret")
        assert refused.value.code == "model_in_use"
        assert not shelf.models.is_open(ANN, "changes:secret")
        await shelf.database.write(lambda connection: connection.execute("UPDATE events SET timestamp = 0"))
        await shelf.database.write(lambda connection: connection.execute("UPDATE channels SET oldest_timestamp = 0"))
        await shelf.hub.sweeper.sweep()
        assert await shelf.told("secret") == []
        await shelf.models.delete("secret")
        assert shelf.models.is_open(ANN, "changes:secret")


async def test_a_model_is_private_once_that_is_stored_though_who_asked_for_it_is_gone() -> None:
    async with opened() as shelf:
        await shelf.models.put("secret")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shelf.models.put, "secret", None, True)
            await trio.testing.wait_all_tasks_blocked()  # it is asked for, and at most under way to the disk
            nursery.cancel_scope.cancel()
        await shelf.hub.publish(NewEvent("free", "tick", b"1"))  # is stored behind it
        assert await shelf.database.read(tables.private) == ["secret"]
        assert not shelf.models.is_open(ANN, "changes:secret")


async def test_data_fits_the_schema_from_when_it_is_set() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {"price": 1}, id="r")
        await shelf.models.put("product", SCHEMA)
        for change in (
            shelf.records.create("product", {"price": 1}),
            shelf.records.change("product", "r", {"price": 2}, merge=True),
            shelf.records.change("product", "r", {}, merge=False),
        ):
            with pytest.raises(InvalidRequest, match="'name' is missing") as refused:
                await change
            assert refused.value.code == "invalid_record"
        await shelf.records.change("product", "r", {"name": "mug"}, merge=True)
        await shelf.models.put("product", None)
        await shelf.records.create("product", {})


# --- indexes


async def fill(shelf: Shelf, count: int = 30) -> None:
    for number in range(count):
        await shelf.records.create("product", {"n": number % 3, "size": {"w": number}}, id=f"r{number:02}")


async def serves(shelf: Shelf, field: str) -> bool:
    """Whether a filter on this field needs not look at all records, of which there are too many."""
    try:
        await shelf.records.page("product", filters={field: 1})
    except InvalidRequest as error:
        assert error.code == "index_needed"
        return False
    return True


async def test_an_index_serves_the_records_that_there_are_and_those_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP", 7)
    async with opened(record_scan=20) as shelf:
        await fill(shelf)
        assert not await serves(shelf, "n")
        await shelf.models.put("product", indexes=["n", "data.size.w"])
        assert await serves(shelf, "n") and await serves(shelf, "size.w") and not await serves(shelf, "size.h")
        await shelf.records.create("product", {"n": 1}, id="new")
        await shelf.records.change("product", "r01", {"n": 2}, merge=True)
        await shelf.records.delete("product", "r04")
        ones = [f"r{number:02}" for number in range(30) if number % 3 == 1 and number not in {1, 4}]
        assert await shelf.ids(filters={"n": 1}) == [*ones, "new"]
        assert (await shelf.ids(filters={"n": 2}))[0] == "r01"
        assert await shelf.ids(order="-size.w", limit=3, filters={"size.w": {"gte": 28}}) == ["r29", "r28"]


async def test_large_records_are_indexed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP_BYTES", 100)
    async with opened(record_scan=5) as shelf:
        for number in range(9):
            await shelf.records.create("product", {"n": number, "text": "x" * 70})
        await shelf.models.put("product", indexes=["n"])
        assert len(await shelf.ids(filters={"n": {"gte": 0}}, order="n")) == 9


async def test_published_data_is_indexed_as_it_is_published() -> None:
    async with opened(record_scan=20) as shelf:
        await fill(shelf)
        await shelf.records.publish("product", "r01")
        await shelf.records.change("product", "r01", {"n": 7}, merge=True)
        await shelf.models.put("product", indexes=["n"])
        await shelf.records.publish("product", "r02")
        await shelf.records.publish("product", "r03")
        await shelf.records.unpublish("product", "r03")
        assert await shelf.ids(published=True, filters={"n": 1}) == ["r01"]
        assert await shelf.ids(published=True, order="-n") == ["r02", "r01"]
        assert await shelf.ids(filters={"n": 7}) == ["r01"]
        await shelf.records.publish("product", "r01")
        assert await shelf.ids(published=True, filters={"n": 1}) == []
        assert await shelf.ids(published=True, filters={"n": 7}) == ["r01"]


async def test_an_index_that_is_dropped_serves_no_more_and_leaves_nothing() -> None:
    async with opened(record_scan=20) as shelf:
        await fill(shelf)
        await shelf.models.put("product", indexes=["n", "size.w"])
        await shelf.models.put("product", indexes=["n"])
        assert await serves(shelf, "n") and not await serves(shelf, "size.w")
        left = await shelf.database.read(
            lambda connection: connection.execute("SELECT DISTINCT path FROM record_fields").fetchall()
        )
        assert left == [("n",)]


async def test_records_change_while_an_index_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP", 1)
    async with opened(record_scan=20) as shelf:
        await fill(shelf)

        async def change() -> None:
            for number in range(30):
                await shelf.records.change("product", f"r{29 - number:02}", {"n": 5}, merge=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            nursery.start_soon(lambda: shelf.models.put("product", indexes=["n"]))
        assert len(await shelf.ids(filters={"n": 5})) == 30
        assert await shelf.ids(filters={"n": 1}) == []


async def test_an_index_that_was_not_made_to_the_end_is_made_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(tmp_path / "r.db")
    async with opened(data, record_scan=20) as shelf:
        await fill(shelf)

        async def killed(self: object, key: str) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as broken:
            broken.setattr(module.Models, "_build", killed)
            with pytest.raises(RuntimeError, match="killed"):
                await shelf.models.put("product", indexes=["n"])
        assert not await serves(shelf, "n")
        await shelf.records.change("product", "r00", {"n": 1}, merge=True)
    async with opened(data, record_scan=20) as shelf:
        assert await serves(shelf, "n")
        assert len(await shelf.ids(filters={"n": 1})) == 11


@pytest.mark.parametrize("indexes", [["a b"], [""], ["a", "b", "c"], ["a." * 9 + "a"]])
async def test_indexes_are_few_and_are_fields(indexes: list[str]) -> None:
    async with opened(model_indexes=2) as shelf:
        with pytest.raises(InvalidRequest):
            await shelf.models.put("product", indexes=indexes)


# --- private models


EVERYONE: dict[str, Identity] = {
    "a user": ANN,
    "a customer": attrs.evolve(ANN, role=Role.CUSTOMER),
    "a publishable key": Identity(Kind.PROJECT, "p", "key_1"),
    "a token for all changes": attrs.evolve(ANN, subscribe=("changes:*",)),
    "a token for another": attrs.evolve(ANN, subscribe=("changes:product", "changes:secrets")),
    "an editor": attrs.evolve(ANN, role=Role.ADMIN),
    "a collaborator": attrs.evolve(ANN, role=Role.COLLAB),
    "a token that names it": attrs.evolve(ANN, subscribe=("changes:secret",)),
    "a writing key": Identity(Kind.PROJECT, "p", "key_1", write=True),
    "the operator": Identity(Kind.ADMIN, "o", "key_1"),
}
KEPT_OUT = set(list(EVERYONE)[:5])


@pytest.mark.parametrize("name", EVERYONE)
async def test_a_private_model_is_for_the_backend_editors_and_tokens_that_name_it(name: str) -> None:
    who = EVERYONE[name]
    async with opened() as shelf:
        assert shelf.models.is_open(who, "changes:secret")
        await shelf.models.put("secret", private=True)
        allowed = name not in KEPT_OUT
        for channel in ("changes:secret", "changes:*"):
            assert shelf.models.is_open(who, channel) == allowed, channel
        for channel in ("changes:product", "changes:secrets", "changes:Secret", "jobs:secret", "jobs:*", "secret"):
            assert shelf.models.is_open(who, channel), channel
        await shelf.models.put("other", private=True)
        assert shelf.models.is_open(who, "changes:*") == (allowed and name != "a token that names it")
        for key in ("secret", "other"):
            await shelf.models.put(key, private=False)
        assert shelf.models.is_open(who, "changes:*")


async def test_with_dev_every_token_reads_private_models() -> None:
    async with opened(dev=True) as shelf:
        await shelf.models.put("secret", private=True)
        assert shelf.models.is_open(ANN, "changes:secret") and shelf.models.is_open(ANN, "changes:*")
        assert not shelf.models.is_open(EVERYONE["a publishable key"], "changes:secret")


async def test_which_are_private_outlasts_a_restart(tmp_path: Path) -> None:
    data = str(tmp_path / "r.db")
    async with opened(data) as shelf:
        await shelf.models.put("secret", private=True)
        await shelf.models.put("open")
    async with opened(data) as shelf:
        assert not shelf.models.is_open(ANN, "changes:secret")
        assert shelf.models.is_open(ANN, "changes:open")


async def test_a_model_that_becomes_private_ends_the_subscriptions_of_those_it_is_not_for() -> None:
    async with opened() as shelf:
        dropped: list[tuple[str, str]] = []
        ended: list[tuple[str, Reason]] = []

        def connect(name: str, *channels: str, droppable: bool = True) -> Connection:
            connection = stack.enter_context(
                shelf.connections.entered("test", "", None, lambda reason: ended.append((name, reason)))  # type: ignore[arg-type]
            )
            connection.identity, connection.channels = EVERYONE[name], list(channels)
            if droppable:
                connection.drop = lambda channel: dropped.append((name, channel))
            return connection

        with ExitStack() as stack:
            for name in EVERYONE:
                connect(name, "changes:secret", "changes:*", "changes:product", "article:a")
            connect("a user", "changes:secret", droppable=False)
            connect("a user", "changes:product", droppable=False)
            about: Any = connect("a customer")
            stack.enter_context(about.about_to_listen(["changes:*"]))
            await shelf.models.put("secret", private=True)
            expected = {(name, channel) for name in KEPT_OUT for channel in ("changes:secret", "changes:*")}
            assert set(dropped) == expected
            assert dropped.count(("a customer", "changes:*")) == 2
            assert ended == [("a user", Reason.FORBIDDEN)]


def test_the_channel_of_a_model_is_that_of_its_changes() -> None:
    assert channel_of("product") == "changes:product"


async def test_two_who_set_a_model_do_so_one_after_the_other() -> None:
    async with opened() as shelf:
        await fill(shelf)
        async with trio.open_nursery() as nursery:
            for indexes in (["n"], ["size.w"], ["n", "size.w"], []):
                nursery.start_soon(lambda indexes=indexes: shelf.models.put("product", indexes=indexes))
        model = await shelf.models.find("product")
        assert model.ready == model.indexes
        rows = await shelf.database.read(
            lambda connection: connection.execute("SELECT count(*) FROM record_fields").fetchone()[0]
        )
        assert rows == 30 * len(model.indexes)
        assert await shelf.database.read(tables.unready) == []
