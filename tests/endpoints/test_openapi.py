"""``/openapi.json``: it is OpenAPI, and all of it. That it is true is for ``tests/security/test_contract.py``."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from rtlite.endpoints import openapi
from rtlite.protocols.jsonschema import Schemas
from rtlite.settings import DEV_JWT_SECRET, Settings
from rtlite.store.jobs import JobJson
from tests.receivers import receiving
from tests.servers import InProcess, running_server

PACKAGE = Path(openapi.__file__).parent.parent


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with running_server(dev=True) as server:
        yield server


async def described(server: InProcess) -> dict[str, Any]:
    document: dict[str, Any] = (await server.http().get("/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_it_is_valid(server: InProcess) -> None:
    OpenAPIV31SpecValidator(await described(server)).validate()


async def test_every_route_is_in_it_and_nothing_else(server: InProcess) -> None:
    routes = {f"{route.method} {route.pattern}" for route in server.running.server.routes}
    found = dict(operations(await described(server)))
    assert set(found) == routes
    silent = [name for name, each in found.items() if all(int(status) >= 300 for status in each["responses"])]
    assert silent == ["GET /console/", "GET /docs/"]  # each says what it answers if all is well, or where to ask


async def test_every_operation_has_an_id_of_its_own_and_a_tag_that_is_explained(server: InProcess) -> None:
    document = await described(server)
    found = [operation for _, operation in operations(document)]
    ids = [operation["operationId"] for operation in found]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-zA-Z]\w*", id) for id in ids)
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert {tag for operation in found for tag in operation["tags"]} == set(tags)
    assert all(tags.values())


async def test_the_codes_of_refusals_in_it_are_those_that_there_are() -> None:
    raised: set[str] = set()
    for file in {*PACKAGE.rglob("*.py")} - {*PACKAGE.joinpath("client").rglob("*.py")}:
        raised |= set(re.findall(r'\bcode(?:: str)? ?= ?"(\w+)"', file.read_text()))
    async with running_server(public_url="https://live.example") as server:
        document = server.running.server.openapi()
    told = {code for _, operation in operations(document) for code in codes(document, operation)}
    of_graphql = {"query_too_costly", "invalid_variables", "invalid_query", "subscription_over_http", "too_many"}
    of_sockets = {"subscription_failed", "upgrade_required"}
    on_purpose = {"fault_injected"}  # with whatever status was asked for
    assert raised - told == of_graphql | of_sockets | on_purpose
    assert told - raised == set()


def codes(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for response in operation["responses"].values():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        for media, content in response.get("content", {}).items():
            if media == "application/problem+json":
                found |= set(content["schema"]["allOf"][1]["properties"]["code"]["enum"])
    return found


async def test_what_the_settings_limit_is_limited_in_it() -> None:
    async with running_server(max_page=7, max_batch_events=3) as server:
        document = await described(server)
    jobs = {each["name"]: each for each in document["paths"]["/jobs"]["get"]["parameters"]}
    assert jobs["limit"]["schema"]["maximum"] == 7
    assert document["components"]["schemas"]["Batch"]["properties"]["events"]["maxItems"] == 3


async def test_it_is_kept_by_who_has_it_and_read_by_any_page(server: InProcess) -> None:
    client = server.http(origin="https://docs.example")
    first = await client.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["access-control-allow-origin"] in {"*", "https://docs.example"}
    again = await client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_what_a_webhook_gets_is_described() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        operator = server.http(await server.key("admin", "root"))
        await operator.post("/api/webhooks", json={"url": receiver.url, "channels": ["a:b"]})
        await operator.post("/api/publish", json={"channel": "a:b", "event": "e", "data": [1]})
        request = await receiver.request()
        document = server.running.server.openapi()
    delivery = document["webhooks"]["event"]["post"]
    schema = delivery["requestBody"]["content"][request.headers["content-type"]]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(json.loads(request.body))
    assert {each["name"] for each in delivery["parameters"]} <= request.headers.keys()


async def test_no_secret_is_in_it(server: InProcess) -> None:
    for path in ("/openapi.json", "/asyncapi.json"):
        text = (await server.http().get(path)).text
        assert DEV_JWT_SECRET not in text
        assert not re.search(r"\b(rtk|rts|mbk|pk_live|pk_test|tkt|whsec)_\w", text)


def test_two_types_of_one_name_are_refused() -> None:
    schemas = Schemas(Settings())
    schemas.of(JobJson)
    with pytest.raises(ValueError, match="two types are called Job:"):
        schemas.of(type("JobJson", (dict,), {}))
