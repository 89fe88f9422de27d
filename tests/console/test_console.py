"""The console in a real browser: what it shows is true, and what one does there happens."""

from __future__ import annotations

import json
import re

import pytest
import trio

from rtlite.endpoints.staticfiles import POLICY
from rtlite.settings import KindSettings
from tests.clients.browser import Tab, open_tab
from tests.console.axe import violations
from tests.console.pages import IDS, LIVE, LOOKS, STATIC, fill, logged_in, look, opened, press, publish, says, show
from tests.receivers import receiving
from tests.servers import running_server

# --- logging in


async def test_an_admin_key_opens_it_a_wrong_one_does_not_and_its_end_closes_it(chromium: str) -> None:
    async with running_server() as server, open_tab(chromium) as tab:
        key = await server.key("admin", "op")
        await tab.goto(server.url)
        await tab.until("document.activeElement?.name === 'key'")
        assert await tab.evaluate("document.querySelector('nav').hidden")
        for wrong in ("rtk_guess", await server.key("blog", "ann")):
            await fill(tab, key=wrong)
            await tab.press("Enter", 13)
            await tab.until("!document.querySelector('#login-problem').hidden")
        await fill(tab, key=key)
        await tab.press("Enter", 13)
        await says(tab, "Time to publish")
        assert await tab.evaluate("document.activeElement.tagName") == "H1"
        assert await tab.evaluate("document.cookie") == ""
        assert await tab.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
        await tab.goto(server.url + "/?anew#/keys")  # a reload does not ask again
        await says(tab, key[:8])
        assert key not in await tab.evaluate("document.documentElement.outerHTML")
        await press(tab, "Log out")
        await says(tab, "You are logged out")
        await fill(tab, key=key)
        await tab.press("Enter", 13)
        await says(tab, key[:8])
        await press(tab, "Revoke")  # a question is open when the session ends
        await tab.until("document.querySelector('dialog[open]')")
        await server.revoke(key)
        await says(tab, "Your session is over")
        await tab.until("document.querySelector('dialog') === null && document.querySelector('nav').hidden")
        assert tab.errors == []


async def test_one_who_revokes_the_own_key_is_told_so_before_and_logged_out_after(chromium: str) -> None:
    async with running_server() as server, open_tab(chromium) as tab:
        key = await server.key("admin", "op")
        await tab.goto(server.url)
        await tab.until("document.activeElement?.name === 'key'")
        await fill(tab, key=key)
        await tab.press("Enter", 13)
        await says(tab, "Time to publish")
        await tab.goto(server.url + "/?anew#/keys")
        await says(tab, key[:8])
        await tab.click("button[aria-label='Revoke " + key[:8] + "… of op']")
        await says(tab, "you are logged out", "dialog")
        await tab.evaluate(
            "(real => { window.asked = []; window.fetch = (path, more) => (asked.push(path), real(path, more)) })"
            "(fetch)"
        )
        await press(tab, "Revoke it")
        await says(tab, "Your session is over")
        await says(tab, "The key is revoked", "#announcer")  # from here on nothing more is asked with it
        assert "/api/keys" not in await tab.evaluate("asked")
        assert tab.errors == []


