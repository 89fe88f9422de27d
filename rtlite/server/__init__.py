"""Builds the object graph, starts it, stops it.

parts.py        what the endpoints stand on: the hub, credentials, what is kept
doors.py        the endpoints, family by family, and what each serves
server.py       all of it together, behind one listener
credentials.py  the secret that signs tokens, the first keys, those of --dev
sockets.py      where it listens
lifecycle.py    start and stop; the nurseries, nested in the order things must stop
"""

from rtlite.server.credentials import DEV_KEYS
from rtlite.server.lifecycle import Running, serve
from rtlite.server.server import Server

__all__ = ["DEV_KEYS", "Running", "Server", "serve"]
