"""A headless Chromium, driven through the Chrome DevTools protocol.

The process is the session's (the fixture ``chromium`` of conftest.py); each test opens tabs
of its own in a profile of their own::

    async with open_tab(chromium) as tab:
        await tab.goto(url)
        await tab.until("document.querySelector('output').textContent === '3'")
        await tab.click("button")
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket

from tests.servers import ungrouped

START_SECONDS = 60.0
PATIENCE = 30.0  # seconds for anything a test waits for

# Without the background flags Chromium calls home, many times a second.
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]

# Resolves when the condition holds. It is looked at whenever the page's nodes change, and now and then besides: what is
# typed and where the focus is are no nodes. A condition of a node that is not there yet does not hold yet.
_UNTIL = """new Promise(done => {
  const holds = () => { try { return %s } catch (error) { if (error instanceof TypeError) return false; throw error } }
  const look = () => { if (holds()) { observer.disconnect(); clearInterval(timer); done(true) } }
  const observer = new MutationObserver(look)
  const timer = setInterval(look, 100)
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true })
  look()
})"""


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def running_chromium(program: str) -> Iterator[str]:
    """Start the browser; yields the URL to drive it by."""
    with tempfile.TemporaryDirectory(prefix="rtlite-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        patience = threading.Timer(START_SECONDS, process.kill)
        patience.start()
        try:
            said = ""
            for line in process.stderr:
                said += line
                if match := re.search(r"DevTools listening on (ws://\S+)", line):
                    break
            else:
                raise AssertionError(f"Chromium did not start:\n{said}")
            patience.cancel()
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            process.stderr.close()
            try:
                yield match[1]
            finally:
                process.terminate()
                process.wait(10)
                drain.wait(10)
        finally:
            patience.cancel()
            process.kill()
            process.wait()


class Tab:
    """One page. ``told`` receives what the page hands to ``tell(text)``."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._websocket = websocket
        self._session: str | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._loaded = trio.Event()
        self._tell, self.told = trio.open_memory_channel[str](math.inf)
        self.errors: list[str] = []

    async def read(self) -> None:
        try:
            while True:
                message = json.loads(await self._websocket.get_message())
                if "id" in message:
                    self._answers.pop(message["id"]).send_nowait(message)
                elif message["method"] == "Runtime.bindingCalled":
                    self._tell.send_nowait(message["params"]["payload"])
                elif message["method"] == "Page.loadEventFired":
                    self._loaded.set()
                elif message["method"] == "Runtime.exceptionThrown":
                    self.errors.append(str(message["params"]["exceptionDetails"]))
                elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
                    self.errors.append(message["params"]["entry"]["text"])
        except trio_websocket.ConnectionClosed:
            pass

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command."""
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[number] = send
        command = {"id": number, "method": method, "params": params}
        await self._websocket.send_message(
            json.dumps(command | ({"sessionId": self._session} if self._session else {}))
        )
        with trio.fail_after(PATIENCE):
            answer = await receive.receive()
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    async def attach(self, target: str) -> None:
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Runtime.addBinding", name="tell")
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # though other tabs are open

    async def goto(self, url: str) -> None:
        """Open a page; returns when it and its scripts are loaded."""
        self._loaded = trio.Event()
        answer = await self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        with trio.fail_after(PATIENCE):
            await self._loaded.wait()

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; of a promise, what it resolves to."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        try:
            await self.evaluate(_UNTIL % condition)
        except trio.TooSlowError:
            value = await self.evaluate(
                f"(() => {{ try {{ return String({condition}) }} catch (e) {{ return String(e) }} }})()"
            )
            body = await self.evaluate("document.body.innerText")
            raise AssertionError(
                f"never became true: {condition} is {value}; the page shows {body!r}; {self.errors}"
            ) from None

    async def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element, which is scrolled to."""
        box = await self.evaluate(
            f"""(element => {{
              const middle = () => {{
                const {{ x, y, width, height }} = element.getBoundingClientRect()
                return {{ x: x + width / 2, y: y + height / 2 }}
              }}
              element.scrollIntoViewIfNeeded()
              const {{ x, y }} = middle()
              if (!element.contains(document.elementFromPoint(x, y))) element.scrollIntoView({{ block: "center" }})
              return middle()
            }})(document.querySelector({json.dumps(selector)}))"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **box)

    async def follow(self, selector: str) -> None:
        """A click that opens another page; returns when that and its scripts are loaded."""
        self._loaded = trio.Event()
        await self.click(selector)
        with trio.fail_after(PATIENCE):
            await self._loaded.wait()

    async def press(self, key: str, code: int, *, control: bool = False) -> None:
        """A key of the keyboard, ``Tab`` (9) or ``Enter`` (13) say; alone, or with the control key held."""
        more: dict[str, Any] = {"text": "\r"} if key == "Enter" else {}
        more |= {"modifiers": 2} if control else {}
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def screenshot(self, path: Path, width: int = 800, height: int = 300) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=False
        )
        answer = await self.call("Page.captureScreenshot", format="png")
        await trio.Path(path).write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def open_tab(chromium: str) -> AsyncIterator[Tab]:
    """A tab with cookies and storage of its own.

    :param chromium: the URL from :func:`running_chromium`.
    """
    connecting = trio_websocket.open_websocket_url(chromium, max_message_size=2**26)
    async with ungrouped(connecting) as websocket, ungrouped(trio.open_nursery()) as nursery:
        tab = Tab(websocket)
        nursery.start_soon(tab.read)
        context = (await tab.call("Target.createBrowserContext"))["browserContextId"]
        target = await tab.call("Target.createTarget", url="about:blank", browserContextId=context)
        await tab.attach(target["targetId"])
        try:
            yield tab
        finally:
            with trio.CancelScope(shield=True):
                tab._session = None
                await tab.call("Target.disposeBrowserContext", browserContextId=context)
            nursery.cancel_scope.cancel()
