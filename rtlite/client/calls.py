"""The HTTP API as a client sees it: calls, and publishing that never doubles.

The server is reached over TCP, TLS or a unix socket (``http+unix:PATH``). Whatever goes
wrong is a :class:`.CallFailed`, which knows whether trying again can help. Waits between
tries double and are drawn at random, so that many clients do not come back at once.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson
import trio

from rtlite.client.failures import CallFailed, no_answer, not_rtlite, refusal
from rtlite.client.shapes import Event, HistoryPage, Receipt
from rtlite.model import Position, new_event_id

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TIMEOUT: Final = 30.0  # seconds for an answer, besides what the call itself waits
_LONGEST_SOCKET_PATH: Final = 100  # of the 107 bytes that a socket's address holds
_LOCAL: Final = {"localhost", "127.0.0.1", "::1"}


def delays(first: float = 0.25, longest: float = 10.0) -> Iterator[float]:
    """Seconds to wait before each next try: doubling, and each drawn from the upper half of its value."""
    delay = first
    while True:
        yield random.uniform(delay / 2, delay)  # noqa: S311  # spreads clients, hides nothing
        delay = min(2 * delay, longest)


class Calls:
    """One server. Used as ``async with Calls(url, key) as server``.

    :param url: ``http://…``, ``https://…``, or ``http+unix:PATH``.
    :param key: any credential; ``None`` presents nothing, which the control socket alone accepts.
    :raises CallFailed: the URL or the key cannot be one.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self.key = key
        self.socket: str | None = None  # the unix socket, if it is one
        self._folder: int | None = None
        if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
            raise CallFailed("the key holds characters that no key has", 400, "invalid_request")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        timeout = httpx.Timeout(_TIMEOUT, connect=10.0)
        transport = None
        if url.startswith("http+unix:"):
            # Loading the system's certificates takes longer than the call, so only TLS does it (verify).
            self.socket = self._short(url.removeprefix("http+unix:"))
            transport = httpx.AsyncHTTPTransport(uds=self.socket, verify=False)
            url = "http://localhost"
        self.base_url = url
        parts = _parts(url)
        # A proxy that the environment names is for other hosts than this one.
        direct = {"all://": None} if parts.hostname in _LOCAL else None
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            mounts=direct,
            trust_env=direct is None or parts.scheme == "https",
            verify=parts.scheme == "https",
            limits=httpx.Limits(),
        )

    def _short(self, path: str) -> str:
        """The path, or a short way to it through its open folder."""
        folder, name = os.path.split(os.path.abspath(path))
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CallFailed(f"no server answers at {path}: {error.strerror}") from error
        return f"/proc/self/fd/{self._folder}/{name}"

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)
        if self._folder is not None:
            os.close(self._folder)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        *,
        wait: float = 0.0,
    ) -> Any:
        """One request; returns the answer's JSON. ``wait`` is how long the server may take besides.

        :raises CallFailed: it was refused, or nobody answered.
        """
        content = None if body is None else orjson.dumps(body)
        return await self.send(method, path, content, "application/json", query, wait=wait)

    async def send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        content_type: str,
        query: Mapping[str, str] | None = None,
        *,
        wait: float = 0.0,
    ) -> Any:
        """As :meth:`call`, with a body that is ready."""
        try:
            answer = await self._http.request(
                method,
                path,
                content=content,
                headers=None if content is None else {"Content-Type": content_type},
                params=query,
                timeout=httpx.Timeout(_TIMEOUT, connect=10.0, read=_TIMEOUT + wait),
            )
        except httpx.TransportError as error:
            raise no_answer(self.url, error) from error
        value = _json(answer.content)
        if not answer.is_success:
            raise refusal(answer, value)
        if answer.content and value is None:
            raise not_rtlite(self.url)
        return value

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, Sequence[str]], headers: dict[str, str], *, silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """An answer that goes on and on, in pieces; ``silence`` is the longest wait for the next, in seconds.

        :raises CallFailed: it was refused, nobody answered, or the link broke.
        """
        timeout = httpx.Timeout(_TIMEOUT, connect=10.0, read=silence)
        try:
            async with self._http.stream("GET", path, params=query, headers=headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    raise refusal(answer, _json(await answer.aread()))
                if not answer.headers.get("Content-Type", "").startswith(headers["Accept"]):
                    raise not_rtlite(self.url)
                async with aclosing(answer.aiter_bytes()) as pieces:  # type: ignore[type-var]  # it is a generator
                    yield pieces
        except httpx.TransportError as error:
            raise no_answer(self.url, error) from error

    async def answers(self) -> bool:
        """Whether a server of ours is there at all."""
        try:
            await self.call("GET", "/healthz")
        except CallFailed:
            return False
        return True

    async def publish(
        self, channel: str, event: str, data: object = None, id: str | None = None, *, retry_for: float = 0.0
    ) -> Receipt:
        """Publish one event; returns its receipt.

        Every try carries the same event id, so that on a channel with history a try whose answer
        was lost is not published again. ``retry_for`` is how many seconds to go on trying.

        :raises CallFailed: it was refused, or could not be handed over in that time.
        """
        wanted = {"channel": channel, "event": event, "data": data, "id": id or new_event_id()}
        deadline = trio.current_time() + retry_for
        for delay in delays():
            try:
                receipt: Receipt = await self.call("POST", "/api/publish", wanted)
                return receipt
            except CallFailed as failure:
                pause = max(delay, failure.retry_after)
                if not failure.temporary or trio.current_time() + pause > deadline:
                    raise
                await trio.sleep(pause)
        raise AssertionError("delays() never ends")

    async def history(self, channel: str, **query: str) -> HistoryPage:
        """A page of a channel's history, oldest first: ``since`` (a position, an event id, an age, a time),
        ``limit``, ``order`` (``desc``), ``wait`` (``25`` or ``25s``).

        :raises CallFailed: it was refused, or nobody answered.
        """
        wait = _seconds(query.get("wait", "0"))
        path = f"/api/channels/{quote(channel, safe='')}/history"
        page = await self.call("GET", path, query=query, wait=wait)
        items: list[Event] = [
            item | {"position": str(Position(item["epoch"], item["offset"]))} for item in page["items"]
        ]
        return {"items": items, "next": page["next"], "recovered": page.get("recovered", True)}

    async def newest(self, channel: str) -> str:
        """The position after the newest event of a channel, as text."""
        backwards = await self.history(channel, order="desc", limit="1")
        if backwards["items"]:
            return str(_position(backwards["items"][0]))
        page = await self.history(channel, limit="1")
        if not page["items"]:
            return str(page["next"])
        first = _position(page["items"][0])  # the channel's first event came between the two requests
        return str(Position(first.epoch, first.offset - 1))


def _seconds(text: str) -> float:
    """A duration as the server reads it; what it cannot read it refuses, and says why."""
    number = text.strip().rstrip("mshd")
    unit = _UNITS.get(text.strip()[len(number) :])
    try:
        return float(number) * unit if unit is not None else 0.0
    except ValueError:
        return 0.0


def is_local(url: str) -> bool:
    """Whether the URL names this machine. :raises CallFailed: it cannot be a server's."""
    return url.startswith("http+unix:") or _parts(url).hostname in _LOCAL


def _position(item: Event) -> Position:
    place = Position.parse(item["position"] or "")
    assert place is not None  # noqa: S101  # history() made it
    return place


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment):
            _ = parts.port  # checks that it is a number
            return parts
    except ValueError:
        pass
    raise CallFailed("the URL of a server is http://HOST:PORT, https://… or http+unix:PATH", 400, "invalid_request")


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content) if content else None
    except ValueError:
        return None
