"""The command line: one module per command group, and the only reader of argv.

In the order in which a command meets them:

    program.py     the group itself, exit codes, how an error becomes one line
    options.py     options that several commands take, and flags made of the settings
    output.py      readable on a terminal, JSON lines into a pipe
    tables.py      tables on a terminal, however narrow
    client.py      which server a command asks, and as whom; the asking is rtlite.client's
    trouble.py     what a command that goes on and on says of a server that is away
    desk.py        keys, tokens and backups: through a server, or on the file
    welcome.py     what a server says when it is ready
    audience.py    the clients of the demonstration, and what happens for them to hear
    allocator.py   what serve asks of the C library
    pipeline.py, relay.py, spool.py            of pipe: the lines, their sending, what waits for it
    player.py, recording.py                    of play, record and trigger
    upstream.py, dialects.py, meaning.py       of record and play: another server, what it speaks, what it says
    scenario.py, scenariofile.py               of play: YAML

The other modules are the commands.
"""

from rtlite.cli.program import main

__all__ = ["main"]
