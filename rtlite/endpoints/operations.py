"""GraphQL subscriptions: each is executed once per event, however many clients have it.

Clients whose subscriptions are the same share an :class:`Execution`, and those of them whose
ids are equally long share an encoder too, so the fan-out gives all of these the same bytes.
What is each client's own, the id, is put in on the way to its outbox (:class:`Outlet`), in
place of as many bytes 0xFF, which occur in no UTF-8. So nothing is encoded for one client
alone, and the lengths of the frames hold.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import attrs
import orjson

from rtlite.errors import InvalidRequest
from rtlite.hub.topics import Outbox
from rtlite.log import get_logger
from rtlite.model import Event, Identity, Position, check_pattern, is_pattern, rfc3339
from rtlite.protocols import graphqlws
from rtlite.settings import Settings
from rtlite.store.filters import Filter, parse_filter, passes
from rtlite.transports.websocket import text_frame

if TYPE_CHECKING:
    from rtlite.protocols.graphqldocuments import Operation

log = get_logger(__name__)

_CHANGES: Final = frozenset({"CREATED", "UPDATED", "DELETED", "PUBLISHED", "UNPUBLISHED"})
_ARRIVAL: Final = "notification.new"
_KEPT_BYTES: Final = 4 * 1024 * 1024  # of results, for those who replay the events that others had just now
_ENTRY_BYTES: Final = 300  # of one that is kept, besides the result
_HEAD: Final = b'{"id":'


@attrs.frozen
class Feed:
    """What a field of the type Subscription tells.

    :ivar channel: what is listened to, by who listens and the field's arguments.
    :ivar value: the field's value, by an event and its data; ``None`` if the event is not of this kind.
    :ivar last: the events after which there are no more in one channel.
    """

    channel: Callable[[Identity, Mapping[str, Any]], str]
    value: Callable[[str, Any], Any]
    last: frozenset[str] = frozenset()


FEEDS: Final[Mapping[str, Feed]] = {
    "recordChanged": Feed(
        lambda identity, args: f"changes:{args['modelKey']}",
        lambda name, data: {**data, "type": name} if name in _CHANGES and isinstance(data, dict) else None,
    ),
    "jobProgress": Feed(
        lambda identity, args: f"jobs:{args.get('jobId') or '*'}",
        lambda name, data: data if name.startswith("job.") else None,
        frozenset({"job.completed", "job.failed", "job.cancelled"}),
    ),
    "notificationReceived": Feed(
        lambda identity, args: f"notifications:{identity.user}",
        lambda name, data: data if name == _ARRIVAL else None,
    ),
}
_ANY_EVENT: Final = "event"


def channel_of(operation: Operation, identity: Identity) -> str:
    """What a subscription listens to. :raises InvalidRequest: no channel, and no pattern, is called so."""
    if not operation.roots:
        raise InvalidRequest("a subscription has a field that tells of events")
    (root,) = operation.roots
    if root.field == _ANY_EVENT:
        return check_pattern(root.args["channel"])
    return check_pattern(FEEDS[root.field].channel(identity, root.args))


class Executions:
    """The subscriptions that someone has, and their latest results.

    :ivar count: how often one was executed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared: WeakValueDictionary[bytes, Execution] = WeakValueDictionary()
        self._numbers = itertools.count()
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._parsed: tuple[bytes, Any] = (b"null", None)
        self.count = 0

    def __len__(self) -> int:
        return len(self._shared)

    def of(self, operation: Operation, channel: str) -> Execution:
        """The one that does for all operations that are the same.

        :raises InvalidRequest: its variables are too large, or its filter is none.
        """
        key = operation.share(self._settings.graphql_query) + channel.encode()
        execution = self._shared.get(key)
        if execution is None:
            asked = parse_filter(operation.roots[0].args.get("filter"), self._settings.record_conditions)
            execution = self._shared[key] = Execution(self, next(self._numbers), operation, asked, is_pattern(channel))
        return execution

    def result(self, execution: Execution, event: Event) -> bytes:
        """What an event results in, as JSON; empty if it is none of this subscription's."""
        # The id and the time too: where nothing is kept, a channel that was forgotten counts from 1 again.
        place = event.channel, event.epoch, event.offset, event.sequence
        key = (execution.number, *place, event.id, event.timestamp)
        result = self._kept.get(key)
        if result is None:
            result = self._kept[key] = self._execute(execution, event)
            self._kept_bytes += len(result) + _ENTRY_BYTES
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1]) + _ENTRY_BYTES
        return result

    def _execute(self, execution: Execution, event: Event) -> bytes:
        """Whoever may publish to a channel may publish anything: what does not fit the field's type is passed over."""
        value = execution.value(event, self.data)
        if value is None:
            return b""
        self.count += 1
        answer = execution.operation.answer({execution.key: value})
        if answer["data"] is None:
            log.debug("an event does not fit a subscription", channel=event.channel, event_name=event.name)
            return b""
        if (position := execution.position(event)) is not None:
            answer["extensions"] = {"position": position}
        try:
            return b"%b" % orjson.dumps(answer)  # a copy: it is kept, and the original has room for 4 KiB
        except TypeError:  # it is nested more deeply than can be written
            log.debug("an event cannot be written", channel=event.channel, event_name=event.name)
            return b""

    def data(self, event: Event) -> Any:
        """An event's data, parsed once for all that are executed on it."""
        if self._parsed[0] is not event.data:
            self._parsed = (event.data, orjson.loads(event.data))
        return self._parsed[1]


