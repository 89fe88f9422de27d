"""axe-core, npm's checker of accessibility, on what a tab shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.clients.browser import Tab

_AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(
  ({id, impact, help, nodes}) => nodes.map(
    ({target, failureSummary}) => [impact, `${id}: ${help}; ${target.join(" ")}; ${failureSummary}`]
  )
))"""


async def violations(tab: Tab) -> list[str]:
    """What is a serious or critical violation, a line for each element."""
    if not await tab.evaluate("typeof axe === 'object'"):
        await tab.evaluate(_AXE.read_text() + ";0")
    found: list[list[Any]] = await tab.evaluate(_RUN)
    return [text for impact, text in found if impact in {"serious", "critical"}]