async def test_with_dev_it_is_open_and_knows_the_server_alone(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        asked = await tab.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert len(asked) > 8 and all(url.startswith(server.url + "/") for url in asked)
        assert await tab.evaluate("document.querySelector('#logout').hidden"), "it would lead to a key that none needs"


# The server is gone when it is asked for a session for the first time.
_AWAY_ONCE_MORE = """{
  const real = fetch
  globalThis.asked = 0
  globalThis.fetch = (path, request) => request.method === "POST" && path === "/api/session" && (asked += 1) === 1
    ? Promise.reject(new TypeError("Failed to fetch"))
    : real(path, request)
}"""


async def test_with_dev_a_server_that_was_started_anew_is_found_again(chromium: str) -> None:
    async with open_tab(chromium) as tab:
        async with running_server(dev=True) as server:
            await tab.goto(server.url + "/#/events")
            await tab.until("document.querySelector('main h1') && " + LIVE)
        await says(tab, "does not answer", "#status")
        # The view is built anew, with a feed of its own; what is published sooner, it does not hear.
        await tab.evaluate("document.querySelector('main h1').remove()")
        await tab.evaluate(_AWAY_ONCE_MORE)
        async with running_server(dev=True, port=server.port) as server:
            await tab.until("document.querySelector('main h1') && " + LIVE)
            assert await tab.evaluate("asked") == 2
            await publish(server, "article:hello", "anew")
            await says(tab, "anew")
            assert tab.errors == []


# --- the views


async def test_the_overview_tells_what_others_do(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        await says(tab, "Nothing was published in the last seconds")
        async with server.websocket("/blog/ws/articles/hello", "mbk_dev"):
            await server.subscribed("article:hello")
            await publish(server, "article:hello", {"viewCount": 7})
            await tab.until(
                "document.querySelector('.scroll[aria-label=\"Busiest channels\"]')?.innerText.match(/article:hello/)"
            )
            await tab.until("/2 connected/.test(document.querySelector('#status').textContent)")
            await tab.until("[...document.querySelectorAll('.figures dd')][2].textContent.endsWith(' ms')")
        await says(tab, "normal", "[aria-label='Recent disconnects']")
        for width in (1280, 1200):
            await look(tab, width, 800, "light")
            tops = await tab.evaluate(
                "[...document.querySelectorAll('svg.chart')].map(it => it.getBoundingClientRect().top)"
            )
            assert len(tops) == 2 and tops[0] == tops[1], f"{width} pixels wide"
        await tab.click(".figure summary")
        await tab.until("document.querySelectorAll('.figure tbody tr').length > 1")
        assert await tab.evaluate("document.querySelectorAll('.figure')[0].querySelectorAll('path.line').length") == 2


async def test_a_channel_shows_its_history_without_a_gap_and_plays_it_again(chromium: str) -> None:
    async with opened(chromium, "channels") as (server, tab):
        await says(tab, "No channel yet")
        for number in range(60):
            await publish(server, "article:hello", {"n": number})
        await show(tab, "channels")
        await says(tab, "article:hello")
        async with (
            server.websocket("/_events", "pk_live_dev"),
            server.websocket(f"/_events?token={server.token('ann')}") as there,
        ):
            await there.send_message('{"type":"subscribe","channel":"article:hello","presence":true}')
            await there.get_message()
            await tab.evaluate("document.querySelector('main tbody a').click()")
            await says(tab, '{"n":59}')
            await says(tab, "ann", "[aria-label='Who is present']")
            for number in range(60, 130):  # more than a page, while the feed begins
                await publish(server, "article:hello", {"n": number})
            await says(tab, '{"n":129}')
            seen = "[...document.querySelectorAll('.events .preview')].map(it => JSON.parse(it.textContent).n)"
            # What the feed left out is read from the history within a second, and what is below a gap is let go.
            await tab.until(f"(shown => shown.length >= 50 && shown.every((n, at) => n === 129 - at))({seen})")
            while await tab.evaluate(f"{seen}.length") < 130:
                before = await tab.evaluate(f"{seen}.length")
                await press(tab, "Older events")
                await tab.until(f"{seen}.length > {before}")
            assert await tab.evaluate(seen) == list(range(129, -1, -1))

            await tab.evaluate("[...document.querySelectorAll('.events details')][9].open = true")
            await says(tab, '"n": 120', ".json")
            await press(tab, "Replay from here")
            await tab.evaluate("document.querySelector('[name=speed]').value = '0'")
            await tab.click("[name=publish]")
            await fill(tab, target="article:copy")
            await press(tab, "Play")
            await says(tab, "10 played, each published to article:copy. That was the last.")
        copy = (await server.http("rtk_dev").get("/api/channels/article:copy/history")).json()["items"]
        assert [item["data"]["n"] for item in copy] == list(range(120, 130))


async def test_from_a_channel_one_publishes_to_it(chromium: str) -> None:
    async with opened(chromium, "channels/article%3Amine") as (server, tab):
        for channel, event in (("article:mine", "view_update"), ("odd", "")):
            await show(tab, f"channels/{channel.replace(':', '%3A')}")
            await tab.click("a.button[href^='#/publish']")
            await tab.until(f"document.querySelector('#channel')?.value === {json.dumps(channel)}")
            await tab.until(f"document.querySelector('#event').value === {json.dumps(event)}")
        await tab.evaluate(
            "document.querySelector('#event').value = 'mine'; document.querySelector('#data').value = '[1]'"
        )
        await press(tab, "Publish")
        await says(tab, "offset 1")
        items = (await server.http("rtk_dev").get("/api/channels/odd/history")).json()["items"]
        assert [(item["event"], item["data"]) for item in items] == [("mine", [1])]


async def test_a_channel_without_history_shows_what_comes(chromium: str) -> None:
    kinds = {"typing": KindSettings(history=False, presence=False)}
    async with opened(chromium, "channels/typing%3Aroom", channels=kinds) as (server, tab):
        await says(tab, "keeps no history")
        await publish(server, "typing:room", "ann is typing", "typing")
        await says(tab, "ann is typing")
        await show(tab, "channels")
        await says(tab, "typing:room")
        await says(tab, "not kept")


async def test_closing_a_connection_closes_it(chromium: str) -> None:
    async with opened(chromium) as (server, tab), server.websocket("/blog/ws/articles/hello", "mbk_dev") as websocket:
        await server.subscribed("article:hello")
        await show(tab, "connections")
        await says(tab, "article:hello")
        await fill(tab, filter="article:")
        await press(tab, "Find")
        await says(tab, "1 fit")
        await press(tab, "Close")
        await press(tab, "Cancel")
        await press(tab, "Close")
        await press(tab, "Close it")
        with pytest.raises(Exception, match="1000"), trio.fail_after(10):
            await websocket.get_message()
        await says(tab, "closed by operator", "[aria-label='Recent disconnects']")
        await says(tab, "Nobody is connected")


async def test_the_stream_of_events_is_filtered_paused_and_counts_what_it_leaves_out(chromium: str) -> None:
    async with opened(chromium, "events", console_events=40) as (server, tab):
        rows = "[...document.querySelectorAll('.events li')]"
        await publish(server, "article:hello", {"n": 1})
        await publish(server, "changes:product", {"name": "Mug"}, "UPDATED")
        await tab.until(f"{rows}.length === 2")
        await fill(tab, channel="changes:*", event="UPDATED", text="Mug")
        await press(tab, "Filter")
        await tab.until(f"{rows}.length === 0 && {LIVE}")
        await publish(server, "article:hello", {"n": 2})
        await publish(server, "changes:product", {"name": "Cup"}, "UPDATED")
        await publish(server, "changes:product", {"name": "Mug 2"}, "UPDATED")
        await tab.until(f"{rows}.length === 1 && {rows}[0].innerText.includes('Mug 2')")
        await press(tab, "Pause")
        await publish(server, "changes:product", {"name": "Mug 3"}, "UPDATED")
        await says(tab, "1 came meanwhile")
        await press(tab, "Go on")
        await tab.until(f"{rows}.length === 2")
        many = [{"channel": "changes:product", "event": "UPDATED", "data": "Mug"} for _ in range(300)]
        await server.http("rtk_dev").post("/api/publish/batch", json={"events": many})
        await says(tab, "290 events came faster")


async def test_a_key_is_shown_once_and_revoked_from_the_page(chromium: str) -> None:
    async with opened(chromium, "keys") as (server, tab):
        await fill(tab, kind="project", user="shop", name="The shop")
        await tab.click("[name=write]")
        await press(tab, "Make the key")
        await tab.until("document.querySelector('.secret code')")
        key = await tab.evaluate("document.querySelector('.secret code').textContent")
        assert (await server.http(key).post("/records/product", json={"data": {}})).status_code == 201
        await says(tab, "The shop")
        await tab.evaluate("document.querySelector('[name=find]').focus()")
        await tab.call("Input.insertText", text="sho")
        await tab.until("document.querySelectorAll('main tbody tr').length === 1")
        await press(tab, "Done")
        assert key not in await tab.evaluate("document.documentElement.outerHTML")
        await tab.evaluate(
            "[...document.querySelectorAll('button')].find(it => it.ariaLabel?.includes('of shop')).click()"
        )
        await press(tab, "Revoke it")
        await tab.until("!document.querySelector('main').innerText.includes('The shop')")
        assert (await server.http(key).get("/records/product")).status_code == 401
        await tab.evaluate("document.querySelectorAll('main [name=user]')[1].value = 'ann'")
        await fill(tab, subscribe="room:1")
        await press(tab, "Sign the token")
        await says(tab, "cannot be revoked")
        token = await tab.evaluate("document.querySelector('.secret code').textContent")
        assert (await server.http(token).get("/api/channels/room:1/history")).status_code == 200


async def test_a_webhook_is_made_tried_watched_and_sent_again(chromium: str) -> None:
    async with opened(chromium, "webhooks") as (server, tab), receiving() as hook:
        await says(tab, "No webhook yet")
        await fill(tab, url=hook.url, channels="article:*")
        await press(tab, "Make the webhook")
        await says(tab, "whsec_")
        await publish(server, "article:hello", {"n": 1})
        await tab.until("document.querySelector('main tbody a')")
        await tab.evaluate("document.querySelector('main tbody a').click()")
        await says(tab, "taken, 200")
        await press(tab, "Send a test")
        await says(tab, "The test was taken")
        await says(tab, "webhook.test")  # its row moves the others down, from under a click
        await press(tab, "Send again from here")
        await press(tab, "Send again")
        await says(tab, "They are on their way")
        await tab.until(
            "[...document.querySelectorAll('main td')].filter(it => it.textContent === 'view_update').length === 2"
        )
        await press(tab, "Disable")
        await says(tab, "disabled")
        await press(tab, "Delete")
        await press(tab, "Delete it")
        await says(tab, "No webhook yet")


# --- what others write


async def test_what_others_write_is_text_and_never_markup(chromium: str) -> None:
    evil = "<img/src=x/onerror=tell('ran')>"
    async with opened(chromium) as (server, tab):
        operator = server.http("rtk_dev")
        made = await operator.post("/api/keys", json={"kind": "blog", "user": evil, "name": evil})
        hook = {"url": "http://127.0.0.1:9/" + "%3Cimg%3E", "channels": [f"article:{evil}"], "description": evil}
        assert (await operator.post("/api/webhooks", json=hook)).status_code == 201
        async with server.websocket(f"/blog/ws/articles/{'%3Cimg%3E'}", made.json()["key"]):
            for view in ("events", "", "channels", "connections", "keys", "webhooks", "publish", "connect", "faults"):
                await show(tab, view)
                await publish(server, f"article:{evil}", {evil: [evil, "</script>", "\u2028"]}, evil)
                if view in {"", "channels", "connections", "events", "keys"}:
                    await says(tab, "onerror=tell")
            await show(tab, f"channels/article%3A{evil.replace('/', '%2F')}")
            await says(tab, "onerror=tell", "main .events:not(.plain)")
            await tab.evaluate("document.querySelector('.events details').open = true")
            await says(tab, "onerror=tell", ".json")
            assert await tab.evaluate("document.querySelectorAll('main img, main script').length") == 0
        with pytest.raises(trio.WouldBlock):
            tab.told.receive_nowait()


async def test_the_page_breaks_no_rule_of_its_policy_which_is_strict() -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in POLICY.split("; ")}
    assert rules.pop("img-src") == ["'self'", "data:"]
    for name in ("script-src", "style-src", "connect-src"):
        assert rules.pop(name) == ["'self'"]
    assert set(rules) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert all(value == ["'none'"] for value in rules.values())
    async with running_server() as server:
        client = server.http()
        for path in ("/", "/console", "/console/app.js", "/console/views/overview.js", "/console/style.css"):
            answer = await client.get(path)
            assert answer.status_code == 200 and answer.headers["content-security-policy"] == POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304 and again.content == b""
        for path in (
            "/console/nothing.js",
            "/console/views/",
            "/console/..%2Fembed.js",
            "/console/views%2Foverview.js/x",
        ):
            assert (await client.get(path)).status_code == 404


def test_its_files_name_no_other_host_and_hold_no_script_or_style_of_a_page() -> None:
    page = STATIC.joinpath("index.html").read_text()
    assert re.findall(r'(?:src|href)="([^"#]+)"', page) and not re.search(r"<style|\son\w+=|style=|<script>", page)
    ours = [item for folder in (STATIC, STATIC.joinpath("views")) for item in folder.iterdir() if item.is_file()]
    for item in ours:
        text = item.read_text()
        assert not re.search(r"(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//", text), item.name
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), item.name


