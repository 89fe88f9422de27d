"""The embed script in a real browser, on a page of another origin than the server's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.clients.browser import Tab, open_tab
from tests.clients.pages import site
from tests.servers import Doors, ServerProcess, running_server

SLUG = "my-first-post"


def tag(server: Doors, slug: str = SLUG, more: str = "") -> str:
    return f'<script src="{server.url}/blog/embed.js" data-slug="{slug}" {more} async></script>'


async def write_article(server: Doors, key: str, slug: str = SLUG) -> None:
    answer = await server.http(key).post("/blog/v1/articles", json={"slug": slug, "title": "My first post"})
    assert answer.status_code == 201, answer.text


async def visit(server: Doors, visitor: str, slug: str = SLUG) -> None:
    """A view by somebody else: another browser at the same address."""
    await (await server.http(user_agent=visitor).post(f"/blog/v1/articles/{slug}/views")).aread()


async def reactions(server: Doors) -> dict[str, int]:
    answer: dict[str, dict[str, int]] = (await server.http().get(f"/blog/v1/articles/{SLUG}")).json()
    return answer["reactions"]


async def shows(tab: Tab, text: str, selector: str = "output") -> None:
    await tab.until(f"document.querySelector({selector!r})?.textContent === {text!r}")


@asynccontextmanager
async def opened(server: Doors, chromium: str, more: str = "", **headers: str) -> AsyncIterator[Tab]:
    """A visitor's tab with a page that embeds the article; ``headers`` are the page's."""
    async with site(**headers) as blog, open_tab(chromium) as tab:
        await tab.goto(blog.put("/post", f"<!doctype html><body>A post. {tag(server, more=more)}"))
        yield tab


async def test_the_script_fits_in_two_kilobytes_and_any_page_may_load_it() -> None:
    async with running_server() as server:
        answer = await server.http().get("/blog/embed.js", headers={"Origin": "https://blog.example"})
    assert len(answer.content) <= 2048
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_view_count_shows_and_rises_while_others_visit(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium) as tab:
            await shows(tab, "Views: 1")
            for count in (2, 3):
                await visit(server, f"visitor {count}")
                await shows(tab, f"Views: {count}")


async def test_a_click_on_a_reaction_counts_and_a_second_click_withdraws(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium) as tab:
            await shows(tab, "👍 0", "button")
            await tab.click("button")
            await shows(tab, "👍 1", "button[aria-pressed=true]")
            assert await reactions(server) == {"👍": 1}
            await tab.click("button")
            await shows(tab, "👍 0", "button[aria-pressed=false]")
            assert await reactions(server) == {}


async def test_another_visitors_reaction_shows_at_once(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium, 'data-reactions="🎉"') as tab:
            await shows(tab, "Views: 1")
            await server.http().post(f"/blog/v1/articles/{SLUG}/reactions", json={"reaction": "🎉"})
            await shows(tab, "🎉 1", "button[aria-pressed=false]")


async def test_the_keyboard_reaches_the_buttons_and_the_counts_are_announced(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium) as tab:
            await shows(tab, "Views: 1")
            assert await tab.evaluate("document.querySelector('.rtlite').getAttribute('aria-live')") == "polite"
            await tab.press("Tab", 9)
            await tab.press("Tab", 9)
            await tab.press("Enter", 13)
            await shows(tab, "❤️ 1", "button[aria-pressed=true]")


async def test_a_visitor_who_comes_back_finds_the_own_reaction_pressed(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium) as tab:
            await shows(tab, "Views: 1")
            await tab.click("button")
            await shows(tab, "👍 1", "button[aria-pressed=true]")
            await tab.goto(await tab.evaluate("location.href"))
            await shows(tab, "👍 1", "button[aria-pressed=true]")


async def test_it_works_under_a_policy_that_allows_nothing_but_the_host(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        policy = (
            f"default-src 'none'; script-src {server.url}; connect-src {server.url} {server.ws_url};"
            " require-trusted-types-for 'script'; trusted-types 'none'"
        )
        async with opened(server, chromium, content_security_policy=policy) as tab:
            await shows(tab, "Views: 1")
            await visit(server, "another")
            await shows(tab, "Views: 2")
            await tab.click("button")
            await shows(tab, "👍 1", "button[aria-pressed=true]")
            pressed, other = await tab.evaluate(
                "[...document.querySelectorAll('button')].map(button => getComputedStyle(button).backgroundColor)"
            )
            assert pressed != other
            assert tab.errors == []


async def test_it_works_in_a_sandbox_without_an_origin_or_storage(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(server, chromium, content_security_policy="sandbox allow-scripts") as tab:
            assert await tab.evaluate("self.origin") == "null"
            await shows(tab, "Views: 1")
            await visit(server, "another")
            await shows(tab, "Views: 2")
            await tab.click("button")
            await shows(tab, "👍 1", "button[aria-pressed=true]")


async def test_markup_in_the_pages_attributes_stays_text(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        markup = "&lt;img/src=x/onerror=document.title=1>"
        async with opened(server, chromium, f'data-label="{markup} " data-reactions="{markup}"') as tab:
            await shows(tab, "<img/src=x/onerror=document.title=1> 1")
            await shows(tab, "<img/src=x/onerror=document.title=1> 0", "button")
            assert await tab.evaluate("document.querySelectorAll('img').length") == 0


async def test_a_page_can_style_it_with_plain_class_selectors(chromium: str) -> None:
    async with running_server() as server:
        await write_article(server, await server.key("blog", "alice"))
        async with opened(
            server, chromium, "></script><style>.rtlite button { color: rgb(1, 2, 3) }</style><script"
        ) as tab:
            await shows(tab, "Views: 1")
            assert await tab.evaluate("getComputedStyle(document.querySelector('button')).color") == "rgb(1, 2, 3)"


async def test_two_articles_on_one_page_each_show_their_own_counts(chromium: str) -> None:
    async with running_server() as server, site() as blog, open_tab(chromium) as tab:
        key = await server.key("blog", "alice")
        await write_article(server, key)
        await write_article(server, key, "second")
        await visit(server, "early", "second")
        await tab.goto(blog.put("/", f"<div>{tag(server)}</div><p>{tag(server, 'second')}</p>"))
        await shows(tab, "Views: 1", "div output")
        await shows(tab, "Views: 2", "p output")
        await visit(server, "late", "second")
        await shows(tab, "Views: 3", "p output")
        await shows(tab, "Views: 1", "div output")


async def test_it_is_live_again_after_the_server_was_killed_and_restarted(chromium: str, tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "rtlite.db") as server:
        assert server.admin_key is not None
        await write_article(server, server.admin_key)
        async with opened(server, chromium) as tab:
            await shows(tab, "Views: 1")
            await server.kill()
            await server.start()
            await visit(server, "another")
            await shows(tab, "Views: 2")
            await tab.click("button")
            await shows(tab, "👍 1", "button[aria-pressed=true]")
            await visit(server, "one more")
            await shows(tab, "Views: 3")
