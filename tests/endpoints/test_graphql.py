"""GraphQL over HTTP: methods, media types, statuses, and who asks."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import httpx
import pytest

from rtlite.endpoints import docpages
from rtlite.endpoints.graphql import GRAPHQL_RESPONSE, JSON, GraphQLRequest, negotiate
from rtlite.errors import NotAcceptable
from rtlite.settings import KIB, declared
from tests.endpoints.asking import Asker, asking

PING = "{ __typename }"
PONG = {"data": {"__typename": "Query"}}
MAKE = 'mutation { createJob(type: "t") { id } }'


# --- what is asked, and how


async def test_a_query_is_posted_as_json_with_variables_and_the_operations_name() -> None:
    async with asking() as scene:
        body = {
            "query": "query A { __typename } query B($c: String!) { position(channel: $c) }",
            "operationName": "B",
            "variables": {"c": "changes:x"},
            "extensions": {"persistedQuery": {"version": 1}},
        }
        answer = await scene.backend.client.post("/graphql", json=body)
        assert answer.status_code == 200 and answer.json()["data"]["position"].endswith("-0")
        for nothing in (None, {}):
            body = {"query": PING, "operationName": None, "variables": nothing, "extensions": nothing}
            assert (await scene.backend.client.post("/graphql", json=body)).json() == PONG


async def test_a_query_may_be_asked_with_get_and_a_mutation_may_not() -> None:
    async with asking() as scene:
        client = scene.backend.client
        query = "query Q($c: String!) { position(channel: $c) }"
        parameters = {"query": query, "variables": json.dumps({"c": "changes:x"}), "operationName": "Q"}
        assert (await client.get("/graphql", params=parameters)).json()["data"]["position"]
        assert (
            await client.get("/graphql", params={"query": PING, "operationName": "", "variables": ""})
        ).json() == PONG
        refused = await client.get("/graphql", params={"query": MAKE})
        assert refused.status_code == 405 and refused.headers["allow"] == "POST"
        assert (await scene.backend.data("{ jobs { nodes { id } } }"))["jobs"]["nodes"] == []
        assert (await client.put("/graphql", json={"query": PING})).status_code == 405


@pytest.mark.parametrize("media", [JSON, GRAPHQL_RESPONSE])
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "query: missing"),
        (b"{}", "query: missing"),
        (b"{", "JSON"),
        (b"[]", "an object is wanted"),
        (b'[{"query":"{ __typename }"}]', "an object is wanted"),
        (b'"{ __typename }"', "an object is wanted"),
        (b'{"query":{"a":1}}', "query"),
        (b'{"query":null}', "query"),
        (b'{"query":"{ __typename }","operationName":7}', "operationName"),
        (b'{"query":"{ __typename }","variables":"{}"}', "variables"),
        (b'{"query":"{ __typename }","variables":[1]}', "variables"),
        (b'{"query":"{ __typename }","extensions":7}', "extensions"),
        (b'{"query":"\\ud800"}', "JSON"),
        (b'{"query":"{ __typename }","variables":' + b"[" * 60_000, "lists and objects"),
    ],
)
async def test_what_is_no_request_is_a_400_with_a_graphql_error_that_names_the_field(
    body: bytes, complaint: str, media: str
) -> None:
    async with asking() as scene:
        answer = await scene.backend.client.post(
            "/graphql", content=body, headers={"Content-Type": "application/json", "Accept": media}
        )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"
    (error,) = answer.json()["errors"]
    assert complaint in error["message"] and error["extensions"]["code"]
    assert "data" not in answer.json()


async def test_parameters_in_the_url_that_are_no_json_are_a_400() -> None:
    async with asking() as scene:
        for parameters in ({}, {"query": PING, "variables": "{"}, {"query": PING, "extensions": "x"}):
            answer = await scene.backend.client.get("/graphql", params=parameters)
            assert answer.status_code == 400 and answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-16",
        "application/jsonx",
    ],
)
async def test_a_body_of_another_type_is_refused_also_what_a_page_can_send_without_asking(content_type: str) -> None:
    async with asking() as scene:
        body = json.dumps({"query": MAKE}).encode()
        answer = await scene.backend.client.post("/graphql", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 415 and answer.headers["accept-post"] == "application/json"
        assert (await scene.backend.data("{ jobs { nodes { id } } }"))["jobs"]["nodes"] == []


@pytest.mark.parametrize("charset", ["; charset=utf-8", "; charset=UTF-8", '; charset="utf-8"', ";charset=utf8", ""])
async def test_a_body_is_utf_8_whether_it_says_so_or_not(charset: str) -> None:
    async with asking() as scene:
        body = json.dumps({"query": '{ position(channel: "a:é") }'}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json" + charset}
        answer = (await scene.backend.client.post("/graphql", content=body, headers=headers)).json()
    assert "visible ASCII" in answer["errors"][0]["message"]


# --- how it is answered

BAD = {
    "a document that is none": ("{", None),
    "an unknown field": ("{ nothing }", None),
    "a variable that is missing": ("query ($c: String!) { position(channel: $c) }", None),
    "an operation that is not there": ("query A { __typename } query B { __typename }", None),
    "too deep": ("{" + "a{" * 30 + "b" + "}" * 31, None),
}


@pytest.mark.parametrize(("query", "variables"), BAD.values(), ids=BAD)
async def test_what_cannot_be_executed_is_400_to_new_clients_and_200_to_those_that_take_plain_json(
    query: str, variables: Any
) -> None:
    async with asking() as scene:
        new = await scene.backend.post(query, variables, accept=GRAPHQL_RESPONSE)
        old = await scene.backend.post(query, variables, accept=JSON)
    assert (new.status_code, old.status_code) == (400, 200)
    assert new.headers["content-type"].startswith(GRAPHQL_RESPONSE)
    assert old.headers["content-type"].startswith(JSON)
    assert new.json() == old.json() and set(new.json()) == {"errors"}


@pytest.mark.parametrize("media", [JSON, GRAPHQL_RESPONSE])
async def test_a_field_that_fails_is_an_error_in_a_result_that_is_200(media: str) -> None:
    async with asking() as scene:
        answer = await scene.reader.post("{ __typename notifications { nodes { id } } }", accept=media)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"__typename": "Query", "notifications": None}
    assert answer.json()["errors"][0]["path"] == ["notifications"]


async def test_a_subscription_is_refused_over_http_and_told_where_it_is_taken() -> None:
    async with asking() as scene:
        for media, status in ((GRAPHQL_RESPONSE, 400), (JSON, 200)):
            answer = await scene.backend.post('subscription { event(channel: "a:b") { id } }', accept=media)
            assert answer.status_code == status
            (error,) = answer.json()["errors"]
            assert "/graphql/ws" in error["message"] and "graphql-transport-ws" in error["message"]
            assert error["extensions"]["code"] == "subscription_over_http"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON};q=0.9", GRAPHQL_RESPONSE),
        (f"{JSON}, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.1, {JSON}", JSON),
        (f"{GRAPHQL_RESPONSE}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}; charset=iso-8859-1, {JSON}", JSON),
        (f"{JSON}, multipart/mixed", JSON),
        ("text/html, */*;q=0.8", JSON),
        ("APPLICATION/GRAPHQL-RESPONSE+JSON", GRAPHQL_RESPONSE),
        ("text/html", None),
        (f"{JSON};q=0", None),
        (f"{JSON};q=high", None),
        (f"{JSON}; charset=utf-16", None),
    ],
)
def test_the_type_of_the_answer_is_the_one_that_the_client_would_rather_have(accept: str, media: str | None) -> None:
    if media is None:
        with pytest.raises(NotAcceptable):
            negotiate(accept)
    else:
        assert negotiate(accept) == media


async def test_who_takes_neither_type_gets_406_and_nothing_is_done() -> None:
    async with asking() as scene:
        assert (await scene.backend.post(MAKE, accept="image/png")).status_code == 406
        assert (await scene.backend.data("{ jobs { nodes { id } } }"))["jobs"]["nodes"] == []


async def test_a_cache_keeps_answers_of_different_types_apart() -> None:
    async with asking() as scene:
        assert (await scene.backend.post(PING)).headers["vary"] == "Accept"


# --- who asks


async def test_without_a_good_credential_nothing_is_answered() -> None:
    async with asking() as scene:
        for client in (scene.server.http(), scene.server.http("pk_live_unknown"), scene.server.http("a.b.c")):
            for answer in (
                await client.post("/graphql", json={"query": PING}),
                await client.get("/graphql", params={"query": PING}),
            ):
                assert answer.status_code == 401 and "www-authenticate" in answer.headers


async def test_a_credential_may_come_in_any_of_the_usual_places() -> None:
    async with asking() as scene:
        key = await scene.server.key("project", "page")
        token = scene.server.token("ann")
        plain = scene.server.http()
        for headers, parameters in (
            ({"X-Api-Key": key}, {}),
            ({"Authorization": f"Bearer {key}"}, {}),
            ({"Authorization": f"Bearer {token}"}, {}),
            ({}, {"apiKey": key}),
            ({}, {"token": token}),
        ):
            answer = await plain.post("/graphql", json={"query": PING}, headers=headers, params=parameters)
            assert answer.json() == PONG


async def test_with_a_key_beside_a_token_the_user_is_the_tokens_and_both_say_what_it_may() -> None:
    query = "{ notifications { nodes { title } } jobs { nodes { id } } }"
    async with asking() as scene:
        await scene.backend.data('mutation { createNotification(userId: "ann", type: "t", title: "hello") { id } }')
        await scene.backend.data(MAKE)
        alone = (await scene.user("ann").ask(query))["data"]
        assert [len(alone[name]["nodes"]) for name in ("notifications", "jobs")] == [1, 0]
        both = (await scene.user("ann", key=await scene.server.key("project", "page")).ask(query))["data"]
        assert [len(both[name]["nodes"]) for name in ("notifications", "jobs")] == [1, 1]
        # A publishable key opens no door to writing, and no inbox but the user's own.
        page = scene.user("ann", key=await scene.server.key("project", "page"))
        assert await page.code(MAKE) == "forbidden"
        assert await page.code('{ notifications(userId: "bob") { nodes { id } } }') == "forbidden"


async def test_a_bad_key_beside_a_good_token_is_refused() -> None:
    async with asking() as scene:
        answer = await scene.user("ann", key="pk_live_unknown").post(PING)
        assert answer.status_code == 401


async def test_what_is_asked_counts_towards_the_rate_of_publishing() -> None:
    async with asking(publish_rate=2) as scene:
        answers = [await scene.backend.post(PING) for _ in range(4)]
    assert [answer.status_code for answer in answers][:2] == [200, 200]
    assert answers[-1].status_code == 429 and "retry-after" in answers[-1].headers


# --- the schema and the page


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_schema_is_told_unless_the_setting_says_no(allowed: bool) -> None:
    async with asking(graphql_introspection=allowed) as scene:
        answer = await scene.reader.ask("{ __schema { queryType { name } } }")
    assert ("data" in answer) is allowed
    assert ("errors" in answer) is not allowed


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


async def test_without_dev_a_browser_is_shown_no_page() -> None:
    async with asking() as scene:
        client = scene.server.http()
        assert (await client.get("/graphql", headers={"Accept": BROWSER})).status_code == 401
        assert (await client.get("/graphql/graphiql/graphiql.js")).status_code == 404


async def test_with_dev_a_program_still_needs_a_credential_and_gets_json() -> None:
    async with asking(dev=True) as scene:
        client: httpx.AsyncClient = scene.server.http()
        page = await client.get("/graphql", headers={"Accept": BROWSER})
        assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
        assert (await client.get("/graphql", params={"query": PING})).status_code == 401
        assert (await client.post("/graphql", json={"query": PING})).status_code == 401
        key = Asker(scene.server.http("pk_live_dev"))
        assert (await key.post(PING)).json() == PONG


def test_the_docs_name_every_limit_with_its_default_and_every_field_of_what_is_asked() -> None:
    page = docpages.text("graphql")
    limits = {
        item.name: item.default
        for item in declared()
        if item.name.startswith("graphql_") and item.name not in {"graphql_introspection", "graphql_init_timeout"}
    }
    assert limits
    for name, default in limits.items():
        sizes = {"graphql_query": f"{default // KIB} KiB", "graphql_held": f"{default // KIB // KIB} MiB"}
        shown = sizes.get(name, f"{default:,}")
        assert re.search(rf"{shown} [^.]*?\(`{name}`[);]", page), name
    assert {field.name for field in attrs.fields(GraphQLRequest)} - {"extensions"} <= set(re.findall(r'"(\w+)"', page))