class Execution:
    """A subscription as all of those have it who have the same. It is there as long as someone does."""

    def __init__(self, shared: Executions, number: int, operation: Operation, asked: Filter, pattern: bool) -> None:
        self._shared = shared
        self.number = number
        self.operation = operation
        self.key = operation.roots[0].key
        self._feed = FEEDS.get(operation.roots[0].field)
        self._filter = asked
        self._pattern = pattern
        self.last = frozenset() if self._feed is None or pattern else self._feed.last
        """The names of events that it is complete after."""
        self._encoders: WeakValueDictionary[int, Encoder] = WeakValueDictionary()

    def encoder(self, length: int) -> Encoder:
        """The one for ids that take so many bytes."""
        encoder = self._encoders.get(length)
        if encoder is None:
            encoder = self._encoders[length] = Encoder(self._shared, self, length)
        return encoder

    def value(self, event: Event, data: Callable[[Event], Any]) -> Any:
        """The field's value; ``None`` if the event is not for it."""
        if self._feed is None:
            return {
                "id": event.id,
                "channel": event.channel,
                "event": event.name,
                "data": orjson.Fragment(event.data),
                "timestamp": rfc3339(event.timestamp),
                "offset": event.offset,
                "position": self.position(event) or str(event.position),
            }
        value = self._feed.value(event.name, data(event))
        if not isinstance(value, dict):
            return None
        return value if not self._filter or _passes(self._filter, value.get("record")) else None

    def position(self, event: Event) -> str | None:
        """Where to resume behind this event; ``None`` in a kind that keeps no history."""
        if not self._pattern:
            return str(event.position)
        return str(Position(event.epoch, event.sequence)) if event.sequence else None


def _passes(asked: Filter, record: Any) -> bool:
    return isinstance(record, dict) and "data" in record and passes(asked, record)


class Encoder:
    """The results of an execution as frames, with bytes 0xFF where the id goes."""

    def __init__(self, shared: Executions, execution: Execution, length: int) -> None:
        self._shared = shared
        self._execution = execution
        self._mark = b"\xff" * length

    def __call__(self, event: Event) -> bytes:
        result = self._shared.result(self._execution, event)
        if not result:
            return b""
        frame = text_frame(graphqlws.next_result(self._mark, result))
        return frame + text_frame(graphqlws.complete(self._mark)) if event.name in self._execution.last else frame


class Outlet:
    """The way out for one operation: its connection's outbox, behind the place where its id is put in.

    :param on_complete: called once ``complete`` was let out, behind which nothing is; ``None`` if it never comes.
    """

    __slots__ = ("_mark", "_on_complete", "_outbox", "_shown", "id")

    def __init__(self, outbox: Outbox, id: str, on_complete: Callable[[], None] | None = None) -> None:
        self._outbox = outbox
        self._on_complete = on_complete
        self.id = graphqlws.written_id(id)
        # With what stands before it: a frame's length may have bytes 0xFF as well.
        self._mark = _HEAD + b"\xff" * len(self.id)
        self._shown = _HEAD + self.id

    def offer(self, data: bytes) -> bool:
        if not data:
            return True
        data = data.replace(self._mark, self._shown)
        return self._outbox.offer(data) if self._on_complete is None else self._offer_to_the_end(data)

    def _offer_to_the_end(self, data: bytes) -> bool:
        last = text_frame(graphqlws.complete(self.id))  # no data holds these bytes: their quotes are not escaped
        before, found, _ = data.partition(last)
        taken = self._outbox.offer(before + found)
        if found and taken and self._on_complete is not None:
            self._on_complete()
        return taken

    async def send(self, data: bytes) -> None:
        await self._outbox.send(data.replace(self._mark, self._shown))

    async def room(self, size: int) -> None:
        await self._outbox.room(size)
