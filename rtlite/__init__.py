"""rtlite: an embedded realtime server. One process, one port, one SQLite file.

The package is a pipeline; a module imports only from what stands below it:

    cli/         the command line, the only reader of argv
    server.py    builds the object graph, starts it, stops it
    endpoints/   what the outside connects to, one module per API
    domain/      what is kept besides events: articles, conversations, jobs, inboxes, streams, webhooks
    transports/  bytes on sockets: listener, outbox, websockets, event streams, http
    protocols/   the meaning of bytes, sans-I/O: no sockets, no clock
    hub/         who listens, in what order, what they missed
    auth/        who are you (keys, tokens, tickets), what may you (grants)
    store/       what survives a restart: one SQLite file
    settings.py, metrics.py, log.py, model.py, errors.py: declared once, read everywhere
"""

__version__ = "0.1.0"
