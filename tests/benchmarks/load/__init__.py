"""The load generator: a process that holds subscribers and publishers and counts what arrives.

One for all servers, and fast: picows on uvloop. It runs in the peers' own virtual
environment. Every message carries a number and the moment it was sent, so that lost,
doubled and reordered ones are seen, and latency needs no second clock.
"""
