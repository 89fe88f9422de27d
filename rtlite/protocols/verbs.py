"""What a client of a command socket may ask, as values.

``/ws`` and ``/_events`` write the same requests in two shapes (:mod:`.commands`,
:mod:`.eventchannels`); once read, they are these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import attrs
import orjson

from rtlite.errors import InvalidRequest
from rtlite.model import NewEvent, check_channel, check_event_id, check_event_name, check_pattern
from rtlite.protocols import jsonframes
from rtlite.rules import Channel, EventId, EventName, Rule, SinceText, Subscribable

MAX_REQUEST_ID: Final = 128  # characters; it is sent back
_LARGEST: Final = 2**53  # what a browser's numbers hold


@attrs.frozen
class Subscribe:
    """:ivar since: a place in history, as text. :ivar presence: ``True``, ``"watch"``, or what to say of oneself."""

    channel: Subscribable
    since: SinceText | None = None
    presence: Any = None

    @property
    def watches(self) -> bool:
        """Whether the client wants to know who is on the channel."""
        return self.presence not in (None, False)

    @property
    def joins(self) -> bool:
        """Whether its user is to be there too."""
        return self.watches and self.presence != "watch"

    @property
    def about(self) -> Any:
        """What the user says of itself there, if anything."""
        return self.presence if isinstance(self.presence, dict) else None

    def check(self) -> None:
        check_pattern(self.channel)
        if not (self.presence in (None, "watch") or isinstance(self.presence, bool | dict)):
            raise InvalidRequest('presence: true, "watch" or an object is wanted')


@attrs.frozen
class Unsubscribe:
    channel: Subscribable

    def check(self) -> None:
        check_pattern(self.channel)


@attrs.frozen
class Publication:
    """An event as it is handed in, by whatever door."""

    channel: Channel
    event: EventName
    data: Any = None
    id: EventId | None = None

    def check(self) -> None:
        check_channel(self.channel)
        check_event_name(self.event)
        if self.id is not None:
            check_event_id(self.id)

    def as_event(self) -> NewEvent:
        """:raises InvalidRequest: a field breaks its rule, or the data is nested too deeply."""
        self.check()
        return NewEvent(self.channel, self.event, written(self.data), self.id)


@attrs.frozen
class Publish(Publication):
    """:ivar echo: whether the connection that publishes gets the event as well, if it listens."""

    echo: bool = True


@attrs.frozen
class Attend:
    """:ivar action: ``list``, ``join``, ``update`` or ``leave``. :ivar after: of a list: the last user seen."""

    channel: Channel
    action: Annotated[str, Rule(enum=["list", "join", "update", "leave"])]
    data: Any = None
    after: str = ""

    def check(self) -> None:
        check_channel(self.channel)
        if self.action not in {"list", "join", "update", "leave"}:
            raise InvalidRequest("action: list, join, update or leave is wanted")


@attrs.frozen
class Auth:
    token: Annotated[str, Rule(minLength=1)]

    def check(self) -> None:
        if not self.token:
            raise InvalidRequest("token: it is empty")


@attrs.frozen
class Ping:
    def check(self) -> None:
        """Nothing can be wrong with it."""


Command = Subscribe | Unsubscribe | Publish | Attend | Auth | Ping
VERBS: Final[Mapping[str, type[Any]]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "publish": Publish,
    "presence": Attend,
    "auth": Auth,
    "ping": Ping,
}
RequestId = str | int | None


@attrs.frozen
class Request:
    """A message of a client: the verb, its fields, and the id that the answer carries."""

    type: str
    fields: dict[str, Any]
    id: RequestId = None

    @property
    def channel(self) -> str | None:
        """The channel it is about, if it names one."""
        name = self.fields.get("channel")
        try:
            return check_pattern(name) if isinstance(name, str) else None
        except InvalidRequest:
            return None

    def command(self) -> Command:
        """:raises InvalidRequest: there is no such verb, or a field is missing or wrong; the text names it."""
        verb = VERBS.get(self.type)
        if verb is None:
            raise InvalidRequest(f"type: one of {', '.join(VERBS)} is wanted")
        command: Command = jsonframes.structure(self.fields, verb)
        command.check()
        return command


def event_in(body: bytes) -> NewEvent:
    """The event in the body of a request, as :class:`Publication` would read it.

    :raises InvalidRequest: it is no JSON, a field is missing or wrong, or the data is nested too deeply.
    """
    value = jsonframes.parse_loosely(body) if body else {}
    if isinstance(value, dict) and value.get("id") is None:
        channel, name = value.get("channel"), value.get("event")
        if isinstance(channel, str) and isinstance(name, str):  # spared: a tenth of the cost of a publish
            event = NewEvent(check_channel(channel), check_event_name(name), written(value.get("data")))
            if jsonframes.LARGE in event.data:
                jsonframes.check_whole_numbers(body)
            return event
    jsonframes.check_whole_numbers(body)
    return jsonframes.structure(value, Publication).as_event()


def read(message: str | bytes) -> dict[str, Any]:
    """The JSON object in a message. :raises InvalidRequest: there is none."""
    if isinstance(message, bytes):
        raise InvalidRequest("a text message is wanted")
    try:
        value = jsonframes.parse(message, "the message")
    except InvalidRequest as error:
        raise InvalidRequest(error.detail) from error  # these sockets have one code for it
    if not isinstance(value, dict):
        raise InvalidRequest("an object is wanted")
    if not isinstance(value.get("type"), str):
        raise InvalidRequest("type: a text is wanted" if "type" in value else "type: missing")
    return value


def request_id(value: Any) -> RequestId:
    """:raises InvalidRequest: it is neither a short text nor a whole number."""
    if value is None or (isinstance(value, str) and len(value) <= MAX_REQUEST_ID):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return value
    raise InvalidRequest(f"id: a whole number, or a text of up to {MAX_REQUEST_ID} characters, is wanted")


def written(data: Any) -> bytes:
    """A JSON value as text. :raises InvalidRequest: it is nested too deeply."""
    try:
        return orjson.dumps(data)
    except TypeError as error:  # the parser reads deeper nesting than it writes
        raise InvalidRequest("data: it is nested too deeply") from error
