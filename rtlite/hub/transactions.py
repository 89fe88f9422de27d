"""A domain function's transaction: tables changed and events announced, all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import attrs
import orjson

from rtlite.errors import Refused
from rtlite.model import Event, NewEvent, Published, new_event_id, now_ms
from rtlite.store.events import Appender


class Transaction:
    """What a domain function sees of the transaction it runs in, on the database thread."""

    def __init__(self, connection: sqlite3.Connection, publish: Callable[[NewEvent], Published]) -> None:
        self.connection = connection
        self._publish = publish

    def publish(self, channel: str, name: str, data: Any, id: str | None = None) -> Published:
        """Announce a change. The event is committed with the change, or neither is.

        On a channel without history its offset is not known before the commit, and is 0 here.
        """
        return self._publish(NewEvent(channel, name, orjson.dumps(data), id))


Work = Callable[[Transaction], Any]
"""A domain function. It may be run again from the start: of each run, the last one counts."""


def run(
    work: Work, connection: sqlite3.Connection, appender: Appender, append: Callable[[NewEvent], Published | NewEvent]
) -> tuple[Any, list[Published | NewEvent]]:
    """Run ``work`` within the transaction of its batch; returns its result and what it published.

    :param append: gives an event its place, or leaves it as it is where the channel keeps none.
    :raises Refused: the domain says no: what ``work`` did is undone, and nothing else.
    """
    appender.flush(connection)
    before = appender.sequence
    published: list[Published | NewEvent] = []

    def publish(event: NewEvent) -> Published:
        if event.id is None:  # so that what is returned has the id it will be sent with
            event = attrs.evolve(event, id=new_event_id())
        item = append(event)
        published.append(item)
        if isinstance(item, Published):
            return item
        return Published(Event(str(event.id), event.channel, event.name, event.data, now_ms(), 0, ""))

    connection.execute("SAVEPOINT job")
    try:
        result = work(Transaction(connection, publish))
        appender.flush(connection)
    except Refused:
        connection.execute("ROLLBACK TO job")
        appender.forget(before)
        raise
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE job")
    return result, published
