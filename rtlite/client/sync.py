"""The client for threads: the same calls, which wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Self, cast

from rtlite.client.client import Client
from rtlite.client.portal import Portal
from rtlite.client.shapes import Event, HistoryPage, Receipt


class SyncClient:
    """One server, as any program uses it: ``with SyncClient(url, key) as client``. Threads may share it.

    The connections live in a thread that it starts. It belongs to one process: after a fork, make a new one.

    :param url: ``http://…``, ``https://…``, or ``http+unix:PATH``.
    :param key: any credential: a key or a token; ``None`` presents nothing.
    :raises CallFailed: the URL or the key cannot be one.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self._portal = Portal(Client(url, key), "rtlite client")
        self._client = self._portal.open()

    def publish(
        self, channel: str, event: str, data: object = None, id: str | None = None, *, retry_for: float = 0.0
    ) -> Receipt:
        """Publish one event; see :meth:`.Client.publish`. :raises CallFailed: it was refused or not handed over."""
        work = partial(self._client.publish, retry_for=retry_for)
        return cast(Receipt, self._portal.call(work, channel, event, data, id))

    def history(self, channel: str, **query: str) -> HistoryPage:
        """A page of a channel's history; see :meth:`.Client.history`. :raises CallFailed: it was refused."""
        return cast(HistoryPage, self._portal.call(partial(self._client.history, channel, **query)))

    def call(self, method: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Any:
        """Any other request; returns the answer's JSON. :raises CallFailed: it was refused, or nobody answered."""
        return self._portal.call(self._client.call, method, path, body, query)

    def subscribe(
        self, *channels: str, since: str | None = None, on_gap: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Iterator[Event]]:
        """Follow channels for as long as the block lasts; see :meth:`.Client.subscribe`.

        The iterator waits for events, and ends when the client is closed, by another thread say.

        :raises CallFailed: the server refuses for good.
        """
        return self._portal.iterate(self._client.subscribe(*channels, since=since, on_gap=on_gap))

    def close(self) -> None:
        """Close the connections; what waits in other threads ends. Idempotent."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
