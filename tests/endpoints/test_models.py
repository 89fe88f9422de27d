from __future__ import annotations

from typing import Any

import pytest

from tests.transports.doors import serving

SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


async def test_a_models_life_over_http() -> None:
    async with serving() as server:
        for backend in (server.http(await server.key("project", "p", write=True)), await server.operator()):
            made = await backend.put("/models/product", json={"schema": SCHEMA, "private": True, "indexes": ["price"]})
            assert made.status_code == 201
            assert list(made.json()) == ["key", "schema", "private", "indexes", "createdAt", "updatedAt"]
            changed = await backend.put("/models/product", json={"private": False})
            assert (changed.status_code, changed.json()["private"], changed.json()["schema"]) == (200, False, SCHEMA)
            assert (await backend.get("/models/product")).json() == changed.json()
            await backend.put("/models/another")
            listed = (await backend.get("/models?limit=1")).json()
            assert ([model["key"] for model in listed["items"]], listed["next"]) == (["another"], "another")
            assert len((await backend.get("/models?after=another")).json()["items"]) == 1
            assert (await backend.put("/models/product", json={"schema": None})).json()["schema"] is None
            for key in ("product", "another"):
                assert (await backend.delete(f"/models/{key}")).status_code == 204
            assert (await backend.get("/models/product")).status_code == 404
            assert (await backend.delete("/models/product")).status_code == 404


async def test_a_record_that_does_not_fit_its_models_schema_is_refused_and_the_place_named() -> None:
    async with serving() as server:
        backend = server.http(await server.key("project", "p", write=True))
        await backend.put("/models/product", json={"schema": SCHEMA})
        refused = await backend.post("/records/product", json={"data": {"name": 5}})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_record")
        assert refused.json()["detail"] == 'data.name: this does not fit type: "string"'
        assert (await backend.post("/records/product", json={"data": {"name": "x"}})).status_code == 201
        in_use = await backend.delete("/models/product")
        assert (in_use.status_code, in_use.json()["code"]) == (409, "model_in_use")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"schema": []}, "schema: an object"),
        ({"schema": {"type": "objekt"}}, "schema: type"),
        ({"private": "yes"}, "private: true or false"),
        ({"indexes": "price"}, "indexes: a list"),
        ({"indexes": [5]}, "indexes[0]: a text"),
        ({"indexes": ["a b"]}, "a field is a path"),
        ({"indexes": [f"f{number}" for number in range(9)]}, "indexes: 8 at most"),
    ],
)
async def test_what_is_no_model_names_the_field(body: dict[str, Any], complaint: str) -> None:
    async with serving() as server:
        operator = await server.operator()
        refused = await operator.put("/models/product", json=body)
        assert refused.status_code == 400 and refused.json()["detail"].startswith(complaint), refused.text
        assert (await operator.get("/models/product")).status_code == 404


async def test_models_are_the_backends() -> None:
    async with serving() as server:
        await (await server.operator()).put("/models/product")
        for secret in (
            await server.key("blog", "p"),
            await server.key("project", "p"),
            await server.key("stream", "p"),
            server.token("p", role="admin"),
            server.token("p", subscribe=["*"], publish=["*"]),
        ):
            client = server.http(secret)
            answers = [
                await client.get("/models"),
                await client.get("/models/product"),
                await client.put("/models/product", json={"private": False}),
                await client.delete("/models/product"),
            ]
            assert {answer.status_code for answer in answers} == {403}
        assert (await server.http().get("/models")).status_code == 401
