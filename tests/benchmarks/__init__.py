"""Benchmarks: rtlite measured beside its peers, by one command and never as a timed test.

    python -m tests.benchmarks            all rows, beside all peers: about a quarter of an hour
    python -m tests.benchmarks --quick    the same with less of each
    python -m tests.benchmarks --only fanout --no-peers

Each measurement is a module named after what it measures; the rest is shared:

    fanout.py       server CPU per delivered message, paced and in a burst
    latency.py      from publish to receive
    publish.py      durable publishes a second, over HTTP (beside bare Node) and in process
    idle.py         memory of an idle connection, connects a second
    events.py, socketio.py, graphql.py
                    the first and the fourth over server-sent events, Socket.IO, GraphQL subscriptions
    replay.py       10,000 events out of history
    start.py        from the command to the ready line
    lag.py          the event loop's lag while publishers run
    plan.py         sizes and durations of a full and of a quick run
    servers.py      start, stop and observe a server
    ours.py         rtlite, as its users run it
    rivals.py       the peers, as their documentation runs them
    install.py      gets the peers into .cache/benchmarks, in the versions of peers/
    load/, loading.py    the one client of all: picows on uvloop, in a process of its own
    embedded.py     a Trio program that publishes through the hub
    machine.py      what this was measured on
    table.py, promises.py    what came out, and whether it is what rtlite promises
"""
