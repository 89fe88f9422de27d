"""The console's views Publish and Faults."""

from __future__ import annotations

import json
from typing import Any, Final

from rtlite.domain.samples import SAMPLES
from rtlite.faults import KINDS, PROTOCOLS
from tests.clients.browser import Tab
from tests.console.pages import logged_in, opened, press, says, show
from tests.servers import InProcess

WRONG: Final = "document.querySelector('#%s-wrong').textContent"


async def put(tab: Tab, **fields: str) -> None:
    """Fill the fields, as someone who types does."""
    for name, value in fields.items():
        field = f"document.querySelector('#{name}')"
        await tab.evaluate(
            f"{field}.value = {json.dumps(value)};"
            f"for (const kind of ['input', 'change']) {field}.dispatchEvent(new Event(kind, {{ bubbles: true }}))"
        )


async def history(server: InProcess, channel: str) -> list[Any]:
    answer = await server.http("rtk_dev").get(f"/api/channels/{channel}/history")
    return list(answer.json()["items"])


async def test_there_is_a_template_for_every_event_which_fits_its_channel(chromium: str) -> None:
    async with opened(chromium, "publish") as (_, tab):
        templates = await tab.evaluate("[...document.querySelectorAll('#template option')].map(it => it.value)")
        assert templates == ["", *(sample.name for sample in SAMPLES)]
        data = "document.querySelector('#data').value"
        await put(tab, template="view_update")
        await tab.until(f'document.body && {data}.includes(\'"slug": "hello"\')')
        await put(tab, channel="article:mine")
        await tab.until(f'document.body && {data}.includes(\'"slug": "mine"\')')
        await says(tab, "/blog/ws/articles/mine")


async def test_an_event_is_published_by_keyboard_and_the_answer_is_shown(chromium: str) -> None:
    async with opened(chromium, "publish") as (server, tab):
        await put(tab, template="milestone")
        await tab.until("document.querySelector('#event').value === 'milestone'")
        await put(tab, data='{"n": [1, "<img src=x>"]}', id="my-1")
        await tab.evaluate("document.querySelector('#data').focus()")
        await tab.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, modifiers=2)
        await says(tab, "offset 1", ".results")
        (event,) = await history(server, "notifications:dev")
        assert (event["id"], event["event"], event["data"]) == ("my-1", "milestone", {"n": [1, "<img src=x>"]})
        await says(tab, "my-1", ".results")
        await tab.until("document.querySelector('#announcer').textContent === 'Published'")
        assert await tab.evaluate("document.querySelectorAll('main img').length") == 0


async def test_json_that_is_wrong_is_said_at_its_place(chromium: str) -> None:
    value = "a value (text in double quotes, number, object, list) is wanted, not"
    wrong = {
        '{"a": 1,\n  b: 2}': 'Line 2, column 3: a name in double quotes is wanted, not "b"',
        '{"a": 1,}': 'Line 1, column 9: a name in double quotes is wanted, not "}"',
        "[1, 2": "Line 1, column 6: a comma or ] is wanted, not the end",
        '{"🦊": "a\nb"}': f'Line 1, column 8: {value} "\\""',
        "": f"Line 1, column 1: {value} the end",
        "01": 'Line 1, column 2: the end is wanted, not "1"',
        "{} {}": 'Line 1, column 4: the end is wanted, not "{"',
        '{"a" 1}': 'Line 1, column 6: a colon is wanted, not "1"',
    }
    async with opened(chromium, "publish") as (server, tab):
        await put(tab, channel="a:b", event="e")
        for text, where in wrong.items():
            await put(tab, data=text)
            await tab.until(f"{WRONG % 'data'} === {json.dumps(where)}")
            await press(tab, "Publish", "main")
            await tab.until("document.activeElement.id === 'data'")
            await tab.evaluate("document.activeElement.blur()")
        assert await history(server, "a:b") == []


