"""GraphiQL in a real browser that can reach nobody but the server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from rtlite.endpoints.graphiql import POLICY
from rtlite.server import DEV_KEYS
from tests.clients.browser import Tab, open_tab
from tests.servers import InProcess, running_server

FOLDER = resources.files("rtlite.console").joinpath("graphiql")
EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
RESULT = "document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue()"


@asynccontextmanager
async def opened(chromium: str) -> AsyncIterator[tuple[InProcess, Tab]]:
    async with running_server(dev=True) as server, open_tab(chromium) as tab:
        await tab.goto(server.url + "/graphql")
        await tab.until("document.querySelector('.graphiql-query-editor .CodeMirror') !== null")
        yield server, tab


# What the editor knows of its text comes a moment later, and says which operation the button runs.
READ = f"""new Promise(done => {{
  const look = () => {EDITOR}.documentAST?.loc?.source.body === {EDITOR}.getValue() && {EDITOR}.operations?.length === 1
    ? requestAnimationFrame(() => requestAnimationFrame(done)) : setTimeout(look, 10)
  look()
}}).then(() => true)"""


async def run(tab: Tab, query: str) -> None:
    await tab.evaluate(f"{EDITOR}.setValue({json.dumps(query)})")
    await tab.evaluate(READ)
    # Of the several operations that stand there at first, the button lets one choose; of one it runs that.
    await tab.until("document.querySelector('.graphiql-execute-button:not([aria-haspopup])') !== null")
    await tab.click(".graphiql-execute-button")


async def shown(tab: Tab, text: str) -> Any:
    await tab.until(f"({RESULT} ?? '').includes({json.dumps(text)})")
    return json.loads(await tab.evaluate(RESULT))


async def test_the_page_asks_this_server_alone_and_breaks_no_rule_of_its_policy(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        # The schema has arrived: what there is can be looked up in the docs.
        await tab.click("button[aria-label='Show Documentation Explorer']")
        await tab.until("document.body.innerText.includes('Subscription')")
        await run(tab, "{ __typename }")
        assert await shown(tab, "Query") == {"data": {"__typename": "Query"}}
        asked = await tab.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert len(asked) > 5 and all(url.startswith(server.url + "/") for url in asked)
        assert tab.errors == []


async def test_a_record_that_is_made_arrives_at_a_subscription(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        await run(tab, 'subscription { recordChanged(modelKey: "product") { type record { data } } }')
        await server.subscribed("changes:product")
        make = 'mutation { createRecord(modelKey: "product", data: {name: "Mug"}) { id } }'
        answer = await server.http("pk_live_dev").post("/graphql", json={"query": make})
        assert "errors" not in answer.json()
        change = (await shown(tab, "CREATED"))["data"]["recordChanged"]
        assert change == {"type": "CREATED", "record": {"data": {"name": "Mug"}}}
        assert tab.errors == []


async def test_the_fixed_key_is_filled_in_and_a_token_beside_it_says_who_asks(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        headers = "document.querySelectorAll('.graphiql-editor-tool .CodeMirror')[1].CodeMirror"
        filled = json.loads(await tab.evaluate(f"{headers}.getValue()"))
        assert filled == {"x-api-key": "pk_live_dev"} and set(filled.values()) <= set(DEV_KEYS)
        filled["Authorization"] = f"Bearer {server.token('ann')}"
        await tab.evaluate(f"{headers}.setValue({json.dumps(json.dumps(filled))})")
        await run(tab, "{ unreadCount }")
        assert await shown(tab, "unreadCount") == {"data": {"unreadCount": 0}}


def test_the_policy_lets_the_page_ask_no_other_host_and_run_no_script_but_its_files() -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in POLICY.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["connect-src"] == ["'self'"]
    assert not re.search(r"https?:|\*|unsafe-eval", POLICY)


async def test_its_files_come_from_the_package_are_small_and_name_their_licences() -> None:
    files = {item.name: item.read_bytes() for item in FOLDER.iterdir()}
    assert sum(map(len, files.values())) < 3_000_000
    page = files["index.html"].decode()
    for url in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert url.startswith("/graphql/graphiql/") or url in {"data:,", "/console/vendor/graphql-ws.js"}
    licences = files["LICENSES.txt"].decode()
    assert set(files) <= set(re.findall(r"[\w.-]+\.(?:js|css|html|txt)", licences)) | {"LICENSES.txt"}
    assert "The MIT License" in licences
    async with running_server(dev=True) as server:
        client = server.http()
        for name in set(files) - {"index.html"}:
            answer = await client.get(f"/graphql/graphiql/{name}")
            assert answer.content == files[name], name
            assert answer.headers["content-security-policy"] == POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
        for name in ("index.html", "..%2Fembed.js", "nothing.js"):
            assert (await client.get(f"/graphql/graphiql/{name}")).status_code == 404
