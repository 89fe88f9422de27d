"""rtlite: an embedded realtime server. One process, one port, one SQLite file.

The package is a pipeline; a module imports only from what stands below it:

    cli/         the command line, the only reader of argv
    embed/       the server inside another program; pytest_plugin.py and testing.py give one to tests
    client/      the server as other programs reach it; beside the server, which it does not import
    server/      builds the object graph, starts it, stops it
    endpoints/   what the outside connects to, one module per API
    domain/      what is kept besides events: articles, conversations, jobs, inboxes, streams, webhooks
    transports/  bytes on sockets: listener, outbox, websockets, event streams, http
    protocols/   the meaning of bytes, sans-I/O: no sockets, no clock
    hub/         who listens, in what order, what they missed
    auth/        who are you (keys, tokens, tickets), what may you (grants)
    store/       what survives a restart: one SQLite file
    rules.py      what names, ids and times look like, for the descriptions
    console/     files that are served: the web console, the built-in docs, GraphiQL, embed.js
    settings/    every setting, declared once
    metrics.py, log.py, faults.py, model.py, errors.py: declared once, read everywhere
    later.py     libraries that are imported when the server is ready, or first used
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rtlite.client import CallFailed, Client, Closed, Event, HistoryLost, HistoryPage, Receipt, SyncClient
    from rtlite.embed import ConnectRefused, Embedded, Namespace, Started, WebSocket, WebSocketRoute, open, start
    from rtlite.errors import Refused, RtliteError, StartError

__version__ = "0.1.0"

# Imported when they are asked for: the command line and the pytest plugin begin without them.
_HOMES: Final = {
    "rtlite.client": (
        "CallFailed",
        "Client",
        "Closed",
        "Event",
        "HistoryLost",
        "HistoryPage",
        "Receipt",
        "SyncClient",
    ),
    "rtlite.embed": (
        "ConnectRefused",
        "Embedded",
        "Namespace",
        "Started",
        "WebSocket",
        "WebSocketRoute",
        "open",
        "start",
    ),
    "rtlite.errors": ("Refused", "RtliteError", "StartError"),
}
__all__ = [
    "CallFailed",
    "Client",
    "Closed",
    "ConnectRefused",
    "Embedded",
    "Event",
    "HistoryLost",
    "HistoryPage",
    "Namespace",
    "Receipt",
    "Refused",
    "RtliteError",
    "StartError",
    "Started",
    "SyncClient",
    "WebSocket",
    "WebSocketRoute",
    "open",
    "start",
]


def __getattr__(name: str) -> Any:
    """PEP 562."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
