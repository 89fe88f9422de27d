"""The command line: one module per command group, and the only reader of argv.

program.py     the group itself, exit codes, how an error becomes one line
options.py     options that several commands take, and flags made of the settings
output.py      readable on a terminal, JSON lines into a pipe
client.py      the HTTP API as a client sees it: retries, following a channel
desk.py        keys, tokens and backups: through a server, or on the file
serve.py, keys.py, token.py, publish.py, tail.py, files.py, config.py, demo.py
               the commands
"""

from rtlite.cli.program import main

__all__ = ["main"]
