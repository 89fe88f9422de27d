"""The try-outs of the view Connect."""

from __future__ import annotations

import json
from typing import Final

from tests.clients.browser import Tab
from tests.console.pages import press, says, show

LOG: Final = "main .log"
PUBLISH: Final = {"collab": "Publish a test edit"}
COME_BACK: Final = {"collab": "Disconnect 1, write 3 in 2, reconnect"}


async def choose(tab: Tab, protocol: str) -> None:
    await show(tab, f"connect/{protocol}")
    await tab.until("document.querySelector('.snippet code')?.textContent")


async def connect(tab: Tab, *, dev: bool = True) -> None:
    """Once all is in its place; with ``--dev`` a token comes by itself."""
    code = "document.querySelector('.snippet code')?.textContent"
    await tab.until(f"{code} && !({json.dumps(dev)} && {code}.includes('YOUR_TOKEN'))")
    await press(tab, "Connect", "main")
    await tab.until("document.querySelector('main .state')?.dataset.state === 'connected'")


async def hears(tab: Tab, count: int = 1) -> None:
    """So many events have come by the protocol."""
    await tab.until(f"document.querySelectorAll('{LOG} [data-kind=event]').length >= {count}")


async def try_all(tab: Tab) -> int:
    """With ``--dev``: each try-out connects, hears its event and gets what it missed; returns how many there are."""
    chosen = "document.querySelectorAll('[aria-label=Protocols] [role=tab]')"
    count = int(await tab.evaluate(f"{chosen}.length"))
    for number in range(count):
        await tab.evaluate(f"{chosen}[{number}].click()")
        protocol = await tab.evaluate("location.hash.split('/')[2]")
        await connect(tab)
        await press(tab, PUBLISH.get(protocol, "Publish a test event"))
        await hears(tab)
        await press(tab, COME_BACK.get(protocol, "Disconnect, publish 3, reconnect"))
        await says(tab, "All 3 that were missed have arrived, in order.", LOG)
        if protocol == "webhooks":  # which is a stream of this server: what it gets is seen, too
            await tab.until(f"document.querySelector('{LOG}').innerText.split('The endpoint got').length === 5")
        assert await tab.evaluate(f"document.querySelectorAll('{LOG} [data-kind=bad]').length") == 0, protocol
    return count
