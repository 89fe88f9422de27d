"""A record's life: its versions, its events, what is refused; on a real hub and database."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio

from rtlite.domain import records as module
from rtlite.domain.records import merged
from rtlite.errors import Conflict, InvalidRequest, NotFound, Overloaded, Refused, StorageFailed, TooLarge
from rtlite.hub.transactions import Transaction
from rtlite.store.filters import passes
from rtlite.store.records import Record
from tests.domain.shelf import Shelf, opened

MUG = {"name": "Blue mug", "price": 12.5}


def json(record: Record) -> Any:
    return orjson.loads(orjson.dumps(record.as_json()))


async def refusal(shelf: Shelf, change: Any, kind: type[Refused]) -> str:
    """The code with which a change is refused; nothing is stored of it, and nothing told."""
    before = [json(record) for record in (await shelf.records.page("product"))[0]], await shelf.told()
    with pytest.raises(kind) as refused:
        await change
    assert before == ([json(record) for record in (await shelf.records.page("product"))[0]], await shelf.told())
    return refused.value.code


async def test_a_new_record_has_an_id_a_version_and_an_event_and_makes_its_model() -> None:
    async with opened() as shelf:
        record = await shelf.records.create("product", MUG, "blue-mug")
        assert record.id.startswith("rec_") and len(record.id) == 20
        said = json(record)
        assert said == {
            "id": record.id,
            "modelKey": "product",
            "naturalKey": "blue-mug",
            "data": MUG,
            "version": 1,
            "publishedVersion": None,
            "createdAt": said["updatedAt"],
            "updatedAt": said["updatedAt"],
        }
        assert await shelf.records.find("product", record.id) == record
        assert await shelf.records.find_by_natural_key("product", "blue-mug") == record
        assert await shelf.told() == [("CREATED", said)]
        assert [model.key for model in (await shelf.models.list())[0]] == ["product"]


async def test_a_change_is_a_new_version_and_the_old_ones_stay() -> None:
    async with opened() as shelf:
        record = await shelf.records.create("product", MUG, id="mug")
        changed = await shelf.records.change(
            "product", "mug", {"price": 13, "name": None, "size": {"w": 1}}, merge=True
        )
        assert (changed.version, orjson.loads(changed.data)) == (2, {"price": 13, "size": {"w": 1}})
        assert (changed.created, changed.updated >= record.updated) == (record.created, True)
        replaced = await shelf.records.change("product", "mug", {"name": "Cup", "gone": None}, merge=False)
        assert (replaced.version, orjson.loads(replaced.data)) == (3, {"name": "Cup", "gone": None})
        assert [name for name, _ in await shelf.told()] == ["CREATED", "UPDATED", "UPDATED"]
        assert [said["version"] for _, said in await shelf.told()] == [1, 2, 3]
        versions, following = await shelf.records.versions("product", "mug")
        assert [(item.version, orjson.loads(item.data)) for item in versions] == [
            (3, {"name": "Cup", "gone": None}),
            (2, {"price": 13, "size": {"w": 1}}),
            (1, MUG),
        ]
        assert following is None
        assert await shelf.records.version("product", "mug", 2) == versions[1]


async def test_so_many_versions_are_kept_and_the_published_one_besides() -> None:
    async with opened(record_versions=3) as shelf:
        await shelf.records.create("product", {"n": 1}, id="r")
        await shelf.records.publish("product", "r")
        for number in range(2, 9):
            await shelf.records.change("product", "r", {"n": number}, merge=False)
        numbers = [item.version for item in (await shelf.records.versions("product", "r"))[0]]
        assert numbers == [8, 7, 6, 1]
        published = await shelf.records.find("product", "r", published=True)
        assert (published.version, published.data) == (1, b'{"n":1}')
        with pytest.raises(NotFound, match="no such version"):
            await shelf.records.version("product", "r", 2)
        await shelf.records.publish("product", "r")
        await shelf.records.change("product", "r", {"n": 9}, merge=False)
        assert [item.version for item in (await shelf.records.versions("product", "r"))[0]] == [9, 8, 7]


async def test_the_versions_come_in_pages() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {"n": 1}, id="r")
        for number in range(2, 6):
            await shelf.records.change("product", "r", {"n": number}, merge=False)
        seen, after = [], None
        while True:
            page, after = await shelf.records.versions("product", "r", after, 2)
            seen.append([item.version for item in page])
            if after is None:
                break
        assert seen == [[5, 4], [3, 2], [1]]
        with pytest.raises(InvalidRequest, match="after"):
            await shelf.records.versions("product", "r", "x")


async def test_what_is_published_stays_until_it_is_published_anew_or_not_at_all() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {"n": 1}, "key", id="r")
        with pytest.raises(NotFound):
            await shelf.records.find("product", "r", published=True)
        published = await shelf.records.publish("product", "r")
        assert (published.version, published.published_version) == (1, 1)
        changed = await shelf.records.change("product", "r", {"n": 2}, merge=False)
        assert (changed.version, changed.published_version) == (2, 1)
        for found in (
            await shelf.records.find("product", "r", published=True),
            await shelf.records.find_by_natural_key("product", "key", published=True),
            (await shelf.records.page("product", published=True))[0][0],
        ):
            assert (found.version, found.published_version, found.data) == (1, 1, b'{"n":1}')
        await shelf.records.publish("product", "r")
        assert (await shelf.records.find("product", "r", published=True)).data == b'{"n":2}'
        gone = await shelf.records.unpublish("product", "r")
        assert (gone.version, gone.published_version) == (2, None)
        assert await shelf.records.page("product", published=True) == ([], None)
        assert [name for name, _ in await shelf.told()] == [
            "CREATED", "PUBLISHED", "UPDATED", "PUBLISHED", "UNPUBLISHED",
        ]  # fmt: skip


async def test_to_publish_what_is_published_and_to_unpublish_what_is_not_changes_nothing() -> None:
    async with opened() as shelf:
        record = await shelf.records.create("product", {}, id="r")
        assert await shelf.records.unpublish("product", "r") == record
        published = await shelf.records.publish("product", "r")
        assert await shelf.records.publish("product", "r") == published
        assert [name for name, _ in await shelf.told()] == ["CREATED", "PUBLISHED"]


async def test_a_deleted_record_is_gone_with_all_that_it_was_and_is_told_as_it_was_last() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", MUG, "blue-mug", "mug")
        await shelf.records.publish("product", "mug")
        last = await shelf.records.change("product", "mug", {"price": 1}, merge=True)
        assert await shelf.records.delete("product", "mug") == last
        assert (await shelf.told())[-1] == ("DELETED", json(last))
        for gone in (
            shelf.records.find("product", "mug"),
            shelf.records.find("product", "mug", published=True),
            shelf.records.versions("product", "mug"),
            shelf.records.version("product", "mug", 1),
            shelf.records.change("product", "mug", {}, merge=True),
            shelf.records.publish("product", "mug"),
            shelf.records.delete("product", "mug"),
        ):
            with pytest.raises(NotFound):
                await gone
        again = await shelf.records.create("product", {}, "blue-mug", "mug")
        assert (again.version, again.published_version) == (1, None)


async def test_a_record_is_of_its_model_only() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {}, id="r")
        await shelf.records.create("order", {}, id="o")
        for model in ("order", "never-seen"):
            with pytest.raises(NotFound):
                await shelf.records.find(model, "r")
            with pytest.raises(NotFound):
                await shelf.records.delete(model, "r")
        assert await shelf.ids("order") == ["o"]
        assert await shelf.records.page("never-seen") == ([], None)


async def test_an_id_is_taken_once_and_a_natural_key_once_per_model() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {}, "key", "r")
        assert await refusal(shelf, shelf.records.create("product", {}, None, "r"), Conflict) == "exists"
        assert await refusal(shelf, shelf.records.create("order", {}, None, "r"), Conflict) == "exists"
        assert await refusal(shelf, shelf.records.create("product", {}, "key"), Conflict) == "natural_key_taken"
        await shelf.records.create("order", {}, "key")
        await shelf.records.create("product", {})
        await shelf.records.create("product", {})


async def test_of_two_who_change_the_same_version_one_is_refused() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {"n": 1}, id="r")
        outcomes: list[str] = []

        async def change(number: int) -> None:
            try:
                await shelf.records.change("product", "r", {"n": number}, merge=False, version=1)
                outcomes.append("changed")
            except Conflict as error:
                outcomes.append(error.code)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(change, number)
        assert sorted(outcomes) == ["changed", *["version_conflict"] * 4]
        for outdated in (
            shelf.records.change("product", "r", {}, merge=True, version=1),
            shelf.records.publish("product", "r", version=1),
            shelf.records.unpublish("product", "r", version=3),
            shelf.records.delete("product", "r", version=1),
        ):
            assert await refusal(shelf, outdated, Conflict) == "version_conflict"
        await shelf.records.publish("product", "r", version=2)
        await shelf.records.delete("product", "r", version=2)


@pytest.mark.parametrize("model", ["", ".", "a b", "a/b", "*", "é", "x" * 65])
async def test_what_can_be_no_channel_and_no_path_is_no_model(model: str) -> None:
    async with opened() as shelf:
        with pytest.raises(InvalidRequest, match="modelKey"):
            await shelf.records.create(model, {})
        with pytest.raises(InvalidRequest, match="modelKey"):
            await shelf.records.page(model)


@pytest.mark.parametrize("data", [None, [], "x", 1])
async def test_data_is_an_object(data: object) -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {}, id="r")
        assert await refusal(shelf, shelf.records.create("product", data), InvalidRequest)
        for merge in (True, False):
            assert await refusal(shelf, shelf.records.change("product", "r", data, merge=merge), InvalidRequest)


@pytest.mark.parametrize("data", [{"a": "x\0y"}, {"a\0": 1}, {"a": ["\\\0"]}, {"a": "\ud800"}, {"a": float}])
async def test_data_that_cannot_be_kept_as_it_is_is_refused(data: dict[str, Any]) -> None:
    async with opened() as shelf:
        assert await refusal(shelf, shelf.records.create("product", data), InvalidRequest)
        await shelf.records.create("product", {"a": "\\u0000 is how one writes it"})


async def test_data_nested_too_deep_is_refused_and_not_a_mistake_of_ours() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    async with opened() as shelf:
        await shelf.records.create("product", {}, id="r")
        for change in (
            shelf.records.create("product", deep),
            shelf.records.change("product", "r", deep, merge=True),
            shelf.records.change("product", "r", deep, merge=False),
        ):
            assert await refusal(shelf, change, InvalidRequest) == "invalid_request"


async def test_a_record_does_not_grow_past_its_limit_by_patches_either() -> None:
    async with opened(record_bytes=100) as shelf:
        await shelf.records.create("product", {"a": "x" * 60}, id="r")
        assert await refusal(shelf, shelf.records.create("product", {"a": "x" * 100}), TooLarge) == "too_large"
        patch = shelf.records.change("product", "r", {"b": "x" * 60}, merge=True)
        assert await refusal(shelf, patch, TooLarge) == "too_large"


async def test_data_of_very_many_lists_is_refused_also_where_patches_bring_them() -> None:
    lists: list[Any] = [[]] * 30_000
    async with opened() as shelf:
        assert await refusal(shelf, shelf.records.create("product", {"a": lists, "b": lists}), InvalidRequest)
        await shelf.records.create("product", {"a": lists}, id="r")
        patch = shelf.records.change("product", "r", {"b": lists}, merge=True)
        with pytest.raises(InvalidRequest, match="more than 50000 lists"):
            await patch


async def test_data_that_waits_to_be_stored_is_bounded_in_bytes() -> None:
    async with opened(queue_bytes=1000) as shelf:
        await shelf.records.create("product", {"a": "x" * 600}, id="r")
        outcomes: list[str] = []

        async def change(coming: Any) -> None:
            try:
                await coming
                outcomes.append("done")
            except Overloaded as error:
                outcomes.append(error.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, shelf.records.create("product", {"a": "x" * 600}))
            nursery.start_soon(change, shelf.records.change("product", "r", {"a": "x" * 600}, merge=False))
        assert sorted(outcomes) == ["done", "overloaded"]


@pytest.mark.parametrize("id", ["", ".", "a b", "é", "x" * 65, "a\n"])
async def test_an_id_can_stand_in_a_path(id: str) -> None:
    async with opened() as shelf:
        with pytest.raises(InvalidRequest, match="id"):
            await shelf.records.create("product", {}, id=id)


@pytest.mark.parametrize("key", ["", "a\0", "a\nb", "x" * 256, "\ud800"])
async def test_a_natural_key_is_a_name(key: str) -> None:
    async with opened() as shelf:
        with pytest.raises(InvalidRequest, match="naturalKey"):
            await shelf.records.create("product", {}, key)


async def test_a_record_without_a_natural_key_is_not_found_by_an_empty_one() -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {})
        with pytest.raises(NotFound):
            await shelf.records.find_by_natural_key("product", "")


async def test_the_limits_of_a_page_are_said() -> None:
    async with opened(max_page=5, record_conditions=1) as shelf:
        for _ in range(7):
            await shelf.records.create("product", {})
        page, following = await shelf.records.page("product")
        assert len(page) == 5 and following is not None
        for limit in (0, 6):
            with pytest.raises(InvalidRequest, match="limit: 1 to 5"):
                await shelf.records.page("product", limit=limit)
        with pytest.raises(InvalidRequest, match="1 conditions at most"):
            await shelf.records.page("product", filters={"a": 1, "b": 1})


async def test_a_filter_means_the_same_for_an_event_as_for_a_page() -> None:
    async with opened() as shelf:
        for price in range(6):
            await shelf.records.create("product", {"price": price})
        wanted = {"price": {"gt": 1, "lte": 4}}
        listed = await shelf.ids(filters=wanted)
        told = [said["id"] for _, said in await shelf.told() if passes(shelf.records.filter(wanted), said)]
        assert told == listed and len(listed) == 3


@pytest.mark.parametrize(
    ("data", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_merges_as_the_rfc_says(data: object, patch: object, result: object) -> None:
    assert merged(data, patch) == result


async def test_a_change_whose_event_cannot_be_stored_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as shelf:
        await shelf.records.create("product", {"n": 1}, id="r")

        def failing(transaction: Transaction, type: str, record: object) -> None:
            raise RuntimeError("broken on purpose")

        with monkeypatch.context() as broken:
            broken.setattr(module, "_tell", failing)
            for change in (
                shelf.records.create("product", {}),
                shelf.records.change("product", "r", {"n": 2}, merge=True),
                shelf.records.publish("product", "r"),
                shelf.records.delete("product", "r"),
            ):
                assert await refusal(shelf, change, StorageFailed) == "internal_error"
        await shelf.records.change("product", "r", {"n": 2}, merge=True)