# --- for everyone

VIEWS = [
    "",
    "channels",
    "channels/article%3Ahello",
    "connections",
    "events",
    "publish",
    "connect",
    "faults",
    "webhooks",
    "keys",
]
SMALL = """[...document.querySelectorAll("a.button, button, summary, nav a, input:not([type=checkbox]), select")]
  .map(it => [it.getBoundingClientRect(), it])
  .filter(([box, it]) => it.checkVisibility() && (box.height < 44 || box.width < 44))
  .map(([box, it]) => it.outerHTML)"""


async def fits(tab: Tab, size: tuple[int, int, str], what: str) -> None:
    assert await violations(tab) == [], what
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{what} is too wide"
    if size[0] == 360:
        assert await tab.evaluate(SMALL) == [], what


@pytest.mark.parametrize("size", LOOKS, ids=IDS)
async def test_each_view_is_for_everyone(chromium: str, size: tuple[int, int, str]) -> None:
    async with opened(chromium) as (server, tab):
        await server.http("rtk_dev").post("/api/webhooks", json={"url": "http://127.0.0.1:9/", "channels": ["room:*"]})
        async with server.websocket("/blog/ws/articles/hello", "mbk_dev"):
            await look(tab, *size)
            await publish(server, "article:hello", {"text": "A rather long text " * 20})
            for view in VIEWS:
                await show(tab, view)
                if view in {"events", "channels/article%3Ahello"}:
                    await publish(server, "article:hello", {"n": [1, True, None]})
                    await tab.until("document.querySelector('.events details')")
                    await tab.evaluate("document.querySelector('.events details').open = true")
                await fits(tab, size, view)


