"""Bytes on sockets: the only place that knows Trio streams.

What comes in:

    sockets.py      the sockets listened on: TCP, unix, TLS
    listener.py     the accept loop, and what a connection turns out to be
    proxies.py      who a request comes from
    head.py         the request head, read strictly before anyone acts on it
    stream.py       one accepted connection: bytes already read, and everything out through the outbox
    outbox.py       the only way out of a connection
    impaired.py     what faults put behind it

Requests, by one table in three lanes:

    routes.py       the table of HTTP routes, and how a request is answered
    contract.py     what a door says of itself, for the descriptions
    http.py         answered by Hypercorn and Quart
    lean.py         hot writes, answered without them
    hotlane.py      the hottest, repeated on a connection: answered by one task for all
    bodies.py       how much of request bodies is held at one time
    uploads.py      bodies that are taken as they come

Connections that last:

    link.py         what they have in common: an endpoint, tasks, an end
    websocket.py    the life of a WebSocket
    wire.py         RFC 6455 by trio-websocket and wsproto, with limits and little memory
    mailbox.py      a channel, an event and a lock for the idle
    pulse.py        the heartbeat of all of a kind
    eventstream.py  the life of an event stream
    longpoll.py     polls that wait until there is something to say
    connections.py  which are open

What goes out of our own accord:

    outbound.py     requests to webhooks
    addresses.py    where those may go
"""