async def test_every_text_is_json_here_if_it_is_to_the_browser(chromium: str) -> None:
    texts = [
        '"a"', "-0", "1e5", "1.", ".5", "+1", "nul", "nullx", "true", '"\\u00e9"', '"\\x"', '"\t"', "[]", "[ ]", "{ }",
        '{"a":{}}', "[1,]", "[,1]", '{"a":1 "b":2}', "\ufeff1", "\u00a01", '"\ud800"', "--1", "1e", "[[[]]]", "'a'",
    ]  # fmt: skip
    async with opened(chromium, "publish") as (_, tab):
        ours, theirs = await tab.evaluate(
            f"import('/console/jsontext.js').then(({{ parse }}) => [parse, JSON.parse].map(parse => {json.dumps(texts)}"
            ".map(text => { try { return JSON.stringify(parse(text)) } catch { return null } })))"
        )
        assert ours == theirs and 5 < ours.count(None) < len(texts) - 5


async def test_what_the_server_refuses_is_said_beside_its_field(chromium: str) -> None:
    async with opened(chromium, "publish") as (_, tab):
        await put(tab, channel="article:*", event="e", data="1")
        await press(tab, "Publish", "main")
        await tab.until(f"{WRONG % 'channel'} !== ''")
        assert await tab.evaluate("document.querySelector('#channel').getAttribute('aria-invalid')") == "true"
        assert await tab.evaluate("document.activeElement.id") == "channel"


async def test_a_template_is_repeated_with_what_differs_and_can_be_stopped(chromium: str) -> None:
    async with opened(chromium, "publish") as (server, tab):
        await put(tab, template="view_update", times="3", every="0.05")
        await tab.until("document.querySelector('#event').value === 'view_update'")
        await press(tab, "Publish", "main")
        await says(tab, "3 of 3 published")
        assert [item["data"]["viewCount"] for item in await history(server, "article:hello")] == [1042, 1043, 1044]
        await put(tab, every="600")
        await press(tab, "Publish", "main")
        await says(tab, "1 of 3 published")
        await press(tab, "Stop", "main")
        await tab.until("document.querySelector('main .primary').ariaDisabled !== 'true'")
        assert len(await history(server, "article:hello")) == 4


async def test_a_fault_is_set_shown_with_what_is_left_of_it_and_ended(chromium: str) -> None:
    async with opened(chromium, "faults") as (server, tab):
        await says(tab, "No fault is set.")
        kinds = await tab.evaluate("[...document.querySelectorAll('[name=kind] option')].map(it => it.value)")
        assert kinds == list(KINDS)
        protocols = await tab.evaluate("[...document.querySelectorAll('[name=protocol] option')].map(it => it.value)")
        assert protocols == ["", *PROTOCOLS]
        kind = "document.querySelector('[name=kind]')"
        await tab.evaluate(f"{kind}.value = 'close'; {kind}.dispatchEvent(new Event('change'))")
        markup = "<img>"
        await tab.evaluate(
            "for (const [name, value] of Object.entries({ code: 4408, user: '<img>', duration: '90s', count: 5 }))"
            " document.querySelector(`[name=${name}]`).value = value"
        )
        await press(tab, "Set the fault", "main")
        await says(tab, f"user {markup}", "main table")
        await says(tab, "code 4408, at most 5 times", "main table")
        left = "Number(/1 min (\\d+) s/.exec(document.querySelector('main table').innerText)[1])"
        await tab.until(f"{left} <= 30")
        shown = await tab.evaluate(left)
        (fault,) = (await server.http("rtk_dev").get("/api/faults")).json()["items"]
        assert fault["remaining"] - 61 < shown  # the server was asked later, and the page rounds
        await tab.until(f"{left} < {shown}")
        assert (fault["kind"], fault["code"], fault["user"], fault["count"]) == ("close", 4408, markup, 5)
        await press(tab, "End", "main")
        await says(tab, "No fault is set.")
        assert (await server.http("rtk_dev").get("/api/faults")).json()["items"] == []


async def test_what_a_fault_cannot_be_is_said(chromium: str) -> None:
    async with opened(chromium, "faults") as (_, tab):
        await tab.evaluate("document.querySelector('[name=latency]').value = 10")
        await tab.evaluate("document.querySelector('[name=duration]').value = '3 weeks'")
        await press(tab, "Set the fault", "main")
        await says(tab, "duration:", "main [role=alert]")


async def test_where_faults_are_not_allowed_it_says_so(chromium: str) -> None:
    async with logged_in(chromium) as (_, tab):
        await show(tab, "faults")
        await says(tab, "Faults are not allowed on this server.")
        assert await tab.evaluate("document.querySelector('main form') === null")