@pytest.mark.full
@pytest.mark.parametrize("size", LOOKS, ids=IDS)
async def test_what_comes_up_in_a_view_is_for_everyone(chromium: str, size: tuple[int, int, str]) -> None:
    async with opened(chromium, "channels", webhook_private=True) as (server, tab):
        await look(tab, *size)
        hook = {"url": "http://127.0.0.1:9/a/rather/long/path", "channels": ["article:*"]}
        made = (await server.http("rtk_dev").post("/api/webhooks", json=hook)).json()
        for number in range(3):
            await publish(server, "article:hello", {"n": number})
        await show(tab, f"webhooks/{made['id']}")
        await says(tab, "could not be connected to")
        await fits(tab, size, "a webhook that fails")
        await show(tab, "channels/article%3Ahello")
        await tab.until("document.querySelector('.events details')")
        await tab.evaluate("document.querySelector('.events li:last-child details').open = true")
        await press(tab, "Replay from here")
        await press(tab, "Play")
        await tab.until("document.querySelectorAll('.events.plain li').length === 3")
        await fits(tab, size, "a replay")
        await show(tab, "keys")
        await fill(tab, user="ann")
        await press(tab, "Make the key")
        await tab.until("document.querySelector('.secret code')")
        await fits(tab, size, "a secret that is shown once")
        await press(tab, "Revoke")
        await tab.until("document.querySelector('dialog[open]')")
        await fits(tab, size, "a question")
        await press(tab, "Cancel")
        async with running_server() as server:
            await tab.goto(server.url)
            await says(tab, "Log in")
            await fits(tab, size, "the login")


