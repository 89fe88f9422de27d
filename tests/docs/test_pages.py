"""``/docs`` over HTTP and in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtlite.endpoints.docpages import contents, text
from rtlite.endpoints.staticfiles import POLICY
from tests.clients.browser import Tab, open_tab
from tests.console.axe import violations
from tests.servers import InProcess, running_server

PHONE, DESKTOP = (390, 844), (1280, 900)


@asynccontextmanager
async def opened(chromium: str, page: str = "/docs") -> AsyncIterator[tuple[InProcess, Tab]]:
    """A server without ``--dev``, and a tab at one of its pages."""
    async with running_server() as server, open_tab(chromium) as tab:
        await resize(tab, DESKTOP)
        await tab.goto(server.url + page)
        yield server, tab


async def resize(tab: Tab, size: tuple[int, int]) -> None:
    width, height = size
    await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)


async def test_every_page_is_served_as_html_and_as_markdown_to_anyone() -> None:
    async with running_server() as server:
        client = server.http()
        for entry in contents():
            page = await client.get("/docs" if entry.name == "index" else f"/docs/{entry.name}")
            assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers["content-security-policy"] == POLICY
            assert f"<title>{entry.title.replace('&', '&amp;')} · rtlite docs</title>" in page.text
            assert "<!--" not in page.text and "style=" not in page.text
            markdown = await client.get(f"/docs/{entry.name}.md")
            assert markdown.text == text(entry.name)
            assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
        again = await client.get(
            "/docs/sse", headers={"If-None-Match": (await client.get("/docs/sse")).headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/docs", "/console"])
async def test_a_slash_too_many_leads_to_the_page(path: str) -> None:
    async with running_server() as server:
        for method in ("GET", "HEAD"):
            answer = await server.http().request(method, f"{path}/")
            assert (answer.status_code, answer.content) == (308, b"")
            assert answer.next_request is not None and answer.next_request.url.raw_path == path.encode()
        there = await server.http().get(f"{path}/?since=1h", follow_redirects=True)
        assert (there.status_code, there.text) == (200, (await server.http().get(path)).text)


@pytest.mark.parametrize("path", ["/docs/nothing", "/docs/page.html", "/docs/..%2F..%2Fmodel.py", "/docs/nothing.md"])
async def test_nothing_but_pages_and_their_files_is_served(path: str) -> None:
    async with running_server() as server:
        assert (await server.http().get(path)).status_code == 404


async def test_every_link_of_a_page_leads_somewhere_and_next_leads_through_all_of_them() -> None:
    async with running_server() as server:
        client = server.http()
        pages: dict[str, str] = {}
        todo = {"/docs"}
        while todo:
            path = todo.pop()
            pages[path] = (await client.get(path)).raise_for_status().text
            links = re.findall(r'(?:href|src)="(/[^"]*|#[^"]*)"', pages[path])
            todo |= {link.partition("#")[0] for link in links if link.startswith("/")} - set(pages)
        for path, page in pages.items():
            if not path.startswith("/docs"):
                continue  # the console's anchors are its views
            for link in re.findall(r'href="([^"]*#[^"]+)"', page):
                target, _, anchor = link.partition("#")
                assert f'id="{anchor}"' in pages[target or path], f"{path}: {link}"
    order, following = [], "/docs"
    while following:
        order.append(following.removeprefix("/docs").strip("/") or "index")
        match = re.search(r'rel="next" href="([^"]+)"', pages[following])
        following = match[1] if match else ""
    assert order == [entry.name for entry in contents()]


async def test_pages_are_accessible_and_fit_in_both_themes_on_phone_and_desktop(chromium: str, full: bool) -> None:
    every = [f"/docs/{entry.name}".removesuffix("/index") for entry in contents()]
    async with opened(chromium) as (server, tab):
        for page in every if full else ("/docs", "/docs/sse"):
            for theme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": theme}]
                await tab.call("Emulation.setEmulatedMedia", features=features)
                await tab.goto(server.url + page)
                for size in (PHONE, DESKTOP):
                    await resize(tab, size)
                    assert await violations(tab) == [], (page, theme, size)
                    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page, size)
        assert tab.errors == []


async def test_on_a_phone_the_list_of_pages_is_folded(chromium: str) -> None:
    async with opened(chromium, "/docs/sse") as (_, tab):
        link = "document.querySelector('.contents a').checkVisibility()"
        assert await tab.evaluate(link)
        await resize(tab, PHONE)
        await tab.until("!document.getElementById('contents').open")
        assert not await tab.evaluate(link)
        await tab.click("summary")
        assert await tab.evaluate(link)


async def test_the_keyboard_goes_to_the_text_and_copies_a_block(chromium: str) -> None:
    async with opened(chromium, "/docs/sse") as (_, tab):
        await tab.press("Tab", 9)
        assert await tab.evaluate("document.activeElement.textContent") == "Skip to content"
        await tab.press("Enter", 13)
        await tab.until("location.hash === '#main'")
        await tab.evaluate("navigator.clipboard.writeText = async (text) => void (globalThis.copied = text)")
        await tab.evaluate("document.querySelector('.code .copy').focus()")
        await tab.press("Enter", 13)
        await tab.until("document.querySelector('.code .copy').textContent === 'Copied'")
        assert await tab.evaluate("copied === document.querySelector('.code code').textContent")
        assert await tab.evaluate("document.getElementById('announcer').textContent") == "Copied"


async def test_a_heading_can_be_linked_to_and_the_page_names_its_own(chromium: str) -> None:
    async with opened(chromium, "/docs/sse#to-resume") as (_, tab):
        assert await tab.evaluate("document.querySelector('#to-resume').getBoundingClientRect().top < innerHeight")
        assert await tab.evaluate("document.querySelector('#to-resume .anchor').hash") == "#to-resume"
        assert (
            await tab.evaluate("document.querySelector('.contents [aria-current=page]').textContent")
            == "Server-Sent Events"
        )
        assert "To resume" in await tab.evaluate("document.querySelector('.headings').textContent")


async def test_the_theme_can_be_switched_and_stays_from_page_to_page(chromium: str) -> None:
    async with opened(chromium, "/docs/sse") as (server, tab):
        background = "getComputedStyle(document.body).backgroundColor"
        light = await tab.evaluate(background)
        while await tab.evaluate("document.documentElement.dataset.theme") != "dark":
            await tab.click("#theme")
        dark = await tab.evaluate(background)
        assert dark != light
        await tab.goto(server.url + "/docs/blog")
        assert await tab.evaluate(background) == dark
