"""Streams: whose they are, what they keep, how they come and go.

A stream is the channel ``stream:{id}`` and those whose names begin with ``stream:{id}:``.
It belongs to the user of the key that made it. All streams are known in memory, so that
neither a right nor what is kept needs the database.
"""

from __future__ import annotations

from typing import Final, TypeVar

import attrs

from rtlite.errors import Conflict, InvalidRequest, NotFound, Reason
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import check_stream, check_user, now_ms, stream_of
from rtlite.settings import Settings, duration_text
from rtlite.store import retention
from rtlite.store import streams as tables
from rtlite.store.database import Database
from rtlite.store.policies import Policies
from rtlite.store.retention import Candidate
from rtlite.store.streams import Stream

N = TypeVar("N", int, float)

MESSAGE: Final = "message"
"""The name of the events that streams are made of."""
PAGE: Final = 1000


@attrs.frozen
class Change:
    """What is to be different; ``None`` leaves a stream as it is, or as new streams are.

    ``age`` is in seconds. A bound of 0 gives back what the kind has.
    """

    store_history: bool | None = None
    age: float | None = None
    count: int | None = None
    bytes: int | None = None


class Streams:
    """The streams of one server. :meth:`load` comes before all else."""

    def __init__(self, hub: Hub, database: Database, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._settings = settings
        self._kind = settings.for_kind("stream")
        self._known: dict[str, Stream] = {}

    async def load(self) -> None:
        """Read what is stored."""
        for stream in await self._database.read(tables.load):
            self._know(stream)

    def find(self, id: str) -> Stream | None:
        """The stream with this id."""
        return self._known.get(id)

    def page(self, owner: str | None, after: str) -> tuple[list[Stream], str | None]:
        """By id: those of one owner, or of all; and where the next page begins."""
        found = sorted(id for id, stream in self._known.items() if id > after and owner in {None, stream.owner})
        page = [self._known[id] for id in found[:PAGE]]
        return page, page[-1].id if len(found) > PAGE else None

    async def put(self, id: str, owner: str, change: Change) -> tuple[Stream, bool]:
        """Make a stream, or change one of this owner's; returns it, and whether it is new.

        Where its history is turned on or off, whoever listens is closed and comes back.

        :raises InvalidRequest: an id, an owner or a bound breaks its rule. :raises Conflict: the owner has
            too many, or the stream is another's.
        """
        check_stream(id)
        check_user(owner)
        self._check(change)

        def work(transaction: Transaction) -> tuple[Stream, bool]:
            connection = transaction.connection
            known = tables.find(connection, id)
            if known is not None and known.owner != owner:
                raise Conflict("the stream is another's", code="stream_taken")
            if known is None and tables.count(connection, owner) >= self._settings.max_streams:
                raise Conflict(f"an owner has {self._settings.max_streams} streams at most", code="too_many_streams")
            stream = _changed(known or Stream(id, owner, self._kind.history, created=now_ms()), change)
            tables.put(connection, stream)
            if known is not None and known.store_history and not stream.store_history:
                tables.renew_epochs(connection, id)
            return stream, known is None

        return await self._hub.reconfigure(work, lambda done: self._know(done[0]))

    async def claim(self, id: str, user: str) -> Stream:
        """The stream with this id, which is made for ``user`` if there is none.

        :raises InvalidRequest: this cannot be an id. :raises Conflict: ``user`` has too many.
        """
        if (known := self.find(id)) is not None:
            return known
        try:
            return (await self.put(id, user, Change()))[0]
        except Conflict:
            if (known := self.find(id)) is not None:  # someone else was faster
                return known
            raise

    async def delete(self, id: str) -> None:
        """Delete a stream and all that it holds. Then the id is free, and no old position holds.

        If the server is killed meanwhile, the stream is there, without history and maybe without some
        of its events; to delete it again is what helps.

        :raises NotFound: there is none.
        """
        if (stream := self.find(id)) is None:
            raise NotFound("no such stream")
        await self.put(id, stream.owner, Change(store_history=False))
        nothing = Policies(self._settings)
        nothing.set_stream(id, attrs.evolve(self._kind, retention_count=0))
        for channel in await self._database.read(lambda connection: tables.channels(connection, id)):
            await self._empty(Candidate(*channel), nothing)

        def work(transaction: Transaction) -> None:
            tables.delete(transaction.connection, id)
            tables.renew_epochs(transaction.connection, id)

        await self._hub.reconfigure(work, lambda _: self._forget(id))

    async def _empty(self, channel: Candidate, nothing: Policies) -> None:
        now = now_ms()
        while (
            await self._database.write(lambda connection: retention.trim(connection, nothing, channel, now), vital=True)
            == retention.STEP
        ):
            pass

    def _know(self, stream: Stream) -> None:
        """What holds for it from now on."""
        kept = self._hub.policies.of(f"stream:{stream.id}").history
        self._known[stream.id] = stream
        self._hub.policies.set_stream(stream.id, stream.policy(self._kind))
        if kept != stream.store_history:
            self._end(stream.id)

    def _forget(self, id: str) -> None:
        self._known.pop(id, None)
        self._hub.policies.set_stream(id, None)
        self._end(id)

    def _end(self, id: str) -> None:
        self._hub.fanout.end(lambda name: stream_of(name) == id, Reason.RECONFIGURED)

    def _check(self, change: Change) -> None:
        """:raises InvalidRequest: more is to be kept than may be."""
        most = self._settings
        for name, wanted, bound, text in (
            ("age", change.age, most.stream_age, duration_text(most.stream_age)),
            ("count", change.count, most.stream_count, str(most.stream_count)),
            ("bytes", change.bytes, most.stream_bytes, str(most.stream_bytes)),
        ):
            if wanted is not None and wanted > bound:
                raise InvalidRequest(f"retention.{name}: at most {text} can be kept")


def _changed(stream: Stream, change: Change) -> Stream:
    def bound(wanted: N | None, is_now: N | None) -> N | None:
        return is_now if wanted is None else wanted or None

    return attrs.evolve(
        stream,
        store_history=stream.store_history if change.store_history is None else change.store_history,
        age=bound(change.age, stream.age),
        count=bound(change.count, stream.count),
        bytes=bound(change.bytes, stream.bytes),
    )
