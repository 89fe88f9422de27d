"""Calls that one batch of the committer holds, and some that fail in it."""

from __future__ import annotations

import trio

from tests.hub.readers import new


async def in_one_batch(hub, *calls):
    """Run the calls so that one batch holds them all, in order; returns results and exceptions."""
    held, go_on = trio.Event(), trio.Event()
    deliver = hub.fanout.deliver

    async def hold(events, muted):
        hub.fanout.deliver = deliver
        held.set()
        await go_on.wait()
        await deliver(events, muted)

    hub.fanout.deliver = hold
    outcomes = [None] * len(calls)

    async def run(number, call):
        try:
            outcomes[number] = await call()
        except Exception as error:
            outcomes[number] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.publish, new("gate:a"))
        await held.wait()
        for number, call in enumerate(calls):  # one by one: Trio would shuffle them
            nursery.start_soon(run, number, call)
            while len(hub.committer._queues.durable) <= number:
                await trio.lowlevel.checkpoint()
        go_on.set()
    return outcomes


def faulty(statement):
    def work(transaction):
        transaction.publish("news:a", "tick", None)
        transaction.connection.execute(statement)

    return work


def crash(transaction):
    transaction.publish("news:a", "tick", None)
    raise ZeroDivisionError


def exhausted(transaction):
    return next(iter(()))