async def test_the_keyboard_reaches_everything_and_the_focus_is_where_one_looks(chromium: str) -> None:
    async with logged_in(chromium) as (_server, tab):
        await tab.until("document.querySelector('main h1') && " + LIVE)
        await tab.evaluate("document.activeElement.blur()")
        await tab.press("Tab", 9)
        assert await tab.evaluate("document.activeElement.className") == "skip"
        await tab.press("Enter", 13)
        assert await tab.evaluate("document.activeElement.textContent") == "Overview"
        await tab.evaluate("document.querySelector('nav a[href=\"#/keys\"]').focus()")
        await tab.press("Enter", 13)
        await tab.until("document.title.startsWith('Keys and tokens') && document.activeElement.tagName === 'H1'")
        assert await tab.evaluate("document.querySelector('nav [aria-current]').textContent") == "Keys and tokens"
        reached = set()
        for _ in range(60):
            await tab.press("Tab", 9)
            reached.add(await tab.evaluate("document.activeElement.name || document.activeElement.id || ''"))
        assert {"kind", "user", "expires", "subscribe", "theme", "logout"} <= reached  # round and round: no trap
        await look(tab, 360, 740, "dark")
        await tab.click("#menu")
        assert await tab.evaluate("document.querySelector('#menu').ariaExpanded") == "true"
        await tab.click("nav a[href='#/events']")
        await tab.until("document.title.startsWith('Events')")
        assert await tab.evaluate("document.querySelector('#menu').ariaExpanded") == "false"


