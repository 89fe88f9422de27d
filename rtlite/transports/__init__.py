"""Bytes on sockets: the only place that knows Trio streams.

listener.py     sockets, TLS, the accept loop, and what a connection turns out to be
stream.py       one accepted connection: bytes already read, and everything out through the outbox
outbox.py       the only way out of a connection
head.py         the request head, read strictly before anyone acts on it
routes.py       the table of HTTP routes, and how a request is answered
lean.py         hot writes, answered without Quart
http.py         everything else, answered by Hypercorn and Quart
websocket.py    the life of a WebSocket
connections.py  which connections are open
outbound.py     requests of our own accord, to webhooks
addresses.py    where those may go
"""
