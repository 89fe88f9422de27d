"""Records over GraphQL: what is asked and changed, by whom, and what an error leaves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.endpoints.asking import Scene, asking

CREATE = """mutation ($data: JSON!, $key: String, $id: ID, $model: String = "product") {
  createRecord(modelKey: $model, data: $data, naturalKey: $key, id: $id) { id modelKey naturalKey data version }
}"""
ONE = 'query ($id: ID!) { record(modelKey: "product", id: $id) { id data version publishedVersion } }'


async def create(scene: Scene, data: Any, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await scene.backend.data(CREATE, data=data, **more))["createRecord"]
    return made


async def told(scene: Scene) -> list[str]:
    operator = await scene.server.operator()
    items = (await operator.get("/api/channels/changes:product/history")).json()["items"]
    return [item["event"] for item in items]


async def test_a_record_is_made_and_read_by_its_id_and_its_natural_key() -> None:
    async with asking() as scene:
        made = await create(scene, {"name": "Mug", "tags": ["a"]}, key="mug")
        assert made["version"] == 1 and made["data"] == {"name": "Mug", "tags": ["a"]}
        found = await scene.reader.data(
            'query ($id: ID!) { byId: record(modelKey: "product", id: $id) { id createdAt updatedAt publishedVersion }'
            ' byKey: record(modelKey: "product", naturalKey: "mug") { id }'
            ' none: record(modelKey: "product", id: "rec_0") { id } other: record(modelKey: "other", id: $id) { id } }',
            id=made["id"],
        )
        assert found["byId"]["id"] == found["byKey"]["id"] == made["id"]
        assert found["byId"]["createdAt"].endswith("Z") and found["byId"]["publishedVersion"] is None
        assert found["none"] is found["other"] is None
        rest = (await scene.reader.client.get(f"/records/product/{made['id']}")).json()
        assert {name: rest[name] for name in made} == made


@pytest.mark.parametrize("arguments", ["", '(id: "a", naturalKey: "b")'])
async def test_a_record_is_asked_for_by_one_of_the_two(arguments: str) -> None:
    more = arguments.strip("()")
    async with asking() as scene:
        code = await scene.reader.code(f'{{ record(modelKey: "product" {more and ","} {more}) {{ id }} }}')
    assert code == "invalid_request"


async def test_each_change_is_what_rest_makes_of_it_and_one_event() -> None:
    changes = """mutation ($id: ID!) {
      merged: updateRecord(modelKey: "product", id: $id, data: {price: 5, name: null}) { data version }
      replaced: replaceRecord(modelKey: "product", id: $id, data: {new: true}, version: 2) { data version }
      published: publishRecord(modelKey: "product", id: $id) { publishedVersion }
      unpublished: unpublishRecord(modelKey: "product", id: $id) { publishedVersion }
      deleted: deleteRecord(modelKey: "product", id: $id) { id data }
    }"""
    async with asking() as scene:
        made = await create(scene, {"name": "Mug", "color": "red"})
        answer = await scene.backend.data(changes, id=made["id"])
        assert answer["merged"] == {"data": {"color": "red", "price": 5}, "version": 2}
        assert answer["replaced"] == {"data": {"new": True}, "version": 3}
        assert answer["published"] == {"publishedVersion": 3} and answer["unpublished"] == {"publishedVersion": None}
        assert answer["deleted"] == {"id": made["id"], "data": {"new": True}}
        assert list(answer) == ["merged", "replaced", "published", "unpublished", "deleted"]
        assert await told(scene) == ["CREATED", "UPDATED", "UPDATED", "PUBLISHED", "UNPUBLISHED", "DELETED"]
        assert (await scene.backend.data(ONE, id=made["id"]))["record"] is None


async def test_mutations_are_made_in_turn_and_one_that_fails_leaves_the_others_done() -> None:
    several = """mutation ($id: ID!) {
      first: updateRecord(modelKey: "product", id: $id, data: {n: 1}) { version }
      late: updateRecord(modelKey: "product", id: $id, data: {n: 2}, version: 1) { version }
      none: deleteRecord(modelKey: "product", id: "rec_0") { id }
      taken: createRecord(modelKey: "product", id: $id, data: {}) { id }
      last: updateRecord(modelKey: "product", id: $id, data: {m: 2}, version: 2) { version data }
    }"""
    async with asking() as scene:
        made = await create(scene, {"n": 0})
        answer = await scene.backend.ask(several, id=made["id"])
        assert answer["data"] == {
            "first": {"version": 2},
            "late": None,
            "none": None,
            "taken": None,
            "last": {"version": 3, "data": {"n": 1, "m": 2}},
        }
        codes = {error["path"][0]: error["extensions"]["code"] for error in answer["errors"]}
        assert codes == {"late": "version_conflict", "none": "not_found", "taken": "exists"}
        assert await told(scene) == ["CREATED", "UPDATED", "UPDATED"]


async def test_records_are_filtered_ordered_and_paged() -> None:
    page = """query ($filter: JSON, $after: String) {
      records(modelKey: "product", filter: $filter, orderBy: "-data.price", first: 2, after: $after) {
        nodes { data } pageInfo { endCursor hasNextPage }
      }
    }"""
    async with asking() as scene:
        for price in range(5):
            await create(scene, {"price": price})
        found, after = [], None
        while True:
            records = (await scene.reader.data(page, filter={"price": {"gte": 1}}, after=after))["records"]
            found += [node["data"]["price"] for node in records["nodes"]]
            after = records["pageInfo"]["endCursor"]
            assert records["pageInfo"]["hasNextPage"] is (after is not None)
            if after is None:
                break
        assert found == [4, 3, 2, 1]
        assert await scene.reader.code(page, filter={"price": {"near": 1}}) == "invalid_filter"
        assert await scene.reader.code(page, filter=[]) == "invalid_filter"
        assert await scene.reader.code(page, after="nonsense") == "invalid_cursor"


async def test_what_is_published_is_read_as_it_is_published() -> None:
    query = """query ($id: ID!) {
      record(modelKey: "product", id: $id, published: true) { data }
      records(modelKey: "product", published: true) { nodes { data } }
      recordVersions(modelKey: "product", id: $id, first: 2) {
        nodes { version data published createdAt } pageInfo { endCursor hasNextPage }
      }
    }"""
    async with asking() as scene:
        made = await create(scene, {"n": 1})
        assert (await scene.reader.data(query, id=made["id"]))["record"] is None
        await scene.backend.data(
            'mutation ($id: ID!) { a: publishRecord(modelKey: "product", id: $id) { id }'
            ' b: updateRecord(modelKey: "product", id: $id, data: {n: 2}) { id } }',
            id=made["id"],
        )
        answer = await scene.reader.data(query, id=made["id"])
        assert answer["record"] == {"data": {"n": 1}}
        assert answer["records"]["nodes"] == [{"data": {"n": 1}}]
        versions = answer["recordVersions"]["nodes"]
        assert [(item["version"], item["data"], item["published"]) for item in versions] == [
            (2, {"n": 2}, False),
            (1, {"n": 1}, True),
        ]


@pytest.mark.parametrize("first", [0, -1, 1001, None])
async def test_a_page_has_from_one_to_as_many_records_as_the_setting_says(first: int | None) -> None:
    query = 'query ($first: Int) { records(modelKey: "product", first: $first) { nodes { id } } }'
    async with asking() as scene:
        (error,) = (await scene.reader.ask(query, first=first))["errors"]
    assert error["message"] == "first: a whole number from 1 to 1000 is wanted"


async def test_the_backend_alone_writes_and_lists_models() -> None:
    async with asking() as scene:
        made = await create(scene, {})
        for asker in (scene.reader, scene.user("ann"), scene.user("ed", role="collab")):
            assert await asker.code(CREATE, data={}) == "forbidden"
            assert await asker.code('mutation { deleteRecord(modelKey: "product", id: "x") { id } }') == "forbidden"
            assert await asker.code("{ models { nodes { key } } }") == "forbidden"
            assert (await asker.data(ONE, id=made["id"]))["record"]["version"] == 1
        operator = await scene.server.operator()
        schema = {"type": "object", "required": ["name"]}
        assert (await operator.put("/models/product", json={"schema": schema})).status_code < 300
        query = "{ models(first: 1) { nodes { key private schema indexes } pageInfo { endCursor hasNextPage } } }"
        models = (await scene.backend.data(query))["models"]
        assert models["nodes"] == [{"key": "product", "private": False, "schema": schema, "indexes": []}]
        assert not models["pageInfo"]["hasNextPage"]
        for number in range(100, 201):
            assert (await operator.put(f"/models/m{number}", json={})).status_code == 201
        models = (await scene.backend.data(query.replace("first: 1", "first: 101")))["models"]
        assert len(models["nodes"]) == 101
        assert models["pageInfo"] == {"endCursor": models["nodes"][-1]["key"], "hasNextPage": True}
        (error,) = (await scene.backend.ask(CREATE, data={"n": 1}))["errors"]
        assert "name" in error["message"]


async def test_a_private_model_is_read_by_the_backend_and_editors_alone() -> None:
    query = '{ records(modelKey: "product") { nodes { id } } }'
    async with asking() as scene:
        await create(scene, {})
        operator = await scene.server.operator()
        assert (await operator.put("/models/product", json={"private": True})).status_code < 300
        allowed = (scene.backend, scene.user("ed", role="collab"), scene.user("ann", subscribe=["changes:product"]))
        for asker in allowed:
            assert len((await asker.data(query))["records"]["nodes"]) == 1
        page_key = await scene.server.key("project", "page")
        for asker in (scene.reader, scene.user("ann"), scene.user("ann", key=page_key)):
            assert await asker.code(query) == "forbidden"
        app_key = await scene.server.key("project", "app", write=True)
        assert len((await scene.user("ann", key=app_key).data(query))["records"]["nodes"]) == 1


@pytest.mark.parametrize("data", ["[1]", '"text"', "7"])
async def test_data_is_an_object(data: str) -> None:
    async with asking() as scene:
        code = await scene.backend.code(f'mutation {{ createRecord(modelKey: "product", data: {data}) {{ id }} }}')
    assert code == "invalid_request"
