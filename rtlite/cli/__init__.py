"""The command line: one module per command group, and the only reader of argv.

In the order in which a command meets them:

    program.py     the group itself, exit codes, how an error becomes one line
    options.py     options that several commands take, and flags made of the settings
    output.py      readable on a terminal, JSON lines into a pipe
    failures.py    calls that failed, and whether trying again can help
    client.py      the HTTP API as a client sees it: calls, retries, publishing
    websocket.py   WebSockets as a client opens them
    follower.py    channels, each event once, over reconnections; by polling, by
    eventsource.py   server-sent events,
    eventsocket.py   or a WebSocket
    desk.py        keys, tokens and backups: through a server, or on the file
    welcome.py     what a server says when it is ready
    audience.py    the clients of the demonstration, and what happens for them to hear
    allocator.py   what serve asks of the C library

The other modules are the commands.
"""

from rtlite.cli.program import main

__all__ = ["main"]
