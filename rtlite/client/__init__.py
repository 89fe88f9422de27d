"""A client for programs: publish, read history, subscribe and resume.

:class:`Client` is for Trio, :class:`SyncClient` for everything else; both hold one server::

    async with Client("http://127.0.0.1:8000", key) as client:
        await client.publish("article:hello", "view_update", {"viewCount": 7})
        async with client.subscribe("article:hello", since="2h") as events:
            async for event in events:
                print(event["event"], event["data"])

    with SyncClient("http://127.0.0.1:8000", key) as client:
        client.publish("article:hello", "view_update", {"viewCount": 7})
        with client.subscribe("article:hello", since="2h") as events:
            for event in events:
                print(event["event"], event["data"])

The command line uses the same. Nothing here imports the server.
"""

from rtlite.client.client import Client
from rtlite.client.failures import CallFailed, Closed, HistoryLost
from rtlite.client.shapes import Event, HistoryPage, Receipt
from rtlite.client.sync import SyncClient

__all__ = ["CallFailed", "Client", "Closed", "Event", "HistoryLost", "HistoryPage", "Receipt", "SyncClient"]