async def tab_to(tab: Tab, text: str) -> None:
    """Press Tab until the focus is at what says this."""
    for _ in range(30):
        await tab.press("Tab", 9)
        if await tab.evaluate("document.activeElement.textContent") == text:
            assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"Tab does not lead to {text}")


FOCUSED = "document.activeElement.textContent"


async def test_by_the_keyboard_alone_one_logs_in_publishes_connects_and_never_loses_the_focus(chromium: str) -> None:
    async with running_server() as server, open_tab(chromium) as tab:
        await tab.goto(server.url)
        await tab.until("document.activeElement?.name === 'key'")
        await tab.call("Input.insertText", text=await server.key("admin", "op"))
        await tab.press("Enter", 13)
        await tab.until(f"{FOCUSED} === 'Overview'")
        for view in ("Publish", "Connect"):
            await tab.evaluate("document.querySelector('.brand').focus()")
            await tab_to(tab, view)
            await tab.press("Enter", 13)
            await tab.until(f"document.activeElement.tagName === 'H1' && {FOCUSED} === '{view}'")
            if view == "Publish":
                await tab_to(tab, "Publish")
                await tab.press("Enter", 13)
                await says(tab, "offset 1")
                assert await tab.evaluate(FOCUSED) == "Publish"
        await tab_to(tab, "Connect")
        await tab.press("Enter", 13)
        await tab.until("document.querySelector('main .state').dataset.state === 'connected'")
        await tab_to(tab, "Disconnect, publish 3, reconnect")
        await tab.press("Enter", 13)
        await says(tab, "All 3 that were missed have arrived, in order.", "main .log")
        assert await tab.evaluate(FOCUSED) == "Disconnect, publish 3, reconnect"
        await tab.goto(f"{server.url}/?keys#/keys")
        await tab.until("document.querySelector('td.actions button')")
        await tab.evaluate("document.querySelector('main form [name=user]').focus()")
        await tab.call("Input.insertText", text="ann")
        await tab.press("Enter", 13)
        await tab.until("document.activeElement.classList.contains('shown-once')")
        await tab_to(tab, "Done")
        await tab.press("Enter", 13)
        assert await tab.evaluate(FOCUSED) == "Keys and tokens"
        await tab.until("document.querySelectorAll('td.actions button').length === 3")
        await tab_to(tab, "Revoke")  # the newest is the first: ann's
        await tab.press("Enter", 13)
        await tab.until("document.querySelector('dialog[open]')")
        await tab_to(tab, "Revoke it")
        await tab.press("Enter", 13)
        await tab.until("document.querySelectorAll('td.actions button').length === 2")
        assert await tab.evaluate("document.activeElement.ariaLabel") == "API keys"
        assert tab.errors == []


async def test_the_theme_is_the_systems_until_one_chooses(chromium: str) -> None:
    async with opened(chromium) as (server, tab):
        background = "getComputedStyle(document.body).backgroundColor"
        await look(tab, 1280, 800, "light")
        light = await tab.evaluate(background)
        await look(tab, 1280, 800, "dark")
        dark = await tab.evaluate(background)
        assert light != dark
        await tab.click("#theme")
        assert await tab.evaluate("document.documentElement.dataset.theme") == "light"
        assert await tab.evaluate(background) == light
        await tab.goto(server.url + "/?anew")
        assert await tab.evaluate("document.documentElement.dataset.theme") == "light"
        assert await tab.evaluate("JSON.stringify(localStorage)") == '{"theme":"light"}'
